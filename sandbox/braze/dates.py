"""Times: the strings Braze takes for dates, and how it writes dates (reference §1.5, §1.6, §2)."""

import re
from datetime import UTC, datetime, timedelta, timezone

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.:,](\d{1,9}))?)?(Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)
_MONTH_FIRST = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4})", re.ASCII)
_WEEKDAY_FIRST = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (\d{1,2}) (\d{1,2}) "
    r"(\d{2}):(\d{2}):(\d{2})[. ]?(Z|UTC|GMT|[+-]\d{2}:?\d{2})? (\d{4})",
    re.ASCII,
)
_SPACES = re.compile(r"(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2}) ([+-]\d{2}:?\d{2})", re.ASCII)
_DIGITS = frozenset("0123456789")
_WEEKDAYS = frozenset({"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"})
_SHORTEST = len("1/1/2000")
_LAST_YEAR = 3000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _zone(text: str | None) -> timezone:
    if text is None or text in {"Z", "UTC", "GMT"}:
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


def _microseconds(fraction: str | None) -> int:
    return 0 if fraction is None else int(fraction[:6].ljust(6, "0"))


def recognise_date(text: str) -> datetime | None:
    """Return the date into which Braze would turn an attribute's string.

    Returns:
        The time in UTC (no zone given means UTC), or None if it stays a string: no such format,
        no such day, or a year over 3000.
    """
    # Most strings are no dates: their first letters say so faster than three patterns do.
    if len(text) < _SHORTEST or not (text[0] in _DIGITS or text[:3] in _WEEKDAYS):
        return None
    moment = _quickly(text)
    if moment is None:
        moment = _patiently(text)
    return moment if moment is not None and moment.year <= _LAST_YEAR else None


def _quickly(text: str) -> datetime | None:
    """Read the common spelling, `2026-11-22T12:00:00Z` and its like, seven times faster."""
    if text[10:11] not in {"T", " "} or text[13:14] != ":":
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _patiently(text: str) -> datetime | None:
    try:
        if found := _ISO.fullmatch(text):
            year, month, day, hour, minute, second, fraction, zone = found.groups()
            moment = datetime(
                int(year),
                int(month),
                int(day),
                int(hour or 0),
                int(minute or 0),
                int(second or 0),
                _microseconds(fraction),
                _zone(zone),
            )
        elif found := _MONTH_FIRST.fullmatch(text):
            month, _, day, year = found.groups()
            moment = datetime(int(year), int(month), int(day), tzinfo=UTC)
        elif found := _WEEKDAY_FIRST.fullmatch(text):
            month, day, hour, minute, second, zone, year = found.groups()
            moment = datetime(
                int(year),
                int(month),
                int(day),
                int(hour),
                int(minute),
                int(second),
                tzinfo=_zone(zone),
            )
        else:
            return None
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def read_event_time(value: object) -> datetime | None:
    """Read the `time` of an event or a purchase.

    Returns:
        The time in UTC, or None if it is neither an ISO 8601 date *and* time nor
        `yyyy-MM-dd'T'HH:mm:ss:SSSZ` nor `yyyy-MM-dd HH:mm:ss Z` (recorded: reference, 2026-11-28).
        Without a zone it is UTC, as for attributes.
    """
    if not isinstance(value, str):
        return None
    if found := _SPACES.fullmatch(value):
        day, clock, zone = found.groups()
        value = f"{day}T{clock}{zone}"
    if len(value) <= len("2000-01-01") or value[10] != "T":
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except ValueError:
        return recognise_date(value)
    except OverflowError:
        return None


def write_date(moment: datetime) -> str:
    """Write a UTC time in the recorded style, `2020-06-17T20:01:33.385Z`."""
    return f"{moment.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"


def from_epoch(seconds: float) -> datetime:
    """Return epoch seconds as a UTC time."""
    return EPOCH + timedelta(seconds=seconds)
