"""The gate that all Lambdas share, over a store that can fail."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.braze.rate_limits import RateLimit
from braze_bridge.gate.port import ADMITTED, Gate
from braze_bridge.gate.rules import OPEN, PACED, UNREADABLE
from braze_bridge.gate.shared import ALL, GateStoreUnavailableError
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.gate import CarelessGateStore, InMemoryGate, InMemoryGateStore, NoGate

TRACK = EndpointFamily.TRACK
EXPORT = EndpointFamily.EXPORT_IDS


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def gate(clock: FixedClock) -> InMemoryGate:
    return InMemoryGate(clock)


def starts_after_a_429(ours: Gate, theirs: Gate, clock: FixedClock) -> list[float]:
    """Seconds, after one Lambda's 429 with 20 s to wait, at which the other may start requests."""
    assert theirs.may_start(TRACK, 0)
    ours.close(TRACK, at(20), "rate_limited")
    starts = []
    for _ in range(210):
        if theirs.may_start(TRACK, 0):
            starts.append((clock.now() - NOON).total_seconds())
        clock.advance(0.1)
    return starts


def test_no_lambda_starts_a_request_later_than_a_second_after_a_429(clock: FixedClock) -> None:
    """For the whole time of the header; then they continue."""
    ours = InMemoryGate(clock)
    starts = starts_after_a_429(ours, ours.seen_by(clock), clock)

    assert [each for each in starts if 0.51 < each < 20] == []
    assert any(each >= 20 for each in starts)


def test_without_a_gate_requests_start_during_a_429(clock: FixedClock) -> None:
    """The control."""
    starts = starts_after_a_429(NoGate(), NoGate(), clock)
    assert [each for each in starts if 1 < each < 20] != []


def test_the_lambda_that_got_the_429_stops_at_once(gate: InMemoryGate, clock: FixedClock) -> None:
    """It need not read its own closing."""
    assert gate.admit(TRACK) == ADMITTED
    gate.close(TRACK, at(20), "rate_limited")
    assert not gate.may_start(TRACK, 0)
    assert gate.closed_until(TRACK) == at(20)
    assert gate.admit(TRACK).reason == "rate_limited"


def test_a_batch_costs_one_read_and_a_long_one_two_a_second(
    gate: InMemoryGate, clock: FixedClock
) -> None:
    """The number of checks does not matter."""
    gate.admit(TRACK)
    for _ in range(100):
        gate.may_start(TRACK, 3)
    assert gate.store.reads == 1
    for _ in range(100):
        clock.advance(0.02)
        gate.may_start(TRACK, 3)
    assert gate.store.reads <= 5


def test_a_family_closes_alone_and_all_close_together(clock: FixedClock) -> None:
    """403 and 429 close one family, 401 closes all."""
    ours = InMemoryGate(clock)
    ours.close(TRACK, at(60), "permission_missing")
    theirs = ours.seen_by(clock)
    assert theirs.admit(TRACK).closed_until == at(60)
    assert theirs.admit(EXPORT) == ADMITTED

    ours.close(None, at(90), "key_refused")
    assert {theirs.admit(family).closed_until for family in EndpointFamily} == {at(90)}


def test_a_longer_closing_stands(clock: FixedClock) -> None:
    """Even if another Lambda, which has not read it, closes for less time."""
    ours = InMemoryGate(clock)
    theirs = ours.seen_by(clock)
    theirs.admit(TRACK)
    ours.close(TRACK, at(300), "rate_limited")
    theirs.close(TRACK, at(20), "rate_limited")
    assert theirs.closed_until(TRACK) == at(300)
    assert ours.seen_by(clock).admit(TRACK).closed_until == at(300)


def test_without_the_condition_the_shorter_closing_would_win(clock: FixedClock) -> None:
    """The control."""
    ours = InMemoryGate(clock, CarelessGateStore())
    theirs = ours.seen_by(clock)
    theirs.admit(TRACK)
    ours.close(TRACK, at(300), "rate_limited")
    theirs.close(TRACK, at(20), "rate_limited")
    assert ours.seen_by(clock).admit(TRACK).closed_until == at(20)


def test_a_hundred_equal_refusals_write_once(gate: InMemoryGate) -> None:
    """The answers of the other requests in flight change nothing."""
    for _ in range(100):
        gate.close(TRACK, at(20), "rate_limited")
        gate.close(None, at(60), "key_refused")
    assert gate.store.writes == 2


def probers(store: InMemoryGateStore) -> int:
    """Count how many of two Lambdas that read at the same instant may probe."""
    clock = FixedClock()
    first, second = InMemoryGate(clock, store), InMemoryGate(clock, store)
    first.close(None, at(60), "key_refused")
    clock.advance(60)
    admitted = []

    def between(operation: str) -> None:
        if operation == "write":
            store.before = lambda _: None
            admitted.append(second.admit(TRACK))

    store.before = between
    admitted.append(first.admit(TRACK))
    return sum(each.is_probe for each in admitted)


