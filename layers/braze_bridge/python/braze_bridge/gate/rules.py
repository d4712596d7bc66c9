"""The rules that open and close the gate: pure functions over its state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.braze.rate_limits import RateLimit

PROBED_REASONS: Final = frozenset({"key_refused", "permission_missing", "requests_refused"})
"""Closings that end when a person has mended something: nobody knows when, so one Lambda tries."""

PACED: Final = "paced"
UNREADABLE: Final = "gate_unreadable"

LONGEST_PROBE_INTERVAL: Final = 900.0

RESERVE: Final = 0.025
"""Share of a limit that is not asked for (what careful clients of Braze leave: 97.5 %)."""

_SAME_CLOSING: Final = timedelta(seconds=1)
_SAME_WINDOW: Final = 1.0


@dataclass(frozen=True, slots=True)
class GateState:
    """One family's item, or the one for all.

    Attributes:
        closed_until: Nobody calls before; ``None`` or past where the gate is open.
        reason: Of the last closing.
        since: When this closing, or the series of closings by failed probes, began.
        probe_seconds: How long the next closing by a failed probe at least doubles; 0 outside such
            a series. Within one, a gate whose time is over is open for one Lambda alone.
        is_probing: That one Lambda is at it; ``closed_until`` keeps the others away so long.
    """

    closed_until: datetime | None = None
    reason: str = ""
    since: datetime | None = None
    probe_seconds: float = 0.0
    is_probing: bool = False

    def is_closed(self, now: datetime) -> bool:
        """Whether nobody may call."""
        return self.closed_until is not None and now < self.closed_until

    def needs_probe(self, now: datetime) -> bool:
        """Whether one Lambda may try, and the others shall wait for it."""
        return self.probe_seconds > 0 and not self.is_closed(now)


OPEN: Final = GateState()


def shut(state: GateState, until: datetime, reason: str, now: datetime) -> GateState:
    """Close the gate.

    Args:
        state: As it is.
        until: As :meth:`Gate.close` takes it.
        reason: As there.
        now: The present.

    Returns:
        The state after it, never closed for less long than before; the same object where nothing
        changes, so that a hundred requests refused alike write once.
    """
    known = state.closed_until
    if reason not in PROBED_REASONS:
        # Pacing is our own, and the reset it waits for is told in whole seconds.
        slack = _SAME_CLOSING if reason == PACED else timedelta(0)
        if known is not None and known + slack >= until:
            return state
        in_series = state.is_closed(now) or state.probe_seconds > 0
        since = state.since if in_series else now
        return replace(state, closed_until=until, reason=reason, since=since, is_probing=False)
    seconds = max((until - now).total_seconds(), 1.0)
    if state.probe_seconds > 0:
        if state.is_closed(now) and not state.is_probing:
            # A late answer to a request from before the closing: no probe has failed.
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


def probed(state: GateState, now: datetime, seconds: float) -> GateState:
    """Take the probe: the others stay away for so long, or until it is answered.

    Args:
        state: One that :meth:`GateState.needs_probe`.
        now: The present.
        seconds: More than the probe's request can take.
    """
    return replace(state, closed_until=now + timedelta(seconds=seconds), is_probing=True)


def latest(known: RateLimit | None, seen: RateLimit, now: float) -> RateLimit:
    """The more telling of two sights of one limit.

    Answers overtake each other, so within a window the smaller remainder is the later one.

    Args:
        known: The one before.
        seen: The one just read.
        now: Epoch seconds.
    """
    if known is None or known.reset_at is None or _is_over(known, now):
        return seen
    if seen.reset_at is None or seen.reset_at > known.reset_at + _SAME_WINDOW:
        return seen
    if known.remaining is None or (seen.remaining is not None and seen.remaining < known.remaining):
        return seen
    return known


def room(rate_limit: RateLimit | None, now: float, lambdas: int) -> int | None:
    """How many requests one Lambda may have in flight.

    Braze's remainder counts everybody's requests, so each Lambda sees all of them in its own
    answers, late by one request's time. What is left above the reserve is shared by two per Lambda:
    half for what is in flight everywhere now, half for what was started since the answer that told.
    So all together approach the reserve and do not overrun it. Where the window told of is over, a
    new one is full.

    Args:
        rate_limit: The latest sight of it.
        now: Epoch seconds.
        lambdas: How many may be calling.

    Returns:
        ``None`` where nothing is known, 0 where the reserve is reached, else at least 1.
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
    """How many requests of a limit are never asked for: 2.5 %, but nothing of a tiny limit."""
    return 0 if limit < 1 / RESERVE / 2 else ceil(limit * RESERVE)


def exhausted(rate_limit: RateLimit | None, now: float, lambdas: int) -> float | None:
    """When a limit that is used up (but for the reserve) is full again.

    Returns:
        Epoch seconds; ``None`` where there is room.
    """
    if rate_limit is None or room(rate_limit, now, lambdas) != 0:
        return None
    return _ends_at(rate_limit)


def _is_over(rate_limit: RateLimit, now: float) -> bool:
    ends_at = _ends_at(rate_limit)
    return ends_at is None or ends_at <= now


def _ends_at(rate_limit: RateLimit) -> float | None:
    """When the window surely is over.

    An epoch is exact. Seconds from now (the dialect of MAU contracts, braze.rate_limits) are whole
    and may be rounded down: up to one more. A sum of the clock and whole seconds is told from an
    epoch by its fraction.
    """
    reset_at = rate_limit.reset_at
    if reset_at is None or float(reset_at).is_integer():
        return reset_at
    return reset_at + 1
