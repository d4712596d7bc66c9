"""What the ledger and the gate promise, held under crashes, and seen to fail without them.

Several simulated Lambdas share one ledger and one gate. A crash is an exception that nothing of
ours catches, as a killed Lambda catches nothing.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.errors import RateLimitedError, ServerError, UnknownOutcomeError
from braze_bridge.jobs.envelope import JobUser, UserAlias, parse_job
from braze_bridge.jobs.rejected import RejectedStoreUnavailableError
from braze_delivery.delivery import Ports, deliver
from braze_delivery.parking import QueueMessage
from tests.fakes.braze import FakeTrack, InlineExecutor
from tests.fakes.clock import FixedClock
from tests.fakes.delivery_jobs import job
from tests.fakes.gate import InMemoryGate, NoGate
from tests.fakes.jobs import InMemoryRejectedStore
from tests.fakes.ledger import LEASE_SECONDS, InMemoryLedger, NoLedger

if TYPE_CHECKING:
    from braze_bridge.gate.port import Gate
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_bridge.ledger.port import Ledger
    from braze_delivery.reporting import BatchResult


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

    def record(self, leases, updates):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
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
    """Nothing is sent without a lease; the others arrive."""
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


def test_a_batch_with_nothing_to_send_gives_the_probe_back(world: World) -> None:
    """Duplicates alone must not keep the others away from a gate whose time is over."""
    done = job("done", events=1)
    world.deliver(done)
    world.gate.close(None, world.clock.now() + timedelta(seconds=60), "key_refused")
    world.clock.advance(61)
    assert world.deliver(done).duplicate == 1
    other = world.gate.seen_by(world.clock)  # type: ignore[attr-defined]

    assert world.deliver(job("new", "bob"), gate=other).delivered == 1


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


# -- found by a review, each with the loss or the double that it caused --------------------------


def test_two_sets_of_unknown_events_of_one_job_are_two_rows(world: World) -> None:
    """A second time-out of the same job must not replace the row of the first."""
    long = job(events=90)
    answers = {1: UnknownOutcomeError("late"), 2: ServerError("", status=503)}
    world.braze.before = answers.get
    assert world.deliver(long, on_unknown_outcome="park", concurrency=1).retried == 1
    world.clock.advance(60)
    world.braze.before = lambda _: UnknownOutcomeError("late")

    assert world.deliver(long, on_unknown_outcome="park").rejected == 1

    rows = [parse_job(each.payload) for each in world.rejected.records.values()]
    parked = Counter(event.name for row in rows for event in row.events)
    assert parked == Counter(f"answered-{n}" for n in range(90))


def test_events_held_back_are_not_forgotten_when_they_cannot_be_parked(world: World) -> None:
    """The store refuses once: the job comes back as unknown as it was, and is parked then."""
    held = job(events=2)
    with pytest.raises(KilledError):
        world.deliver(held, ledger=DiesAtRecord(world.clock, world.ledger.store))  # type: ignore[attr-defined]
    world.clock.advance(LEASE_SECONDS + 1)
    world.rejected.refusing = True
    assert world.deliver(held, on_unknown_outcome="park").retried == 1
    world.rejected.refusing = False
    world.clock.advance(LEASE_SECONDS + 1)

    assert world.deliver(held, on_unknown_outcome="park").rejected == 1

    (row,) = world.rejected.records.values()
    assert len(parse_job(row.payload).events) == 2
    assert world.events() == {"answered-0": 1, "answered-1": 1}


def test_a_refused_merge_of_many_jobs_is_undone_one_by_one(world: World) -> None:
    """80 answers of one person: over 75 parts, sent in order; only the guilty one is parked."""
    world.braze.named = lambda item: "bad" in item
    jobs = [job(str(n), attributes={"score": n}, age=1_000 - n) for n in range(79)]
    jobs.append(job("guilty", attributes={"bad": 1}, age=1))
    waiting = jobs
    for _ in range(4):
        result = world.deliver(*waiting)
        waiting = [waiting[int(message)] for message in result.retry]
        world.clock.advance(60)

    assert waiting == []
    assert list(world.rejected.records) == ["outgrow:default:guilty"]
    assert world.braze.profile("ada")["score"] == 78


def test_an_older_value_that_breaks_a_limit_cannot_hide_behind_a_newer_one(world: World) -> None:
    """Merged it is masked; taken apart it is refused, and the batch goes on."""
    world.braze.named = lambda item: "bad" in item and "essay" in item
    old = job("old", attributes={"essay": "x" * 300}, age=90)
    new = job("new", attributes={"essay": "short", "bad": 1}, age=30)

    result = world.deliver(old, new)

    assert (result.delivered, result.rejected) == (0, 2)


@pytest.mark.parametrize("concurrency", [1, 20])
def test_cornering_a_culprit_leaves_the_newest_value(world: World, concurrency: int) -> None:
    """The oldest part must not be sent again behind the newest."""
    world.braze.nameless = lambda item: "bad" in item
    jobs = [
        job("a", attributes={"score": 1}, age=90),
        job("b", attributes={"bad": 1}, age=60),
        job("c", attributes={"score": 3}, age=30),
        job("d", "bob", attributes={"score": 9}),
    ]

    result = world.deliver(*jobs, concurrency=concurrency)

    assert (result.delivered, result.rejected) == (3, 1)
    assert world.braze.profile("ada")["score"] == 3


def test_the_newest_value_wins_whoever_may_create_the_person(world: World) -> None:
    """Two objects of one person, in no order, never hold the same name."""
    strict = JobUser(external_id="ada", may_create=False)
    newer = job("new", strict, attributes={"score": 2}, age=30)
    older = job("old", attributes={"score": 1, "city": "x"}, age=60)

    for order in ([newer, older], [older, newer]):
        fresh = World()
        fresh.deliver(*order)
        profile = fresh.braze.profile("ada")
        assert (profile["score"], profile["city"]) == (2, "x")


def test_an_older_strict_job_never_follows_a_newer_creating_one(world: World) -> None:
    """The other way round: the older value may not be in the object that is sent last."""
    strict = JobUser(external_id="ada", may_create=False)
    older = job("old", strict, attributes={"score": 1, "city": "x"}, age=60)
    newer = job("new", attributes={"score": 2}, age=30)

    world.deliver(older, newer)

    profile = world.braze.profile("ada")
    assert (profile["score"], profile["city"]) == (2, "x")


def test_the_events_of_an_alias_keep_their_creator_when_its_attributes_are_refused(
    world: World,
) -> None:
    """Otherwise Braze could drop them behind a 201."""
    user = JobUser(user_alias=UserAlias(alias_name="n", alias_label="l"))
    both = job(user=user, attributes={"essay": "x" * 300}, events=1)

    assert world.deliver(both).rejected == 1

    (body,) = world.braze.bodies
    assert [len(body["attributes"]), len(body["events"])] == [1, 1]
    assert set(body["attributes"][0]) == {"user_alias", "_update_existing_only"}


def test_one_success_is_no_licence_to_blame_everybody_after_it(world: World) -> None:
    """Braze starts to refuse everything alike in the middle of a batch: it is us."""

    def refuse(_: object) -> bool:
        return len(world.braze.bodies) > 1

    world.braze.nameless = refuse
    jobs = [job(str(n), f"user-{n}") for n in range(300)]

    result = world.deliver(*jobs, concurrency=1)

    assert (result.delivered, result.rejected) == (75, 0)
    assert result.closings == ["requests_refused"]


def test_a_lone_job_with_two_guilty_objects_is_parked_in_the_end(world: World) -> None:
    """A bad identifier, refused without a name, in attributes and event alike."""
    world.braze.nameless = lambda _: True
    bad = job(attributes={"score": 1}, events=1)
    rejected = []
    for _ in range(3):
        rejected.append(world.deliver(bad).rejected)
        world.clock.advance(2_000)

    assert rejected == [0, 0, 1]


def test_a_fault_of_ours_in_one_request_costs_nobody_else(world: World) -> None:
    """The others are recorded as delivered, and do not count twice."""

    def fault(number: int) -> None:
        if number == 2:
            raise ZeroDivisionError

    world.braze.before = fault
    jobs = [job(str(n), f"user-{n}", events=1) for n in range(150)]

    first = world.deliver(*jobs, concurrency=1)
    assert (first.delivered, first.held_up) == (75, {"failed: ZeroDivisionError": 1})
    world.clock.advance(60)
    world.deliver(*jobs)

    assert set(Counter(e["external_id"] for e in world.braze.events).values()) == {1}


def test_a_table_that_hangs_costs_only_those_who_need_it(world: World) -> None:
    """Who was delivered is recorded before anything is parked, and parking gives up at once."""

    class Hangs(InMemoryRejectedStore):
        tries = 0

        def park(self, record: RejectedRecord) -> None:
            self.tries += 1
            raise RejectedStoreUnavailableError("ReadTimeout")

    store = Hangs()
    world.braze.named = lambda item: item["external_id"].startswith("bad")
    jobs = [job(str(n), f"{'bad' if n % 10 == 0 else 'ok'}-{n}", events=1) for n in range(100)]

    result = world.deliver(*jobs, rejected=store)

    assert (result.delivered, result.retried, store.tries) == (90, 10, 1)


def test_an_expired_copy_does_not_replace_the_row_of_what_braze_refused(world: World) -> None:
    """Both rows stay: the refused event is in one of them only."""
    world.braze.named = lambda item: item.get("name") == "answered-1"
    world.deliver(job(events=2))
    world.clock.advance(3 * 86_400 + 100)

    world.deliver(job(events=2))

    assert sorted(world.rejected.records) == ["outgrow:default:1", "outgrow:default:1~expired"]


def test_a_ledger_that_is_down_for_hours_does_not_use_up_a_messages_receives(world: World) -> None:
    """1,000 receives must last for days."""
    ledger = InMemoryLedger(world.clock)
    ledger.store.fails = lambda *_: "ServiceUnavailable"
    ports = replace(world.ports, ledger=ledger)
    waited, receives = 0.0, 0
    while waited < 24 * 3_600:
        receives += 1
        message = QueueMessage("m", job().to_json(), receives)
        waited += deliver([message], ports, lambda: 60.0).retry["m"]

    assert receives < 120


def test_an_event_that_may_have_arrived_is_not_sent_because_it_could_not_be_parked(
    world: World,
) -> None:
    """Under `park` the job comes back as unknown as it was, and is parked when that is possible."""
    world.braze.after = lambda _: UnknownOutcomeError("late")
    world.rejected.refusing = True
    assert world.deliver(job(events=1), on_unknown_outcome="park").retried == 1
    world.braze.after = lambda _: None
    world.rejected.refusing = False
    world.clock.advance(LEASE_SECONDS + 1)

    assert world.deliver(job(events=1), on_unknown_outcome="park").rejected == 1
    assert world.events() == {"answered-0": 1}


def test_many_culprits_among_the_healthy_are_not_taken_for_a_fault_of_ours(world: World) -> None:
    """Refusals count since the last success: a dozen cornered one by one close no gate."""
    guilty = {f"user-{n}" for n in range(0, 240, 20)}
    world.braze.nameless = lambda item: item["external_id"] in guilty

    result = world.deliver(*(job(str(n), f"user-{n}") for n in range(240)), concurrency=1)

    assert result.closings == []
    assert len(world.rejected.records) >= 4


def test_an_answer_that_never_ends_does_not_take_the_whole_invocation(world: World) -> None:
    """What is known is recorded in time; the request's outcome is unknown."""

    class NeverAnswers(InlineExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            return Future()

    left = iter([30.0])
    message = QueueMessage("m", job().to_json())
    ports = replace(world.ports, executor=NeverAnswers())

    result = deliver([message], ports, lambda: next(left, 2.0))

    assert (result.retried, result.requests) == (1, 1)
