"""When the gate closes, for how long, and how many requests may be in flight."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.braze.rate_limits import RateLimit
from braze_bridge.gate.rules import (
    LONGEST_CLOSING,
    OPEN,
    PACED,
    RATE_LIMITED,
    GateState,
    close_gate,
    end_series,
    latest,
    most_in_flight,
    note_success,
    open_gate,
    paced_until,
    reserve,
    wait_behind_gate,
)
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

REFUSALS = [RATE_LIMITED, "key_refused", "permission_missing", "requests_refused"]

reasons = st.sampled_from([PACED, *REFUSALS])
millis = st.integers(-1_000, 700_000_000).map(lambda each: each / 1_000)
seconds = st.integers(-100, 5_000) | millis
steps = st.lists(
    st.tuples(
        st.sampled_from(["close", "success", "wait out"]), st.integers(0, 5_000), seconds, reasons
    ),
    max_size=12,
)
"""What the Lambdas do, how long after the step before, and the time and reason of a closing."""


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def histories(taken: list[tuple[str, float, float, str]]) -> Iterator[tuple[GateState, datetime]]:
    """Yield each state of a gate with its time."""
    state, now = OPEN, NOON
    yield state, now
    for what, later, asked, reason in taken:
        now += after(later)
        if what == "wait out":
            now = max(now, state.closed_until or now)
        elif what == "success":
            state = note_success(state, now)
        else:
            state = close_gate(state, now + after(asked), reason, now)
        yield state, now


@given(steps, seconds, reasons)
def test_a_closing_is_never_shortened_and_never_lasts_over_61_minutes(
    taken: list[tuple[str, float, float, str]], asked: float, reason: str
) -> None:
    """A longer time replaces a shorter one, as far as the longest."""
    for state, now in histories(taken):
        until = now + after(asked)
        closed = close_gate(state, until, reason, now)
        assert closed.closed_until is not None
        assert state.closed_until is None or closed.closed_until >= state.closed_until
        assert closed.closed_until - now <= LONGEST_CLOSING
        assert closed.seconds <= LONGEST_CLOSING.total_seconds()
        slack = after(0) if reason == RATE_LIMITED else after(1)
        longest = closed.closed_until - after(closed.seconds) + LONGEST_CLOSING
        assert closed.closed_until + slack >= min(until, longest - after(0.001))
        assert reason == PACED or state.is_closed(now) or closed.is_closed(now + after(0.999))


@given(steps, seconds, reasons)
def test_every_closing_over_a_minute_is_probed_until_a_success(
    taken: list[tuple[str, float, float, str]], asked: float, reason: str
) -> None:
    """Whatever the reason."""
    for state, now in histories(taken):
        closed = close_gate(state, now + after(asked), reason, now)
        over = closed.closed_until
        assert over is not None
        assert over - now <= after(60) or closed.needs_probe(over)
        if over >= now:
            assert not end_series(closed, over).needs_probe(over)
            assert not note_success(closed, over).needs_probe(over)


@given(steps)
def test_a_success_opens_no_gate_that_is_still_closed(
    taken: list[tuple[str, float, float, str]],
) -> None:
    """It may be the answer to a request from before the closing."""
    for state, now in histories(taken):
        if state.is_closed(now):
            assert end_series(state, now) is state
            assert note_success(state, now).closed_until == state.closed_until


@given(steps)
def test_the_last_success_is_at_most_a_minute_old_and_written_once_a_minute(
    taken: list[tuple[str, float, float, str]],
) -> None:
    """No closing and no opening forgets it."""
    for state, now in histories(taken):
        noted = note_success(state, now)
        assert noted.last_success is not None
        assert now - noted.last_success < after(60)
        known = state.last_success
        assert known is None or noted.last_success == known or now - known >= after(60)
        assert note_success(noted, now + after(0)) is noted or noted.is_closed(now)
        for changed in (open_gate(state), close_gate(state, now + after(90), RATE_LIMITED, now)):
            assert changed.last_success == known


def test_a_rate_limit_closes_until_the_headers_time_and_then_opens_for_all() -> None:
    """It needs no probe: the window is over."""
    state = close_gate(OPEN, NOON + after(20), RATE_LIMITED, NOON)
    assert state.is_closed(NOON + after(19.999))
    assert not state.is_closed(NOON + after(20))
    assert not state.needs_probe(NOON + after(20))


def test_a_rate_limit_of_days_is_cut_and_probed() -> None:
    """One odd header stops nothing for longer than Braze's longest window."""
    state = close_gate(OPEN, NOON + after(500_000), RATE_LIMITED, NOON)
    assert state.closed_until == NOON + timedelta(minutes=61)
    assert state.needs_probe(state.closed_until)


