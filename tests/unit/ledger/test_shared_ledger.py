"""The ledger that Lambdas share, over a store that can be made to fail item by item."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.ledger.port import (
    Claimant,
    Claims,
    JobProgress,
    Ledger,
    LedgerUnavailableError,
    PersonState,
)
from braze_bridge.ledger.shared import TRIES, UNREADABLE
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.delivery_jobs import job
from tests.fakes.ledger import (
    LEASE_SECONDS,
    CarelessMemoryStore,
    InMemoryLedger,
    InMemoryMemoryStore,
    NoLedger,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.ledger.port import PersonKey

ADA: PersonKey = ("external_id", "ada")


def asks(*names: str, person: str = "ada", **fields: object) -> list[Claimant]:
    return [Claimant(job(name, person, **fields), 1) for name in names]  # type: ignore[arg-type]


def ids(*names: str) -> frozenset[str]:
    return frozenset(f"outgrow:default:{name}" for name in names)


def done(*names: str, **newest: float) -> PersonState:
    times = {name: NOON + timedelta(seconds=at) for name, at in newest.items()}
    return PersonState(delivered=ids(*names), newest=times)


def crowd(count: int) -> list[Claimant]:
    return [claimant for n in range(count) for claimant in asks(str(n), person=f"user-{n}")]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def ledger(clock: FixedClock) -> InMemoryLedger:
    return InMemoryLedger(clock)


# -- duplicates and late answers ---------------------------------------------------------------


def knows_the_duplicate(ledger: Ledger) -> bool:
    ledger.record(ledger.claim(asks("1")), {ADA: done("1")})
    return ids("1") == ledger.claim(asks("1")).states[ADA].delivered


def knows_the_newest(ledger: Ledger) -> bool:
    claimants = asks("1", attributes={"score": 1})
    ledger.record(ledger.claim(claimants), {ADA: done(score=0.000_001)})
    state = ledger.claim(asks("2", attributes={"score": 2})).states[ADA]
    return state.newest == {"score": NOON + timedelta(microseconds=1)}


def knows_attempts_and_settled_events(ledger: Ledger) -> bool:
    progress = {"outgrow:default:1": JobProgress(3, frozenset({0, 2}))}
    ledger.record(ledger.claim(asks("1", events=3)), {ADA: PersonState(progress=progress)})
    return ledger.claim(asks("1", events=3)).states[ADA].progress == progress


def keeps_others_away(ledger: Ledger) -> bool:
    ledger.claim(asks("1"))
    second = ledger.claim(asks("2"))
    return ADA in second.busy and ADA not in second.states


def tells_of_the_interrupted(ledger: Ledger, clock: FixedClock) -> bool:
    ledger.claim(asks("1"))
    clock.advance(LEASE_SECONDS)
    return ledger.claim(asks("1")).states[ADA].interrupted == ids("1")


@pytest.mark.parametrize(
    "holds",
    [
        knows_the_duplicate,
        knows_the_newest,
        knows_attempts_and_settled_events,
        keeps_others_away,
        lambda ledger: tells_of_the_interrupted(ledger, FixedClock()),
    ],
)
def test_without_a_ledger_nothing_is_known(holds: Callable[[Ledger], bool]) -> None:
    """The control: each promise fails where the mechanism is switched off."""
    assert not holds(NoLedger())


@pytest.mark.parametrize(
    "holds",
    [knows_the_duplicate, knows_the_newest, knows_attempts_and_settled_events, keeps_others_away],
)
def test_what_was_recorded_is_known_to_the_next(
    ledger: InMemoryLedger, holds: Callable[[Ledger], bool]
) -> None:
    """Duplicates, newest times, progress, and who is being worked on."""
    assert holds(ledger)


def test_a_lease_that_ran_out_is_an_unknown_outcome(
    ledger: InMemoryLedger, clock: FixedClock
) -> None:
    """The next claim gets the person and is told which of its jobs may have been sent."""
    assert tells_of_the_interrupted(ledger, clock)


def test_an_interrupted_job_stays_so_until_it_is_delivered(
    ledger: InMemoryLedger, clock: FixedClock
) -> None:
    """Also where it comes in a later batch than the first after the death, or fails again."""
    ledger.claim(asks("1", "2"))
    clock.advance(LEASE_SECONDS)
    ledger.record(ledger.claim(asks("3")), {ADA: done("3")})

    claims = ledger.claim(asks("1", "2"))
    assert claims.states[ADA].interrupted == ids("1", "2")
    failed = PersonState(ids("1"), progress={"outgrow:default:2": JobProgress(1)})
    ledger.record(claims, {ADA: failed})

    assert ledger.claim(asks("1", "2")).states[ADA].interrupted == ids("2")


def test_every_person_is_answered_once(ledger: InMemoryLedger) -> None:
    """New, busy and known people of one batch."""
    ledger.record(ledger.claim(asks("k", person="known")), {("external_id", "known"): done("k")})
    ledger.claim(asks("b", person="busy"))

    claims = ledger.claim(
        [*asks("1", "2"), *asks("b", "c", person="busy"), *asks("k", person="known")]
    )

    assert claims.states.keys() == {ADA, ("external_id", "known")}
    assert claims.busy == {("external_id", "busy"): 2.0}
    assert claims.leases.keys() == {ADA}


def test_a_delivered_job_costs_one_read(ledger: InMemoryLedger) -> None:
    """A vendor's resends are neither leased nor recorded."""
    ledger.record(ledger.claim(asks("1")), {ADA: done("1")})
    ledger.store.calls.clear()

    claims = ledger.claim(asks("1"))
    unrecorded = ledger.record(claims, {ADA: PersonState()})

    assert ledger.store.calls == [("read", 1)]
    assert unrecorded == frozenset()


