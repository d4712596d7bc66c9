"""The ledger that all Lambdas share, over a store that can fail item by item."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from braze_bridge.ledger.port import Leases, Ledger, PersonState
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.delivery_jobs import event, job
from tests.fakes.ledger import (
    LEASE_SECONDS,
    CarelessMemoryStore,
    InMemoryLedger,
    InMemoryMemoryStore,
    NoLedger,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.port import PersonKey

ADA: PersonKey = ("external_id", "ada")


def asks(*names: str, person: str = "ada", **fields: object) -> list[DeliveryJob]:
    return [job(name, person, **fields) for name in names]  # type: ignore[arg-type]


def ids(*names: str) -> frozenset[str]:
    return frozenset(f"outgrow:default:{name}" for name in names)


def done(*names: str, **newest: float) -> PersonState:
    moments = {name: (NOON + timedelta(seconds=at), NOON) for name, at in newest.items()}
    return PersonState(delivered=ids(*names), newest=moments)


def crowd(count: int) -> list[DeliveryJob]:
    return [each for n in range(count) for each in asks(str(n), person=f"user-{n}")]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def ledger(clock: FixedClock) -> InMemoryLedger:
    return InMemoryLedger(clock)


# -- duplicates and late answers ---------------------------------------------------------------


def knows_the_duplicate(ledger: Ledger) -> bool:
    ledger.record(ledger.lease(asks("1")), {ADA: done("1")})
    return ids("1") == ledger.lease(asks("1")).states[ADA].delivered


def knows_the_newest(ledger: Ledger) -> bool:
    jobs = asks("1", attributes={"score": 1})
    ledger.record(ledger.lease(jobs), {ADA: done(score=0.000_001)})
    state = ledger.lease(asks("2", attributes={"score": 2})).states[ADA]
    return state.newest == {"score": (NOON + timedelta(microseconds=1), NOON)}


def knows_what_was_recorded_of_an_unsettled_job(ledger: Ledger) -> bool:
    (whole,) = asks("1", events=3)
    known = PersonState(
        attempts={whole.job_id: 3},
        counted=frozenset({whole.once_ids[0], whole.once_ids[2]}),
        doubtful={whole.once_ids[1]: NOON},
        exists=True,
    )
    ledger.record(ledger.lease([whole]), {ADA: known})
    return ledger.lease([whole]).states[ADA] == known


def keeps_others_away(ledger: Ledger) -> bool:
    ledger.lease(asks("1"))
    second = ledger.lease(asks("2"))
    return ADA in second.busy and ADA not in second.states


def names_doubtful_events(ledger: Ledger, clock: FixedClock) -> bool:
    (whole,) = jobs = asks("1", events=2)
    ledger.lease(jobs)
    clock.advance(LEASE_SECONDS)
    return ledger.lease(jobs).states[ADA].doubtful.keys() == set(whole.once_ids)


@pytest.mark.parametrize(
    "holds",
    [
        knows_the_duplicate,
        knows_the_newest,
        knows_what_was_recorded_of_an_unsettled_job,
        keeps_others_away,
        lambda ledger: names_doubtful_events(ledger, FixedClock()),
    ],
)
def test_without_a_ledger_nothing_is_known(holds: Callable[[Ledger], bool]) -> None:
    """The control: each guarantee fails without the ledger."""
    assert not holds(NoLedger())


@pytest.mark.parametrize(
    "holds",
    [
        knows_the_duplicate,
        knows_the_newest,
        knows_what_was_recorded_of_an_unsettled_job,
        keeps_others_away,
    ],
)
def test_the_next_lambda_knows_what_was_recorded(
    ledger: InMemoryLedger, holds: Callable[[Ledger], bool]
) -> None:
    """Duplicates, newest times, progress, and leases."""
    assert holds(ledger)


def test_an_expired_lease_is_an_unknown_outcome(ledger: InMemoryLedger, clock: FixedClock) -> None:
    """The next lease names the events that may have been sent."""
    assert names_doubtful_events(ledger, clock)


def test_an_event_stays_doubtful_until_it_counts_or_its_job_is_delivered(
    ledger: InMemoryLedger, clock: FixedClock
) -> None:
    """Also if its job comes in a later batch after the crash, or fails again."""
    first, second = jobs = asks("1", "2", events=2)
    ledger.lease(jobs)
    clock.advance(LEASE_SECONDS)
    ledger.record(ledger.lease(asks("3")), {ADA: done("3")})

    leases = ledger.lease(jobs)
    assert leases.states[ADA].doubtful.keys() == {*first.once_ids, *second.once_ids}
    taken, lost = second.once_ids
    failed = PersonState(ids("1"), attempts={second.job_id: 1}, counted=frozenset({taken}))
    ledger.record(leases, {ADA: failed})

    assert ledger.lease(jobs).states[ADA].doubtful.keys() == {lost}


def test_only_the_recorded_events_of_a_job_are_doubtful(ledger: InMemoryLedger) -> None:
    """What was never sent, or surely refused, is sent the next time without a look-up."""
    (whole,) = jobs = asks("1", events=3)
    lost = {whole.once_ids[1]: NOON}
    ledger.record(ledger.lease(jobs), {ADA: PersonState(doubtful=lost)})

    assert ledger.lease(jobs).states[ADA].doubtful == lost


def same_event(name: str) -> DeliveryJob:
    """A response that comes again with other content: another job with the same event."""
    return job(name, version=2, events=[event("answered").model_copy(update={"id": "event-1"})])


def test_an_event_counts_whatever_job_brings_it(ledger: InMemoryLedger) -> None:
    """A resend with other content must not count twice."""
    first, second = same_event("1"), same_event("2")
    update = PersonState(delivered=frozenset({first.job_id}), counted=frozenset({"event-1"}))
    ledger.record(ledger.lease([first]), {ADA: update})

    state = ledger.lease([second]).states[ADA]
    assert not state.delivered
    assert state.counted == {"event-1"}


def test_a_doubtful_event_is_doubtful_in_every_job(
    ledger: InMemoryLedger, clock: FixedClock
) -> None:
    """The first job crashed, or its answer was lost. The second one must not send it unasked."""
    first, second = same_event("1"), same_event("2")
    ledger.lease([first])
    clock.advance(LEASE_SECONDS + 100)
    leases = ledger.lease([second])
    ended = NOON + timedelta(seconds=LEASE_SECONDS)
    assert leases.states[ADA].doubtful == {"event-1": ended}

    ledger.record(leases, {ADA: PersonState(doubtful={"event-1": clock.now()})})
    leases = ledger.lease([first, second])
    assert leases.states[ADA].doubtful == {"event-1": clock.now()}

    update = PersonState(delivered=frozenset({second.job_id}), counted=frozenset({"event-1"}))
    ledger.record(leases, {ADA: update})
    state = ledger.lease([first, second]).states[ADA]
    assert not state.doubtful
    assert state.counted == {"event-1"}


def test_a_person_exists_once_something_was_taken(ledger: InMemoryLedger) -> None:
    """No later update takes that back."""
    ledger.record(ledger.lease(asks("1")), {ADA: PersonState(exists=True)})
    ledger.record(ledger.lease(asks("2")), {ADA: done("2")})
    assert ledger.lease(asks("3")).states[ADA].exists


def test_every_person_is_answered_once(ledger: InMemoryLedger) -> None:
    """New, busy and known people of one batch."""
    ledger.record(ledger.lease(asks("k", person="known")), {("external_id", "known"): done("k")})
    ledger.lease(asks("b", person="busy"))

    leases = ledger.lease(
        [*asks("1", "2"), *asks("b", "c", person="busy"), *asks("k", person="known")]
    )

    assert leases.states.keys() == {ADA, ("external_id", "known")}
    assert leases.busy == {("external_id", "busy"): 2.0}
    assert leases.held.keys() == {ADA}


def test_a_delivered_job_costs_one_read(ledger: InMemoryLedger) -> None:
    """A vendor's resends are neither leased nor recorded."""
    ledger.record(ledger.lease(asks("1")), {ADA: done("1")})
    ledger.store.calls.clear()

    leases = ledger.lease(asks("1"))
    unrecorded = ledger.record(leases, {ADA: PersonState()})

    assert ledger.store.calls == [("read", 1)]
    assert unrecorded == frozenset()


