"""Read dates and times: ISO 8601 in its common spellings, and seconds since 1970."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from braze_bridge.mapping.paths import hits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from braze_bridge.mapping.paths import Path

_ISO: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,](?P<fraction>[0-9]{1,9}))?"
    r" ?(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No response is older. Systems without a time write year 1 or 1970 instead, and such a job would
be older than everything already sent."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_DIGITS: Final = 10
_MILLISECONDS_DIGITS: Final = 13


def read_iso(text: str) -> date | datetime | None:
    """Read an ISO 8601 calendar date, or date and time.

    Args:
        text: ``2026-11-22``, or with a time after ``T`` or a space; seconds, fraction and zone may
            be missing. The basic form (``20261122``) is not read: it could be any number.

    Returns:
        A date, or an aware datetime in UTC (no zone means UTC, as at Braze:
        https://www.braze.com/docs/api/objects_filters/user_attributes_object). ``None`` for
        anything else, also for a day that does not exist.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    try:
        day = date.fromisoformat(match["date"])
        if match["clock"] is None:
            return day
        fraction = f".{match['fraction'][:6]:0<6}" if match["fraction"] else ""
        zone = (match["zone"] or "Z").upper().replace("Z", "+00:00")
        instant = datetime.fromisoformat(f"{day.isoformat()}T{match['clock']}{fraction}{zone}")
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def read_date(text: str, formats: Iterable[str]) -> date | None:
    """Read a calendar date such as ``12/01/2021`` by the first ``strptime`` format that fits."""
    for spelling in formats:
        with contextlib.suppress(ValueError):
            return datetime.strptime(text, spelling).replace(tzinfo=UTC).date()
    return None


def read_instant(value: object) -> datetime | None:
    """Read the time of an event as partners write it.

    Args:
        value: ISO 8601 text (see :func:`read_iso`; a date without a time is midnight UTC). Or
            seconds or milliseconds since 1970, as a number or as 10 or 13 digits.

    Returns:
        An aware datetime in UTC, 2000 or later; ``None`` for anything else.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and text.isdigit():
            return _from_epoch(int(text)) if len(text) <= _MILLISECONDS_DIGITS else None
        read = read_iso(text)
        if read is not None and not isinstance(read, datetime):
            read = datetime(read.year, read.month, read.day, tzinfo=UTC)
        return read if read is not None and read >= EARLIEST else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(value)
    return None


def first_instant(paths: Iterable[Path], body: object) -> datetime | None:
    """Return the first readable time that the paths find in a parsed JSON body."""
    read = (read_instant(hit.value) for hit in hits(paths, body))
    return next((instant for instant in read if instant is not None), None)


def _from_epoch(value: float) -> datetime | None:
    if 10 ** (_SECONDS_DIGITS - 1) <= value < 10**_SECONDS_DIGITS:
        return _EPOCH + timedelta(seconds=value)
    if 10 ** (_MILLISECONDS_DIGITS - 1) <= value < 10**_MILLISECONDS_DIGITS:
        return _EPOCH + timedelta(milliseconds=value)
    return None