@pytest.mark.parametrize("reason", REFUSALS)
def test_failed_tries_double_the_closing_up_to_15_minutes(reason: str) -> None:
    """The state keeps the start of the series."""
    state = close_gate(OPEN, NOON + after(60), reason, NOON)
    now, lengths = NOON, [60.0]
    for _ in range(6):
        assert state.closed_until is not None
        assert state.needs_probe(state.closed_until)
        now = state.closed_until + after(31)  # the refusal is measured from when it came
        state = close_gate(state, now + after(60), reason, now)
        assert state.closed_until is not None
        lengths.append((state.closed_until - now).total_seconds())
    assert lengths == [60, 120, 240, 480, 900, 900, 900]
    assert state.since == NOON


def test_a_limit_that_always_says_one_second_backs_off_too() -> None:
    """A job would otherwise use up its 1,000 receives in half an hour."""
    state, now, tries = OPEN, NOON, 0
    while now < NOON + timedelta(hours=1):
        state = close_gate(state, now + after(1), RATE_LIMITED, now)
        assert state.closed_until is not None
        now, tries = state.closed_until, tries + 1
    assert tries < 20


def test_a_success_between_two_refusals_ends_the_doubling() -> None:
    """A busy limit refuses now and then."""
    state, now = OPEN, NOON
    for _ in range(20):
        state = close_gate(state, now + after(3), RATE_LIMITED, now)
        assert state.closed_until == now + after(3)
        now += after(4)
        state = note_success(state, now)


def test_late_refusals_of_old_requests_are_no_failed_tries() -> None:
    """Twenty requests in flight all get the 401; the gate is closed once, for a minute."""
    state = close_gate(OPEN, NOON + after(60), "key_refused", NOON)
    for number in range(20):
        late = NOON + after(number / 100)
        assert close_gate(state, late + after(60), "key_refused", late) is state


def test_a_rate_limit_within_a_series_keeps_the_series() -> None:
    """A 429 to a probe is not about the key."""
    state = close_gate(OPEN, NOON + after(60), "key_refused", NOON)
    state = close_gate(state, NOON + after(300), RATE_LIMITED, NOON + after(61))
    assert state.needs_probe(NOON + after(300))
    assert (state.seconds, state.since) == (239, NOON)


def test_a_pause_for_pacing_starts_no_series() -> None:
    """It follows a success, and a success after it needs no write."""
    paced = close_gate(OPEN, NOON + after(3), PACED, NOON)
    assert end_series(paced, NOON + after(3)) is paced
    refused = close_gate(paced, NOON + after(6), RATE_LIMITED, NOON + after(5))
    assert (refused.closed_until, refused.since) == (NOON + after(6), NOON + after(5))


# -- what waits --------------------------------------------------------------------------------


@given(st.integers(0, 1_000_000), st.integers(-10, 1_000_000))
def test_a_waiting_job_comes_back_in_steps_and_not_after_the_end(age: int, left: int) -> None:
    """A minute at first; a share of the age later; at least a second."""
    now = NOON + after(age)
    wait = wait_behind_gate(NOON, now + after(left), now)
    assert 1 <= wait <= max(left, 1)
    assert wait <= max(60, age / 80)
    assert wait >= min(left, 60)


