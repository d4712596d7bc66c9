"""Which date or time is this: every spelling of a time that a partner may send."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.mapping.paths import hits
from braze_bridge.mapping.texts import ascii_digits, trimmed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from braze_bridge.mapping.paths import Path

_ISO: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:(?:[Tt]|\s+)(?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,](?P<fraction>[0-9]{1,9}))?"
    r"\s*(?P<zone>[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_EMAIL_DATE: Final = re.compile(
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun),?\s+)?[0-9]{1,2}\s+"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\s+[0-9]{4}\s+"
    r"[0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:\s+(?:GMT|UTC?|Z|[ECMP][SD]T|[+-][0-9]{4}))?",
    re.IGNORECASE,
)
"""RFC 1123 and RFC 2822. The library also takes unknown zones (for UTC) and years of two digits."""

_SECONDS: Final = re.compile(r"[0-9]{10}(?:\.[0-9]+)?|[0-9]{13}(?:\.[0-9]+)?")
_CLOCK: Final = re.compile(r"%[HIMSfpcX]")

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No response is older. Systems without a time write year 1 or 1970 instead, and such a job would
be older than everything already sent."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_DIGITS: Final = 10
_MILLISECONDS_DIGITS: Final = 13


class FoundTime(NamedTuple):
    """What a body says about a time.

    Attributes:
        instant: The first readable one.
        unreadable: The paths with a value that is no time, up to the readable one.
    """

    instant: datetime | None
    unreadable: tuple[str, ...] = ()


def read_time(value: object, formats: Iterable[str] = ()) -> date | datetime | None:
    """Read a date, or a date and time.

    Args:
        value: ISO 8601 and RFC 3339, with ``T`` or a space; seconds, fraction and zone may be
            missing. RFC 1123 and RFC 2822, as in e-mails. Seconds or milliseconds since 1970, as a
            number or as text of 10 or 13 digits with or without a fraction. Digits of any script.
            The basic form (``20261122``) is not read: it could be any number.
        formats: ``strptime`` formats for other spellings. Only they say whether ``03/04/2026`` is
            in March or in April.

    Returns:
        A date, or an aware datetime in UTC (no zone means UTC, as at Braze:
        https://www.braze.com/docs/api/objects_filters/user_attributes_object). ``None`` for
        anything else, also for a day that does not exist.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(value)
    if not isinstance(value, str):
        return None
    text = ascii_digits(trimmed(value))
    read = _from_iso(text) or _by_format(text, formats)
    if read is None and _SECONDS.fullmatch(text):
        return _from_epoch(float(text))
    if read is None and _EMAIL_DATE.fullmatch(text):
        with contextlib.suppress(ValueError, OverflowError):
            parsed = parsedate_to_datetime(text)
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    return read


def read_instant(value: object, formats: Iterable[str] = ()) -> datetime | None:
    """Read the time of an event as partners write it; a date without a time is midnight UTC.

    Args:
        value: See :func:`read_time`.
        formats: See :func:`read_time`.

    Returns:
        An aware datetime in UTC, 2000 or later; ``None`` for anything else.
    """
    read = read_time(value, formats)
    if read is not None and not isinstance(read, datetime):
        read = datetime(read.year, read.month, read.day, tzinfo=UTC)
    return read if read is not None and read >= EARLIEST else None


def find_instant(paths: Iterable[Path], body: object, formats: Iterable[str] = ()) -> FoundTime:
    """Find the first readable time in a parsed JSON body."""
    unreadable: list[str] = []
    for path, value in hits(paths, body):
        instant = read_instant(value, formats)
        if instant is not None:
            return FoundTime(instant, tuple(unreadable))
        unreadable.append(path.text)
    return FoundTime(None, tuple(unreadable))


def _from_iso(text: str) -> date | datetime | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    try:
        day = date.fromisoformat(match["date"])
        if match["clock"] is None:
            return day
        fraction = f".{match['fraction'][:6]:0<6}" if match["fraction"] else ""
        zone = match["zone"] if match["zone"] and match["zone"][0] in "+-" else "+00:00"
        instant = datetime.fromisoformat(f"{day.isoformat()}T{match['clock']}{fraction}{zone}")
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _by_format(text: str, formats: Iterable[str]) -> date | datetime | None:
    for spelling in formats:
        with contextlib.suppress(ValueError, OverflowError):
            read = datetime.strptime(text, spelling)  # noqa: DTZ007 - the next line adds the zone
            read = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
            return read if _CLOCK.search(spelling) else read.date()
    return None


def _from_epoch(value: float) -> datetime | None:
    if 10 ** (_SECONDS_DIGITS - 1) <= value < 10**_SECONDS_DIGITS:
        return _EPOCH + timedelta(seconds=value)
    if 10 ** (_MILLISECONDS_DIGITS - 1) <= value < 10**_MILLISECONDS_DIGITS:
        return _EPOCH + timedelta(milliseconds=value)
    return None
