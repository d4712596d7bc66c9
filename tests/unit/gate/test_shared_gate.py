"""The gate that all Lambdas share, over a store that can fail."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.braze.rate_limits import RateLimit
from braze_bridge.gate.port import ADMITTED, Admission, Gate
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


def test_one_lambda_at_a_time_has_its_turn(clock: FixedClock) -> None:
    """Also if two ask at the same moment, and each has read an open gate."""
    ours = InMemoryGate(clock)
    theirs = ours.seen_by(clock)
    assert (ours.admit(EXPORT), theirs.admit(EXPORT)) == (ADMITTED, ADMITTED)

    assert (ours.take_turn(EXPORT, at(6)), theirs.take_turn(EXPORT, at(6))) == (True, False)
    assert theirs.admit(EXPORT) == Admission(at(6), PACED, NOON)
    clock.advance(6)
    assert (theirs.take_turn(EXPORT, at(12)), ours.take_turn(EXPORT, at(12))) == (True, False)


def test_without_conditional_writes_two_lambdas_have_the_same_turn(clock: FixedClock) -> None:
    """The control."""
    ours = InMemoryGate(clock, CarelessGateStore())
    theirs = ours.seen_by(clock)
    assert (ours.admit(EXPORT), theirs.admit(EXPORT)) == (ADMITTED, ADMITTED)

    assert ours.take_turn(EXPORT, at(6))
    assert theirs.take_turn(EXPORT, at(6))


def test_nobody_has_a_turn_behind_a_closing_or_without_the_store(
    gate: InMemoryGate, clock: FixedClock
) -> None:
    """The closing and its reason stay."""
    gate.close(EXPORT, at(60), "permission_missing")
    assert not gate.take_turn(EXPORT, at(90))
    assert gate.admit(EXPORT) == Admission(at(60), "permission_missing", NOON)

    clock.advance(61)
    gate.store.refusing = True
    assert not gate.take_turn(EXPORT, at(90))


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


def test_after_a_minute_each_lambda_sends_one_request_at_a_time_until_one_succeeds(
    gate: InMemoryGate, clock: FixedClock
) -> None:
    """Whatever closed it. The first success opens for all."""
    for reason in ("key_refused", "rate_limited"):
        others = gate.seen_by(clock)
        started = clock.now()
        gate.close(None, started + timedelta(seconds=60), reason)
        assert others.admit(TRACK).closed_until == started + timedelta(seconds=60)
        clock.advance(60)
        for each in (gate, others):
            assert each.admit(TRACK) == ADMITTED
            assert each.may_start(TRACK, 0)
            assert not each.may_start(TRACK, 1)
        gate.record_success(TRACK, None)

        assert gate.may_start(TRACK, 19)
        assert others.admit(TRACK) == ADMITTED
        assert others.may_start(TRACK, 19)
        assert gate.store.items[ALL].state == OPEN


def refused_probes(store: InMemoryGateStore) -> list[float]:
    """Let two Lambdas read at the same instant and report a refusal; return the lengths."""
    clock = FixedClock()
    first, second = InMemoryGate(clock, store), InMemoryGate(clock, store)
    first.close(None, at(60), "key_refused")
    clock.advance(60)
    for each in (first, second):
        each.admit(TRACK)
    lengths = []
    for each in (first, second):
        each.close(None, at(120), "key_refused")
        until = each.seen_by(clock).admit(TRACK).closed_until
        assert until is not None
        lengths.append((until - clock.now()).total_seconds())
        clock.advance(0.2)
    return lengths


def test_the_refusals_of_several_probes_lengthen_the_closing_once() -> None:
    """A conditional write decides."""
    assert refused_probes(InMemoryGateStore()) == [120, 119.8]


def test_without_the_condition_each_refusal_would_lengthen_it() -> None:
    """The control."""
    assert refused_probes(CarelessGateStore()) == [120, 120]


def test_a_lambda_that_dies_while_it_probes_keeps_nobody_waiting(clock: FixedClock) -> None:
    """All families and one are closed, and another Lambda is faster at the family's."""
    ours = InMemoryGate(clock)
    theirs = ours.seen_by(clock)
    ours.close(None, at(60), "key_refused")
    ours.close(TRACK, at(60), "permission_missing")
    clock.advance(61)

    def meanwhile(operation: str) -> None:
        ours.store.before = lambda _: None
        theirs.admit(TRACK)

    ours.store.before = meanwhile
    ours.admit(TRACK)

    clock.advance(1)
    for family in EndpointFamily:
        assert ours.seen_by(clock).admit(family) == ADMITTED


