"""An acquisition's way from sign-up to credit: pure.

:func:`next_action` says what a record needs now, :func:`observe` what the record is after the world
answered. Between two calls the record may be stored, the worker may die, and another may go on.

    e-mail  look up ──▶ (make profile) ──▶ tell participation ──▶ credit
    sms     read status ──▶ subscribed: credit
                       └──▶ look up ──▶ (make profile, or write the number to it) ──▶ tell
                            participation ──▶ wait, if something was written ──▶ subscribe ──▶ read
                            back until Braze shows it ──▶ credit
                                                   or ──▶ ask for the opt-in ──▶ look now and then
                            until it is given ──▶ credit

What counts on the SMS channel is that Braze has shown the number as subscribed once since sign-up:
whoever answers STOP after that was credited rightly, and whoever does before is never subscribed
again by us. Braze tells a group's state whatever the person's global state is
(docs/api/endpoints/subscription_groups/get_list_user_subscription_group_status), so that does not
come into it; for e-mail it does, and the brand decides (``credit_unsubscribed``).

Steps may happen twice and mean the same: reads, profiles made by alias, states set; a job has one
id. Telling Quikly is the exception, and so has two steps: who finds a record at ``crediting`` does
not know whether Quikly was told.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.braze.subscriptions import SubscriptionStatus
from braze_bridge.jobs.envelope import DeliveryJob, JobEvent
from braze_bridge.quikly import QuiklyCall
from quikly_acquisition.models import (
    EMAIL_LABEL,
    MAX_HISTORY,
    PATIENCE,
    PHONE_LABEL,
    AcquisitionRecord,
    HistoryEntry,
    Profile,
    State,
    Step,
)
from quikly_acquisition.records import GRACE
from quikly_acquisition.step_queue import LONGEST_DELAY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from braze_bridge.jobs.envelope import AttributeValue, Scalar
    from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule
from quikly_acquisition.actions import (
    Action,
    BeginCredit,
    Credit,
    Done,
    Held,
    Interrupted,
    LookUp,
    NobodyFound,
    Observation,
    OutcomeUnknown,
    Performed,
    PersonFound,
    Proceed,
    ReadStatus,
    Refused,
    SendJob,
    StatusRead,
    Subscribe,
    TryAgain,
    Wait,
    WriteProfile,
)

SOURCE: Final = "quikly"

LONGEST_BACKOFF: Final = 900.0
READ_BACK_INTERVALS: Final = (1.0, 300.0)
"""Seconds between two looks at a subscription just set: the first, and where doubling ends."""

MAX_READ_BACKS: Final = 20
"""Looks at it before the acquisition fails: about 50 minutes of answers. Braze's own advice ends at
five (https://www.braze.com/docs/api/api_limits)."""

OPT_IN_INTERVALS: Final = (2.0, 3600.0)
"""Seconds between two looks for a confirmation on the first day."""

OPT_IN_FIRST_DAY: Final = 35
"""So many looks are at those intervals: eleven in the first hour, then one an hour."""

OPT_IN_LATER: Final = 6 * 3600.0
"""Seconds between two looks after that: some 150 in all 30 days, and not 730, each of which costs a
request at Braze, a message and three writes."""

SHORTEST_WAIT: Final = 0.5
MAX_DOUBLINGS: Final = 30
MAX_DETAIL: Final = 200
"""Characters of a history entry's detail."""

FIRST_SPREAD: Final = 2.0
LONGEST_SPREAD: Final = 600.0
"""Seconds over which those who wait for one gate are spread after it opens."""

MAX_LOST_CREDITS: Final = 20
"""So often Quikly is told again after its answer was lost: for about two hours, each later than the
one before. An address that takes calls and never answers must not be told for a week."""

STATUS_ROUTE: Final = "status_route"
QUIKLY: Final = "quikly"


class Terms(NamedTuple):
    """What holds for every acquisition of a stack.

    Attributes:
        profile_wait: Between writing a profile and subscribing it.
        tells_quikly: Quikly's address is configured.
        credit_lease: How long a record stays with who tells Quikly: longer than a Lambda lives.
        on_unknown_outcome: What becomes of a credit whose answer was lost: ``resend`` may tell
            Quikly twice, ``park`` fails the acquisition (``credit_unknown``).
    """

    profile_wait: timedelta
    tells_quikly: bool
    credit_lease: timedelta
    on_unknown_outcome: Literal["resend", "park"] = "resend"


# -- what next ---------------------------------------------------------------------------------


def next_action(  # noqa: C901, PLR0911, PLR0912 - one branch a step, and nothing else
    record: AcquisitionRecord, rule: AcquisitionRule, now: datetime
) -> Action:
    """What a record needs now.

    Args:
        record: Of the rule's scope.
        rule: The scope's, as it is configured now.
        now: The present.
    """
    if record.state.is_final:
        return Done()
    if now < record.due_at:
        return Wait(record.due_at)
    group, phone = rule.subscription_group_id or "", record.phone or ""
    match _step(record, rule):
        case Step.READ_STATUS | Step.READ_BACK | Step.AWAIT_OPT_IN:
            return ReadStatus(group, phone)
        case Step.LOOK_UP:
            return LookUp(record.person)
        case Step.WRITE_PROFILE:
            return _write(record, rule)
        case Step.TELL_PARTICIPATION:
            attributes, event = _participation(record, rule)
            if not attributes and event is None:
                return Proceed()
            return SendJob(_job(record, now, "", attributes, event))
        case Step.SUBSCRIBE:
            return Subscribe(group, phone)
        case Step.ASK_OPT_IN if rule.opt_in_event is not None:
            return SendJob(_job(record, now, ":opt-in", {}, rule.opt_in_event))
        case Step.ASK_OPT_IN:
            return Subscribe(group, phone, asks_first=True)
        case Step.CREDIT:
            return BeginCredit()
        case Step.CREDITING:
            event = rule.credit_event or record.q_scope
            return Credit(QuiklyCall(record.q_scope, event, record.email, record.phone))
        case Step.NOTHING:
            return Done()


def _step(record: AcquisitionRecord, rule: AcquisitionRule) -> Step:
    """The step as the rule has it now, which may be another than when the step was decided on.

    Where nobody is looked up, profiles are written at once; a double opt-in is never passed over.
    """
    match record.step:
        case Step.LOOK_UP if rule.lookup == "none":
            return Step.WRITE_PROFILE
        case Step.SUBSCRIBE | Step.ASK_OPT_IN:
            return Step.SUBSCRIBE if rule.double_opt_in == "none" else Step.ASK_OPT_IN
        case step:
            return step


def _write(record: AcquisitionRecord, rule: AcquisitionRule) -> WriteProfile:
    attributes: dict[str, AttributeValue] = {}
    if record.phone is not None and (record.email is not None or rule.lookup == "export"):
        attributes["phone"] = record.phone
    if record.profile is not None:
        return WriteProfile(record.profile, may_create=False, attributes=attributes)
    attributes |= record.attributes
    person = record.person
    if rule.lookup == "none":
        if (mark := rule.participation_attribute) is not None:
            attributes[mark.name] = mark.value
        profile = Profile(kind=person.kind, value=person.value, is_new=True)
        return WriteProfile(profile, may_create=True, attributes=attributes)
    if record.email is not None:
        attributes["email"] = record.email
    label = EMAIL_LABEL if person.kind == "email" else PHONE_LABEL
    profile = Profile(kind="user_alias", value=person.value, label=label, is_new=True)
    return WriteProfile(profile, may_create=True, attributes=attributes)


def _participation(
    record: AcquisitionRecord, rule: AcquisitionRule
) -> tuple[Mapping[str, AttributeValue], str | None]:
    """What delivery is to take to the profile: attributes, and an event's name.

    A profile made here has its attributes already, and gets the event; one that existed gets the
    attributes.
    """
    if record.made_profile:
        return {}, rule.participation_event
    mark = rule.participation_attribute
    return record.attributes | ({} if mark is None else {mark.name: mark.value}), None


def _job(
    record: AcquisitionRecord,
    now: datetime,
    suffix: str,
    attributes: Mapping[str, AttributeValue],
    event: str | None,
) -> DeliveryJob:
    if record.profile is None:
        raise ValueError("nobody to write to: look up or write the profile first")
    properties: dict[str, Scalar | list[Scalar]] = {
        "q_scope": record.q_scope,
        "channel": record.channel,
    }
    at = min(record.created_at, now) if not suffix else now
    events = () if event is None else (JobEvent(name=event, time=at, properties=properties),)
    return DeliveryJob(
        job_id=f"{SOURCE}:{record.q_scope}:{record.acquisition_id}{suffix}",
        source=SOURCE,
        occurred_at=at,
        received_at=now,
        correlation_id=record.correlation_id,
        user=record.profile.job_user(),
        attributes=dict(attributes),
        events=events,
    )


# -- what came of it ---------------------------------------------------------------------------


def observe(
    record: AcquisitionRecord,
    observation: Observation,
    rule: AcquisitionRule,
    terms: Terms,
    now: datetime,
    jitter: float,
) -> AcquisitionRecord:
    """The record after what the world answered to its next action.

    Args:
        record: As it was when the action was taken.
        observation: The answer.
        rule: As for :func:`next_action`.
        terms: The stack's.
        now: The time of the answer.
        jitter: Random, in [0, 1).

    Returns:
        The record, its version one higher; a final one as it is.
    """
    if record.state.is_final:
        return record
    return _Turn(record, rule, terms, now, jitter).after(observation)


class _Turn:
    """One call of :func:`observe`: the record and what has changed of it so far."""

    def __init__(
        self,
        record: AcquisitionRecord,
        rule: AcquisitionRule,
        terms: Terms,
        now: datetime,
        jitter: float,
    ) -> None:
        self._record = record
        self._rule = rule
        self._terms = terms
        self._now = now
        self._jitter = jitter
        self._history = list(record.history)

    def after(  # noqa: PLR0911 - one branch an observation
        self, observation: Observation
    ) -> AcquisitionRecord:
        step = _step(self._record, self._rule)
        match observation:
            case Refused(reason, detail):
                return self._failed(reason, detail)
            case Held(until, reason):
                return self._held(until, reason)
            case TryAgain():
                return self._again(observation)
            case OutcomeUnknown(detail) if step is Step.CREDITING:
                return self._credit_unknown(detail)
            case Interrupted() if step is Step.CREDITING:
                return self._credit_unknown("interrupted")
            case StatusRead(status) if step in _READING:
                return self._status_read(step, status)
            case PersonFound() if step is Step.LOOK_UP:
                return self._found(observation)
            case NobodyFound() if step is Step.LOOK_UP:
                self._note("nobody_found")
                return self._to(Step.WRITE_PROFILE)
            case Performed() if step in _PERFORMED:
                return self._performed(step)
            case _:
                return self._again(TryAgain("unexpected_answer"))

    # -- progress ----------------------------------------------------------------------------

    def _performed(self, step: Step) -> AcquisitionRecord:
        match step:
            case Step.WRITE_PROFILE:
                return self._written()
            case Step.TELL_PARTICIPATION:
                self._note("participation_sent")
                return self._participated(self._record)
            case Step.SUBSCRIBE:
                self._note("subscription_set")
                return self._to(
                    Step.READ_BACK,
                    state=State.PENDING,
                    due_at=self._now + timedelta(seconds=READ_BACK_INTERVALS[0]),
                )
            case Step.ASK_OPT_IN:
                return self._asked()
            case Step.CREDIT:
                return self._credit_begun()
            case _:
                return self._credited(QUIKLY)

    def _status_read(self, step: Step, status: SubscriptionStatus) -> AcquisitionRecord:
        self._note_once("status_read", status.value)
        if status is SubscriptionStatus.SUBSCRIBED:
            return self._to_credit(self._record)
        if step is Step.READ_STATUS:
            return self._to(Step.LOOK_UP)
        if step is Step.READ_BACK:
            return self._not_shown()
        return self._not_confirmed()

    def _found(self, found: PersonFound) -> AcquisitionRecord:
        record = self._record
        self._note("profile_remembered" if found.is_remembered else "profile_found")
        if record.channel == "email":
            if found.is_unsubscribed and not self._rule.credit_unsubscribed:
                return self._failed("unsubscribed", None)
            needs_phone = False
        else:
            needs_phone = found.phone != "same"
            if found.phone == "other" and not self._rule.replace_phone:
                return self._failed("phone_differs", None)
        found_record = record.model_copy(
            update={"profile": found.profile, "profile_written_at": found.written_at}
        )
        if needs_phone:
            return self._to(Step.WRITE_PROFILE, of=found_record)
        return self._has_profile(found_record)

    def _written(self) -> AcquisitionRecord:
        record = self._record
        written = _write(record, self._rule)
        made = record.profile is None
        if not made:
            self._note("phone_written")
        elif self._rule.lookup == "none":
            self._note("profile_written", written.profile.kind)
        else:
            self._note("profile_created", written.profile.label)
        update = {
            "profile": written.profile,
            "profile_written_at": self._now,
            "made_profile": made,
        }
        return self._has_profile(record.model_copy(update=update))

    def _has_profile(self, record: AcquisitionRecord) -> AcquisitionRecord:
        attributes, event = _participation(record, self._rule)
        if attributes or event is not None:
            return self._to(Step.TELL_PARTICIPATION, of=record)
        return self._participated(record)

    def _participated(self, record: AcquisitionRecord) -> AcquisitionRecord:
        if record.channel == "email":
            return self._to_credit(record)
        step = Step.SUBSCRIBE if self._rule.double_opt_in == "none" else Step.ASK_OPT_IN
        ready_at = self._now
        if record.profile_written_at is not None:
            ready_at = max(record.profile_written_at + self._terms.profile_wait, self._now)
        if ready_at == self._now:
            return self._to(step, of=record)
        self._note("waiting", f"{(ready_at - self._now).total_seconds():.0f} s")
        return self._to(step, of=record, state=State.WAITING_FOR_PROFILE, due_at=ready_at)

    def _not_shown(self) -> AcquisitionRecord:
        polls = self._record.polls + 1
        if polls >= MAX_READ_BACKS:
            return self._failed("subscription_not_shown", None)
        due_at = self._now + timedelta(seconds=_interval(READ_BACK_INTERVALS, polls))
        return self._to(Step.READ_BACK, polls=polls, due_at=due_at)

    def _asked(self) -> AcquisitionRecord:
        self._note("opt_in_asked", self._rule.double_opt_in)
        until = self._now + timedelta(days=self._rule.opt_in_days)
        return self._to(
            Step.AWAIT_OPT_IN,
            state=State.AWAITING_OPT_IN,
            opt_in_until=until,
            give_up_at=until + PATIENCE,
            due_at=self._now + timedelta(seconds=OPT_IN_INTERVALS[0]),
        )

    def _not_confirmed(self) -> AcquisitionRecord:
        until = self._record.opt_in_until or self._now
        if self._now >= until:
            self._note("expired")
            return self._ended(State.EXPIRED)
        polls = self._record.polls + 1
        first_day = polls <= OPT_IN_FIRST_DAY
        wait = _interval(OPT_IN_INTERVALS, polls) if first_day else OPT_IN_LATER
        due_at = self._now + timedelta(seconds=wait)
        return self._to(Step.AWAIT_OPT_IN, polls=polls, due_at=min(due_at, until))

    # -- credit ------------------------------------------------------------------------------

    @property
    def _tells_quikly(self) -> bool:
        return self._rule.credit_event is not None and self._terms.tells_quikly

    def _to_credit(self, record: AcquisitionRecord) -> AcquisitionRecord:
        if not self._tells_quikly:
            return self._credited(STATUS_ROUTE, record)
        return self._to(Step.CREDIT, of=record)

    def _credit_begun(self) -> AcquisitionRecord:
        if not self._tells_quikly:
            return self._credited(STATUS_ROUTE)
        return self._to(
            Step.CREDITING,
            attempts=self._record.attempts,
            troubled_since=self._record.troubled_since,
        )

    def _credited(self, way: str, record: AcquisitionRecord | None = None) -> AcquisitionRecord:
        self._note("credited", way)
        return self._ended(State.CREDITED, of=record)

    def _credit_unknown(self, detail: str) -> AcquisitionRecord:
        self._note_once("credit_outcome_unknown", detail)
        lost = self._record.lost_credits + 1
        if self._terms.on_unknown_outcome == "park" or lost > MAX_LOST_CREDITS:
            return self._failed("credit_unknown", None)
        return self._again(TryAgain(detail), is_noted=True).model_copy(
            update={"lost_credits": lost}
        )

    # -- trouble -----------------------------------------------------------------------------

    def _held(self, until: datetime, reason: str) -> AcquisitionRecord:
        self._note_once("held", reason)
        wait = max((until - self._now).total_seconds(), 0.0)
        # Later and later, so that those who wait for one gate do not all come when it opens.
        spread = min(max(wait, FIRST_SPREAD) * (self._record.attempts + 1), LONGEST_SPREAD)
        return self._later(wait + spread * (0.25 + 0.75 * self._jitter), "gave_up")

    def _again(self, trouble: TryAgain, *, is_noted: bool = False) -> AcquisitionRecord:
        if not is_noted:
            self._note_once("retried", trouble.detail)
        attempts = self._record.attempts + 1
        if trouble.most and attempts >= trouble.most:
            return self._failed(trouble.reason, None)
        lasted = self._now - self._troubled_since
        if trouble.longest is not None and lasted >= trouble.longest:
            return self._failed(trouble.reason, None)
        wait = _backoff(attempts) * (0.5 + self._jitter / 2)
        return self._later(max(wait, (trouble.after or 0.0) + self._jitter), trouble.reason)

    @property
    def _troubled_since(self) -> datetime:
        return self._record.troubled_since or self._now

    def _later(self, seconds: float, reason: str) -> AcquisitionRecord:
        record = self._record
        if self._now >= record.give_up_at:
            if record.step is Step.AWAIT_OPT_IN:
                self._note("expired")
                return self._ended(State.EXPIRED)
            return self._failed(reason, None)
        due_at = self._now + timedelta(seconds=max(seconds, SHORTEST_WAIT))
        return self._to(
            Step.CREDIT if record.step is Step.CREDITING else record.step,
            attempts=record.attempts + 1,
            troubled_since=self._troubled_since,
            polls=record.polls,
            due_at=min(due_at, record.give_up_at),
        )

    def _failed(self, reason: str, detail: str | None) -> AcquisitionRecord:
        self._note("failed", reason if detail is None else f"{reason}: {detail}")
        return self._ended(State.FAILED, reason=reason)

    # -- the record --------------------------------------------------------------------------

    def _to(
        self, step: Step, *, of: AcquisitionRecord | None = None, **update: object
    ) -> AcquisitionRecord:
        record = self._record if of is None else of
        changed: dict[str, object] = {
            "step": step,
            "due_at": self._now,
            "attempts": 0,
            "troubled_since": None,
            "polls": 0,
            "history": tuple(self._history),
            "version": record.version + 1,
        }
        return record.model_copy(update=changed | update)

    def _ended(
        self, state: State, *, of: AcquisitionRecord | None = None, **update: object
    ) -> AcquisitionRecord:
        return self._to(Step.NOTHING, of=of, state=state, **update)

    def _note(self, step: str, detail: str | None = None) -> None:
        entry = HistoryEntry(
            at=self._now, step=step, detail=None if detail is None else detail[:MAX_DETAIL]
        )
        self._history.append(entry)

    def _note_once(self, step: str, detail: str) -> None:
        """Note what may repeat: once as long as nothing else but such things happens."""
        for entry in reversed(self._history):
            if entry.step not in _REPEATING:
                break
            if (entry.step, entry.detail) == (step, detail[:MAX_DETAIL]):
                return
        if len(self._history) < MAX_HISTORY:
            self._note(step, detail)


_READING: Final = frozenset({Step.READ_STATUS, Step.READ_BACK, Step.AWAIT_OPT_IN})
_PERFORMED: Final = frozenset(
    {
        Step.WRITE_PROFILE,
        Step.TELL_PARTICIPATION,
        Step.SUBSCRIBE,
        Step.ASK_OPT_IN,
        Step.CREDIT,
        Step.CREDITING,
    }
)
_REPEATING: Final = frozenset({"held", "retried", "status_read", "credit_outcome_unknown"})


def _interval(bounds: tuple[float, float], polls: int) -> float:
    shortest, longest = bounds
    return min(shortest * 2.0 ** min(polls, MAX_DOUBLINGS), longest)


def _backoff(attempts: int) -> float:
    return min(2.0 ** min(attempts - 1, MAX_DOUBLINGS), LONGEST_BACKOFF)


def overdue_at(record: AcquisitionRecord, terms: Terms, now: datetime) -> datetime:
    """When the sweep shall look for a record: if its message was lost, or where it has none.

    Args:
        record: As it is about to be kept; not a final one.
        terms: The stack's.
        now: The present.
    """
    if record.step is Step.CREDITING:
        return now + terms.credit_lease
    if needs_sweep(record, now):
        return record.due_at
    return record.due_at + GRACE


def needs_sweep(record: AcquisitionRecord, now: datetime) -> bool:
    """Whether a record waits longer than a message can: the sweep makes its message."""
    return record.due_at - now > timedelta(seconds=LONGEST_DELAY)
