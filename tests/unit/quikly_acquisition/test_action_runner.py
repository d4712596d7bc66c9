"""One round of actions: what is combined, refused, held, and not run for lack of time."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.errors import (
    BadRequestError,
    BrazeError,
    ObjectError,
    PayloadTooLargeError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
)
from braze_bridge.braze.identifiers import UserAlias
from braze_bridge.braze.models import ExportedUser, TrackResponse
from braze_bridge.braze.subscriptions import SubscriptionStatus
from braze_bridge.braze.transport import Deadline
from braze_bridge.quikly import QuiklyCall
from quikly_acquisition.action_runner import ActionRunner
from quikly_acquisition.actions import (
    Action,
    Credit,
    Held,
    LookUp,
    Observation,
    OutcomeUnknown,
    Performed,
    ProfileFound,
    ProfileNotFound,
    ReadStatus,
    Refused,
    StatusRead,
    Subscribe,
    TryAgain,
    WriteProfile,
)
from quikly_acquisition.error_outcomes import braze_outcome
from quikly_acquisition.found_profiles import found, known_of, remembered
from quikly_acquisition.models import PersonKey, Profile
from quikly_acquisition.parallel_calls import DEADLINE_MARGIN
from quikly_acquisition.reporting import Figures
from tests.fakes.acquisitions import SMS_GROUP, FakeBraze, Simulation, record
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from braze_bridge.braze.models import TrackRequest

PHONE = "+4915112345678"
ADA = PersonKey("email", "ada@example.com")
CREDITS = dict.fromkeys("ab", Credit(QuiklyCall("news", "signed-up", ADA.value)))


def performed(
    sim: Simulation, actions: Mapping[str, Action], left: float = 60.0
) -> tuple[Mapping[str, Observation], Figures]:
    figures = Figures()
    records = {id_: record("texts", number=n) for n, id_ in enumerate(actions)}
    runner = ActionRunner(sim.deps, lambda: left, figures)
    return runner.run(actions, records), figures


def test_one_number_in_one_group_is_read_once_for_all_acquisitions() -> None:
    """Each of them gets the observation."""
    sim = Simulation()
    sim.braze.has(phone=PHONE, groups={SMS_GROUP: "Subscribed"})
    seen, figures = performed(sim, dict.fromkeys("abc", ReadStatus(SMS_GROUP, PHONE)))
    assert seen == dict.fromkeys("abc", StatusRead(SubscriptionStatus.SUBSCRIBED))
    assert figures.requests == 1


def test_one_person_is_looked_up_once_for_all_acquisitions() -> None:
    """Each of them gets the observation, in the same round."""
    sim = Simulation()
    sim.braze.has(external_id="ada", email=ADA.value)
    seen, figures = performed(sim, dict.fromkeys("abc", LookUp(ADA)))
    assert [type(seen[id_]) for id_ in "abc"] == [ProfileFound] * 3
    assert figures.look_ups == 1


@pytest.mark.parametrize(
    "action", [ReadStatus("", PHONE), ReadStatus("g", "12"), Subscribe("g", "")]
)
def test_what_braze_would_refuse_is_not_sent(action: Action) -> None:
    """The acquisition fails by the client's own reason; others of the batch go on."""
    sim = Simulation()
    seen, _ = performed(sim, {"bad": action, "good": ReadStatus(SMS_GROUP, PHONE)})
    assert isinstance(seen["bad"], Refused)
    assert seen["bad"].reason == "invalid_request"
    assert isinstance(seen["good"], StatusRead)


def test_an_object_that_cannot_be_encoded_fails_without_the_others() -> None:
    """For example a name that Braze reserves."""
    sim = Simulation()
    profile = Profile(kind="user_alias", value="ada@example.com", label="email")
    bad = WriteProfile(profile, may_create=True, attributes={"external_id": "x"})
    good = WriteProfile(profile, may_create=True, attributes={"size": 1})
    seen, figures = performed(sim, {"bad": bad, "good": good})
    assert isinstance(seen["bad"], Refused)
    assert seen["good"] == Performed()
    assert figures.profiles_created == 1


