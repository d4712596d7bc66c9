"""The guarantees of the ledger and the gate: kept in crashes, and broken without them.

Several simulated Lambdas share one ledger and one gate. A crash is an exception that no code of
ours catches, as in a killed Lambda.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.errors import RateLimitedError, ServerError, UnknownOutcomeError
from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.envelope import JobUser, UserAlias, parse_job
from braze_bridge.jobs.rejected import RejectedStoreUnavailableError
from braze_delivery.delivery import Ports, deliver
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
    """Lambda ends the function here."""


class Harness:
    """One queue, one Braze and one ledger, for several Lambdas."""

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
        messages = [SqsMessage(str(n), each.to_json()) for n, each in enumerate(jobs)]
        changed = replace(self.ports, **ports) if ports else self.ports  # type: ignore[arg-type]
        result = deliver(messages, changed, lambda: 60.0)
        outcomes = result.delivered + result.duplicate + result.rejected + result.retried
        assert result.received == outcomes
        return result

    def events(self) -> Counter[str]:
        return Counter(event["name"] for event in self.braze.events)


@pytest.fixture
def harness() -> Harness:
    return Harness()


class CrashesAtRecord(InMemoryLedger):
    """A ledger whose holder is killed after Braze took everything, before the record."""

    def record(self, leases, updates, seconds_left=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        raise KilledError


def test_a_resend_days_later_is_a_duplicate(harness: Harness) -> None:
    """Also in another batch of another Lambda after three weeks."""
    once = job(events=2, attributes={"score": 1})
    harness.deliver(once)
    harness.clock.advance(21 * 86_400)
    again = once.model_copy(update={"received_at": harness.clock.now()})

    result = harness.deliver(again)

    assert (result.duplicate, result.requests) == (1, 0)
    assert set(harness.events().values()) == {1}


def test_without_the_ledger_a_resend_counts_twice(harness: Harness) -> None:
    """The control: the guarantee is the ledger's."""
    once = job(events=1)
    harness.deliver(once, ledger=NoLedger())
    harness.deliver(once, ledger=NoLedger())

    assert harness.events() == {"answered-0": 2}


def test_a_late_answer_never_overwrites_a_newer_one(harness: Harness) -> None:
    """Even after days. What the newer one did not contain still arrives."""
    harness.deliver(job("new", attributes={"score": 2}, age=60))
    result = harness.deliver(job("old", attributes={"score": 1, "city": "x"}, age=120))

    assert (result.delivered, result.stale_attributes) == (1, 1)
    assert harness.braze.profile("ada") == {"external_id": "ada", "score": 2, "city": "x"}


@pytest.mark.parametrize(
    ("jobs", "events", "taken"), [(301, 0, 300), (400, 39, 100), (2, 3_999, 1), (2, 4_001, 1)]
)
def test_a_person_with_very_many_jobs_is_served_batch_by_batch(
    harness: Harness, jobs: int, events: int, taken: int
) -> None:
    """Together they would not fit the ledger. None is parked; the others come back soon."""
    many = [job(str(n), events=events, age=60 + n) for n in range(jobs)]

    result = harness.deliver(*many)

    assert (result.delivered, result.rejected, result.retried) == (taken, 0, jobs - taken)
    assert result.held_up == {"many jobs of a person": jobs - taken}
    assert max(result.retry.values()) < 10
    again = harness.deliver(*many[taken : taken * 2])
    assert again.delivered == min(taken, jobs - taken)


def test_without_the_ledger_a_late_answer_overwrites(harness: Harness) -> None:
    """The control."""
    harness.deliver(job("new", attributes={"score": 2}, age=60), ledger=NoLedger())
    harness.deliver(job("old", attributes={"score": 1}, age=120), ledger=NoLedger())

    assert harness.braze.profile("ada")["score"] == 1


def test_a_job_whose_person_is_leased_elsewhere_goes_back_to_the_queue(harness: Harness) -> None:
    """It is never dropped: the holder may crash."""
    busy = job("1", events=1)
    with pytest.raises(KilledError):
        harness.deliver(busy, ledger=CrashesAtRecord(harness.clock, harness.ledger.store))  # type: ignore[attr-defined]

    result = harness.deliver(job("2", events=1), job("3", "bob", events=1))

    assert (result.retried, result.delivered) == (1, 1)
    assert list(result.retry) == ["0"]
    assert result.held_up == {"busy": 1}


