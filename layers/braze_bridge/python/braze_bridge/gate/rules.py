"""The rules that open and close the gate. Pure functions over its state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.braze.rate_limits import RateLimit

PROBED_REASONS: Final = frozenset({"key_refused", "permission_missing", "requests_refused"})
"""Closings that end when a person corrects something. One Lambda at a time tries again."""

PACED: Final = "paced"
UNREADABLE: Final = "gate_unreadable"

LONGEST_PROBE_INTERVAL: Final = 900.0

RESERVE: Final = 0.025
"""Share of a limit that is left unused (careful clients of Braze use 97.5 %)."""

_SAME_CLOSING: Final = timedelta(seconds=1)
_SAME_WINDOW: Final = 1.0


@dataclass(frozen=True, slots=True)
class GateState:
    """The item of one family, or of all.

    Attributes:
        closed_until: No Lambda calls before. The gate is open if it is ``None`` or past.
        reason: Of the last closing.
        since: Start of this closing, or of the series of closings by failed probes.
        probe_seconds: Length of the last closing in such a series; a failed probe doubles it. 0
            outside a series. In a series, a gate whose time is over is open for one Lambda only.
        is_probing: One Lambda probes; until ``closed_until`` the others wait.
    """

    closed_until: datetime | None = None
    reason: str = ""
    since: datetime | None = None
    probe_seconds: float = 0.0
    is_probing: bool = False

    def is_closed(self, now: datetime) -> bool:
        """Check that no Lambda may call."""
        return self.closed_until is not None and now < self.closed_until

    def needs_probe(self, now: datetime) -> bool:
        """Check that one Lambda may try while the others wait."""
        return self.probe_seconds > 0 and not self.is_closed(now)


OPEN: Final = GateState()


def close_gate(state: GateState, until: datetime, reason: str, now: datetime) -> GateState:
    """Close the gate, for arguments of :meth:`Gate.close`.

    Returns:
        The new state, never closed for less time than before. If nothing changes, it is the same
        object, so that a hundred equal refusals write once.
    """
    known = state.closed_until
    if reason not in PROBED_REASONS:
        # Braze gives the reset that pacing waits for in whole seconds.
        slack = _SAME_CLOSING if reason == PACED else timedelta(0)
        if known is not None and known + slack >= until:
            return state
        in_series = state.is_closed(now) or state.probe_seconds > 0
        since = state.since if in_series else now
        return replace(state, closed_until=until, reason=reason, since=since, is_probing=False)
    seconds = max((until - now).total_seconds(), 1.0)
    if state.probe_seconds > 0:
        if state.is_closed(now) and not state.is_probing:
            # A late answer to a request from before the closing, not a failed probe.
            if known is not None and known + _SAME_CLOSING >= until:
                return state
            return replace(state, closed_until=until)
        seconds = max(min(state.probe_seconds * 2, LONGEST_PROBE_INTERVAL), seconds)
    until = now + timedelta(seconds=seconds)
    return GateState(
        closed_until=until if known is None else max(known, until),
        reason=reason,
        since=now if state.since is None or state.probe_seconds == 0 else state.since,
        probe_seconds=seconds,
    )


def start_probe(state: GateState, now: datetime, seconds: float) -> GateState:
    """Take the probe: the other Lambdas wait until it is answered, or for ``seconds``.

    Args:
        state: One that :meth:`GateState.needs_probe`.
        now: The present.
        seconds: More than the probe's request can take.
    """
    return replace(state, closed_until=now + timedelta(seconds=seconds), is_probing=True)


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