def test_one_lambda_probes_and_the_others_wait() -> None:
    """A conditional write decides."""
    assert probers(InMemoryGateStore()) == 1


def test_without_the_condition_both_would_probe() -> None:
    """The control."""
    assert probers(CarelessGateStore()) == 2


def test_a_probe_is_one_request_at_a_time_and_its_success_opens_for_all(
    gate: InMemoryGate, clock: FixedClock
) -> None:
    """Only a success does."""
    gate.close(None, at(60), "key_refused")
    clock.advance(60)
    others = gate.seen_by(clock)

    assert gate.admit(TRACK).is_probe
    assert gate.may_start(TRACK, 0)
    assert not gate.may_start(TRACK, 1)
    assert others.admit(TRACK).closed_until == at(90)
    gate.record_success(TRACK, None)

    assert gate.may_start(TRACK, 19)
    assert others.admit(TRACK) == ADMITTED
    assert gate.store.items[ALL].state == OPEN


def test_a_failed_probe_doubles_the_closing_for_all(gate: InMemoryGate, clock: FixedClock) -> None:
    """From one minute to two."""
    gate.close(None, at(60), "key_refused")
    clock.advance(61)
    gate.admit(TRACK)
    gate.close(None, at(121), "key_refused")

    assert gate.seen_by(clock).admit(TRACK).closed_until == at(61 + 120)
    assert not gate.may_start(TRACK, 0)


def test_a_success_of_another_lambda_opens_nothing(gate: InMemoryGate, clock: FixedClock) -> None:
    """It may be the answer to a request from before the closing."""
    gate.close(None, at(60), "key_refused")
    gate.record_success(TRACK, None)
    assert gate.admit(TRACK).closed_until == at(60)


def test_a_used_up_limit_closes_for_all_until_it_is_full_again(clock: FixedClock) -> None:
    """Before Braze answers 429. The next window starts on time."""
    ours = InMemoryGate(clock, lambdas=10)
    reset = at(3).timestamp()
    ours.record_success(TRACK, RateLimit(3_000, 400, reset))
    assert ours.may_start(TRACK, 15)
    assert not ours.may_start(TRACK, 16)
    ours.record_success(TRACK, RateLimit(3_000, 75, reset))

    assert not ours.may_start(TRACK, 0)
    admission = ours.seen_by(clock).admit(TRACK)
    assert (admission.closed_until, admission.reason) == (at(3), PACED)
    clock.advance(3)
    assert ours.may_start(TRACK, 15)


def test_with_nothing_in_flight_a_request_may_start_unless_it_is_closed(
    gate: InMemoryGate,
) -> None:
    """Pacing never stops a Lambda that has no answer to wait for."""
    for remaining in (3_000, 76, 75, 10, 0):
        gate.record_success(TRACK, RateLimit(3_000, remaining, at(3).timestamp()))
        assert gate.may_start(TRACK, 0) is (gate.closed_until(TRACK) is None)


def test_a_gate_that_cannot_be_read_is_closed_for_seconds(
    gate: InMemoryGate, clock: FixedClock
) -> None:
    """At the start and in the middle of a batch; it opens as soon as it can be read."""
    gate.store.refusing = True
    assert gate.admit(TRACK).reason == UNREADABLE
    assert gate.closed_until(TRACK) == at(5)
    gate.store.refusing = False
    assert gate.admit(TRACK) == ADMITTED

    gate.store.refusing = True
    clock.advance(0.6)
    assert not gate.may_start(TRACK, 2)


def test_an_unwritten_closing_holds_in_this_lambda_and_is_written_later(
    gate: InMemoryGate, clock: FixedClock
) -> None:
    """Until then the other Lambdas depend on their own answers."""
    gate.admit(TRACK)
    gate.store.refusing = True
    gate.close(TRACK, at(60), "rate_limited")
    assert gate.closed_until(TRACK) == at(60)
    gate.store.refusing = False
    assert gate.seen_by(clock).admit(TRACK) == ADMITTED

    clock.advance(1)
    assert gate.admit(TRACK).closed_until == at(60)
    assert gate.seen_by(clock).admit(TRACK).closed_until == at(60)


def test_operators_can_read_and_open_the_gate(gate: InMemoryGate, clock: FixedClock) -> None:
    """They see reason and start; opening ends the series of probes."""
    others = gate.seen_by(clock)
    others.admit(TRACK)
    gate.close(None, at(60), "key_refused")
    clock.advance(10)
    assert not others.may_start(TRACK, 0)
    shown = gate.show(list(EndpointFamily))
    assert {name: (state.reason, state.since) for name, state in shown.items()} == {
        ALL: ("key_refused", NOON)
    }

    gate.seen_by(clock).open(None)

    clock.advance(0.5)
    assert others.may_start(TRACK, 0)
    assert not others.admit(TRACK).is_probe


def test_operators_are_told_when_opening_fails(gate: InMemoryGate) -> None:
    """The error tells that the gate may still be closed."""
    gate.store.refusing = True
    with pytest.raises(GateStoreUnavailableError):
        gate.open(TRACK)
