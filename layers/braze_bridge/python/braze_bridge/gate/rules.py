"""The rules that open and close the gate. Pure functions over its state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.braze.rate_limits import RateLimit

PACED: Final = "paced"
UNREADABLE: Final = "gate_unreadable"
RATE_LIMITED: Final = "rate_limited"

LONGEST_CLOSING: Final = timedelta(minutes=61)
"""Braze's windows end with the clock hour at the latest; a longer time is a mistake of a header."""

PROBED_FROM: Final = 59.0
"""Seconds. A closing of a minute, less what passes between the caller's clock and the gate's."""

LONGEST_PROBE_INTERVAL: Final = 900.0
_INTERVAL_SHARE: Final = 220
"""A series of over 55 hours is probed less often than every 15 minutes: its age / 220. After three
days that is 20 minutes, the period of the key's alarm."""

FIRST_STEP: Final = 60.0
_STEP_SHARE: Final = 80
"""A waiting job comes back each minute, and from 80 minutes on after a share of the closing's age.
10.5 days behind a gate are at most 830 receives; SQS gives 1,000."""

RESERVE: Final = 0.025
"""Share of a limit that is left unused (careful clients of Braze use 97.5 %)."""

_SUCCESS_INTERVAL: Final = timedelta(minutes=1)
_SAME_CLOSING: Final = timedelta(seconds=1)
_SAME_WINDOW: Final = 1.0


@dataclass(frozen=True, slots=True)
class GateState:
    """The item of one family, or of all.

    Attributes:
        closed_until: No Lambda calls before. The gate is open if it is ``None`` or past.
        reason: Of the last closing.
        since: Start of this closing, or of the series of closings without a success in between.
        seconds: Length of the last closing. A refusal after it doubles it.
        last_success: Of any Lambda, up to a minute before the true one.
    """

    closed_until: datetime | None = None
    reason: str = ""
    since: datetime | None = None
    seconds: float = 0.0
    last_success: datetime | None = None

    def is_closed(self, now: datetime) -> bool:
        """Check that no Lambda may call."""
        return self.closed_until is not None and now < self.closed_until

    def needs_probe(self, now: datetime) -> bool:
        """Check that each Lambda sends one request at a time, until one of any Lambda succeeds."""
        return (
            self.closed_until is not None
            and not self.is_closed(now)
            and self.seconds >= PROBED_FROM
        )


OPEN: Final = GateState()


def close_gate(state: GateState, until: datetime, reason: str, now: datetime) -> GateState:
    """Close the gate, for arguments of :meth:`Gate.close`.

    Returns:
        The new state, never closed for less time than before. If nothing changes, it is the same
        object, so that a hundred equal refusals write once.
    """
    known = state.closed_until
    if known is not None and state.is_closed(now):
        # A late answer to a request from before the closing. It is no failed try.
        start = known - timedelta(seconds=state.seconds)
        until = min(until, start + LONGEST_CLOSING)
        # Only a 429 gives an exact time. The reset that pacing waits for is in whole seconds.
        slack = timedelta(0) if reason == RATE_LIMITED else _SAME_CLOSING
        if known + slack >= until:
            return state
        return replace(
            state,
            closed_until=until,
            reason=state.reason if reason == PACED else reason,
            seconds=(until - start).total_seconds(),
        )
    shortest, since = 0.0 if reason == PACED else 1.0, now
    if known is not None and PACED not in {reason, state.reason}:
        since = state.since or now
        age = (now - since).total_seconds()
        longest = max(LONGEST_PROBE_INTERVAL, age / _INTERVAL_SHARE)
        shortest = max(shortest, min(state.seconds * 2, longest))
    until = min(max(until, now + timedelta(seconds=shortest)), now + LONGEST_CLOSING)
    return GateState(until, reason, since, (until - now).total_seconds(), state.last_success)


def open_gate(state: GateState) -> GateState:
    """Open the gate and end the series."""
    return replace(OPEN, last_success=state.last_success)