class Grumbling(FakeBraze):
    """Takes everything, and reports errors of objects that were not sent."""

    def track(
        self,
        request: TrackRequest,
        *,
        timeout: tuple[float, float] | None = None,
        deadline: float | None = None,
    ) -> TrackResponse:
        answer = super().track(request, timeout=timeout, deadline=deadline)
        errors = (
            ObjectError("events", 0, "what event?"),
            ObjectError("attributes", 7, "which?"),
            ObjectError(None, None, "hm"),
        )
        return replace(answer, errors=errors)


def test_errors_that_name_no_object_of_ours_are_counted_and_refuse_none() -> None:
    """The request was taken."""
    sim = Simulation()
    sim.deps = replace(sim.deps, braze=Grumbling(sim.clock))
    profile = Profile(kind="email", value="ada@example.com")
    seen, figures = performed(sim, {"a": WriteProfile(profile, may_create=True, attributes={})})
    assert seen == {"a": Performed()}
    assert figures.unattributed == 3


def test_a_request_that_is_too_large_is_sent_in_parts() -> None:
    """Each object in a request of its own."""
    sim = Simulation()
    sim.braze.faults = lambda _: (
        PayloadTooLargeError("too large", status=413) if len(sim.braze.calls[-1][2]) > 1 else None
    )
    actions = {
        id_: WriteProfile(
            Profile(kind="email", value=f"{id_}@example.com"), may_create=True, attributes={}
        )
        for id_ in "abc"
    }
    seen, figures = performed(sim, actions)
    assert seen == dict.fromkeys("abc", Performed())
    assert figures.requests == 4


def test_nothing_is_begun_that_could_not_be_answered() -> None:
    """The rest has no observation: the next batch does it."""
    sim = Simulation()
    seen, figures = performed(sim, {"a": ReadStatus(SMS_GROUP, PHONE)}, left=9.0)
    assert (seen, figures.requests, sim.braze.calls) == ({}, 0, [])


class Silent(Executor):
    """Takes calls and never ends them, or never starts them."""

    def __init__(self, *, starts: bool = True) -> None:
        self._starts = starts

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        del fn, args, kwargs
        future: Future[Any] = Future()
        if self._starts:
            future.set_running_or_notify_cancel()
        return future


def test_an_answer_that_does_not_come_in_time_is_no_answer() -> None:
    """A slow one outlasts every timeout of silence; the batch must store its results."""
    sim = Simulation(executor=Silent())
    left = iter([60.0])
    runner = ActionRunner(sim.deps, lambda: next(left, 0.0), Figures())
    seen = runner.run({"a": ReadStatus(SMS_GROUP, PHONE)}, {"a": record("texts")})
    assert seen == {"a": TryAgain("no_answer")}


def test_a_credit_that_is_not_answered_in_time_is_unknown_and_ends_the_wait() -> None:
    """The results of the other acquisitions must be stored before Lambda ends the invocation."""
    sim = Simulation(executor=Silent())
    runner = ActionRunner(sim.deps, lambda: 0.0, Figures())
    seen = runner.run(CREDITS, {id_: record() for id_ in CREDITS})
    assert seen == dict.fromkeys("ab", OutcomeUnknown("no_answer"))


def test_a_credit_that_did_not_start_in_time_has_no_outcome() -> None:
    """No thread was free, or too little time was left: the next batch calls Quikly."""
    sim = Simulation(executor=Silent(starts=False))
    runner = ActionRunner(sim.deps, lambda: 0.0, Figures())
    assert runner.run(CREDITS, {id_: record() for id_ in CREDITS}) == {}
    sim = Simulation()
    runner = ActionRunner(sim.deps, lambda: 15.0, Figures())
    assert runner.run(CREDITS, {id_: record() for id_ in CREDITS}) == {}
    assert sim.quikly.asked == 0