def test_a_batch_takes_one_read_and_two_writes_of_each_person(ledger: InMemoryLedger) -> None:
    """That is what the call budget rests on."""
    claims = ledger.claim(crowd(1_000))
    ledger.record(claims, dict.fromkeys(claims.states, PersonState()))

    assert ledger.store.calls == [("read", 1_000), ("write", 1_000), ("write", 1_000)]
    assert len(ledger.claim(crowd(1_000)).leases) == 1_000


def test_people_may_be_recorded_one_after_the_other(ledger: InMemoryLedger) -> None:
    """A long batch can let go of those it is done with."""
    claims = ledger.claim([*asks("1"), *asks("2", person="bob")])
    ledger.record(claims, {ADA: done("1")})

    again = ledger.claim([*asks("3"), *asks("4", person="bob")])

    assert again.leases.keys() == {ADA}
    assert again.busy.keys() == {("external_id", "bob")}


def test_nothing_readable_is_kept(ledger: InMemoryLedger) -> None:
    """Neither whom it is about, nor which jobs, nor which attributes."""
    claims = ledger.claim(asks("job-id-1", person="ada@example.com", attributes={"score": 1}))
    ledger.record(claims, dict.fromkeys(claims.states, done("job-id-1", score=1)))

    kept = b"".join(id_.encode() + stored.data for id_, stored in ledger.store.items.items())
    for secret in (b"ada", b"example", b"job-id", b"outgrow", b"score"):
        assert secret not in kept


# -- leases lost and contended -----------------------------------------------------------------


def winners_of_a_race(store: InMemoryMemoryStore) -> int:
    """How many of two Lambdas that read at the same time get the person."""
    first, second = (InMemoryLedger(FixedClock(), store) for _ in range(2))
    won: list[Claims] = []

    def between(operation: str) -> None:
        if operation == "write":
            store.before = lambda _: None
            won.append(second.claim(asks("2")))

    store.before = between
    won.append(first.claim(asks("1")))
    return sum(ADA in claims.leases for claims in won)


def test_of_two_who_read_at_once_one_gets_the_person() -> None:
    """The other finds the item changed, reads again and is told to wait."""
    assert winners_of_a_race(InMemoryMemoryStore()) == 1


def test_without_the_condition_both_would_get_the_person() -> None:
    """The control."""
    assert winners_of_a_race(CarelessMemoryStore()) == 2


def test_many_threads_share_out_the_people() -> None:
    """Each person goes to exactly one of sixteen."""
    store = InMemoryMemoryStore()
    with ThreadPoolExecutor(16) as executor:
        claims = list(
            executor.map(lambda _: InMemoryLedger(FixedClock(), store).claim(crowd(50)), range(16))
        )
    assert sorted(person for each in claims for person in each.leases) == sorted(
        {claimant.job.user.key for claimant in crowd(50)}
    )


