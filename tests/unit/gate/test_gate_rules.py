"""When the gate closes, for how long, and how many requests may be in flight."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.braze.rate_limits import RateLimit
from braze_bridge.gate.rules import (
    LONGEST_PROBE_INTERVAL,
    OPEN,
    PACED,
    PROBED_REASONS,
    GateState,
    close_gate,
    latest,
    most_in_flight,
    paced_until,
    reserve,
    start_probe,
)
from tests.fakes.clock import NOON

reasons = st.sampled_from(["rate_limited", PACED, *sorted(PROBED_REASONS)])
instants = st.integers(-3_600, 3_600).map(lambda seconds: NOON + timedelta(seconds=seconds))
states = st.builds(
    GateState,
    st.none() | instants,
    reasons,
    st.none() | instants,
    st.sampled_from([0.0, 60.0, 900.0]),
    st.booleans(),
)


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


@given(states, instants, reasons)
def test_a_closing_is_never_shortened(state: GateState, until: object, reason: str) -> None:
    """A shorter time changes nothing; a longer one replaces it."""
    assert isinstance(until, type(NOON))
    closed = close_gate(state, until, reason, NOON).closed_until
    assert closed is not None
    assert state.closed_until is None or closed >= state.closed_until
    slack = after(1) if reason in {PACED, *PROBED_REASONS} else after(0)
    assert closed + slack >= until


def test_a_rate_limit_closes_until_the_headers_time_and_then_opens_for_all() -> None:
    """It needs no probe: the window is over."""
    state = close_gate(OPEN, NOON + after(20), "rate_limited", NOON)
    assert state.is_closed(NOON + after(19.999))
    assert not state.is_closed(NOON + after(20))
    assert not state.needs_probe(NOON + after(20))


@pytest.mark.parametrize("reason", sorted(PROBED_REASONS))
def test_failed_probes_double_the_closing_up_to_15_minutes(reason: str) -> None:
    """The state keeps the start of the series."""
    state = close_gate(OPEN, NOON + after(60), reason, NOON)
    now, lengths = NOON, [60.0]
    for _ in range(6):
        assert state.closed_until is not None
        now = state.closed_until
        assert state.needs_probe(now)
        state = start_probe(state, now, 30)
        assert state.is_closed(now + after(29))
        now += after(31)  # the refusal is measured from when it came
        state = close_gate(state, now + after(60), reason, now)
        assert state.closed_until is not None
        lengths.append((state.closed_until - now).total_seconds())
    assert lengths == [60, 120, 240, 480, 900, 900, 900]
    assert state.since == NOON
    assert lengths[-1] == LONGEST_PROBE_INTERVAL


def test_late_refusals_of_old_requests_are_no_failed_probes() -> None:
    """Twenty requests in flight all get the 401; the gate is closed once, for a minute."""
    state = close_gate(OPEN, NOON + after(60), "key_refused", NOON)
    for number in range(20):
        late = NOON + after(number / 100)
        assert close_gate(state, late + after(60), "key_refused", late) is state


def test_a_probe_without_an_answer_is_taken_over() -> None:
    """Its Lambda crashed: after half a minute another one tries, at the same interval."""
    state = close_gate(OPEN, NOON + after(60), "key_refused", NOON)
    state = start_probe(state, NOON + after(60), 30)
    assert not state.needs_probe(NOON + after(89))
    assert state.needs_probe(NOON + after(90))
    assert state.probe_seconds == 60


def test_a_rate_limit_within_a_series_of_probes_keeps_the_series() -> None:
    """A 429 to a probe is not about the key."""
    state = start_probe(
        close_gate(OPEN, NOON + after(60), "key_refused", NOON), NOON + after(60), 30
    )
    state = close_gate(state, NOON + after(300), "rate_limited", NOON + after(61))
    assert state.needs_probe(NOON + after(300))
    assert (state.probe_seconds, state.since) == (60, NOON)


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