@pytest.mark.parametrize("asked", [1.0, 60.0, 3_660.0, 500_000.0])
@pytest.mark.parametrize("reason", REFUSALS)
def test_ten_and_a_half_days_behind_the_gate_take_under_900_receives(
    reason: str, asked: float
) -> None:
    """SQS gives 1,000. This is one job without any spread that meets each failed try."""
    state, now, receives = OPEN, NOON, 0
    while now < NOON + timedelta(days=10.5):
        receives += 1
        if not state.is_closed(now):
            state = close_gate(state, now + after(asked), reason, now)
        assert state.since is not None
        assert state.closed_until is not None
        now += after(wait_behind_gate(state.since, state.closed_until, now))
    assert receives < 900


def test_the_keys_alarm_stays_on_for_three_days() -> None:
    """Its period is 1,200 s; a lone job asks at least that often."""
    state = close_gate(OPEN, NOON + after(60), "key_refused", NOON)
    while state.closed_until is not None and state.closed_until < NOON + timedelta(days=3):
        now = state.closed_until
        state = close_gate(state, now + after(60), "key_refused", now)
        assert state.seconds < 1_190


# -- pacing ------------------------------------------------------------------------------------

NOW = 1_000_000_000.0


def limit(remaining: int | None, reset_in: float | None = 2.0, of: int | None = 3_000) -> RateLimit:
    return RateLimit(of, remaining, None if reset_in is None else NOW + reset_in)


@pytest.mark.parametrize(
    ("rate_limit", "lambdas", "most"),
    [
        (None, 10, None),
        (limit(None), 10, None),
        (limit(5, of=None), 10, None),
        (limit(3_000), 10, 146),
        (limit(475), 10, 20),
        (limit(95), 10, 1),
        (limit(76), 10, 1),
        (limit(75), 10, 0),
        (limit(0), 10, 0),
        (limit(475), 1, 200),
        (limit(0, 0.0), 10, 146),  # the window is over: a full one
        (limit(0, -3.0), 10, 146),
        (limit(0, None), 10, 146),
        (limit(1, of=10), 10, 1),  # nothing is held back of a tiny limit
        (limit(0, of=10), 10, 0),
    ],
)
def test_fewer_requests_may_be_in_flight_as_the_limit_is_used_up(
    rate_limit: RateLimit | None, lambdas: int, most: int | None
) -> None:
    """Half of what is left above the reserve, shared by all Lambdas; 0 only at the reserve."""
    assert most_in_flight(rate_limit, NOW, lambdas) == most


@pytest.mark.parametrize(
    ("of", "held"), [(10, 0), (19, 0), (20, 1), (100, 3), (250, 7), (3_000, 75), (250_000, 6_250)]
)
def test_the_reserve_is_a_fortieth(of: int, held: int) -> None:
    """97.5 % of the limit is used."""
    assert reserve(of) == held


def test_a_used_up_limit_tells_when_it_is_full_again() -> None:
    """Seconds from now are whole and may be rounded down: one more; an epoch is exact."""
    assert paced_until(limit(75, 2.0), NOW, 10) == NOW + 2
    assert paced_until(limit(75, 2.5), NOW, 10) == NOW + 3.5
    assert paced_until(limit(76, 2.0), NOW, 10) is None
    assert paced_until(limit(0, None), NOW, 10) is None
    assert paced_until(None, NOW, 10) is None


