"""What the ledger and the gate promise, held under crashes, and seen to fail without them.

Several simulated Lambdas share one ledger and one gate. A crash is an exception that nothing of
ours catches, as a killed Lambda catches nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from braze_bridge.braze.errors import RateLimitedError, ServerError
from braze_bridge.gate import NoGate
from braze_bridge.ledger import NoLedger
from braze_delivery.delivery import BatchResult, Ports, QueueMessage, deliver
from tests.fakes.braze import FakeTrack, InlineExecutor
from tests.fakes.clock import FixedClock
from tests.fakes.delivery_jobs import job
from tests.fakes.gate import InMemoryGate
from tests.fakes.jobs import InMemoryRejectedStore
from tests.fakes.ledger import LEASE_SECONDS, InMemoryLedger

if TYPE_CHECKING:
    from braze_bridge.gate import Gate
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger import Ledger


class KilledError(BaseException):
    """Lambda ended the function here."""


class World:
    """One queue, one Braze, one ledger; as many Lambdas as it takes."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.braze = FakeTrack()
        self.rejected = InMemoryRejectedStore()
        self.ledger: Ledger = InMemoryLedger(self.clock)
        self.gate: Gate = InMemoryGate(self.clock)
        self.ports = Ports(
            track=self.braze,
            gate=self.gate,
            ledger=self.ledger,
            rejected=self.rejected,
            clock=self.clock,
            executor=InlineExecutor(),
            jitter=lambda: 0.5,
            concurrency=20,
            retention=timedelta(days=4),
            on_unknown_outcome="resend",
        )

    def deliver(self, *jobs: DeliveryJob, **ports: object) -> BatchResult:
        messages = [QueueMessage(str(n), each.to_json()) for n, each in enumerate(jobs)]
        changed = replace(self.ports, **ports) if ports else self.ports  # type: ignore[arg-type]
        result = deliver(messages, changed, lambda: 60.0)
        outcomes = result.delivered + result.duplicate + result.rejected + result.retried
        assert result.received == outcomes
        return result

    def events(self) -> Counter[str]:
        return Counter(event["name"] for event in self.braze.events)


@pytest.fixture
def world() -> World:
    return World()


class DiesAtRecord(InMemoryLedger):
    """A ledger whose holder is killed after Braze took everything, before it is written down."""

    def record(self, claims, learnt):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        raise KilledError


def test_a_resend_days_later_is_a_duplicate(world: World) -> None:
    """Also in another batch, another Lambda, after three weeks."""
    once = job(events=2, attributes={"score": 1})
    world.deliver(once)
    world.clock.advance(21 * 86_400)
    again = once.model_copy(update={"received_at": world.clock.now()})

    result = world.deliver(again)

    assert (result.duplicate, result.requests) == (1, 0)
    assert set(world.events().values()) == {1}


def test_without_the_ledger_a_resend_counts_twice(world: World) -> None:
    """The control: the promise is the ledger's."""
    once = job(events=1)
    world.deliver(once, ledger=NoLedger())
    world.deliver(once, ledger=NoLedger())

    assert world.events() == {"answered-0": 2}


def test_a_late_answer_never_overwrites_a_newer_one(world: World) -> None:
    """Not even after days; what the newer one did not say still arrives."""
    world.deliver(job("new", attributes={"score": 2}, age=60))
    result = world.deliver(job("old", attributes={"score": 1, "city": "x"}, age=120))

    assert (result.delivered, result.stale_attributes) == (1, 1)
    assert world.braze.profile("ada") == {"external_id": "ada", "score": 2, "city": "x"}


def test_without_the_ledger_a_late_answer_overwrites(world: World) -> None:
    """The control."""
    world.deliver(job("new", attributes={"score": 2}, age=60), ledger=NoLedger())
    world.deliver(job("old", attributes={"score": 1}, age=120), ledger=NoLedger())

    assert world.braze.profile("ada")["score"] == 1


def test_somebody_elses_person_goes_back_to_the_queue(world: World) -> None:
    """Never dropped: the holder may die."""
    busy = job("1", events=1)
    with pytest.raises(KilledError):
        world.deliver(busy, ledger=DiesAtRecord(world.clock, world.ledger.store))  # type: ignore[attr-defined]

    result = world.deliver(job("2", events=1), job("3", "bob", events=1))

    assert (result.retried, result.delivered) == (1, 1)
    assert list(result.retry) == ["0"]
    assert result.held_up == {"busy": 1}


@pytest.mark.parametrize(("policy", "sent"), [("resend", 2), ("park", 1)])
def test_killed_between_send_and_record_follows_the_policy(
    world: World, policy: str, sent: int
) -> None:
    """Braze has the event, nobody knows: resend counts it again, park asks a person."""
    done = job("1", events=1, attributes={"score": 1})
    with pytest.raises(KilledError):
        world.deliver(done, ledger=DiesAtRecord(world.clock, world.ledger.store))  # type: ignore[attr-defined]
    world.clock.advance(LEASE_SECONDS + 1)

    result = world.deliver(done, on_unknown_outcome=policy)

    assert result.retried == 0
    assert world.events() == {"answered-0": sent}
    assert world.braze.profile("ada")["score"] == 1
    parked = [each.reasons[0].code for each in world.rejected.records.values()]
    assert parked == ([] if policy == "resend" else ["unknown_outcome"])
    assert world.deliver(done).duplicate == 1


