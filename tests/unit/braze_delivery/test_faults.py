"""Sequences in which delivery once lost, doubled or overwrote something, each with its fix."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.aws.dynamodb import READ_SECONDS, DynamoCallError
from braze_bridge.braze.errors import ObjectError, RateLimitedError, UnknownOutcomeError
from braze_bridge.braze.models import TrackResponse
from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.envelope import JobUser, parse_job
from braze_bridge.jobs.rejected import RejectedStoreUnavailableError, RowRefusedError
from braze_bridge.ledger.dynamo import DynamoMemoryStore
from braze_delivery.delivery import Ports, deliver
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import job
from tests.fakes.gate import NoGate
from tests.fakes.jobs import InMemoryRejectedStore
from tests.fakes.ledger import LEASE_SECONDS, InMemoryLedger
from tests.unit.braze_delivery.test_guarantees import Harness

if TYPE_CHECKING:
    from braze_bridge.braze.models import TrackRequest
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_delivery.reporting import BatchResult


@pytest.fixture
def harness() -> Harness:
    return Harness()


class RefusesToRecord(InMemoryLedger):
    """A ledger whose store fails between the lease and the record."""

    def lease(self, jobs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        self.store.fails = lambda *_: None
        leases = super().lease(jobs)
        self.store.fails = lambda *_: "InternalServerError"
        return leases


# -- a record that fails -------------------------------------------------------------------------


def test_an_older_answer_does_not_win_after_a_failed_record(harness: Harness) -> None:
    """The job comes back, and the newest time is remembered then."""
    store = harness.ledger.store  # type: ignore[attr-defined]
    newer = job("new", attributes={"score": 2}, age=60)
    older = job("old", attributes={"score": 1}, age=120)

    result = harness.deliver(newer, ledger=RefusesToRecord(harness.clock, store))
    store.fails = lambda *_: None
    assert (result.retried, result.delivered, result.unrecorded) == (1, 0, 1)
    harness.clock.advance(LEASE_SECONDS + 1)
    assert harness.deliver(newer).delivered == 1
    harness.deliver(older)

    assert harness.braze.profile("ada")["score"] == 2


def test_after_a_failed_record_events_follow_the_policy(harness: Harness) -> None:
    """Under `park` the events wait for a person; the attributes are sent again."""
    store = harness.ledger.store  # type: ignore[attr-defined]
    both = job(attributes={"score": 2}, events=1)

    harness.deliver(both, ledger=RefusesToRecord(harness.clock, store), on_unknown_outcome="park")
    store.fails = lambda *_: None
    harness.clock.advance(LEASE_SECONDS + 1)

    assert harness.deliver(both, on_unknown_outcome="park").rejected == 1
    assert harness.events() == {"answered-0": 1}


def test_a_job_of_events_only_is_done_after_a_failed_record(harness: Harness) -> None:
    """Its events surely arrived, and it has no time to remember."""
    store = harness.ledger.store  # type: ignore[attr-defined]

    result = harness.deliver(job(events=2), ledger=RefusesToRecord(harness.clock, store))

    assert (result.delivered, result.unrecorded) == (1, 1)


# -- an end that takes too long ------------------------------------------------------------------


class SlowTable(InMemoryRejectedStore):
    """Takes half a second a row."""

    def park(self, record: RejectedRecord) -> None:
        time.sleep(0.5)
        super().park(record)


class HangingTable(InMemoryRejectedStore):
    """Does not answer within its client's timeout."""

    def park(self, record: RejectedRecord) -> None:
        time.sleep(4)
        raise RejectedStoreUnavailableError("ReadTimeoutError")


def timed(harness: Harness, count: int, **ports: object) -> tuple[float, float]:
    """Deliver refused jobs 6 s before the end; return what is left then, and what was parked."""
    harness.braze.named = lambda _: True
    started = time.monotonic()
    messages = [SqsMessage(str(n), job(str(n), f"user-{n}").to_json()) for n in range(count)]

    def seconds_left() -> float:
        return (6 if harness.braze.bodies else 16) - (time.monotonic() - started)

    changed = replace(harness.ports, **ports)  # type: ignore[arg-type]
    result = deliver(messages, changed, seconds_left)
    return seconds_left(), result.rejected


def test_parking_runs_side_by_side(harness: Harness) -> None:
    """24 rows of half a second each need not 12 seconds but two."""
    with ThreadPoolExecutor(16) as tail:
        left, parked = timed(harness, 24, rejected=SlowTable(), tail=tail)

    assert left > 3
    assert parked == 24