@pytest.mark.parametrize(("policy", "sent"), [("resend", 2), ("park", 1)])
def test_killed_between_send_and_record_follows_the_policy(
    harness: Harness, policy: str, sent: int
) -> None:
    """Braze has the event, unrecorded: resend counts it again, park leaves it to an operator."""
    done = job("1", events=1, attributes={"score": 1})
    with pytest.raises(KilledError):
        harness.deliver(done, ledger=CrashesAtRecord(harness.clock, harness.ledger.store))  # type: ignore[attr-defined]
    harness.clock.advance(LEASE_SECONDS + 1)

    result = harness.deliver(done, on_unknown_outcome=policy)

    assert result.retried == 0
    assert harness.events() == {"answered-0": sent}
    assert harness.braze.profile("ada")["score"] == 1
    parked = [each.reasons[0].code for each in harness.rejected.records.values()]
    assert parked == ([] if policy == "resend" else ["unknown_outcome"])
    assert harness.deliver(done).duplicate == 1


def test_killed_before_the_send_loses_nothing(harness: Harness) -> None:
    """The message is in the queue, the lease expires, and the next Lambda sends it."""

    def kill(_: int) -> None:
        raise KilledError

    harness.braze.before = kill
    waiting = job("1", events=1)
    with pytest.raises(KilledError):
        harness.deliver(waiting)
    harness.braze.before = lambda _: None

    assert harness.deliver(waiting).retried == 1
    harness.clock.advance(LEASE_SECONDS + 1)
    assert harness.deliver(waiting).delivered == 1
    assert harness.events() == {"answered-0": 1}


def test_a_store_that_refuses_one_person_of_a_batch_delays_only_that_person(
    harness: Harness,
) -> None:
    """Nothing is sent without a lease; the others arrive."""
    ledger = InMemoryLedger(harness.clock)
    crowd = [job(str(n), f"user-{n}", events=1) for n in range(20)]
    victim: list[str] = []

    def fails(kind: str, id_: str) -> str | None:
        if kind == "write" and not victim:
            victim.append(id_)
        return "ProvisionedThroughputExceeded" if id_ in victim and kind == "write" else None

    ledger.store.fails = fails
    result = harness.deliver(*crowd, ledger=ledger)

    assert (result.delivered, result.retried) == (19, 1)
    assert len(harness.braze.events) == 19
    ledger.store.fails = lambda *_: None
    (message,) = result.retry
    assert harness.deliver(crowd[int(message)], ledger=ledger).delivered == 1
    assert set(Counter(e["external_id"] for e in harness.braze.events).values()) == {1}


def test_with_the_store_down_nothing_is_sent(harness: Harness) -> None:
    """Every job goes back."""
    ledger = InMemoryLedger(harness.clock)
    ledger.store.fails = lambda *_: "ServiceUnavailable"

    result = harness.deliver(job("1"), job("2", "bob"), ledger=ledger)

    assert (result.retried, result.requests) == (2, 0)
    assert harness.braze.bodies == []


def test_events_that_arrived_are_not_sent_again_with_those_that_did_not(harness: Harness) -> None:
    """A job of 90 events spans two requests; one of them fails."""
    harness.braze.before = lambda n: ServerError("", status=503) if n == 2 else None
    long = job(events=90)

    first = harness.deliver(long, concurrency=1)
    assert (first.retried, len(harness.braze.events)) == (1, 75)
    harness.clock.advance(120)
    second = harness.deliver(long)

    assert (second.delivered, second.requests) == (1, 1)
    assert len(harness.braze.events) == 90
    assert set(harness.events().values()) == {1}


def test_a_429_keeps_every_lambda_away_until_its_time(harness: Harness) -> None:
    """Also a Lambda that did not get it. Jobs come back after it, not before."""
    harness.braze.before = lambda _: RateLimitedError("", status=429, retry_after=20)
    harness.deliver(job("1"))
    harness.braze.before = lambda _: None
    other = harness.gate.seen_by(harness.clock)  # type: ignore[attr-defined]
    sent = len(harness.braze.bodies)

    for _ in range(4):
        result = harness.deliver(job("2", "bob"), gate=other)
        left = 20 - (harness.clock.now() - FixedClock().now()).total_seconds()
        assert (result.requests, result.held_up) == (0, {"rate_limited": 1})
        assert min(result.retry.values()) >= left
        harness.clock.advance(4.9)
    assert len(harness.braze.bodies) == sent
    harness.clock.advance(1)
    assert harness.deliver(job("2", "bob"), gate=other).delivered == 1


