"""A whole batch, against fakes of every port."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    ConnectFailedError,
    RateLimitedError,
    ServerError,
    UnknownOutcomeError,
)
from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.envelope import DeliveryJob, parse_job
from braze_delivery.delivery import Ports, deliver
from tests.fakes.braze import FakeTrack, InlineExecutor, JsonObject
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.delivery_jobs import event, job
from tests.fakes.gate import NoGate
from tests.fakes.jobs import InMemoryRejectedStore
from tests.fakes.ledger import NoLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_delivery.reporting import BatchResult


class Harness:
    """The ports of one test, and one call of ``deliver``."""

    def __init__(self) -> None:
        self.braze = FakeTrack()
        self.ledger = NoLedger()
        self.rejected = InMemoryRejectedStore()
        self.ports = Ports(
            track=self.braze,
            gate=NoGate(),
            ledger=self.ledger,
            rejected=self.rejected,
            clock=FixedClock(),
            executor=InlineExecutor(),
            jitter=lambda: 0.5,
            concurrency=20,
            retention=timedelta(days=4),
            on_unknown_outcome="resend",
        )

    def deliver(
        self,
        *jobs: DeliveryJob | str,
        receive_count: int = 1,
        remaining: Callable[[], float] = lambda: 60.0,
    ) -> BatchResult:
        messages = [
            SqsMessage(str(n), each if isinstance(each, str) else each.to_json(), receive_count)
            for n, each in enumerate(jobs)
        ]
        self.ledger.attempts = receive_count - 1
        result = deliver(messages, self.ports, remaining)
        outcomes = result.delivered + result.duplicate + result.rejected + result.retried
        assert result.received == outcomes
        return result


@pytest.fixture
def harness() -> Harness:
    return Harness()


def crowd(count: int) -> list[DeliveryJob]:
    return [job(str(n), f"user-{n}", attributes={"score": n}) for n in range(count)]


def is_user(name: str) -> Callable[[JsonObject], bool]:
    return lambda item: item.get("external_id") == name


def test_a_batch_of_1050_jobs_takes_14_requests(harness: Harness) -> None:
    """75 objects a request, and every job delivered."""
    result = harness.deliver(*crowd(1_050))

    assert (result.delivered, result.requests) == (1_050, 14)
    assert len(harness.braze.taken) == 1_050


def test_one_object_that_braze_names_is_parked_and_none_is_sent_twice(harness: Harness) -> None:
    """74 of 75 arrive once; the 75th is parked with Braze's reason."""
    harness.braze.named = is_user("user-7")

    result = harness.deliver(*crowd(75))

    assert (result.delivered, result.rejected, result.retried, result.requests) == (74, 1, 0, 1)
    record = harness.rejected.records["outgrow:default:7"]
    assert (
        record.kind,
        record.reasons[0].field,
        record.reasons[0].detail,
    ) == ("objects", "attributes", "refused by name")
    assert parse_job(record.payload).attributes == {"score": 7}


def test_one_invalid_object_without_a_name_in_1050_costs_75_extra_requests(
    harness: Harness,
) -> None:
    """Each object of its request is sent alone; 1,049 arrive once."""
    harness.braze.nameless = is_user("user-500")

    result = harness.deliver(*crowd(1_050))

    assert (result.delivered, result.rejected, result.retried) == (1_049, 1, 0)
    assert len(harness.braze.taken) == 1_049
    assert result.requests == 14 + 75


def test_a_hundred_invalid_objects_without_names_are_all_found(harness: Harness) -> None:
    """Each object takes at most one more request."""
    invalid = {f"user-{n * 10}" for n in range(100)}
    harness.braze.nameless = lambda item: item["external_id"] in invalid

    result = harness.deliver(*crowd(1_050))

    assert (result.delivered, result.rejected, result.retried) == (950, 100, 0)
    assert len(harness.braze.taken) == 950
    assert len(harness.rejected.records) == 100
    assert result.requests <= 14 + 1_050


def test_when_every_request_is_refused_alike_nothing_is_rejected(harness: Harness) -> None:
    """Different requests, one text, no success: a configuration fault. Every job is retried."""
    harness.braze.nameless = lambda _: True

    result = harness.deliver(*crowd(300))

    assert (result.retried, result.rejected) == (300, 0)
    assert result.closings == ["requests_refused"]
    assert result.requests <= 40


@pytest.mark.parametrize(("receive_count", "parked"), [(1, 0), (2, 0), (3, 1)])
def test_a_lone_refusal_without_a_name_is_final_the_third_time(
    harness: Harness, receive_count: int, parked: int
) -> None:
    """A batch of one object proves nothing, but it is not retried for ever."""
    harness.braze.nameless = lambda _: True

    assert parked == harness.deliver(job(), receive_count=receive_count).rejected