def test_every_call_has_a_deadline_before_the_results_are_stored() -> None:
    """Also in wall time, since a freeze may stop the other clock."""
    sim = Simulation()
    before = Deadline.after(60.0 - DEADLINE_MARGIN)
    profile = Profile(kind="email", value="ada@example.com")
    actions: dict[str, Action] = {
        "read": ReadStatus(SMS_GROUP, PHONE),
        "look-up": LookUp(ADA),
        "write": WriteProfile(profile, may_create=True, attributes={}),
        "subscribe": Subscribe(SMS_GROUP, PHONE),
        "credit": CREDITS["a"],
    }
    performed(sim, actions)
    after = Deadline.after(60.0 - DEADLINE_MARGIN)
    deadlines = [*sim.braze.deadlines, *sim.quikly.deadlines]
    assert len(deadlines) == len(actions)
    for deadline in deadlines:
        assert isinstance(deadline, Deadline)
        assert before <= deadline <= after
        assert before.wall <= deadline.wall <= after.wall


def test_a_call_that_never_started_is_cancelled_and_has_no_outcome() -> None:
    """Every thread hangs in an earlier call: the next batch makes this one."""
    with ThreadPoolExecutor(1) as threads:
        freed = threading.Event()
        threads.submit(freed.wait, 10.0)
        sim = Simulation(executor=threads)
        figures = Figures()
        left = iter([60.0])
        runner = ActionRunner(sim.deps, lambda: next(left, 0.0), figures)
        seen = runner.run({"a": ReadStatus(SMS_GROUP, PHONE)}, {"a": record("texts")})
        freed.set()
    assert seen == {}
    assert figures.requests == 0
    assert sim.braze.calls == []


# -- errors and profiles -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "observation", "closes"),
    [
        (BadRequestError("Invalid subscription group ID"), Refused, None),
        (RateLimitedError("x", status=429, retry_after=5), Held, "rate_limited"),
        (ServerError("x", status=503), TryAgain, None),
        (UnexpectedResponseError("unreadable", status=200), TryAgain, None),
        (UnexpectedResponseError("moved", status=302), Held, "requests_refused"),
    ],
)
def test_an_error_is_read_by_what_it_means(
    error: BrazeError, observation: type[Observation], closes: str | None
) -> None:
    """For the action, and for the gate."""
    outcome = braze_outcome(error, NOON)
    assert isinstance(outcome.observation, observation)
    assert (outcome.closing.reason if outcome.closing else None) == closes


@pytest.mark.parametrize(
    ("user", "kind"),
    [
        (ExportedUser(external_id="e", braze_id="b"), "external_id"),
        (ExportedUser(braze_id="b", user_aliases=(UserAlias("n", "l"),)), "braze_id"),
        (ExportedUser(user_aliases=(UserAlias("n", "l"),)), "user_alias"),
        (ExportedUser(), "email"),
    ],
)
def test_a_found_profile_is_named_by_its_best_identifier(user: ExportedUser, kind: str) -> None:
    """The address, if Braze gives nothing better."""
    seen = found(user, ADA, PHONE)
    assert isinstance(seen, ProfileFound)
    assert seen.profile.kind == kind


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(PHONE, "same"), ("+49 1511 2345678", "same"), ("+12025550143", "other"), (" ", "none")],
)
def test_numbers_are_compared_as_numbers(stored: str, expected: str) -> None:
    """In every form that Braze stores."""
    seen = found(ExportedUser(external_id="e", phone=stored), ADA, PHONE)
    assert isinstance(seen, ProfileFound)
    assert seen.phone == expected
    assert found(None, ADA, PHONE) == ProfileNotFound()


@pytest.mark.parametrize(
    "profile",
    [
        Profile(kind="external_id", value="ada"),
        Profile(kind="external_id", value="ada@example.com"),
        Profile(kind="braze_id", value="b"),
        Profile(kind="user_alias", value="ada@example.com", label="email"),
        Profile(kind="user_alias", value="visitor-1", label="iterate_id"),
        Profile(kind="email", value="ada@example.com"),
    ],
)
def test_a_remembered_profile_is_the_found_one_without_its_address(
    profile: Profile,
) -> None:
    """For every kind of identifier."""
    known = known_of(profile, ADA, phone="hash", written_at=NOON, now=NOON)
    assert "ada@example.com" not in known.model_dump_json()
    seen = remembered(known, ADA, "hash", NOON)
    assert seen.profile == profile.model_copy(update={"is_new": True})
    assert (seen.phone, seen.is_remembered, seen.written_at) == ("same", True, NOON)
    assert remembered(known, ADA, "another", NOON).phone == "other"