def test_a_batch_with_nothing_to_send_releases_the_probe(harness: Harness) -> None:
    """A batch of duplicates must not block a gate whose time is over."""
    done = job("done", events=1)
    harness.deliver(done)
    harness.gate.close(None, harness.clock.now() + timedelta(seconds=60), "key_refused")
    harness.clock.advance(61)
    assert harness.deliver(done).duplicate == 1
    other = harness.gate.seen_by(harness.clock)  # type: ignore[attr-defined]

    assert harness.deliver(job("new", "bob"), gate=other).delivered == 1


def test_without_the_gate_another_lambda_sends_into_the_limit(harness: Harness) -> None:
    """The control."""
    harness.braze.before = lambda _: RateLimitedError("", status=429, retry_after=20)
    harness.deliver(job("1"), gate=NoGate())
    sent = len(harness.braze.bodies)
    harness.deliver(job("2", "bob"), gate=NoGate())

    assert len(harness.braze.bodies) == sent + 1


def test_what_grows_too_old_is_parked_even_while_the_gate_is_closed(harness: Harness) -> None:
    """A gate closed for days must not let SQS delete jobs silently."""
    harness.gate.close(None, harness.clock.now() + timedelta(hours=9), "key_refused")

    result = harness.deliver(job("old", age=3 * 86_400 + 1), job("young"))

    assert (result.rejected, result.retried) == (1, 1)


@pytest.mark.parametrize(("reason", "alarms"), [("key_refused", 1), ("rate_limited", 0)])
def test_the_alarms_go_on_while_the_gate_is_closed(
    harness: Harness, reason: str, alarms: int
) -> None:
    """A refused key is reported by every batch; a wait counts until its end."""
    harness.gate.close(None, harness.clock.now() + timedelta(hours=1), reason)

    result = harness.deliver(job(age=60))

    assert result.key_refused == alarms
    assert result.oldest_wait >= 3_600


def test_a_rejected_job_that_is_resent_is_a_duplicate(harness: Harness) -> None:
    """Its row is the only copy: delivered parts would otherwise arrive twice."""
    harness.braze.named = lambda item: item.get("name") == "answered-1"
    half = job(events=2)

    assert harness.deliver(half).rejected == 1
    assert harness.deliver(half).duplicate == 1
    assert harness.events() == {"answered-0": 1}


# -- found by a review, each with the loss or the duplicate it caused ----------------------------


def test_two_sets_of_unknown_events_of_one_job_are_two_rows(harness: Harness) -> None:
    """A second time-out of the same job must not replace the row of the first."""
    long = job(events=90)
    answers = {1: UnknownOutcomeError("late"), 2: ServerError("", status=503)}
    harness.braze.before = answers.get
    assert harness.deliver(long, on_unknown_outcome="park", concurrency=1).retried == 1
    harness.clock.advance(60)
    harness.braze.before = lambda _: UnknownOutcomeError("late")

    assert harness.deliver(long, on_unknown_outcome="park").rejected == 1

    rows = [parse_job(each.payload) for each in harness.rejected.records.values()]
    parked = Counter(event.name for row in rows for event in row.events)
    assert parked == Counter(f"answered-{n}" for n in range(90))


def test_events_held_back_are_not_forgotten_when_they_cannot_be_parked(harness: Harness) -> None:
    """The store fails once: the job comes back with an unknown outcome, and is parked then."""
    held = job(events=2)
    with pytest.raises(KilledError):
        harness.deliver(held, ledger=CrashesAtRecord(harness.clock, harness.ledger.store))  # type: ignore[attr-defined]
    harness.clock.advance(LEASE_SECONDS + 1)
    harness.rejected.refusing = True
    assert harness.deliver(held, on_unknown_outcome="park").retried == 1
    harness.rejected.refusing = False
    harness.clock.advance(LEASE_SECONDS + 1)

    assert harness.deliver(held, on_unknown_outcome="park").rejected == 1

    (row,) = harness.rejected.records.values()
    assert len(parse_job(row.payload).events) == 2
    assert harness.events() == {"answered-0": 1, "answered-1": 1}


def test_a_refused_merge_of_many_jobs_is_undone_one_by_one(harness: Harness) -> None:
    """80 answers of one person: over 75 parts, sent in order; only the invalid one is parked."""
    harness.braze.named = lambda item: "bad" in item
    jobs = [job(str(n), attributes={"score": n}, age=1_000 - n) for n in range(79)]
    jobs.append(job("invalid", attributes={"bad": 1}, age=1))
    waiting = jobs
    for _ in range(4):
        result = harness.deliver(*waiting)
        waiting = [waiting[int(message)] for message in result.retry]
        harness.clock.advance(60)

    assert waiting == []
    assert list(harness.rejected.records) == ["outgrow:default:invalid"]
    assert harness.braze.profile("ada")["score"] == 78