def test_a_batch_takes_one_read_and_two_writes_of_each_person(ledger: InMemoryLedger) -> None:
    """The call budget depends on it."""
    leases = ledger.lease(crowd(1_000))
    ledger.record(leases, dict.fromkeys(leases.states, PersonState()))

    assert ledger.store.calls == [("read", 1_000), ("write", 1_000), ("write", 1_000)]
    assert len(ledger.lease(crowd(1_000)).held) == 1_000


def test_people_may_be_recorded_in_several_calls(ledger: InMemoryLedger) -> None:
    """A long batch can end leases early."""
    leases = ledger.lease([*asks("1"), *asks("2", person="bob")])
    ledger.record(leases, {ADA: done("1")})

    again = ledger.lease([*asks("3"), *asks("4", person="bob")])

    assert again.held.keys() == {ADA}
    assert again.busy.keys() == {("external_id", "bob")}


def test_nothing_readable_is_kept(ledger: InMemoryLedger) -> None:
    """Neither people, nor jobs, nor attributes."""
    leases = ledger.lease(asks("job-id-1", person="ada@example.com", attributes={"score": 1}))
    ledger.record(leases, dict.fromkeys(leases.states, done("job-id-1", score=1)))

    kept = b"".join(id_.encode() + stored.data for id_, stored in ledger.store.items.items())
    for secret in (b"ada", b"example", b"job-id", b"outgrow", b"score"):
        assert secret not in kept


