"""A batch as a whole, against fakes of every port."""

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
from braze_bridge.jobs.envelope import DeliveryJob, parse_job
from braze_delivery.delivery import Ports, deliver
from braze_delivery.parking import QueueMessage
from tests.fakes.braze import FakeTrack, InlineExecutor, JsonObject
from tests.fakes.clock import FixedClock
from tests.fakes.delivery_jobs import event, job
from tests.fakes.gate import NoGate
from tests.fakes.jobs import InMemoryRejectedStore
from tests.fakes.ledger import NoLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_delivery.reporting import BatchResult


class World:
    """The ports of one test."""

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
            QueueMessage(str(n), each if isinstance(each, str) else each.to_json(), receive_count)
            for n, each in enumerate(jobs)
        ]
        self.ledger.attempts = receive_count - 1
        result = deliver(messages, self.ports, remaining)
        outcomes = result.delivered + result.duplicate + result.rejected + result.retried
        assert result.received == outcomes
        return result


@pytest.fixture
def world() -> World:
    return World()


def crowd(count: int) -> list[DeliveryJob]:
    return [job(str(n), f"user-{n}", attributes={"score": n}) for n in range(count)]


def is_user(name: str) -> Callable[[JsonObject], bool]:
    return lambda item: item.get("external_id") == name


def test_a_batch_of_1050_jobs_takes_14_requests(world: World) -> None:
    """75 objects a request, and every job delivered."""
    result = world.deliver(*crowd(1_050))

    assert (result.delivered, result.requests) == (1_050, 14)
    assert len(world.braze.taken) == 1_050


def test_one_culprit_named_by_braze_is_parked_and_nobody_is_sent_twice(world: World) -> None:
    """74 of 75 arrive once; the 75th is kept with Braze's reason."""
    world.braze.named = is_user("user-7")

    result = world.deliver(*crowd(75))

    assert (result.delivered, result.rejected, result.retried, result.requests) == (74, 1, 0, 1)
    record = world.rejected.records["outgrow:default:7"]
    assert (
        record.kind,
        record.reasons[0].field,
        record.reasons[0].detail,
    ) == ("objects", "attributes", "refused by name")
    assert parse_job(record.payload).attributes == {"score": 7}


def test_one_nameless_culprit_in_1050_costs_about_14_extra_requests(world: World) -> None:
    """Halving corners it; 1,049 arrive once."""
    world.braze.nameless = is_user("user-500")

    result = world.deliver(*crowd(1_050))

    assert (result.delivered, result.rejected, result.retried) == (1_049, 1, 0)
    assert len(world.braze.taken) == 1_049
    assert result.requests - 14 <= 14


def test_a_hundred_nameless_culprits_cause_no_storm_and_are_cornered_in_the_end(
    world: World,
) -> None:
    """Each batch spends a bounded number of requests; what is left over comes again."""
    guilty = {f"user-{n * 10}" for n in range(100)}
    world.braze.nameless = lambda item: item["external_id"] in guilty
    waiting = crowd(1_050)
    for number in range(25):
        # Others keep answering: without any success, what is left could as well be our own fault.
        waiting.append(job(f"fresh-{number}", f"fresh-{number}"))
        result = world.deliver(*waiting)
        assert result.requests <= max(ceil(len(waiting) / 75) * 21, 75)
        waiting = [waiting[int(message)] for message in result.retry]

    assert waiting == []
    assert len(world.braze.taken) == 950 + 25
    assert len(world.rejected.records) == 100


def test_when_every_request_is_refused_alike_nobody_is_blamed(world: World) -> None:
    """Different requests, one text, no success: it is us. Everything stays in the queue."""
    world.braze.nameless = lambda _: True

    result = world.deliver(*crowd(300))

    assert (result.retried, result.rejected) == (300, 0)
    assert result.closings == ["requests_refused"]
    assert result.requests <= 40


