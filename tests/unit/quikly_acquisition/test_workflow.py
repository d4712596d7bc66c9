"""The workflow as a pure function: what holds from any state, whatever Braze and Quikly answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_bridge.braze.subscriptions import SubscriptionStatus
from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule, ParticipationAttribute
from quikly_acquisition.actions import (
    BeginCredit,
    Credit,
    Done,
    Held,
    OutcomeUnknown,
    Performed,
    ProfileFound,
    ProfileNotFound,
    ReadStatus,
    Refused,
    SendJob,
    SkipStep,
    StatusRead,
    Subscribe,
    TryAgain,
    Wait,
)
from quikly_acquisition.models import MAX_HISTORY, Profile, State, Step, parse_record
from quikly_acquisition.next_action import next_action
from quikly_acquisition.workflow import WorkflowSettings, observe, overdue_at
from tests.fakes.acquisitions import RULES, SETTINGS, record
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from quikly_acquisition.actions import Action, Observation
    from quikly_acquisition.models import AcquisitionRecord

MOST_TURNS = 20_000

PROFILES = st.sampled_from(
    [
        Profile(kind="external_id", value="ada"),
        Profile(kind="braze_id", value="b"),
        Profile(kind="user_alias", value="ada@example.com", label="email", is_new=True),
        Profile(kind="email", value="ada@example.com"),
    ]
)

RULE = st.builds(
    AcquisitionRule,
    q_scope=st.just("scope"),
    channels=st.just(frozenset({"email", "sms"})),
    subscription_group_id=st.just("group"),
    double_opt_in=st.sampled_from(["none", "braze"]),
    opt_in_event=st.none(),
    opt_in_days=st.just(1),
    lookup=st.sampled_from(["export", "none"]),
    replace_phone=st.booleans(),
    credit_unsubscribed=st.booleans(),
    credit_event=st.sampled_from([None, "signed-up"]),
    participation_attribute=st.sampled_from(
        [None, ParticipationAttribute("took_part", value=True)]
    ),
    participation_event=st.sampled_from([None, "took_part"]),
).flatmap(
    lambda rule: (
        st.just(rule)
        if rule.double_opt_in == "none"
        else st.sampled_from([rule, rule._replace(double_opt_in="event", opt_in_event="ask")])
    )
)

STACK_SETTINGS = st.builds(
    WorkflowSettings,
    profile_wait=st.sampled_from([timedelta(0), timedelta(seconds=120)]),
    tells_quikly=st.booleans(),
    credit_lease=st.just(timedelta(seconds=60)),
    on_unknown_outcome=st.sampled_from(["resend", "park"]),
)

SECONDS = st.floats(0, 3600)


def observations(now: datetime) -> st.SearchStrategy[Observation]:
    """Any observation, whether it fits the step or not."""
    return st.one_of(
        st.builds(StatusRead, st.sampled_from(list(SubscriptionStatus))),
        st.builds(
            ProfileFound,
            PROFILES,
            phone=st.sampled_from(["same", "other", "none"]),
            is_unsubscribed=st.booleans(),
            written_at=st.sampled_from([None, now]),
            is_remembered=st.booleans(),
        ),
        st.just(ProfileNotFound()),
        st.just(Performed()),
        st.just(Performed()),
        st.just(OutcomeUnknown("interrupted")),
        st.just(OutcomeUnknown("504")),
        st.builds(lambda seconds: Held(now + timedelta(seconds=seconds), "limit"), SECONDS),
        st.builds(
            TryAgain,
            st.sampled_from(["500", "no_answer"]),
            after=st.one_of(st.none(), SECONDS),
            most=st.sampled_from([0, 0, 3]),
        ),
    )


class Watch:
    """What was observed so far, and the checks of what must never happen."""

    def __init__(self, first: AcquisitionRecord) -> None:
        self.subscribed = first.step in {Step.CREDIT, Step.CREDITING}
        self.began = first.step is Step.CREDITING
        self.subscription_set = first.step in {Step.READ_BACK, Step.CREDIT, Step.CREDITING}

    def action(self, one: AcquisitionRecord, action: Action) -> None:
        if one.channel == "email":
            assert not isinstance(action, ReadStatus | Subscribe)
        elif isinstance(action, BeginCredit | Credit):
            assert self.subscribed
        if isinstance(action, Credit):
            assert self.began
        if isinstance(action, Subscribe) and not action.asks_first:
            assert not self.subscription_set

    def answer(self, action: Action, observation: Observation) -> None:
        if isinstance(action, ReadStatus) and isinstance(observation, StatusRead):
            self.subscribed |= observation.status is SubscriptionStatus.SUBSCRIBED
        if isinstance(observation, Performed):
            self.subscription_set |= isinstance(action, Subscribe)
        self.began = isinstance(action, BeginCredit) and isinstance(observation, Performed)

    def ended(self, one: AcquisitionRecord) -> None:
        assert one.state.is_final
        assert one.step is Step.NOTHING
        assert (one.reason is not None) == (one.state is State.FAILED)
        if one.channel == "sms" and one.state is State.CREDITED:
            assert self.subscribed


@st.composite
def starts(draw: st.DrawFn) -> AcquisitionRecord:
    """A record in any state that is not final, of either channel."""
    sms = draw(st.booleans())
    one = record(
        "scope",
        channel="sms" if sms else "email",
        email=draw(st.sampled_from(["ada@example.com", None])) if sms else "ada@example.com",
        attributes=draw(st.sampled_from([{}, {"size": 3}])),
    )
    email_steps = [Step.LOOK_UP, Step.WRITE_PROFILE, Step.TELL_PARTICIPATION, Step.CREDIT]
    sms_steps = [step for step in Step if step is not Step.NOTHING]
    step = draw(st.sampled_from(sms_steps if sms else [*email_steps, Step.CREDITING]))
    has_profile = step not in {Step.READ_STATUS, Step.LOOK_UP}
    return one.model_copy(
        update={
            "step": step,
            "state": draw(st.sampled_from([state for state in State if not state.is_final])),
            "attempts": draw(st.integers(0, 40)),
            "polls": draw(st.integers(0, 40)),
            "lost_credits": draw(st.integers(0, 30)),
            "due_at": NOON + timedelta(seconds=draw(SECONDS)),
            "opt_in_until": draw(st.sampled_from([None, NOON + timedelta(days=1)])),
            "profile": draw(PROFILES) if has_profile else None,
            "profile_written_at": draw(st.sampled_from([None, NOON])),
            "made_profile": draw(st.booleans()),
        }
    )


@settings(max_examples=80)
@given(data=st.data(), first=starts(), rule=RULE, stack_settings=STACK_SETTINGS)
def test_from_any_state_it_ends_and_never_credits_an_sms_without_subscribed(
    data: st.DataObject,
    first: AcquisitionRecord,
    rule: AcquisitionRule,
    stack_settings: WorkflowSettings,
) -> None:
    """For any observations, any number of them, and any random numbers."""
    now = NOON
    one, watch = first, Watch(first)
    drawn = data.draw(st.integers(0, 12), label="observations drawn")
    forever = data.draw(st.lists(observations(NOON), min_size=1, max_size=3), label="then")
    jitter = data.draw(st.floats(0, 0.999), label="jitter")
    for turn in range(MOST_TURNS):
        action = next_action(one, rule, now)
        if isinstance(action, Done):
            break
        if isinstance(action, Wait):
            assert action.until > now
            now = action.until
            continue
        watch.action(one, action)
        observation = data.draw(observations(now)) if turn < drawn else forever[turn % len(forever)]
        if isinstance(observation, Held):
            observation = Held(max(observation.until, now), observation.reason)
        after = observe(one, observation, rule, stack_settings, now, jitter)
        watch.answer(action, observation)
        assert after.version == one.version + 1
        assert len(after.history) <= MAX_HISTORY + 20
        one = after
    watch.ended(one)
    assert parse_record(one.model_dump_json()) == one


@given(one=starts(), rule=RULE, stack_settings=STACK_SETTINGS, observation=observations(NOON))
def test_a_final_record_stays_as_it_is(
    one: AcquisitionRecord,
    rule: AcquisitionRule,
    stack_settings: WorkflowSettings,
    observation: Observation,
) -> None:
    """Nothing is done, and nothing that is observed late changes it."""
    ended = observe(one, Refused("no", "because"), rule, stack_settings, NOON, 0.5)
    assert isinstance(next_action(ended, rule, NOON), Done)
    assert observe(ended, observation, rule, stack_settings, NOON, 0.5) is ended
    assert ended.history[-1].detail == "no: because"


@given(one=starts(), rule=RULE, observation=observations(NOON), stack_settings=STACK_SETTINGS)
def test_a_step_done_twice_from_the_same_record_means_the_same(
    one: AcquisitionRecord,
    rule: AcquisitionRule,
    observation: Observation,
    stack_settings: WorkflowSettings,
) -> None:
    """After a crash before the store, the record gives the same action and the same next record."""
    now = max(one.due_at, NOON)
    assert next_action(one, rule, now) == next_action(
        parse_record(one.model_dump_json()), rule, now
    )
    first = observe(one, observation, rule, stack_settings, now, 0.25)
    assert first == observe(one, observation, rule, stack_settings, now, 0.25)


@pytest.mark.parametrize(
    ("rule", "step", "action"),
    [
        (RULES["texts"]._replace(double_opt_in="braze"), Step.SUBSCRIBE, Subscribe),
        (RULES["asked"]._replace(double_opt_in="none"), Step.ASK_OPT_IN, Subscribe),
        (RULES["texts"]._replace(participation_event=None), Step.TELL_PARTICIPATION, SkipStep),
        (RULES["asked-by-event"], Step.ASK_OPT_IN, SendJob),
    ],
)
def test_a_configuration_changed_on_the_way_holds_from_there(
    rule: AcquisitionRule, step: Step, action: type[Action]
) -> None:
    """A double opt-in that is switched on is not skipped, and no empty job is sent."""
    one = record(rule.q_scope).model_copy(
        update={
            "step": step,
            "profile": Profile(kind="external_id", value="ada"),
            "made_profile": True,
        }
    )
    found = next_action(one, rule, NOON)
    assert isinstance(found, action)
    if isinstance(found, Subscribe):
        assert found.asks_first == (rule.double_opt_in == "braze")


@pytest.mark.parametrize(
    ("step", "due", "expected"),
    [
        (Step.LOOK_UP, 30, 90),
        (Step.AWAIT_OPT_IN, 3600, 3600),
        (Step.CREDITING, 0, 60),
    ],
)
def test_the_sweep_looks_once_a_message_is_overdue_or_cannot_wait_that_long(
    step: Step, due: float, expected: float
) -> None:
    """A minute after it is due; when it is due, if SQS cannot wait that long; after the lease."""
    one = record("texts").model_copy(update={"step": step, "due_at": NOON + timedelta(seconds=due)})
    assert overdue_at(one, SETTINGS, NOON) == NOON + timedelta(seconds=expected)


def test_actions_and_observations_show_no_address() -> None:
    """Tracebacks show reprs."""
    one = record("texts", attributes={"first_name": "Ada"})
    shown = [one, next_action(one, RULES["texts"], NOON)]
    written = one.model_copy(update={"step": Step.WRITE_PROFILE})
    shown.append(next_action(written, RULES["texts"], NOON))
    crediting = one.model_copy(update={"step": Step.CREDITING})
    shown.append(next_action(crediting, RULES["texts"], NOON))
    for each in shown:
        for secret in ("ada@example.com", "4915112345678", "Ada"):
            assert secret not in repr(each)