def test_the_object_that_creates_an_alias_has_room_when_a_merge_is_undone(
    harness: Harness,
) -> None:
    """75 parts and the object are one too many for a request."""
    alias = UserAlias(alias_name="n", alias_label="l")
    strict = JobUser(user_alias=alias, may_create=False)
    harness.braze.named = lambda item: "bad" in item
    jobs = [job(str(n), strict, attributes={"score": n}, age=1_000 - n) for n in range(90)]
    jobs.append(job("invalid", strict, attributes={"bad": 1}, age=1))
    jobs.append(job("creating", JobUser(user_alias=alias), events=1, age=2_000))

    result = harness.deliver(*jobs)

    sizes = [sum(map(len, body.values())) for body in harness.braze.bodies]
    assert max(sizes) == 75
    assert result.rejected == 0


def test_an_older_value_that_breaks_a_limit_is_found_when_a_merge_is_undone(
    harness: Harness,
) -> None:
    """A newer value replaces it in the merge. Alone it is refused, and the batch goes on."""
    harness.braze.named = lambda item: "bad" in item and "essay" in item
    old = job("old", attributes={"essay": "x" * 300}, age=90)
    new = job("new", attributes={"essay": "short", "bad": 1}, age=30)

    result = harness.deliver(old, new)

    assert (result.delivered, result.rejected) == (0, 2)


@pytest.mark.parametrize("concurrency", [1, 20])
def test_isolating_an_invalid_object_leaves_the_newest_value(
    harness: Harness, concurrency: int
) -> None:
    """The oldest part must not be sent again after the newest."""
    harness.braze.nameless = lambda item: "bad" in item
    jobs = [
        job("a", attributes={"score": 1}, age=90),
        job("b", attributes={"bad": 1}, age=60),
        job("c", attributes={"score": 3}, age=30),
        job("d", "bob", attributes={"score": 9}),
    ]

    result = harness.deliver(*jobs, concurrency=concurrency)

    assert (result.delivered, result.rejected) == (3, 1)
    assert harness.braze.profile("ada")["score"] == 3


def test_the_newest_value_wins_whoever_may_create_the_person(harness: Harness) -> None:
    """Two objects of one person, in no order, never hold the same name."""
    strict = JobUser(external_id="ada", may_create=False)
    newer = job("new", strict, attributes={"score": 2}, age=30)
    older = job("old", attributes={"score": 1, "city": "x"}, age=60)

    for order in ([newer, older], [older, newer]):
        fresh = Harness()
        fresh.deliver(*order)
        profile = fresh.braze.profile("ada")
        assert (profile["score"], profile["city"]) == (2, "x")


def test_an_older_strict_job_never_follows_a_newer_creating_one(harness: Harness) -> None:
    """The other way round: the older value may not be in the object that is sent last."""
    strict = JobUser(external_id="ada", may_create=False)
    older = job("old", strict, attributes={"score": 1, "city": "x"}, age=60)
    newer = job("new", attributes={"score": 2}, age=30)

    harness.deliver(older, newer)

    profile = harness.braze.profile("ada")
    assert (profile["score"], profile["city"]) == (2, "x")


def test_the_events_of_an_alias_keep_their_creator_when_its_attributes_are_refused(
    harness: Harness,
) -> None:
    """Otherwise Braze could drop them behind a 201."""
    user = JobUser(user_alias=UserAlias(alias_name="n", alias_label="l"))
    both = job(user=user, attributes={"essay": "x" * 300}, events=1)

    assert harness.deliver(both).rejected == 1

    (body,) = harness.braze.bodies
    assert [len(body["attributes"]), len(body["events"])] == [1, 1]
    assert set(body["attributes"][0]) == {"user_alias", "_update_existing_only"}


def test_refusals_after_one_success_can_still_be_a_configuration_fault(harness: Harness) -> None:
    """In the middle of a batch Braze starts to refuse everything alike."""

    def refuse(_: object) -> bool:
        return len(harness.braze.bodies) > 1

    harness.braze.nameless = refuse
    jobs = [job(str(n), f"user-{n}") for n in range(300)]

    result = harness.deliver(*jobs, concurrency=1)

    assert (result.delivered, result.rejected) == (75, 0)
    assert result.closings == ["requests_refused"]