@pytest.mark.parametrize("family", [None, TRACK])
def test_an_admission_says_since_when_the_series_lasts(
    gate: InMemoryGate, clock: FixedClock, family: EndpointFamily | None
) -> None:
    """The first closing's start, also from a gate that could not be written or read."""
    gate.close(family, at(60), "key_refused")
    clock.advance(61)
    gate.close(family, at(121), "key_refused")
    assert gate.seen_by(clock).admit(TRACK) == Admission(at(61 + 120), "key_refused", NOON)

    gate.store.refusing = True
    assert gate.seen_by(clock).admit(TRACK) == Admission(at(66), UNREADABLE, at(61))
    other = gate.seen_by(clock)
    other.close(family, at(71), "rate_limited")
    assert other.admit(TRACK) == Admission(at(71), "rate_limited", at(61))


def test_a_closing_that_cannot_be_written_is_cut_too(gate: InMemoryGate) -> None:
    """It holds in this Lambda, for 61 minutes at most."""
    gate.store.refusing = True
    gate.close(TRACK, at(500_000), "rate_limited")
    assert gate.closed_until(TRACK) == at(3_660)


def test_the_last_success_is_shared_and_costs_a_write_a_minute(
    gate: InMemoryGate, clock: FixedClock
) -> None:
    """Another batch, in another Lambda, sees it; also after a closing and an opening."""
    assert gate.last_success(TRACK) is None
    for _ in range(100):
        gate.record_success(TRACK, None)
        clock.advance(0.5)
    assert gate.store.writes == 1
    assert gate.seen_by(clock).last_success(TRACK) == NOON
    assert gate.last_success(EXPORT) is None

    clock.advance(10)
    gate.record_success(TRACK, None)
    seen = gate.seen_by(clock)
    assert (gate.store.writes, seen.last_success(TRACK)) == (2, at(60))
    gate.close(TRACK, at(90), "rate_limited")
    gate.open(TRACK)
    assert gate.seen_by(clock).last_success(TRACK) == at(60)


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
    assert admission == Admission(at(3), PACED, NOON)
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
    assert others.may_start(TRACK, 19)


def test_operators_are_told_when_opening_fails(gate: InMemoryGate) -> None:
    """The error tells that the gate may still be closed."""
    gate.store.refusing = True
    with pytest.raises(GateStoreUnavailableError):
        gate.open(TRACK)


@pytest.mark.parametrize("limit", [None, RateLimit(3_000, 0, at(3).timestamp())])
def test_the_answers_of_many_requests_ask_a_hanging_store_once(
    gate: InMemoryGate, limit: RateLimit | None
) -> None:
    """Each question would wait for the timeout of the store. The closings hold in this Lambda."""
    gate.admit(TRACK)
    gate.store.refusing = True
    asked: list[str] = []
    gate.store.before = asked.append
    for _ in range(100):
        gate.record_success(TRACK, limit)
        gate.close(TRACK, at(20), "rate_limited")
        gate.may_start(TRACK, 0)
    assert len(asked) == 1
    assert gate.closed_until(TRACK) == at(20)


def test_closings_that_cannot_be_written_cost_one_call_at_the_next_admission(
    gate: InMemoryGate,
) -> None:
    """One for each, and the reading, would take six seconds."""
    gate.store.refusing = True
    gate.close(TRACK, at(20), "rate_limited")
    gate.close(None, at(20), "key_refused")
    asked: list[str] = []
    gate.store.before = asked.append
    assert gate.admit(TRACK).closed_until == at(20)
    assert len(asked) == 1
