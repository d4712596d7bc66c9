"""Parts in doubt are neither lost, nor doubled, nor sent for ever: what a fault campaign found."""

from __future__ import annotations

import json
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.errors import (
    BadRequestError,
    ConnectFailedError,
    ObjectError,
    UnknownOutcomeError,
)
from braze_bridge.braze.models import TrackRequest, TrackResponse
from braze_bridge.jobs.envelope import JobUser, UserAlias
from braze_delivery.verifying import LAG
from tests.fakes.delivery_jobs import event, job
from tests.fakes.ledger import LEASE_SECONDS
from tests.unit.braze_delivery.test_guarantees import Harness
from tests.unit.braze_delivery.test_look_ups import Harness as StandInHarness
from tests.unit.braze_delivery.test_objects import purchase, v2

if TYPE_CHECKING:
    from collections.abc import Callable

ALIAS = JobUser(user_alias=UserAlias(alias_label="quiz", alias_name="ada"))
OVER = LAG.total_seconds() + 1


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.fixture
def over_stand_in() -> StandInHarness:
    return StandInHarness()


# -- two messages of one job ---------------------------------------------------------------------


def test_two_messages_of_a_job_both_come_back_until_it_is_delivered(harness: Harness) -> None:
    """SQS may hand them out in any order: the one that is deleted must not be the last."""
    once = job(events=1)
    harness.braze.before = lambda _: ConnectFailedError("refused")

    assert harness.deliver(once, once).retried == 2
    harness.braze.before = lambda _: None
    result = harness.deliver(once, once)

    assert (result.delivered, result.duplicate) == (1, 1)
    assert harness.events() == {"answered-0": 1}


def test_the_second_message_of_a_rejected_job_is_a_duplicate(harness: Harness) -> None:
    """The row of the first is enough."""
    once = job(events=1)
    harness.braze.named = lambda _: True

    result = harness.deliver(once, once)

    assert (result.rejected, result.duplicate) == (1, 1)


def test_the_second_message_comes_back_if_the_first_cannot_be_parked(harness: Harness) -> None:
    """The outcome of the first may still change at the end."""
    once = job(events=1)
    harness.braze.named = lambda _: True
    harness.rejected.refusing = True

    assert harness.deliver(once, once).retried == 2


# -- a rejected table that is down ---------------------------------------------------------------


def test_what_arrived_is_not_sent_again_while_a_part_cannot_be_parked(harness: Harness) -> None:
    """Three batches while the rejected table is down: the event counts once, whatever happens."""
    both = v2("1", purchase("shoe"), events=1, attributes={"score": 1})
    harness.braze.after = lambda _: UnknownOutcomeError("lost")
    harness.rejected.refusing = True
    harness.deliver(both, on_unknown_outcome="verify")
    harness.braze.after = lambda _: None
    harness.clock.advance(OVER)
    harness.braze.taken.clear()

    for _ in range(3):
        assert harness.deliver(both).retried == 1
        harness.clock.advance(LEASE_SECONDS + 1)
    harness.rejected.refusing = False

    assert harness.deliver(both).rejected == 1
    assert harness.events() == {"answered-0": 1}
    (row,) = harness.rejected.records.values()
    assert [reason.field for reason in row.reasons] == ["objects.0"]


def test_under_park_an_event_that_surely_arrived_is_not_parked(harness: Harness) -> None:
    """Only the one in doubt is, as soon as the table takes it."""
    person = JobUser(email="ada@example.com")
    two = job(user=person, events=2)
    # The whole is refused without a name; then the first is taken and the second is in doubt.
    harness.braze.before = lambda n: BadRequestError("no") if n == 1 else None
    harness.braze.after = lambda n: UnknownOutcomeError("lost") if n == 3 else None
    harness.rejected.refusing = True

    assert harness.deliver(two, on_unknown_outcome="park").retried == 1
    harness.rejected.refusing = False
    harness.clock.advance(LEASE_SECONDS + 1)
    assert harness.deliver(two, on_unknown_outcome="park").rejected == 1

    (row,) = harness.rejected.records.values()
    assert [reason.field for reason in row.reasons] == ["events.1"]