def test_a_lone_job_with_two_invalid_objects_is_parked_in_the_end(harness: Harness) -> None:
    """A bad identifier, refused without a name, in attributes and event alike."""
    harness.braze.nameless = lambda _: True
    bad = job(attributes={"score": 1}, events=1)
    rejected = []
    for _ in range(3):
        rejected.append(harness.deliver(bad).rejected)
        harness.clock.advance(2_000)

    assert rejected == [0, 0, 1]


def test_a_bug_in_one_request_costs_no_other_request(harness: Harness) -> None:
    """The others are recorded as delivered and do not count twice."""

    def fault(number: int) -> None:
        if number == 2:
            raise ZeroDivisionError

    harness.braze.before = fault
    jobs = [job(str(n), f"user-{n}", events=1) for n in range(150)]

    first = harness.deliver(*jobs, concurrency=1)
    assert (first.delivered, first.held_up) == (75, {"failed: ZeroDivisionError": 1})
    harness.clock.advance(60)
    harness.deliver(*jobs)

    assert set(Counter(e["external_id"] for e in harness.braze.events).values()) == {1}


def test_a_table_that_hangs_costs_only_the_jobs_that_need_it(harness: Harness) -> None:
    """Delivered people are recorded before anything is parked, and parking gives up at once."""

    class Hangs(InMemoryRejectedStore):
        tries = 0

        def park(self, record: RejectedRecord) -> None:
            self.tries += 1
            raise RejectedStoreUnavailableError("ReadTimeout")

    store = Hangs()
    harness.braze.named = lambda item: item["external_id"].startswith("bad")
    jobs = [job(str(n), f"{'bad' if n % 10 == 0 else 'ok'}-{n}", events=1) for n in range(100)]

    result = harness.deliver(*jobs, rejected=store)

    assert (result.delivered, result.retried, store.tries) == (90, 10, 1)


def test_an_expired_copy_does_not_replace_the_row_of_what_braze_refused(harness: Harness) -> None:
    """Both rows stay: the refused event is in one of them only."""
    harness.braze.named = lambda item: item.get("name") == "answered-1"
    harness.deliver(job(events=2))
    harness.clock.advance(3 * 86_400 + 100)

    harness.deliver(job(events=2))

    assert sorted(harness.rejected.records) == ["outgrow:default:1", "outgrow:default:1~expired"]


def test_a_ledger_that_is_down_for_hours_does_not_use_up_a_messages_receives(
    harness: Harness,
) -> None:
    """1,000 receives must last for days."""
    ledger = InMemoryLedger(harness.clock)
    ledger.store.fails = lambda *_: "ServiceUnavailable"
    ports = replace(harness.ports, ledger=ledger)
    waited, receives = 0.0, 0
    while waited < 24 * 3_600:
        receives += 1
        message = SqsMessage("m", job().to_json(), receives)
        waited += deliver([message], ports, lambda: 60.0).retry["m"]

    assert receives < 120


def test_an_event_that_may_have_arrived_is_not_sent_because_it_could_not_be_parked(
    harness: Harness,
) -> None:
    """With `park` the job comes back with an unknown outcome, and is parked as soon as possible."""
    harness.braze.after = lambda _: UnknownOutcomeError("late")
    harness.rejected.refusing = True
    assert harness.deliver(job(events=1), on_unknown_outcome="park").retried == 1
    harness.braze.after = lambda _: None
    harness.rejected.refusing = False
    harness.clock.advance(LEASE_SECONDS + 1)

    assert harness.deliver(job(events=1), on_unknown_outcome="park").rejected == 1
    assert harness.events() == {"answered-0": 1}


def test_many_invalid_objects_among_valid_ones_are_no_configuration_fault(harness: Harness) -> None:
    """Refusals count since the last success: a dozen lone refusals close no gate."""
    invalid = {f"user-{n}" for n in range(0, 240, 20)}
    harness.braze.nameless = lambda item: item["external_id"] in invalid

    result = harness.deliver(*(job(str(n), f"user-{n}") for n in range(240)), concurrency=1)

    assert result.closings == []
    assert len(harness.rejected.records) >= 4


def test_an_answer_that_never_ends_does_not_take_the_whole_invocation(harness: Harness) -> None:
    """The known is recorded in time; the request's outcome is unknown."""
    started: list[Future[Any]] = []

    class NeverAnswers(InlineExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_running_or_notify_cancel()
            started.append(future)
            return future

    message = SqsMessage("m", job().to_json())
    ports = replace(harness.ports, executor=NeverAnswers())

    result = deliver([message], ports, lambda: 2.0 if started else 30.0)

    assert (result.retried, result.requests) == (1, 1)