@pytest.mark.parametrize(
    ("known", "seen", "wins"),
    [
        (None, limit(9), "seen"),
        (limit(9), limit(8), "seen"),
        (limit(8), limit(9), "known"),  # overtaken on the way
        (limit(8, 2.0), limit(2_999, 5.0), "seen"),  # the next window
        (limit(8, 0.0), limit(2_999, 3.0), "seen"),
        (limit(8, 2.0), limit(9, 2.9), "known"),  # the same one, told in whole seconds
        (limit(None), limit(9), "seen"),
        (limit(8), limit(None), "known"),
        (limit(8), limit(9, None), "seen"),
    ],
)
def test_answers_that_overtake_each_other_are_put_in_order(
    known: RateLimit | None, seen: RateLimit, wins: str
) -> None:
    """Within a window the smaller remainder is the later one."""
    assert latest(known, seen, NOW) is (seen if wins == "seen" else known)


@dataclass
class Simulated:
    """The result of a minute of sending as fast as allowed."""

    used: float
    refused: float


def simulate(
    lambdas: int, connections: int, latency: float, *, seconds_dialect: bool, paced: bool = True
) -> Simulated:
    """Lambdas with a full queue against 3,000 requests / 3 s, on a virtual clock.

    A refused request closes the gate of its own Lambda only: the worst case, nothing shared.
    """
    chance = random.Random(7)
    requests, window, length = 3_000, 3.0, 60.0
    counts: dict[int, int] = {}
    in_flight = [0] * lambdas
    known: list[RateLimit | None] = [None] * lambdas
    closed = [0.0] * lambdas
    events = [(number / 1_000, number, "go", number, None) for number in range(lambdas)]
    made = lambdas
    while events:
        now, _, kind, each, told = heapq.heappop(events)
        if now > length:
            break
        if kind == "arrives":
            frame = int(now // window)
            counts[frame] = counts.get(frame, 0) + 1
            told = None
            if counts[frame] <= requests:
                reset = (frame + 1) * window
                told = (requests - counts[frame], int(reset - now) if seconds_dialect else reset)
            made += 1
            back = now + latency * (0.25 + chance.random() / 2)
            heapq.heappush(events, (back, made, "answer", each, told))  # type: ignore[misc]
            continue
        if kind == "answer":
            in_flight[each] -= 1
            if told is None:
                closed[each] = (now // window + 1) * window
            else:
                remaining, reset = told
                reset_at = now + reset if seconds_dialect else reset
                seen = RateLimit(requests, remaining, float(reset_at))
                known[each] = latest(known[each], seen, now)
                closed[each] = (paced_until(known[each], now, lambdas) or 0.0) if paced else 0.0
        if now < closed[each]:
            made += 1
            heapq.heappush(events, (closed[each], made, "go", each, None))
            continue
        while in_flight[each] < connections:
            most = most_in_flight(known[each], now, lambdas) if paced else None
            if in_flight[each] and most is not None and in_flight[each] >= most:
                break
            in_flight[each] += 1
            made += 1
            there = now + latency * (0.25 + chance.random() / 4)
            heapq.heappush(events, (there, made, "arrives", each, None))
    refused = sum(max(count - requests, 0) for count in counts.values())
    full = [min(counts.get(frame, 0), requests) for frame in range(1, int(length / window) - 1)]
    return Simulated(sum(full) / len(full) / requests, refused / sum(counts.values()))


@pytest.mark.parametrize("seconds_dialect", [False, True])
@pytest.mark.parametrize(
    ("lambdas", "connections", "latency"),
    [(10, 64, 0.2), (10, 40, 0.2), (2, 200, 0.2), (1, 100, 0.05)],
)
def test_97_percent_of_the_limit_is_used_and_none_refused(
    lambdas: int, connections: int, latency: float, seconds_dialect: bool
) -> None:
    """Ten Lambdas, a virtual minute; they share only Braze's headers."""
    result = simulate(lambdas, connections, latency, seconds_dialect=seconds_dialect)
    assert result.used >= 0.97
    assert result.refused <= 0.001


def test_without_pacing_braze_refuses() -> None:
    """The control."""
    assert simulate(10, 64, 0.2, seconds_dialect=False, paced=False).refused > 0.01
