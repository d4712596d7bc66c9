"""Times as partners write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.mapping.instants import EARLIEST, find_instant, read_instant, read_time
from braze_bridge.mapping.paths import compile_path
from tests.fakes.json_bodies import json_values

AT = datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-20T08:15:30Z", AT),
        ("2026-11-20T08:15:30z", AT),
        ("2026-11-20 08:15:30", AT),
        ("2026-11-20t08:15:30", AT),
        (" 2026-11-20T08:15:30 ", AT),
        ("2026-11-20T09:15:30+01:00", AT),
        ("2026-11-20T09:15:30+0100", AT),
        ("2026-11-20T09:15:30+01", AT),
        ("2026-11-20 03:15:30 -05:00", AT),
        ("2026-11-20T08:15:30.250Z", AT + timedelta(milliseconds=250)),
        ("2026-11-20T08:15:30,25Z", AT + timedelta(milliseconds=250)),
        ("2026-11-20T08:15:30.123456789Z", AT + timedelta(microseconds=123456)),
        ("2026-11-20T08:15", AT.replace(second=0)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        (1795162530, AT),
        (1795162530.5, AT + timedelta(milliseconds=500)),
        (1795162530250, AT + timedelta(milliseconds=250)),
        ("1795162530", AT),
        ("1795162530250", AT + timedelta(milliseconds=250)),
        ("179516253", None),
        ("17951625302", None),
        ("9" * 5000, None),
        ("１７９５１６２５３０", AT),  # noqa: RUF001 - full-width digits on purpose
        ("\u0662\u0660\u0662\u0666-11-20 08:15:30", AT),
        ("2026-11-20 08:15:30 UTC", AT),
        ("2026-11-20 08:15:30 GMT", AT),
        ("2026-11-20T08:15:30+0000", AT),
        ("2026-11-20  08:15:30", AT),
        ("\u00a02026-11-20T08:15:30Z\u200b", AT),
        ("Fri, 20 Nov 2026 08:15:30 GMT", AT),
        ("Fri, 20 Nov 2026 03:15:30 -0500", AT),
        ("20 Nov 2026 08:15:30 -0000", AT),
        ("fri, 20 nov 2026 03:15:30 EST", AT),
        ("Fri, 20 Nov 2026 08:15 GMT", AT.replace(second=0)),
        ("Fri, 20 Nov 2026 08:15:30 CET", None),
        ("Fri, 20 Nov 26 08:15:30 GMT", None),
        ("Fri, 32 Nov 2026 08:15:30 GMT", None),
        ("2026-11-20 08:15:30 CET", None),
        ("1795162530.250", AT + timedelta(milliseconds=250)),
        ("1795162530250.0", AT + timedelta(milliseconds=250)),
        ("1795162530,250", None),
        ("1.795e9", None),
        ("03/04/2026", None),
        (179516253, None),
        (-1795162530, None),
        (10**4000, None),
        (float("inf"), None),
        (True, None),
        ("yesterday", None),
        ("20.11.2026", None),
        ("2026-02-30", None),
        ("2026-11-20T24:00:00Z", None),
        ("2026-11-20T08:15:60Z", None),
        ("2026-11-20T08:15:30+25:00", None),
        # The zero of systems that have no time.
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        (["2026-11-20"], None),
        (None, None),
    ],
)
def test_instant_is_read_or_not(value: object, expected: datetime | None) -> None:
    """ISO 8601 (no zone: UTC), e-mail dates and epochs of 10 or 13 digits, and nothing else."""
    assert read_instant(value) == expected


@given(
    st.datetimes(
        min_value=EARLIEST.replace(tzinfo=None) + timedelta(days=2),
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_every_zone_is_read_as_the_same_instant(instant: datetime) -> None:
    """What Python writes as ISO 8601 is read back as the same instant, in UTC."""
    read = read_instant(instant.isoformat())

    assert read == instant
    assert read is not None
    assert read.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("text", "formats", "expected"),
    [
        ("03/04/2026", ("%d/%m/%Y",), datetime(2026, 4, 3, tzinfo=UTC)),
        ("03/04/2026", ("%m/%d/%Y",), datetime(2026, 3, 4, tzinfo=UTC)),
        ("03/04/2026 09:30", ("%d/%m/%Y %H:%M",), datetime(2026, 4, 3, 9, 30, tzinfo=UTC)),
        ("03/04/2026 09:30 +0200", ("%d/%m/%Y %H:%M %z",), datetime(2026, 4, 3, 7, 30, tzinfo=UTC)),
        ("2026112003", ("%Y%m%d%H",), datetime(2026, 11, 20, 3, tzinfo=UTC)),
        ("2026-11-20", ("%Y-%d-%m",), datetime(2026, 11, 20, tzinfo=UTC)),
    ],
)
def test_only_a_format_makes_a_date_certain(
    text: str, formats: tuple[str, ...], expected: datetime
) -> None:
    """ISO 8601 comes first, then the formats, then the other spellings."""
    assert read_instant(text, formats) == expected


def test_unreadable_times_are_named_by_their_paths() -> None:
    """The next path is tried; blank ones do not count."""
    paths = [compile_path(text) for text in ("a", "b", "c", "d")]
    body = {"a": "", "b": "yesterday", "c": "2026-11-20T08:15:30Z", "d": "tomorrow"}

    assert find_instant(paths, body) == (AT, ("b",))
    assert find_instant(paths[:2], body) == (None, ("b",))


@given(st.text(alphabet="0123456789-:TZ. +/,UGMCtNovFri\u00a0\uff10\u0661", max_size=35))
def test_a_typed_time_is_read_once_and_for_all(text: str) -> None:
    """Nothing raises; a time written as ISO 8601 is the same time."""
    read = read_instant(text)

    assert read is None or read_instant(read.isoformat()) == read


@given(json_values())
def test_nothing_breaks_the_reading_of_times(value: Any) -> None:
    """Any JSON value is a time or none, and a time is never older than 2000."""
    read = read_instant(value)

    assert read is None or read >= EARLIEST


def test_date_alone_stays_a_date() -> None:
    """A calendar date stays a date: it must not become midnight."""
    assert read_time("2026-11-20") == date(2026, 11, 20)
    assert type(read_time("2026-11-20")) is date