@pytest.mark.parametrize(("receive_count", "parked"), [(1, 0), (2, 0), (3, 1)])
def test_a_lone_nameless_refusal_is_believed_the_third_time(
    world: World, receive_count: int, parked: int
) -> None:
    """A batch of one object proves nothing; but it does not go round for ever."""
    world.braze.nameless = lambda _: True

    assert parked == world.deliver(job(), receive_count=receive_count).rejected


def test_a_refused_merged_object_costs_only_the_guilty_job(world: World) -> None:
    """Three answers of one person, the middle one refused: the other two stand, newest last."""
    world.braze.named = lambda item: item.get("bad") is not None
    jobs = [
        job("1", attributes={"score": 1}, age=30),
        job("2", attributes={"score": 2, "bad": True}, age=20),
        job("3", attributes={"segment": "c"}, age=10),
    ]

    result = world.deliver(*jobs)

    assert (result.delivered, result.rejected) == (2, 1)
    assert world.braze.profile("ada") == {"external_id": "ada", "score": 1, "segment": "c"}
    assert list(world.rejected.records) == ["outgrow:default:2"]


def test_only_the_refused_objects_of_a_job_are_parked(world: World) -> None:
    """Replaying a parked job must not count its delivered events again."""
    world.braze.named = lambda item: item.get("name") == "bad"

    world.deliver(job(attributes={"score": 1}, events=[event("good"), event("bad")]))

    (record,) = world.rejected.records.values()
    parked = parse_job(record.payload)
    assert ([each.name for each in parked.events], parked.attributes) == (["bad"], {})
    assert record.reasons[0].field == "events.1"


def test_a_job_twice_in_a_batch_is_sent_once(world: World) -> None:
    """The second copy of the same job is a duplicate."""
    result = world.deliver(job(events=1), job(events=1))

    assert (result.delivered, result.duplicate) == (1, 1)
    assert len(world.braze.events) == 1


@pytest.mark.parametrize(
    "body", ["", "not json", "[]", "{}", '{"schema_version": 2}', "\ud800", '"' + "x" * 10_000]
)
def test_an_unreadable_message_is_parked_and_never_loops(world: World, body: str) -> None:
    """Poison goes to the rejected table, with reasons and the text as it was."""
    result = world.deliver(body.encode("utf-8", "replace").decode(), job())

    assert (result.rejected, result.delivered, result.retried) == (1, 1, 0)
    (record,) = world.rejected.records.values()
    assert (
        record.kind,
        record.route,
        record.reasons[0].code,
    ) == ("body", "queue:delivery", "unreadable_job")


def test_an_unreadable_message_too_long_for_a_row_is_parked_in_pieces(world: World) -> None:
    """A job of a newer version may be 900 KB; the pieces together are the message."""
    body = '{"schema_version": 9, "text": "' + "é" * 400_000 + '"}'

    assert world.deliver(body).rejected == 1

    records = world.rejected.records
    pieces = [records[key] for key in sorted(records, key=lambda key: int(key.split("/")[1]))]
    assert "".join(each.payload for each in pieces) == body
    assert all(len(each.payload.encode()) <= 350_000 for each in pieces)


def test_what_cannot_be_parked_stays_in_the_queue(world: World) -> None:
    """With the table away, neither poison nor a refused job is let go."""
    world.rejected.refusing = True
    world.braze.named = is_user("user-1")

    result = world.deliver("poison", *crowd(3))

    assert (result.delivered, result.retried, result.rejected) == (2, 2, 0)
    assert result.held_up == {"parking: refusing": 1, "parking: not tried": 1}


def test_a_job_older_than_three_quarters_of_the_retention_is_parked(world: World) -> None:
    """SQS would delete it in silence."""
    old = job("old", age=3 * 86_400 + 1)
    young = job("young", age=3 * 86_400 - 1)

    result = world.deliver(old, young)

    assert (result.rejected, result.delivered) == (1, 1)
    assert [r.reasons[0].code for r in world.rejected.records.values()] == ["expired"]