def test_a_table_that_hangs_does_not_outlast_the_invocation(harness: Harness) -> None:
    """What is not parked in time goes back."""
    tail = ThreadPoolExecutor(8)
    left, parked = timed(harness, 24, rejected=HangingTable(), tail=tail)
    tail.shutdown(wait=False, cancel_futures=True)

    assert left > 1
    assert parked == 0


def test_a_ledger_that_hangs_does_not_outlast_the_invocation(harness: Harness) -> None:
    """Each call to DynamoDB takes 3 s and fails. 400 people are 16 writes."""

    class HangingCalls:
        def call(self, operation: str, body: bytes, seconds: float = READ_SECONDS) -> object:
            time.sleep(3)
            raise DynamoCallError("ReadTimeoutError")

    executor = ThreadPoolExecutor(8)
    hangs = DynamoMemoryStore(HangingCalls(), "table", executor)
    ledger = InMemoryLedger(harness.clock)
    leased = ledger.lease

    def lease_and_hang(jobs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        leases = leased(jobs)
        ledger._store = hangs
        return leases

    ledger.lease = lease_and_hang  # type: ignore[method-assign]

    left, _ = timed(harness, 400, ledger=ledger)
    executor.shutdown(wait=False, cancel_futures=True)

    assert left > 0.4


# -- successes that do not add up ----------------------------------------------------------------


def answers(harness: Harness, *first: TrackResponse) -> Ports:
    """Let Braze take nothing of the first requests, but answer as if it had."""
    waiting = list(first)

    def track(request: TrackRequest, **options: Any) -> TrackResponse:
        return waiting.pop(0) if waiting else harness.braze(request)

    return replace(harness.ports, track=track)


def success(
    attributes: int | None, *errors: ObjectError, message: str = "success"
) -> TrackResponse:
    return TrackResponse(201, message, attributes, None, errors, None)


@pytest.mark.parametrize(
    "answer", [success(0), success(2), success(None, ObjectError(None, None, "odd"))]
)
def test_attributes_that_braze_does_not_count_are_sent_alone(
    harness: Harness, answer: TrackResponse
) -> None:
    """None of three is lost."""
    harness.ports = answers(harness, answer)

    result = harness.deliver(*(job(str(n), f"user-{n}") for n in range(3)))

    assert len(harness.braze.taken) == 3
    assert (result.delivered, result.requests, len(result.unclear_answers)) == (3, 4, 1)


@pytest.mark.parametrize(("policy", "taken", "parked"), [("resend", 2, 0), ("park", 0, 2)])
def test_events_that_braze_does_not_count_follow_the_policy(
    harness: Harness, policy: str, taken: int, parked: int
) -> None:
    """They may or may not be at Braze."""
    harness.ports = answers(harness, TrackResponse(201, "success", None, 1, (), None))

    result = harness.deliver(
        job("1", events=1), job("2", "bob", events=1), on_unknown_outcome=policy
    )

    assert (result.delivered, result.rejected) == (taken, parked)
    assert len(harness.braze.events) == taken


def test_a_page_of_a_proxy_is_no_success(harness: Harness) -> None:
    """A 200 with HTML: the jobs come back."""
    harness.ports = answers(harness, TrackResponse(200, "", None, None, (), None))

    assert harness.deliver(job("1"), job("2", "bob")).retried == 2


# -- jobs that newer code wrote ------------------------------------------------------------------


def newer(age: float = 60, **changes: object) -> str:
    """A job of a later version."""
    return json.dumps(json.loads(job(age=age).to_json()) | {"schema_version": 3} | changes)


@pytest.mark.parametrize(
    "body",
    [
        newer(),
        newer(attributes="another shape"),
        newer(schema_version=1, places=[]),
        newer(schema_version=1, user={"external_id": "ada", "instance": "eu"}),
    ],
)
def test_a_job_of_a_later_version_waits_with_growing_delays(harness: Harness, body: str) -> None:
    """During a canary or after a rollback older code gets it; newer code delivers it later."""
    delays = []
    for receives in (1, 8, 12, 40):
        message = SqsMessage("m", body, receives)
        result = deliver([message], harness.ports, lambda: 60.0)
        assert (result.retried, result.rejected) == (1, 0)
        delays.append(result.retry["m"])

    assert delays == sorted(delays)
    assert delays[0] < 30
    assert 900 <= delays[-1] <= 1_000


def test_only_its_age_parks_a_job_of_a_later_version(harness: Harness) -> None:
    """Before SQS deletes it silently. Its text is in the rejected table."""
    body = newer(age=3 * 86_400 + 1)

    assert deliver([SqsMessage("m", body)], harness.ports, lambda: 60.0).rejected == 1

    (record,) = harness.rejected.records.values()
    assert (record.payload, record.reasons[0].code) == (body, "expired")


def test_without_its_own_time_the_time_of_the_message_counts(harness: Harness) -> None:
    """A later version may name its times otherwise."""
    old = SqsMessage("m", newer(received_at=None), sent_at=NOON.timestamp() - 3 * 86_400 - 1)
    young = SqsMessage("n", newer(received_at=None), sent_at=NOON.timestamp() - 60)

    result = deliver([old, young], harness.ports, lambda: 60.0)

    assert (result.rejected, list(result.retry)) == (1, ["n"])


@pytest.mark.parametrize("body", ["{", "[2]", '{"schema_version": "2"}', '{"schema_version": 0}'])
def test_what_no_version_can_be_is_parked_at_once(harness: Harness, body: str) -> None:
    """It is not JSON, or names no later version."""
    assert deliver([SqsMessage("m", body)], harness.ports, lambda: 60.0).rejected == 1


# -- people that other Lambdas hold --------------------------------------------------------------


def test_a_busy_person_is_asked_for_soon_whatever_the_receives(harness: Harness) -> None:
    """A gate that was closed for hours costs many receives. They say nothing about the lease."""
    harness.ledger.lease([job("held")])

    message = SqsMessage("m", job("mine").to_json(), 200)
    result = deliver([message], harness.ports, lambda: 60.0)

    assert result.retry["m"] < 10


def test_a_person_the_store_refuses_waits_longer_and_longer(harness: Harness) -> None:
    """Its lease has no known end, and 1,000 receives must last."""
    store = harness.ledger.store  # type: ignore[attr-defined]
    harness.deliver(job("1", "bob"))
    (bob,) = store.items
    store.fails = lambda _, id_: None if id_ == bob else "InternalServerError"

    messages = [
        SqsMessage("m", job().to_json(), 40),
        SqsMessage("n", job("2", "bob").to_json(), 40),
    ]
    result = deliver(messages, harness.ports, lambda: 60.0)

    assert result.delivered == 1
    assert result.retry["m"] >= 900


# -- requests that outlive their invocation ------------------------------------------------------


def test_a_request_that_never_started_is_cancelled_and_retried(harness: Harness) -> None:
    """Every thread hangs in an earlier request: the events are surely not at Braze."""
    freed = Event()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(freed.wait, 10.0)
        left = iter([16.0])
        ports = replace(harness.ports, executor=threads, on_unknown_outcome="park")

        result = deliver([SqsMessage("m", job(events=1).to_json())], ports, lambda: next(left, 6.0))
        freed.set()

    assert (result.retried, result.rejected, result.requests) == (1, 0, 0)
    assert harness.braze.bodies == []


def test_every_request_has_a_deadline_before_the_end(harness: Harness) -> None:
    """6.5 s before the invocation ends, and so before the lease does."""
    harness.deliver(job())

    (deadline,) = harness.braze.deadlines
    assert deadline is not None
    assert deadline - time.monotonic() == pytest.approx(53.5, abs=0.5)


# -- lone refusals without a name ----------------------------------------------------------------


def lone_refusals(harness: Harness, batches: int) -> list[BatchResult]:
    """Deliver two jobs again and again that Braze refuses without a name."""
    harness.braze.nameless = lambda item: item["external_id"].startswith("bad")
    results = []
    for _ in range(batches):
        results.append(harness.deliver(job("1", "bad-1"), job("2", "bad-2")))
        harness.clock.advance(1_000)
    return results


def test_two_lone_refusals_end_if_braze_takes_other_jobs(harness: Harness) -> None:
    """Another batch succeeds meanwhile: the jobs are at fault, after three attempts."""
    harness.deliver(job("good", "ada"))

    results = lone_refusals(harness, 3)

    assert [each.rejected for each in results] == [0, 0, 2]


def test_two_lone_refusals_close_the_gate_if_braze_takes_nothing(harness: Harness) -> None:
    """It may be our fault: everything is kept, an alarm tells, and receives are not used up."""
    results = lone_refusals(harness, 3)

    assert [each.rejected for each in results] == [0, 0, 0]
    assert [each.closings for each in results] == [[], [], ["requests_refused"]]


# -- jobs behind a closed gate -------------------------------------------------------------------


def test_jobs_behind_a_closed_gate_come_back_in_steps(harness: Harness) -> None:
    """A gate opened by hand releases them soon, however long it was to stay closed."""
    harness.gate.close(None, harness.clock.now() + timedelta(minutes=50), "key_refused")

    first = harness.deliver(job())
    harness.clock.advance(2_000)
    later = harness.deliver(job())

    assert 60 <= first.retry["0"] <= 66
    assert first.retry["0"] <= later.retry["0"] <= 120


# -- a row that DynamoDB can never take ----------------------------------------------------------


class PickyTable(InMemoryRejectedStore):
    """As DynamoDB: an item over 400 KB is refused for good."""

    def park(self, record: RejectedRecord) -> None:
        if len(record.model_dump_json().encode()) > 400_000:
            raise RowRefusedError("ValidationException")
        super().park(record)


def test_a_huge_attribute_is_parked_in_pieces(harness: Harness) -> None:
    """The texts together are the job."""
    table = PickyTable()

    result = harness.deliver(job("huge", attributes={"essay": "x" * 800_000}), rejected=table)

    assert (result.rejected, result.retried) == (1, 0)
    pieces = sorted(table.records.items(), key=lambda each: int(each[0].rsplit("/", 1)[1]))
    text = "".join(record.payload for _, record in pieces)
    assert parse_job(text).attributes == {"essay": "x" * 800_000}


def test_a_row_refused_for_good_does_not_stop_the_others(harness: Harness) -> None:
    """Only its own job goes back."""

    class Refuses(InMemoryRejectedStore):
        def park(self, record: RejectedRecord) -> None:
            if record.id.endswith(":0"):
                raise RowRefusedError("ValidationException")
            super().park(record)

    harness.braze.named = lambda _: True
    jobs = [job(str(n), f"user-{n}") for n in range(5)]

    result = harness.deliver(*jobs, rejected=Refuses())

    assert (result.rejected, result.retried) == (4, 1)


# -- a fault between sending and recording -------------------------------------------------------


def test_a_fault_after_sending_forgets_nothing_that_was_taken(harness: Harness) -> None:
    """The invocation fails, so that the alarm goes on, but what Braze took is recorded."""

    class Faulty(NoGate):
        def record_success(self, family: object, rate_limit: object) -> None:
            raise ZeroDivisionError

    jobs = [job(str(n), f"user-{n}", events=1) for n in range(200)]

    with pytest.raises(ZeroDivisionError):
        harness.deliver(*jobs, gate=Faulty())
    harness.clock.advance(LEASE_SECONDS + 1)
    harness.deliver(*jobs)

    assert set(Counter(each["external_id"] for each in harness.braze.events).values()) == {1}


# -- values that Braze drops, since there is no such person --------------------------------------


def strict(name: str, age: float, **attributes: object) -> DeliveryJob:
    """A job that may not create the person."""
    return job(name, JobUser(external_id="ada", may_create=False), attributes=attributes, age=age)


@pytest.mark.parametrize("together", [True, False])
def test_a_value_that_braze_drops_makes_no_older_one_stale(
    harness: Harness, *, together: bool
) -> None:
    """The job that may create the person brings its own value, in one batch or in two."""
    newer, older = strict("new", 60, score=2), job("old", attributes={"score": 1}, age=120)

    for batch in [[newer, older]] if together else [[newer], [older]]:
        harness.deliver(*batch)

    creating = [item for _, item in harness.braze.taken if "_update_existing_only" not in item]
    assert [item.get("score") for item in creating] == [1]
    if together:
        harness.deliver(job("between", attributes={"score": 0}, age=90))
        assert harness.braze.profile("ada")["score"] == 2


def test_of_values_that_braze_may_drop_the_newest_wins(harness: Harness) -> None:
    """Also after a job that created the person."""
    harness.deliver(strict("new", 60, score=3))
    harness.deliver(strict("old", 120, score=2))
    assert harness.braze.profile("ada")["score"] == 3

    harness.deliver(job("created", attributes={"score": 4}, age=50))
    harness.deliver(strict("newest", 40, score=6))
    harness.deliver(job("late", attributes={"score": 5}, age=45))
    assert harness.braze.profile("ada")["score"] == 6


def test_a_person_whose_event_cannot_be_parked_forgets_no_newer_value(harness: Harness) -> None:
    """What Braze took is recorded. Only the job whose event is in doubt comes back."""
    harness.braze.before = lambda _: (
        UnknownOutcomeError("lost") if harness.braze.bodies[-1].get("events") else None
    )
    harness.rejected.refusing = True
    others = [job(f"other-{n}", f"user-{n}") for n in range(74)]  # the event gets its own request
    newer = job("newer", attributes={"score": 2}, age=60)

    result = harness.deliver(
        *others, newer, job("event", events=1, age=50), on_unknown_outcome="park"
    )

    assert (result.delivered, result.retried, result.unrecorded) == (75, 1, 0)


def test_jobs_that_a_rate_limit_stops_come_back_in_steps(harness: Harness) -> None:
    """A gate that is opened by hand releases them soon, whatever time Braze gave."""
    harness.braze.before = lambda _: RateLimitedError("x", status=429, retry_after=3600.0)

    result = harness.deliver(job("1"))

    assert max(result.retry.values()) < 120