def test_a_refused_merged_object_costs_only_the_invalid_job(harness: Harness) -> None:
    """Three answers of one person, the middle one refused: the other two arrive, newest last."""
    harness.braze.named = lambda item: item.get("bad") is not None
    jobs = [
        job("1", attributes={"score": 1}, age=30),
        job("2", attributes={"score": 2, "bad": True}, age=20),
        job("3", attributes={"segment": "c"}, age=10),
    ]

    result = harness.deliver(*jobs)

    assert (result.delivered, result.rejected) == (2, 1)
    assert harness.braze.profile("ada") == {"external_id": "ada", "score": 1, "segment": "c"}
    assert list(harness.rejected.records) == ["outgrow:default:2"]


def test_only_the_refused_objects_of_a_job_are_parked(harness: Harness) -> None:
    """Replaying a parked job must not count its delivered events again."""
    harness.braze.named = lambda item: item.get("name") == "bad"

    harness.deliver(job(attributes={"score": 1}, events=[event("good"), event("bad")]))

    (record,) = harness.rejected.records.values()
    parked = parse_job(record.payload)
    assert ([each.name for each in parked.events], parked.attributes) == (["bad"], {})
    assert record.reasons[0].field == "events.1"


def test_a_job_twice_in_a_batch_is_sent_once(harness: Harness) -> None:
    """The second copy of the same job is a duplicate."""
    result = harness.deliver(job(events=1), job(events=1))

    assert (result.delivered, result.duplicate) == (1, 1)
    assert len(harness.braze.events) == 1


@pytest.mark.parametrize(
    "body", ["", "not json", "[]", "{}", '{"schema_version": 0}', "\ud800", '"' + "x" * 10_000]
)
def test_an_unreadable_message_is_parked_and_never_loops(harness: Harness, body: str) -> None:
    """Poison goes to the rejected table, with reasons and its text."""
    result = harness.deliver(body.encode("utf-8", "replace").decode(), job())

    assert (result.rejected, result.delivered, result.retried) == (1, 1, 0)
    (record,) = harness.rejected.records.values()
    assert (
        record.kind,
        record.route,
        record.reasons[0].code,
    ) == ("body", "queue:delivery", "unreadable_job")


def test_an_unreadable_message_too_long_for_a_row_is_parked_in_pieces(harness: Harness) -> None:
    """It may have 900 KB; the pieces together are the message."""
    body = '{"schema_version": 0, "text": "' + "é" * 400_000 + '"}'

    assert harness.deliver(body).rejected == 1

    records = harness.rejected.records
    pieces = [records[key] for key in sorted(records, key=lambda key: int(key.split("/")[1]))]
    assert "".join(each.payload for each in pieces) == body
    assert all(len(each.payload.encode()) <= 350_000 for each in pieces)


def test_what_cannot_be_parked_stays_in_the_queue(harness: Harness) -> None:
    """If the table fails, neither poison nor a refused job leaves the queue."""
    harness.rejected.refusing = True
    harness.braze.named = is_user("user-1")

    result = harness.deliver("poison", *crowd(3))

    assert (result.delivered, result.retried, result.rejected) == (2, 2, 0)
    assert result.held_up == {"parking: refusing": 1, "parking: not tried": 1}


def test_a_job_older_than_three_quarters_of_the_retention_is_parked(harness: Harness) -> None:
    """SQS would delete it silently."""
    old = job("old", age=3 * 86_400 + 1)
    young = job("young", age=3 * 86_400 - 1)

    result = harness.deliver(old, young)

    assert (result.rejected, result.delivered) == (1, 1)
    assert [r.reasons[0].code for r in harness.rejected.records.values()] == ["expired"]


def test_the_age_of_the_message_decides_not_that_of_the_job(harness: Harness) -> None:
    """SQS deletes by the time of sending. A replayed job is old, but its message is new."""
    limit = 3 * 86_400
    messages = [
        SqsMessage("old", job("young", age=1).to_json(), sent_at=NOON.timestamp() - limit - 1),
        SqsMessage("new", job("old", age=limit * 5).to_json(), sent_at=NOON.timestamp() - 1),
    ]

    result = deliver(messages, harness.ports, lambda: 60.0)

    assert (result.rejected, result.delivered) == (1, 1)
    (row,) = harness.rejected.records.values()
    assert (row.reasons[0].code, row.correlation_id) == ("expired", "correlation-young")


