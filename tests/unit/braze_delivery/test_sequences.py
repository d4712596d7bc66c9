"""Sequences found by an attack on delivery: each once lost, doubled or overwrote something."""

from __future__ import annotations

import json
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from braze_bridge.braze.errors import RateLimitedError
from braze_bridge.braze.models import TrackResponse
from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.envelope import JobUser, UserAlias
from braze_delivery.delivery import deliver
from braze_delivery.packing import RequestPlan, TrackObject
from braze_delivery.settling import settle
from tests.fakes.braze import InlineExecutor
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import job
from tests.fakes.gate import InMemoryGate
from tests.fakes.jobs import InMemoryRejectedStore
from tests.unit.braze_delivery.test_guarantees import Harness
from tests.unit.braze_delivery.test_settling import E1

if TYPE_CHECKING:
    from concurrent.futures import Future

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.jobs.rejected import RejectedRecord


@pytest.fixture
def harness() -> Harness:
    return Harness()


def strict(name: str, age: float, **attributes: object) -> DeliveryJob:
    """A job that may not create the person."""
    return job(name, JobUser(external_id="ada", may_create=False), attributes=attributes, age=age)


@pytest.mark.parametrize("named", [True, False])
def test_the_newest_value_stays_when_a_merge_of_creating_jobs_is_undone(
    harness: Harness, *, named: bool
) -> None:
    """The person's update-only job has the newest value, and was taken in the refused request."""
    if named:
        harness.braze.named = lambda item: "bad" in item
    else:
        harness.braze.nameless = lambda item: "bad" in item
    jobs = [
        job("c1", attributes={"x": 1}, age=90),
        job("c2", attributes={"bad": 1}, age=80),
        strict("u", 60, x=2),
    ]

    result = harness.deliver(*jobs, job("other", "bob"))

    assert (result.delivered, result.rejected) == (3, 1)
    assert harness.braze.profile("ada")["x"] == 2


def test_several_attributes_objects_of_a_person_are_in_one_request(harness: Harness) -> None:
    """Side by side, the older value could arrive last."""
    others = [job(str(n), f"user-{n}") for n in range(74)]
    ada = [
        job("a", attributes={"score": 1}, age=90),
        job("b", attributes={"essay": "x" * 300}, age=60),
        job("c", attributes={"score": 3}, age=30),
    ]

    harness.deliver(*others, *ada)

    of_ada = [
        [item["score"] for item in body["attributes"] if item["external_id"] == "ada"]
        for body in harness.braze.bodies
    ]
    assert sorted(of_ada) == [[], [1, 3]]


def test_many_refusals_beside_successes_close_no_gate(harness: Harness) -> None:
    """A whole request of invalid objects comes before valid ones."""
    harness.braze.nameless = lambda item: item["external_id"].startswith("bad")
    jobs = [job(str(n), f"{'bad' if n < 75 else 'good'}-{n}") for n in range(150)]

    result = harness.deliver(*jobs, concurrency=1)

    assert (result.closings, result.delivered, result.rejected) == ([], 75, 75)


def test_a_success_that_is_not_brazes_is_not_resent_without_end(harness: Harness) -> None:
    """After ten attempts the job is parked."""
    page = TrackResponse(200, "", None, None, (), None)
    outcomes = []
    for _ in range(10):
        result = harness.deliver(job(events=1), track=lambda request, **_: page)
        outcomes.append((result.retried, result.rejected))
        harness.clock.advance(1_000)

    assert outcomes == [(1, 0)] * 9 + [(0, 1)]


class NoThreads(InlineExecutor):
    """As a pool that queues the call, and then cannot start a thread."""

    def __init__(self) -> None:
        self.queued: list[Any] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.queued.append(fn)
        raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("tail", [False, True])
