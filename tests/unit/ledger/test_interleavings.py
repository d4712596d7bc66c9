"""Any order of leases, records, crashes and passing time, against a plain model."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from braze_bridge.ledger.port import Leases, PersonState
from tests.fakes.clock import FixedClock
from tests.fakes.delivery_jobs import job
from tests.fakes.ledger import (
    LEASE_SECONDS,
    CarelessMemoryStore,
    InMemoryLedger,
    InMemoryMemoryStore,
)

if TYPE_CHECKING:
    from braze_bridge.jobs.envelope import DeliveryJob

PEOPLE = ("ada", "bob")
JOBS = ("1", "2", "3")
MONTH = timedelta(days=30, seconds=-1)
"""Times are stored in whole seconds."""


class Holder:
    """One Lambda's lease of one person, as the model sees it."""

    def __init__(
        self,
        ledger: InMemoryLedger,
        leases: Leases,
        at: datetime,
        person: str,
        jobs: frozenset[str],
    ) -> None:
        self.ledger = ledger
        self.leases = leases
        self.at = at
        self.until = at + timedelta(seconds=LEASE_SECONDS)
        self.person = person
        self.jobs = jobs


class Interleavings(RuleBasedStateMachine):
    """Several holders, two people; writes fail and answers are lost at random."""

    holders: Bundle[Holder] = Bundle("holders")
    careless = False

    @initialize()
    def start(self) -> None:
        self.clock = FixedClock()
        self.store = CarelessMemoryStore() if self.careless else InMemoryMemoryStore()
        self.leased: dict[str, Holder] = {}
        self.delivered: dict[tuple[str, str], datetime] = {}
        self.newest: dict[str, datetime] = {}
        self.touched: dict[str, datetime] = {}
        self.unsettled: dict[tuple[str, str], Holder] = {}
        self.store_errors: list[str] = []
        self.intruders: list[object] = []
        self.store.fails = lambda *_: self.store_errors.pop() if self.store_errors else None
        self.store.loses = lambda _: None

    def lambda_(self) -> InMemoryLedger:
        return InMemoryLedger(self.clock, self.store)

    def jobs(self, person: str, jobs: set[str]) -> list[DeliveryJob]:
        return [job(each, person, attributes={"score": 1}, events=1) for each in sorted(jobs)]

    @rule(
        target=holders,
        person=st.sampled_from(PEOPLE),
        jobs=st.sets(st.sampled_from(JOBS), min_size=1),
        failures=st.integers(0, 2),
        intruder=st.booleans(),
    )
    def lease(
        self, person: str, jobs: set[str], failures: int, intruder: bool
    ) -> MultipleResults[Holder]:
        """A Lambda asks for a lease; another one may ask between its read and its write."""
        got: list[Holder] = []

        def ask() -> None:
            ledger = self.lambda_()
            leases = ledger.lease(self.jobs(person, jobs))
            holder = self.check(ledger, leases, person, jobs)
            if holder is not None:
                got.append(holder)

        def between(operation: str) -> None:
            if operation == "write":
                self.store.before = lambda _: None
                ask()

        if intruder:
            self.store.before = between
        self.store_errors = ["slow"] * failures
        ask()
        self.store.before = lambda _: None
        self.store_errors = []
        return multiple(*got)

    def check(
        self, ledger: InMemoryLedger, leases: Leases, person: str, jobs: set[str]
    ) -> Holder | None:
        """Compare an answer with the model."""
        now = self.clock.now()
        key = ("external_id", person)
        holder = self.leased.get(person)
        is_leased = holder is not None and holder.until > now
        if key in leases.busy:
            assert is_leased, "busy without a holder"
            return None
        state = leases.states[key]
        for each in jobs:
            id_ = f"outgrow:default:{each}"
            at = self.delivered.get((person, each))
            if at is not None and now - at < MONTH:
                assert id_ in state.delivered, "a delivered job was forgotten"
            before = self.unsettled.get((person, each))
            if (
                before is not None
                and before.until <= now < before.at + MONTH
                and key in leases.held
            ):
                assert f"{id_}#0" in state.doubtful, "an unknown outcome was forgotten"
        newest = self.newest.get(person)
        if newest is not None and now - self.touched[person] >= MONTH:
            del self.newest[person]
        elif newest is not None:
            assert state.newest.get("score", (newest, newest)) >= (newest, newest), (
                "the newest time went back"
            )
            assert "score" in state.newest, "the newest time was forgotten"
        if key not in leases.held:
            return None
        assert not is_leased, "leased twice at once"
        asked = {each: f"outgrow:default:{each}" for each in jobs}
        open_ = frozenset(each for each, id_ in asked.items() if id_ not in state.delivered)
        mine = Holder(ledger, leases, now, person, open_)
        self.leased[person] = mine
        self.touched[person] = now
        for each in mine.jobs:
            self.unsettled[person, each] = mine
        return mine

    @rule(
        holder=consumes(holders),
        settled=st.booleans(),
        offset=st.integers(-100, 100),
        failures=st.integers(0, 2),
        lost=st.booleans(),
    )
    def record(self, holder: Holder, settled: bool, offset: int, failures: int, lost: bool) -> None:
        """A holder records, within its lease or long after it."""
        key = ("external_id", holder.person)
        at = self.clock.now() + timedelta(seconds=offset)
        ids = {f"outgrow:default:{each}" for each in holder.jobs}
        state = (
            PersonState(frozenset(ids), {"score": (at, at)})
            if settled
            else PersonState(attempts=dict.fromkeys(ids, 1))
        )
        losses = ["ReadTimeoutError"] if lost else []
        self.store.loses = lambda _: losses.pop() if losses else None
        self.store_errors = ["slow"] * failures
        assert holder.ledger.record(holder.leases, {key: state}) == frozenset()
        self.store_errors = []
        now = self.clock.now()
        if now - self.touched[holder.person] >= MONTH:
            self.newest.pop(holder.person, None)
        self.touched[holder.person] = now
        in_time = self.leased.get(holder.person) is holder
        if in_time:
            del self.leased[holder.person]
        for each in holder.jobs:
            if settled:
                self.delivered[holder.person, each] = now
                self.unsettled.pop((holder.person, each), None)
            elif self.unsettled.get((holder.person, each)) is holder and in_time:
                del self.unsettled[holder.person, each]
        if settled:
            self.newest[holder.person] = max(self.newest.get(holder.person, at), at)

    @rule(holder=consumes(holders))
    def crash(self, holder: Holder) -> None:
        """The holder crashes: it never records."""

    @rule(seconds=st.sampled_from([0.5, 30, LEASE_SECONDS, 86_400, 29 * 86_400]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    @invariant()
    def items_are_few(self) -> None:
        """One a person."""
        if hasattr(self, "store"):
            assert len(self.store.items) <= len(PEOPLE)


class CarelessInterleavings(Interleavings):
    """The same over a store that ignores conditions."""

    careless = True


BUDGET = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_no_order_of_events_breaks_a_guarantee() -> None:
    """No person is leased twice, no delivered job is forgotten, no time goes back."""
    run_state_machine_as_test(Interleavings, settings=BUDGET)


def test_the_model_notices_a_store_without_conditions() -> None:
    """The control: the same machine finds a broken guarantee."""
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            CarelessInterleavings,
            settings=settings(BUDGET, max_examples=300, database=None, phases=[Phase.generate]),
        )