def after_a_lost_lease(store: InMemoryMemoryStore, order: str) -> PersonState:
    """What is known after a slow holder and its successor recorded, in either order."""
    clock = FixedClock()
    slow, quick = (InMemoryLedger(clock, store) for _ in range(2))
    slow_claims = slow.claim(asks("1", attributes={"score": 1}))
    clock.advance(LEASE_SECONDS)
    quick_claims = quick.claim(asks("2", attributes={"score": 2}))
    records = {
        "slow": lambda: slow.record(slow_claims, {ADA: done("1", score=1, old=5)}),
        "quick": lambda: quick.record(quick_claims, {ADA: done("2", score=2)}),
    }
    for name in order.split():
        assert records[name]() == frozenset()
    fields = {"score": 0, "old": 0}
    return quick.claim(asks("1", "2", "3", attributes=fields)).states[ADA]


WHOLE = PersonState(
    ids("1", "2"), {"score": NOON + timedelta(seconds=2), "old": NOON + timedelta(seconds=5)}
)


@pytest.mark.parametrize("order", ["slow quick", "quick slow"])
def test_a_lease_lost_while_its_holder_works_loses_nothing(order: str) -> None:
    """Both records stand, the newest times with them, and the lease is free again."""
    assert after_a_lost_lease(InMemoryMemoryStore(), order) == WHOLE


@pytest.mark.parametrize("order", ["slow quick", "quick slow"])
def test_without_the_condition_the_second_record_would_erase_the_first(order: str) -> None:
    """The control."""
    assert after_a_lost_lease(CarelessMemoryStore(), order) != WHOLE


def test_a_late_record_leaves_the_successors_lease_alone(clock: FixedClock) -> None:
    """Or a third would be let in while the successor works."""
    slow = InMemoryLedger(clock)
    slow_claims = slow.claim(asks("1"))
    clock.advance(LEASE_SECONDS)
    slow.claim(asks("2"))
    slow.record(slow_claims, {ADA: done("1")})

    assert ADA in slow.claim(asks("3")).busy


@pytest.mark.parametrize("skew", [-2.0, 2.0])
def test_clocks_two_seconds_apart_do_not_let_two_in(skew: float) -> None:
    """The lease is longer than its holder lives by more than that."""
    here, there = FixedClock(), FixedClock(NOON + timedelta(seconds=skew))
    ledger = InMemoryLedger(here, lease_seconds=65)  # of a function that ends after 60
    ledger.claim(asks("1"))
    there.advance(60)

    assert ADA in ledger.seen_by(there).claim(asks("2")).busy


def test_a_full_person_is_neither_leased_nor_lost(ledger: InMemoryLedger) -> None:
    """Delivery is told, so that the jobs can be parked with a reason."""
    state = done(**{f"a{n}": 0 for n in range(21_850)})
    ledger.record(ledger.claim(asks("1")), {ADA: state})

    claims = ledger.claim(asks("2", attributes={f"b{n}": n for n in range(100)}))

    assert claims.full == {ADA}
    assert not claims.states
    assert not claims.leases


# -- a store in trouble ------------------------------------------------------------------------


def test_nothing_is_claimed_of_a_store_that_does_not_answer(ledger: InMemoryLedger) -> None:
    """The error has the store's code, and the tries are counted."""
    ledger.store.fails = lambda *_: "ThrottlingException"

    with pytest.raises(LedgerUnavailableError, match="ThrottlingException"):
        ledger.claim(crowd(3))
    assert len(ledger.store.calls) == TRIES


def test_nothing_is_claimed_that_was_not_written(ledger: InMemoryLedger) -> None:
    """Reading alone leases nobody."""
    ledger.store.fails = lambda operation, _: "down" if operation == "write" else None

    with pytest.raises(LedgerUnavailableError, match="down"):
        ledger.claim(crowd(3))


@pytest.mark.parametrize("operation", ["read", "write"])
def test_one_item_that_keeps_failing_keeps_nobody_else(
    ledger: InMemoryLedger, operation: str
) -> None:
    """It is busy, the others are leased, and the trouble is told."""
    victim = InMemoryLedger(FixedClock())
    victim.claim(asks("1"))
    (bad,) = victim.store.items
    ledger.store.fails = lambda what, id_: "slow" if (what, id_) == (operation, bad) else None

    claims = ledger.claim([*asks("1"), *asks("2", person="bob")])

    assert claims.leases.keys() == {("external_id", "bob")}
    assert claims.busy == {ADA: 1.5}
    assert claims.troubles == {"slow": 1}


