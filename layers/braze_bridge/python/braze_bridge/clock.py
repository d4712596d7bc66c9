"""Time as a dependency: code that decides by the time gets a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """See :meth:`Clock.now`."""
        return datetime.fromtimestamp(time.time(), UTC)


def iso_millis(instant: datetime) -> str:
    """Write an aware instant as ISO 8601 in UTC with milliseconds and ``Z``.

    Returns:
        Such as ``2026-11-22T10:00:00.000Z``. The length is fixed, so text order is time order.
    """
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
