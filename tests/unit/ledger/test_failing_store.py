"""The ledger that all Lambdas share, over a store that fails or loses its answers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.ledger.port import Leases, LedgerUnavailableError, PersonState
from braze_bridge.ledger.shared import MAX_FAILED_ATTEMPTS, UNREADABLE
from tests.fakes.clock import FixedClock
from tests.fakes.ledger import LEASE_SECONDS, InMemoryLedger, InMemoryMemoryStore
from tests.unit.ledger.test_shared_ledger import ADA, asks, crowd, done, ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.shared import Writes


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def ledger(clock: FixedClock) -> InMemoryLedger:
    return InMemoryLedger(clock)


def test_no_person_is_leased_if_the_store_does_not_answer(ledger: InMemoryLedger) -> None:
    """The error has the store's code, and the attempts are limited."""
    ledger.store.fails = lambda *_: "ThrottlingException"

    leases = ledger.lease(crowd(3))

    assert (len(leases.busy), len(leases.unanswered), leases.states) == (3, 3, {})
    assert leases.store_errors == {"ThrottlingException": 3}
    assert len(ledger.store.calls) == MAX_FAILED_ATTEMPTS


def test_no_person_is_leased_without_a_write(ledger: InMemoryLedger) -> None:
    """A read is no lease."""
    ledger.store.fails = lambda operation, _: "down" if operation == "write" else None

    leases = ledger.lease(crowd(3))

    assert (leases.states, leases.held, leases.store_errors) == ({}, {}, {"down": 3})


@pytest.mark.parametrize("operation", ["read", "write"])
def test_one_item_that_keeps_failing_affects_no_other(
    ledger: InMemoryLedger, operation: str
) -> None:
    """It is busy, the others are leased, and the error is in the answer."""
    victim = InMemoryLedger(FixedClock())
    victim.lease(asks("1"))
    (bad,) = victim.store.items
    ledger.store.fails = lambda what, id_: "slow" if (what, id_) == (operation, bad) else None

    leases = ledger.lease([*asks("1"), *asks("2", person="bob")])

    assert leases.held.keys() == {("external_id", "bob")}
    assert leases.busy == {ADA: 1.5}
    assert leases.store_errors == {"slow": 1}


@pytest.mark.parametrize("operation", ["read", "write"])
def test_items_that_fail_once_are_tried_again(ledger: InMemoryLedger, operation: str) -> None:
    """UnprocessedKeys and single throttled statements lose no person."""
    seen: set[tuple[str, str]] = set()

    def once(what: str, id_: str) -> str | None:
        if what != operation or (what, id_) in seen:
            return None
        seen.add((what, id_))
        return "unprocessed"

    ledger.store.fails = once
    leases = ledger.lease(crowd(20))
    assert len(leases.held) == 20
    assert not leases.store_errors
    seen.clear()
    assert ledger.record(leases, dict.fromkeys(leases.states, PersonState())) == frozenset()
    ledger.store.fails = lambda *_: None
    assert not ledger.lease(crowd(20)).busy


def test_a_write_whose_answer_is_lost_is_recognised_as_our_own(ledger: InMemoryLedger) -> None:
    """Our own lease does not block us, and the record is not made twice."""
    lost: list[str] = []

    def once(id_: str) -> str | None:
        lost.append(id_)
        return "ReadTimeoutError" if len(lost) in {1, 2} else None

    ledger.store.loses = once
    leases = ledger.lease(asks("1"))
    assert ADA in leases.held
    assert ledger.record(leases, {ADA: done("1")}) == frozenset()
    assert len(lost) == 2


def unanswered(ledger: InMemoryLedger, jobs: list[DeliveryJob]) -> Leases:
    """The lease is written, but no answer tells so."""
    ledger.store.loses = lambda _: "ReadTimeoutError"
    ledger.store.fails = lambda operation, _: "slow" if operation == "read" and held else None
    held = ledger.store.items
    leases = ledger.lease(jobs)
    ledger.store.loses = lambda _: None
    ledger.store.fails = lambda *_: None
    assert not leases.states
    assert leases.unanswered.keys() == {ADA}
    return leases


def test_a_lease_without_an_answer_can_be_ended(ledger: InMemoryLedger, clock: FixedClock) -> None:
    """Nothing was sent under it, so nothing is in doubt after it."""
    jobs = asks("1", events=2)
    leases = unanswered(ledger, jobs)
    assert ADA in ledger.lease(jobs).busy

    assert ledger.record(leases, {ADA: PersonState()}) == frozenset()

    clock.advance(LEASE_SECONDS + 1)
    assert ledger.lease(jobs).states[ADA] == PersonState()