def test_429_sends_everything_back_for_the_time_braze_gave(harness: Harness) -> None:
    """No further request starts, and no job comes back before the limit is over."""
    harness.ports = replace(harness.ports, concurrency=1)
    harness.braze.before = lambda n: RateLimitedError("", retry_after=20) if n == 2 else None

    result = harness.deliver(*crowd(300))

    assert (
        result.delivered,
        result.retried,
        result.requests,
        result.rate_limited,
    ) == (75, 225, 2, 1)
    assert all(20 <= seconds <= 26 for seconds in result.retry.values())


def test_a_refused_key_keeps_every_job_and_is_reported(harness: Harness) -> None:
    """A 401 is our own fault."""
    harness.braze.before = lambda _: AuthenticationError("", status=401)

    result = harness.deliver(*crowd(10))

    assert (result.retried, result.rejected, result.key_refused) == (10, 0, 1)
    assert all(60 <= seconds <= 66 for seconds in result.retry.values())


@pytest.mark.parametrize(
    "error", [ServerError("", status=503), ConnectFailedError("refused"), UnknownOutcomeError("")]
)
def test_transient_failures_come_back_later_and_later(harness: Harness, error: BrazeError) -> None:
    """Full jitter over a growing span, at most 15 minutes."""
    harness.braze.before = lambda _: error

    delays = [
        harness.deliver(job(), receive_count=count).retry["0"] for count in (1, 3, 6, 9, 30, 500)
    ]

    assert delays == sorted(delays)
    assert delays[0] < delays[-1] <= 900 + 5


def test_after_an_unknown_outcome_events_are_resent_by_default(harness: Harness) -> None:
    """Better twice than never, unless the operator chooses otherwise."""
    harness.braze.after = lambda _: UnknownOutcomeError("read timeout")

    assert harness.deliver(job(attributes={"score": 1}, events=1)).retried == 1


def test_after_an_unknown_outcome_events_can_be_parked_instead(harness: Harness) -> None:
    """Attributes are harmless to resend; the events wait for a person to decide."""
    harness.ports = replace(harness.ports, on_unknown_outcome="park")
    harness.braze.after = lambda _: UnknownOutcomeError("read timeout")

    only_events = harness.deliver(job("e", events=2))
    assert only_events.rejected == 1
    (record,) = harness.rejected.records.values()
    assert record.id.startswith("outgrow:default:e~unknown-")
    assert [reason.code for reason in record.reasons] == ["unknown_outcome"] * 2
    assert harness.deliver(job("a", attributes={"score": 1})).retried == 1


def test_no_request_starts_when_the_invocation_is_about_to_end(harness: Harness) -> None:
    """The rest goes back at once, unsent."""
    harness.ports = replace(harness.ports, concurrency=1)

    def remaining() -> float:
        return 30.0 if len(harness.braze.bodies) < 2 else 5.0

    result = harness.deliver(*crowd(225), remaining=remaining)

    assert (result.delivered, result.retried, result.requests) == (150, 75, 2)


def test_oldest_wait_is_measured_from_the_door(harness: Harness) -> None:
    """Not from the queue, whose age metric ignores messages received often."""
    assert harness.deliver(job("1", age=90), job("2", age=30)).oldest_wait == 90


outcomes = st.sampled_from(
    [
        None,
        None,
        None,
        ServerError("", status=500),
        ServerError("", status=503),
        RateLimitedError("", retry_after=1),
        UnknownOutcomeError(""),
        BadRequestError("nameless"),
        AuthenticationError(""),
    ]
)


@settings(deadline=None)
@given(data=st.data(), count=st.integers(1, 160), seed=st.integers(0, 9))
def test_every_message_has_one_outcome_and_nothing_delivered_was_not_taken(
    data: Any, count: int, seed: int
) -> None:
    """With any faults, a job that left the queue is at Braze or parked, and the sums agree."""
    harness = Harness()
    harness.ports = replace(harness.ports, concurrency=data.draw(st.integers(1, 4)))
    script = data.draw(st.lists(outcomes, max_size=30))
    harness.braze.before = lambda n: script[n - 1] if n <= len(script) else None
    harness.braze.named = lambda item: hash((item.get("external_id"), seed)) % 17 == 0
    jobs = crowd(count)

    result = harness.deliver(*jobs)

    taken = {item["external_id"] for _, item in harness.braze.taken}
    for number, each in enumerate(jobs):
        gone = str(number) not in result.retry
        assert not gone or f"user-{number}" in taken or each.job_id in harness.rejected.records
    assert result.requests <= ceil(count / 75) + count
