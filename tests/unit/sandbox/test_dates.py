"""Which strings are dates (reference §1.5, §1.6)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.braze.dates import from_epoch, read_event_time, recognise_date, write_date

MOMENTS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(3000, 12, 30))  # noqa: DTZ001 -- hypothesis wants naive bounds
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2013-07-16T19:20:45+01:00", "2013-07-16T18:20:45.000Z"),
        ("2013-07-16T19:20:45Z", "2013-07-16T19:20:45.000Z"),
        ("2013-07-16T19:20Z", "2013-07-16T19:20:00.000Z"),
        ("2013-07-16T19:20:45.123456Z", "2013-07-16T19:20:45.123Z"),
        ("2013-07-16T19:20:45:123Z", "2013-07-16T19:20:45.123Z"),
        ("2013-07-16T19:20:45:123+0100", "2013-07-16T18:20:45.123Z"),
        ("2013-07-16T19:20:45", "2013-07-16T19:20:45.000Z"),
        ("2013-07-16 19:20:45", "2013-07-16T19:20:45.000Z"),
        ("2013-07-16", "2013-07-16T00:00:00.000Z"),
        ("07/16/2013", "2013-07-16T00:00:00.000Z"),
        ("7/6/2013", "2013-07-06T00:00:00.000Z"),
        ("12-1-2021", "2021-12-01T00:00:00.000Z"),
        ("Tue 07 16 19:20:45.UTC 2013", "2013-07-16T19:20:45.000Z"),
        ("Tue 07 16 19:20:45.+01:00 2013", "2013-07-16T18:20:45.000Z"),
        ("3000-12-31", "3000-12-31T00:00:00.000Z"),
    ],
)
def test_documented_formats_are_dates(text: str, written: str) -> None:
    """Each documented spelling is recognised, and written in UTC with milliseconds."""
    moment = recognise_date(text)

    assert moment is not None
    assert write_date(moment) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2013",
        "20130716",
        "2013-7-16",
        "2013-02-30",
        "2013-07-16T25:00:00Z",
        "2013-07-16x19:20:45Z",
        "16/07/2013",
        "7/16-2013",
        "7/16/13",
        "3001-01-01",
        "0000-01-01",
        "-0001-01-01",
        "0001-01-01T00:00:00+05:00",
        "Tuesday 07 16 19:20:45 2013",
        "July 16 2013",
        "yesterday",
        "1.10",
        "+15555550123",
        "\u0662\u0660\u0661\u0663-\u0660\u0667-\u0661\u0666",
        " 2013-07-16",
        "2013-07-16\n",
    ],
)
def test_other_strings_stay_strings(text: str) -> None:
    """What is no documented spelling, no real day, or past the year 3000 stays a string."""
    assert recognise_date(text) is None


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    """No text makes either reader fail."""
    recognise_date(text)
    read_event_time(text)


@given(
    st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{2,12}(Z|[+-][0-9:]{4,5})?", fullmatch=True
    )
)
def test_date_like_text_is_judged(text: str) -> None:
    """No text that looks like a date makes either reader fail."""
    recognise_date(text)
    read_event_time(text)


@given(MOMENTS, ZONES)
def test_both_readers_agree_on_iso_8601(naive: datetime, zone: timezone) -> None:
    """A time in ISO 8601 is the same moment for attributes and for events, to the microsecond."""
    moment = naive.replace(tzinfo=zone)

    assert recognise_date(moment.isoformat()) == read_event_time(moment.isoformat()) == moment


@given(MOMENTS)
def test_written_dates_are_dates(naive: datetime) -> None:
    """What is written is read back as the same millisecond."""
    moment = naive.replace(tzinfo=UTC)

    again = recognise_date(write_date(moment))

    assert again is not None
    assert moment - again < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "value", [None, 5, "", "2026-11-01", "2026-11-01 10:00:00", "11/01/2026", []]
)
def test_event_times_need_date_and_time(value: object) -> None:
    """An event's time is a string with date, `T` and time."""
    assert read_event_time(value) is None


def test_epoch_is_utc() -> None:
    """A clock's reading becomes a UTC time."""
    assert from_epoch(1_795_348_800.5) == datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=UTC)