def test_429_sends_everything_back_for_the_time_braze_gave(world: World) -> None:
    """No further request starts, and no job comes back before the limit is over."""
    world.ports = replace(world.ports, concurrency=1)
    world.braze.before = lambda n: RateLimitedError("", retry_after=20) if n == 2 else None

    result = world.deliver(*crowd(300))

    assert (
        result.delivered,
        result.retried,
        result.requests,
        result.rate_limited,
    ) == (75, 225, 2, 1)
    assert all(20 <= seconds <= 26 for seconds in result.retry.values())


def test_a_refused_key_keeps_every_job_and_is_reported(world: World) -> None:
    """401 is nobody's fault but ours."""
    world.braze.before = lambda _: AuthenticationError("", status=401)

    result = world.deliver(*crowd(10))

    assert (result.retried, result.rejected, result.key_refused) == (10, 0, 1)
    assert all(60 <= seconds <= 66 for seconds in result.retry.values())


@pytest.mark.parametrize(
    "error", [ServerError("", status=503), ConnectFailedError("refused"), UnknownOutcomeError("")]
)
def test_failures_on_the_way_come_back_later_and_later(world: World, error: BrazeError) -> None:
    """Full jitter over a growing span, at most 15 minutes."""
    world.braze.before = lambda _: error

    delays = [
        world.deliver(job(), receive_count=count).retry["0"] for count in (1, 3, 6, 9, 30, 500)
    ]

    assert delays == sorted(delays)
    assert delays[0] < delays[-1] <= 900 + 5


def test_after_an_unknown_outcome_events_are_resent_by_default(world: World) -> None:
    """Better twice than never, unless the operator says otherwise."""
    world.braze.after = lambda _: UnknownOutcomeError("read timeout")

    assert world.deliver(job(attributes={"score": 1}, events=1)).retried == 1


def test_after_an_unknown_outcome_events_can_be_parked_instead(world: World) -> None:
    """Attributes are harmless to resend; the events wait for a person to decide."""
    world.ports = replace(world.ports, on_unknown_outcome="park")
    world.braze.after = lambda _: UnknownOutcomeError("read timeout")

    only_events = world.deliver(job("e", events=2))
    assert only_events.rejected == 1
    (record,) = world.rejected.records.values()
    assert record.id.startswith("outgrow:default:e~unknown-")
    assert [reason.code for reason in record.reasons] == ["unknown_outcome"] * 2
    assert world.deliver(job("a", attributes={"score": 1})).retried == 1


def test_no_request_starts_when_the_lambda_is_about_to_be_killed(world: World) -> None:
    """The rest goes back at once, unsent."""
    world.ports = replace(world.ports, concurrency=1)

    def remaining() -> float:
        return 30.0 if len(world.braze.bodies) < 2 else 5.0

    result = world.deliver(*crowd(225), remaining=remaining)

    assert (result.delivered, result.retried, result.requests) == (150, 75, 2)


def test_oldest_wait_is_measured_from_the_door(world: World) -> None:
    """Not from the queue, whose age metric overlooks messages received often."""
    assert world.deliver(job("1", age=90), job("2", age=30)).oldest_wait == 90


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
    """Under any faults, what left the queue is at Braze or in the table, and the sums agree."""
    world = World()
    world.ports = replace(world.ports, concurrency=data.draw(st.integers(1, 4)))
    script = data.draw(st.lists(outcomes, max_size=30))
    world.braze.before = lambda n: script[n - 1] if n <= len(script) else None
    world.braze.named = lambda item: hash((item.get("external_id"), seed)) % 17 == 0
    jobs = crowd(count)

    result = world.deliver(*jobs)

    taken = {item["external_id"] for _, item in world.braze.taken}
    for number, each in enumerate(jobs):
        gone = str(number) not in result.retry
        assert not gone or f"user-{number}" in taken or each.job_id in world.rejected.records
    assert result.requests <= ceil(count / 75) + 60
