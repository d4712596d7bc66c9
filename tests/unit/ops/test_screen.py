"""What commands print."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ops.stack.screen import UnreadableAgeError, as_json, columns, harmless, read_age
from tests.fakes.clock import NOON


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("6h", 21_600), (" 2d ", 172_800), ("0s", 0)]
)
def test_an_age_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    """Seconds, minutes, hours, days."""
    assert read_age(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "2", "d", "-1d", "1.5h", "2w", "1d2h", "٣d", "9999999d"])
def test_anything_else_is_no_age(text: str) -> None:
    """The command turns the error into a usage message."""
    with pytest.raises(UnreadableAgeError):
        read_age(text)


def test_a_sender_s_text_cannot_steer_the_terminal() -> None:
    """Both kinds of control characters are escaped; letters and lines stay."""
    assert harmless("Zoë\n\x1b[2J\x9b2J\u202e") == "Zoë\n\\u001b[2J\\u009b2J\\u202e"


def test_columns_are_as_wide_as_their_widest_cell_and_one_row_is_one_line() -> None:
    """Nothing is cut, so that an id can be copied."""
    lines = columns(("AT", "ID"), [(NOON, "a" * 300), (None, "b\nc")])

    assert lines[0].startswith("AT ")
    assert lines[1] == f"2026-11-22T12:00:00.000Z  {'a' * 300}"
    assert lines[2].split() == ["-", "b", "c"]


def test_json_holds_times_as_text() -> None:
    """ISO 8601, in UTC."""
    assert as_json({"at": NOON}) == '{\n  "at": "2026-11-22T12:00:00.000Z"\n}'