# -- leases lost and contended -----------------------------------------------------------------


def winners_of_a_race(store: InMemoryMemoryStore) -> int:
    """Count how many of two Lambdas that read at the same time get the person."""
    first, second = (InMemoryLedger(FixedClock(), store) for _ in range(2))
    won: list[Leases] = []

    def between(operation: str) -> None:
        if operation == "write":
            store.before = lambda _: None
            won.append(second.lease(asks("2")))

    store.before = between
    won.append(first.lease(asks("1")))
    return sum(ADA in leases.held for leases in won)


def test_of_two_lambdas_that_read_at_once_one_gets_the_person() -> None:
    """The other one finds the item changed, reads again and must wait."""
    assert winners_of_a_race(InMemoryMemoryStore()) == 1


def test_without_the_condition_both_would_get_the_person() -> None:
    """The control."""
    assert winners_of_a_race(CarelessMemoryStore()) == 2


def test_each_person_is_leased_by_one_of_many_threads() -> None:
    """Exactly one of sixteen."""
    store = InMemoryMemoryStore()
    with ThreadPoolExecutor(16) as executor:
        leases = list(
            executor.map(lambda _: InMemoryLedger(FixedClock(), store).lease(crowd(50)), range(16))
        )
    assert sorted(person for each in leases for person in each.held) == sorted(
        {each.user.key for each in crowd(50)}
    )


def after_a_lost_lease(store: InMemoryMemoryStore, order: str) -> PersonState:
    """The state after a slow holder and its successor record, in either order."""
    clock = FixedClock()
    slow, quick = (InMemoryLedger(clock, store) for _ in range(2))
    slow_leases = slow.lease(asks("1", attributes={"score": 1}))
    clock.advance(LEASE_SECONDS)
    quick_leases = quick.lease(asks("2", attributes={"score": 2}))
    records = {
        "slow": lambda: slow.record(slow_leases, {ADA: done("1", score=1, old=5)}),
        "quick": lambda: quick.record(quick_leases, {ADA: done("2", score=2)}),
    }
    for name in order.split():
        assert records[name]() == frozenset()
    fields = {"score": 0, "old": 0}
    return quick.lease(asks("1", "2", "3", attributes=fields)).states[ADA]


WHOLE = done("1", "2", score=2, old=5)


@pytest.mark.parametrize("order", ["slow quick", "quick slow"])
def test_a_lease_lost_while_its_holder_works_loses_nothing(order: str) -> None:
    """Both records and the newest times stay, and the lease is free again."""
    assert after_a_lost_lease(InMemoryMemoryStore(), order) == WHOLE


@pytest.mark.parametrize("order", ["slow quick", "quick slow"])
def test_without_the_condition_the_second_record_would_erase_the_first(order: str) -> None:
    """The control."""
    assert after_a_lost_lease(CarelessMemoryStore(), order) != WHOLE


def test_a_late_record_does_not_end_the_successors_lease(clock: FixedClock) -> None:
    """Otherwise a third Lambda could lease the person while the successor works."""
    slow = InMemoryLedger(clock)
    slow_leases = slow.lease(asks("1"))
    clock.advance(LEASE_SECONDS)
    slow.lease(asks("2"))
    slow.record(slow_leases, {ADA: done("1")})

    assert ADA in slow.lease(asks("3")).busy


@pytest.mark.parametrize("skew", [-2.0, 2.0])
def test_clocks_two_seconds_apart_give_no_two_leases(skew: float) -> None:
    """The lease outlasts its holder by more than that."""
    here, there = FixedClock(), FixedClock(NOON + timedelta(seconds=skew))
    ledger = InMemoryLedger(here, lease_seconds=65)  # of a function that ends after 60
    ledger.lease(asks("1"))
    there.advance(60)

    assert ADA in ledger.seen_by(there).lease(asks("2")).busy


def test_a_full_person_is_neither_leased_nor_lost(ledger: InMemoryLedger) -> None:
    """The answer names the person, so that the jobs can be parked with a reason."""
    state = done(**{f"a{n}": 0 for n in range(21_850)})
    ledger.record(ledger.lease(asks("1")), {ADA: state})

    leases = ledger.lease(asks("2", attributes={f"b{n}": n for n in range(100)}))

    assert leases.full == {ADA}
    assert not leases.states
    assert not leases.held