def test_a_call_that_is_reported_as_not_started_is_never_made(
    harness: Harness, *, tail: bool
) -> None:
    """Another thread of the pool may take it from the queue, much later."""
    threads = NoThreads()
    ports: dict[str, object] = {"tail": threads} if tail else {"executor": threads}
    harness.braze.named = lambda item: item["external_id"] == "bad"

    result = harness.deliver(job("1", events=1), job("2", "bad"), **ports)
    for call in threads.queued:
        with suppress(CancelledError):
            call()

    expected = (1, 0, 1) if tail else (0, 0, 2)
    assert (result.delivered, result.rejected, result.retried) == expected
    assert len(harness.braze.bodies) == (1 if tail else 0)
    assert harness.rejected.records == {}


def test_a_bug_in_the_rejected_store_leaves_no_lease_behind(harness: Harness) -> None:
    """The people with rows are recorded all the same."""

    class Faulty(InMemoryRejectedStore):
        def park(self, record: RejectedRecord) -> None:
            raise ZeroDivisionError

    harness.braze.named = lambda _: True

    first = harness.deliver(job(), rejected=Faulty())
    again = harness.deliver(job())

    assert (first.retried, first.held_up) == (1, {"parking: failed: ZeroDivisionError": 1})
    assert again.rejected == 1


def test_a_429_that_comes_after_a_fault_closes_the_gate(harness: Harness) -> None:
    """It is settled while the batch gives up."""

    class Faulty(InMemoryGate):
        def record_success(self, family: object, rate_limit: object) -> None:
            raise ZeroDivisionError

    gate = Faulty(harness.clock)
    harness.braze.before = lambda n: RateLimitedError("", retry_after=20) if n == 2 else None

    with pytest.raises(ZeroDivisionError):
        harness.deliver(*(job(str(n), f"user-{n}") for n in range(150)), gate=gate)

    other = gate.seen_by(harness.clock)
    assert harness.deliver(job("later", "bob"), gate=other).held_up == {"rate_limited": 1}


def test_an_object_that_only_creates_an_alias_need_not_be_counted() -> None:
    """It has no attributes, and Braze counts people with attributes."""
    creator = TrackObject("attributes", b"{}", ())
    event = structs.replace(E1, needs=creator)
    plan = RequestPlan.of([event])

    settlement = settle(plan, TrackResponse(201, "success", 0, 1, (), None))

    assert settlement.delivered == [creator, event]
    assert settlement.unclear == []


def test_a_value_dropped_for_a_newer_one_is_sent_if_the_newer_one_is_refused(
    harness: Harness,
) -> None:
    """The update-only job comes back, and brings its value then."""
    harness.braze.named = lambda item: "bad" in item
    harness.deliver(job("exists", attributes={"city": "x"}, age=200))
    older, newer = strict("u", 90, x=1), job("c", attributes={"x": 2, "bad": 1}, age=60)

    first = harness.deliver(older, newer)
    second = harness.deliver(older, newer)

    assert (first.rejected, first.retried) == (1, 1)
    assert (second.delivered, second.duplicate) == (1, 1)
    assert harness.braze.profile("ada")["x"] == 1


def test_a_time_in_the_far_future_keeps_no_later_job_for_ever(harness: Harness) -> None:
    """The earlier of the job's and the message's time counts."""
    far = {"schema_version": 3, "received_at": "2999-12-31T00:00:00Z"}
    body = json.dumps(json.loads(job().to_json()) | far)
    message = SqsMessage("m", body, sent_at=NOON.timestamp() - 3 * 86_400 - 1)

    assert deliver([message], replace(harness.ports), lambda: 60.0).rejected == 1


def test_the_events_of_two_aliases_are_delivered_whatever_braze_counts(harness: Harness) -> None:
    """Two creating objects, of which Braze counts none."""
    users = [JobUser(user_alias=UserAlias(alias_name=n, alias_label="l")) for n in ("a", "b")]

    def track(request: Any, **options: Any) -> TrackResponse:
        harness.braze(request)
        return TrackResponse(201, "success", 0, 2, (), None)

    result = harness.deliver(
        *(job(str(n), user, events=1) for n, user in enumerate(users)), track=track
    )

    assert (result.delivered, result.requests) == (2, 1)