def test_killed_before_the_send_loses_nothing(world: World) -> None:
    """The message is in the queue, the lease runs out, the next one sends it."""

    def kill(_: int) -> None:
        raise KilledError

    world.braze.before = kill
    waiting = job("1", events=1)
    with pytest.raises(KilledError):
        world.deliver(waiting)
    world.braze.before = lambda _: None

    assert world.deliver(waiting).retried == 1
    world.clock.advance(LEASE_SECONDS + 1)
    assert world.deliver(waiting).delivered == 1
    assert world.events() == {"answered-0": 1}


def test_a_store_that_refuses_one_person_of_a_batch_holds_up_only_them(world: World) -> None:
    """Nothing is sent unclaimed; the others arrive."""
    ledger = InMemoryLedger(world.clock)
    crowd = [job(str(n), f"user-{n}", events=1) for n in range(20)]
    victim: list[str] = []

    def fails(kind: str, id_: str) -> str | None:
        if kind == "write" and not victim:
            victim.append(id_)
        return "ProvisionedThroughputExceeded" if id_ in victim and kind == "write" else None

    ledger.store.fails = fails
    result = world.deliver(*crowd, ledger=ledger)

    assert (result.delivered, result.retried) == (19, 1)
    assert len(world.braze.events) == 19
    ledger.store.fails = lambda *_: None
    (message,) = result.retry
    assert world.deliver(crowd[int(message)], ledger=ledger).delivered == 1
    assert set(Counter(e["external_id"] for e in world.braze.events).values()) == {1}


def test_with_the_store_down_nothing_is_sent(world: World) -> None:
    """Every job goes back."""
    ledger = InMemoryLedger(world.clock)
    ledger.store.fails = lambda *_: "ServiceUnavailable"

    result = world.deliver(job("1"), job("2", "bob"), ledger=ledger)

    assert (result.retried, result.requests) == (2, 0)
    assert world.braze.bodies == []


def test_events_that_arrived_are_not_sent_again_with_those_that_did_not(world: World) -> None:
    """A job of 90 events spans two requests; one of them fails."""
    world.braze.before = lambda n: ServerError("", status=503) if n == 2 else None
    long = job(events=90)

    first = world.deliver(long, concurrency=1)
    assert (first.retried, len(world.braze.events)) == (1, 75)
    world.clock.advance(120)
    second = world.deliver(long)

    assert (second.delivered, second.requests) == (1, 1)
    assert len(world.braze.events) == 90
    assert set(world.events().values()) == {1}


def test_a_429_keeps_every_lambda_away_until_its_time(world: World) -> None:
    """Also one that saw nothing of it itself; jobs come back after it, not before."""
    world.braze.before = lambda _: RateLimitedError("", status=429, retry_after=20)
    world.deliver(job("1"))
    world.braze.before = lambda _: None
    other = world.gate.seen_by(world.clock)  # type: ignore[attr-defined]
    sent = len(world.braze.bodies)

    for _ in range(4):
        result = world.deliver(job("2", "bob"), gate=other)
        left = 20 - (world.clock.now() - FixedClock().now()).total_seconds()
        assert (result.requests, result.held_up) == (0, {"rate_limited": 1})
        assert min(result.retry.values()) >= left
        world.clock.advance(4.9)
    assert len(world.braze.bodies) == sent
    world.clock.advance(1)
    assert world.deliver(job("2", "bob"), gate=other).delivered == 1


def test_without_the_gate_another_lambda_sends_into_the_limit(world: World) -> None:
    """The control."""
    world.braze.before = lambda _: RateLimitedError("", status=429, retry_after=20)
    world.deliver(job("1"), gate=NoGate())
    sent = len(world.braze.bodies)
    world.deliver(job("2", "bob"), gate=NoGate())

    assert len(world.braze.bodies) == sent + 1


def test_what_grows_too_old_is_parked_even_while_the_gate_is_closed(world: World) -> None:
    """A gate closed for days must not let SQS delete jobs in silence."""
    world.gate.close(None, world.clock.now() + timedelta(hours=9), "key_refused")

    result = world.deliver(job("old", age=3 * 86_400 + 1), job("young"))

    assert (result.rejected, result.retried) == (1, 1)


@pytest.mark.parametrize(("reason", "alarms"), [("key_refused", 1), ("rate_limited", 0)])
def test_the_alarms_do_not_fall_silent_behind_a_closed_gate(
    world: World, reason: str, alarms: int
) -> None:
    """A refused key is reported by every batch; a wait counts until its end."""
    world.gate.close(None, world.clock.now() + timedelta(hours=5), reason)

    result = world.deliver(job(age=60))

    assert result.key_refused == alarms
    assert result.oldest_wait >= 5 * 3_600


def test_a_rejected_job_that_is_resent_is_a_duplicate(world: World) -> None:
    """Its row is the only copy: delivered parts would otherwise arrive twice."""
    world.braze.named = lambda item: item.get("name") == "answered-1"
    half = job(events=2)

    assert world.deliver(half).rejected == 1
    assert world.deliver(half).duplicate == 1
    assert world.events() == {"answered-0": 1}
