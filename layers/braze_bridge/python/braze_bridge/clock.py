"""Time as a dependency: what decides by the clock is given one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the present comes from."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.fromtimestamp(time.time(), UTC)


def iso_millis(instant: datetime) -> str:
    """Write an aware instant as ISO 8601 in UTC with milliseconds and ``Z``.

    Args:
        instant: An aware datetime of any zone.

    Returns:
        Such as ``2026-11-22T10:00:00.000Z``: one width, so that text order is time order.
    """
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