# -- the doubt is the event's, not the job's ------------------------------------------------------


def lost_in_line(lost: int) -> Callable[..., TrackResponse]:
    """A Braze that refuses the whole, takes objects alone, and whose later answer is lost."""
    count = 0

    def track(request: TrackRequest, **_: Any) -> TrackResponse:
        nonlocal count
        count += 1
        if count == 1:
            raise BadRequestError("no", status=400)
        if count == lost:
            raise UnknownOutcomeError("lost")
        return TrackResponse(201, "success", None, len(request.events), (), None)

    return track


EMAIL = JobUser(email="ada@example.com")
"""Of such a person the objects are sent one after the other."""


def test_what_was_never_sent_is_not_parked_as_unknown(harness: Harness) -> None:
    """The answer for the second event is lost; the third one and the purchase wait behind it."""
    whole = v2("1", purchase("shoe"), user=EMAIL, events=3)
    policy: dict[str, Any] = {"on_unknown_outcome": "verify", "on_unverified": "park"}

    assert harness.deliver(whole, track=lost_in_line(3), **policy).retried == 1
    harness.clock.advance(OVER)
    assert harness.deliver(whole, **policy).rejected == 1

    (row,) = harness.rejected.records.values()
    assert [reason.field for reason in row.reasons] == ["events.1"]
    assert harness.events() == {"answered-2": 1}
    assert [array for array, _ in harness.braze.taken] == ["events", "purchases"]


def test_an_event_that_braze_surely_did_not_take_is_not_in_doubt(harness: Harness) -> None:
    """Its request was refused as a whole. The other one's answer was lost."""
    two = job("1", user=EMAIL, events=2)
    track = lost_in_line(2)

    assert harness.deliver(two, track=track, on_unknown_outcome="verify").retried == 1

    state = harness.ledger.lease([two]).states[two.user.key]
    assert state.doubtful.keys() == {two.once_ids[0]}


class LateFuture(Future[Any]):
    """It is awaited in vain once."""

    is_late = True

    def result(self, timeout: float | None = None) -> Any:
        """See ``Future``."""
        if self.is_late:
            self.is_late = False
            raise TimeoutError
        return super().result(timeout)


