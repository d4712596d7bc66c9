"""Times as partners write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.mapping.instants import EARLIEST, read_instant, read_iso
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
        ("１７９５１６２５３０", None),  # noqa: RUF001 - full-width digits on purpose
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
    """ISO 8601 (no zone: UTC) and epochs of 10 or 13 digits are read, and nothing else."""
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


@given(json_values())
def test_nothing_breaks_the_reading_of_times(value: Any) -> None:
    """Any JSON value is a time or none, and a time is never older than 2000."""
    read = read_instant(value)

    assert read is None or read >= EARLIEST


def test_date_alone_stays_a_date() -> None:
    """A calendar date stays a date: it must not become midnight."""
    assert read_iso("2026-11-20") == date(2026, 11, 20)
    assert type(read_iso("2026-11-20")) is date