def end_series(state: GateState, now: datetime) -> GateState:
    """Open a gate whose time is over, after a success. One that is still closed stays closed.

    The success may be the answer to a request from before the closing. A short pause for pacing
    ends by itself; it costs no write.
    """
    if state.closed_until is None or state.is_closed(now):
        return state
    return state if state.reason == PACED and not state.needs_probe(now) else open_gate(state)


def note_success(state: GateState, now: datetime) -> GateState:
    """End the series, and remember the success if the known one is a minute old."""
    state = end_series(state, now)
    if state.last_success is not None and now - state.last_success < _SUCCESS_INTERVAL:
        return state
    return replace(state, last_success=now)


def wait_behind_gate(since: datetime, until: datetime, now: datetime) -> float:
    """Compute after how many seconds a job behind a closed gate comes back.

    It comes back in steps, so that a gate opened by hand releases it soon.

    Args:
        since: Start of the closing, or of its series.
        until: The end of the closing.
        now: The present.

    Returns:
        At least 1. The caller adds its spread.
    """
    step = max(FIRST_STEP, (now - since).total_seconds() / _STEP_SHARE)
    return max(min(step, (until - now).total_seconds()), 1.0)


def latest(known: RateLimit | None, seen: RateLimit, now: float) -> RateLimit:
    """Choose the later of two readings of one limit.

    Answers overtake each other. Within a window the smaller remainder is the later one.

    Args:
        known: The reading so far.
        seen: The reading of the last answer.
        now: Epoch seconds.
    """
    if known is None or known.reset_at is None or _is_over(known, now):
        return seen
    if seen.reset_at is None or seen.reset_at > known.reset_at + _SAME_WINDOW:
        return seen
    if known.remaining is None or (seen.remaining is not None and seen.remaining < known.remaining):
        return seen
    return known


def most_in_flight(rate_limit: RateLimit | None, now: float, lambdas: int) -> int | None:
    """Compute how many requests one Lambda may have in flight.

    Braze's remainder counts the requests of all Lambdas, late by one request's time. Each Lambda
    gets half its share of what is left above the reserve: the other half is for requests started
    since that answer. So all Lambdas together reach the reserve and do not pass it. If the window
    is over, the next one is full.

    Args:
        rate_limit: The latest reading.
        now: Epoch seconds.
        lambdas: How many may call at the same time.

    Returns:
        ``None`` if nothing is known, 0 if the reserve is reached, or at least 1.
    """
    if rate_limit is None or rate_limit.limit is None:
        return None
    left = rate_limit.remaining
    if _is_over(rate_limit, now):
        left = rate_limit.limit
    if left is None:
        return None
    left -= reserve(rate_limit.limit)
    return 0 if left <= 0 else max(left // (2 * lambdas), 1)


def reserve(limit: int) -> int:
    """Compute how many requests of a limit are left unused: 2.5 %, but none of a tiny limit."""
    return 0 if limit < 1 / RESERVE / 2 else ceil(limit * RESERVE)


def paced_until(rate_limit: RateLimit | None, now: float, lambdas: int) -> float | None:
    """Compute when a limit that is used up to the reserve is full again.

    Returns:
        Epoch seconds; ``None`` if a request may start.
    """
    if rate_limit is None or most_in_flight(rate_limit, now, lambdas) != 0:
        return None
    return _ends_at(rate_limit)


def _is_over(rate_limit: RateLimit, now: float) -> bool:
    ends_at = _ends_at(rate_limit)
    return ends_at is None or ends_at <= now


def _ends_at(rate_limit: RateLimit) -> float | None:
    """Compute when the window is surely over.

    An epoch is exact. Seconds from now (MAU contracts, braze.rate_limits) may be rounded down by up
    to one. Only the sum of the clock and such seconds has a fraction.
    """
    reset_at = rate_limit.reset_at
    if reset_at is None or float(reset_at).is_integer():
        return reset_at
    return reset_at + 1