@pytest.mark.parametrize("operation", ["read", "write"])
def test_items_refused_for_a_moment_are_tried_again(ledger: InMemoryLedger, operation: str) -> None:
    """UnprocessedKeys and single throttled statements lose nobody."""
    seen: set[tuple[str, str]] = set()

    def once(what: str, id_: str) -> str | None:
        if what != operation or (what, id_) in seen:
            return None
        seen.add((what, id_))
        return "unprocessed"

    ledger.store.fails = once
    claims = ledger.claim(crowd(20))
    assert len(claims.leases) == 20
    assert not claims.troubles
    seen.clear()
    assert ledger.record(claims, dict.fromkeys(claims.states, PersonState())) == frozenset()
    ledger.store.fails = lambda *_: None
    assert not ledger.claim(crowd(20)).busy


def test_a_write_whose_answer_is_lost_is_recognised_as_our_own(ledger: InMemoryLedger) -> None:
    """Neither does the lease lock us out, nor is the record made twice."""
    lost: list[str] = []

    def once(id_: str) -> str | None:
        lost.append(id_)
        return "ReadTimeoutError" if len(lost) in {1, 2} else None

    ledger.store.loses = once
    claims = ledger.claim(asks("1"))
    assert ADA in claims.leases
    assert ledger.record(claims, {ADA: done("1")}) == frozenset()
    assert len(lost) == 2


def test_what_cannot_be_recorded_is_named(ledger: InMemoryLedger) -> None:
    """Delivery decides; the lease runs out and the job is interrupted then."""
    claims = ledger.claim([*asks("1"), *asks("2", person="bob")])
    (bad,) = [id_ for id_ in ledger.store.items if id_ == _id_of_ada()]
    ledger.store.fails = lambda _, id_: "down" if id_ == bad else None

    assert ledger.record(claims, dict.fromkeys(claims.states, PersonState())) == {ADA}


def _id_of_ada() -> str:
    other = InMemoryLedger(FixedClock())
    other.claim(asks("1"))
    (id_,) = other.store.items
    return id_


def test_trying_ends_when_its_time_is_over(clock: FixedClock) -> None:
    """A slow store does not use up the Lambda's time."""
    ledger = InMemoryLedger(clock)
    moments = iter([0.0, 1.0, 1.0, 6.0])
    ledger._monotonic = lambda: next(moments)
    ledger.store.fails = lambda *_: "slow"

    with pytest.raises(LedgerUnavailableError):
        ledger.claim(asks("1"))
    assert len(ledger.store.calls) == 2


def test_a_memory_of_a_later_version_is_left_alone(ledger: InMemoryLedger) -> None:
    """After a rollback nobody is taken for unknown, and nothing is overwritten."""
    ledger.record(ledger.claim(asks("1")), {ADA: done("1")})
    ((id_, stored),) = ledger.store.items.items()
    ledger.store.items[id_] = later = stored._replace(data=b"\x02" + stored.data[1:])

    claims = ledger.claim([*asks("1"), *asks("2", person="bob")])

    assert claims.busy.keys() == {ADA}
    assert claims.troubles == {UNREADABLE: 1}
    assert ledger.store.items[id_] == later


def test_an_item_the_store_should_have_deleted_counts_as_gone(
    ledger: InMemoryLedger, clock: FixedClock
) -> None:
    """DynamoDB deletes days late; 30 days are 30 days."""
    claimants = asks("1", attributes={"score": 1})
    ledger.record(ledger.claim(claimants), {ADA: done("1", score=1)})
    clock.advance(30 * 86_400 - 1)
    assert ledger.claim(claimants).states[ADA].delivered == ids("1")
    clock.advance(1)
    claims = ledger.claim(claimants)
    assert claims.states[ADA] == PersonState()
    assert ADA in claims.leases


def test_an_item_deleted_under_a_lease_is_made_again(ledger: InMemoryLedger) -> None:
    """What was learnt is kept whatever happened to the item."""
    claims = ledger.claim(asks("1"))
    ledger.store.items.clear()

    assert ledger.record(claims, {ADA: done("1")}) == frozenset()
    assert ledger.claim(asks("1")).states[ADA].delivered == ids("1")


def test_no_key_no_claim() -> None:
    """Under a wrong key everything would look new."""
    ledger = InMemoryLedger(FixedClock())

    def no_key() -> bytes:
        raise SecretUnavailableError("no key")

    ledger._key = no_key
    with pytest.raises(LedgerUnavailableError):
        ledger.claim(asks("1"))
    assert not ledger.store.calls