def test_ending_a_lease_without_an_answer_spares_another_lambdas(ledger: InMemoryLedger) -> None:
    """The store refused ours, and another Lambda was quicker."""
    ledger.store.fails = lambda operation, _: "down" if operation == "write" else None
    leases = ledger.lease(asks("1"))
    ledger.store.fails = lambda *_: None
    other = ledger.lease(asks("2"))

    assert ledger.record(leases, {ADA: PersonState()}) == frozenset()

    assert ADA in ledger.lease(asks("3")).busy
    ledger.record(other, {ADA: done("2")})
    assert ledger.lease(asks("2")).states[ADA].delivered == ids("2")


class LateStore(InMemoryMemoryStore):
    """Its first writes reach it later."""

    def __init__(self) -> None:
        super().__init__()
        self.is_late = True
        self.late: list[Callable[[], object]] = []

    def write(self, writes: Writes, *args: Any) -> dict[str, str]:
        if not self.is_late:
            return super().write(writes, *args)
        self.late.append(partial(super().write, writes, *args))
        return dict.fromkeys(writes, "ReadTimeoutError")


def test_a_lease_that_is_written_after_its_end_fails(clock: FixedClock) -> None:
    """A call that hangs may reach the store later than the next one."""
    store = LateStore()
    ledger = InMemoryLedger(clock, store)
    leases = ledger.lease(asks("1"))
    store.is_late = False
    ledger.record(leases, {ADA: PersonState()})
    for write in store.late:
        write()

    assert ADA in ledger.lease(asks("1")).states


def test_unrecorded_people_are_named(ledger: InMemoryLedger) -> None:
    """The lease expires, and the events of its jobs are in doubt then."""
    leases = ledger.lease([*asks("1"), *asks("2", person="bob")])
    (bad,) = [id_ for id_ in ledger.store.items if id_ == _id_of_ada()]
    ledger.store.fails = lambda _, id_: "down" if id_ == bad else None

    assert ledger.record(leases, dict.fromkeys(leases.states, PersonState())) == {ADA}


def _id_of_ada() -> str:
    other = InMemoryLedger(FixedClock())
    other.lease(asks("1"))
    (id_,) = other.store.items
    return id_


def test_attempts_end_when_their_time_is_over(clock: FixedClock) -> None:
    """A slow store does not use up the Lambda's time."""
    ledger = InMemoryLedger(clock)
    moments = iter([0.0, 1.0, 1.0, 6.0])
    ledger._monotonic = lambda: next(moments)
    ledger.store.fails = lambda *_: "slow"

    assert ledger.lease(asks("1")).store_errors == {"slow": 1}
    assert len(ledger.store.calls) == 2


def test_a_memory_of_a_later_version_is_not_changed(ledger: InMemoryLedger) -> None:
    """After a rollback no person counts as new, and nothing is overwritten."""
    ledger.record(ledger.lease(asks("1")), {ADA: done("1")})
    ((id_, stored),) = ledger.store.items.items()
    ledger.store.items[id_] = later = stored._replace(data=b"\x04" + stored.data[1:])

    leases = ledger.lease([*asks("1"), *asks("2", person="bob")])

    assert leases.busy.keys() == {ADA}
    assert leases.store_errors == {UNREADABLE: 1}
    assert ledger.store.items[id_] == later


def test_an_item_the_store_should_have_deleted_counts_as_gone(
    ledger: InMemoryLedger, clock: FixedClock
) -> None:
    """DynamoDB deletes days late; 30 days are 30 days."""
    jobs = asks("1", attributes={"score": 1})
    ledger.record(ledger.lease(jobs), {ADA: done("1", score=1)})
    clock.advance(30 * 86_400 - 1)
    assert ledger.lease(jobs).states[ADA].delivered == ids("1")
    clock.advance(1)
    leases = ledger.lease(jobs)
    assert leases.states[ADA] == PersonState()
    assert ADA in leases.held


def test_an_item_deleted_under_a_lease_is_made_again(ledger: InMemoryLedger) -> None:
    """An update is kept, whatever happened to the item."""
    leases = ledger.lease(asks("1"))
    ledger.store.items.clear()

    assert ledger.record(leases, {ADA: done("1")}) == frozenset()
    assert ledger.lease(asks("1")).states[ADA].delivered == ids("1")


def test_without_a_key_no_person_is_leased() -> None:
    """Under a wrong key everything would look new."""
    ledger = InMemoryLedger(FixedClock())

    def no_key() -> bytes:
        raise SecretUnavailableError("no key")

    ledger._key = no_key
    with pytest.raises(LedgerUnavailableError):
        ledger.lease(asks("1"))
    assert not ledger.store.calls