class LateExecutor(Executor):
    """The answer to its first call comes after the caller has stopped waiting."""

    is_first = True

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See ``Executor``."""
        future = LateFuture() if self.is_first else Future[Any]()
        self.is_first = False
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.mark.parametrize("how", ["the store", "the thread"])
def test_what_was_never_sent_is_not_in_doubt_if_the_leases_answer_is_lost(
    harness: Harness, how: str
) -> None:
    """The batch ends a lease that it cannot use. Under `park` its events would be parked."""
    store, once = harness.ledger.store, job(events=1)  # type: ignore[attr-defined]
    ports: dict[str, Any] = {"on_unknown_outcome": "park"}
    if how == "the thread":
        ports["tail"] = LateExecutor()
    else:
        answers = iter(["lost"] * 6)
        store.loses = lambda _: next(answers, None)
        store.fails = lambda *_: next(answers, None) if store.items else None

    result = harness.deliver(once, **ports)
    assert (result.retried, result.requests, result.unrecorded) == (1, 0, 0)
    harness.clock.advance(LEASE_SECONDS + 1)

    assert harness.deliver(once, on_unknown_outcome="park").delivered == 1
    assert harness.events() == {"answered-0": 1}


def test_a_part_that_cannot_be_parked_is_settled_in_no_other_job(
    over_stand_in: StandInHarness,
) -> None:
    """Another job with the same event is delivered without it. The event is still in doubt."""
    harness = over_stand_in
    shared = event("answered", event_id="vendor:1")
    first, second = v2("1", events=[shared]), v2("2", events=[shared], attributes={"score": 1})
    harness.lose(first, arrived=False)
    cannot_tell: dict[str, Any] = {"export_ids": None, "on_unverified": "park"}
    harness.rejected.refusing = True
    harness.clock.advance(OVER)
    result = harness.deliver(first, second, **cannot_tell)
    assert (result.retried, result.delivered) == (1, 1)
    harness.rejected.refusing = False
    harness.clock.advance(OVER)

    assert harness.deliver(first, **cannot_tell).rejected == 1
    (row,) = harness.rejected.records.values()
    assert json.loads(row.payload)["events"][0]["id"] == "vendor:1"


# -- an event that Braze refuses without a name --------------------------------------------------


def nameless(harness: StandInHarness, *poison: str) -> Callable[..., TrackResponse]:
    """A Braze that refuses these events, answers 201 and names none."""

    def track(request: TrackRequest, **limits: Any) -> TrackResponse:
        events = [each for each in request.events if json.loads(each)["name"] not in poison]
        refused = len(request.events) - len(events)
        if not refused:
            return harness.braze.client.track(request, **limits)
        if events or request.attributes:
            harness.braze.client.track(replace(request, events=events), **limits)
        return TrackResponse(
            201,
            "success",
            len(request.attributes) if request.attributes else None,
            len(events),
            (ObjectError(None, None, "an object is not valid"),) * refused,
            None,
        )

    return track


@pytest.mark.parametrize("user", [JobUser(external_id="ada"), ALIAS])
def test_events_that_braze_refuses_without_a_name_end_after_a_look_up(
    over_stand_in: StandInHarness, user: JobUser
) -> None:
    """They are sent alone then, so that the answer tells which. Their neighbours are delivered."""
    harness = over_stand_in
    jobs = [
        job("1", user, events=[event("poison-1")]),
        job("2", "bob", events=[event("poison-2")]),
        job("3", "eve", events=[event("answered")]),
    ]
    track = nameless(harness, "poison-1", "poison-2")

    assert harness.deliver(*jobs, track=track).retried == 3
    harness.clock.advance(OVER)
    result = harness.deliver(*jobs, track=track)

    assert (result.rejected, result.delivered) == (2, 1)
    assert harness.events() == {"answered": 1}


def test_a_success_that_is_not_brazes_ends_also_under_verify(harness: Harness) -> None:
    """After ten attempts, as under the other policies."""
    odd = job(events=1)

    def track(*_: object, **__: object) -> TrackResponse:
        return TrackResponse(200, "", None, None, (), None)

    ends = []
    for _ in range(10):
        result = harness.deliver(odd, track=track, on_unknown_outcome="verify")
        ends.append(result.rejected)
        harness.clock.advance(OVER)

    assert ends == [0] * 9 + [1]


# -- an alias that is new ------------------------------------------------------------------------


def test_every_object_of_a_new_alias_brings_what_creates_it(over_stand_in: StandInHarness) -> None:
    """The stand-in shows the alias after two seconds, and drops what came alone before."""
    harness = over_stand_in
    harness.braze.configure(read_delay_ms=2000)
    whole = job("1", ALIAS, attributes={"score": 1}, events=3)
    refused: list[TrackRequest] = []

    def track(request: TrackRequest, **limits: Any) -> TrackResponse:
        if not refused:
            refused.append(request)
            raise BadRequestError("no", status=400)
        return harness.braze.client.track(request, **limits)

    assert harness.deliver(whole, track=track).delivered == 1
    harness.clock.advance(3)
    harness.braze.workspace.settle()

    assert harness.events() == {"answered-0": 1, "answered-1": 1, "answered-2": 1}


def test_updates_of_a_new_alias_bring_what_creates_it(over_stand_in: StandInHarness) -> None:
    """Another job of the person that may not create it, sent apart a moment later."""
    harness = over_stand_in
    harness.braze.configure(read_delay_ms=2000)
    update = ALIAS.model_copy(update={"may_create": False})
    refused: list[TrackRequest] = []

    def track(request: TrackRequest, **limits: Any) -> TrackResponse:
        if not refused:
            refused.append(request)
            raise BadRequestError("no", status=400)
        return harness.braze.client.track(request, **limits)

    jobs = job("1", ALIAS, attributes={"score": 1}), job("2", update, events=1)
    assert harness.deliver(*jobs, track=track).delivered == 2
    harness.clock.advance(3)
    harness.braze.workspace.settle()

    assert harness.events() == {"answered-0": 1}
