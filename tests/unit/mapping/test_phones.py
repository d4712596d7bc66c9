"""Phone numbers as people type them: one number in E.164, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.mapping.phones import normal_phone

SPACES = [chr(each) for each in range(0x3001) if chr(each).isspace()]
"""Every kind: tabs, line ends, no-break, thin and narrow spaces."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+4930123456", "+4930123456"),
        (" +49 (30) 123-456 ", "+4930123456"),
        ("+351.912.345.678", "+351912345678"),
        ("+1\u00a0724\u2011123\u20134567", "+17241234567"),
        ("+1 (202) 555-0143", "+12025550143"),
        ("+49 170 1234567", "+491701234567"),
        ("+49 0170 1234567", "+491701234567"),
        ("+49 (0)170 1234567", "+491701234567"),
        ("+4407911123456", "+447911123456"),
        ("+39 06 1234 5678", "+390612345678"),
        ("tel:+49-170-1234567", "+491701234567"),
        ("\u200b+49 170 1234567\u00a0", "+491701234567"),
        ("\uff0b\uff14\uff19 170 1234567", "+491701234567"),
        (
            "+\u0664\u0669 170 1234567",
            "+491701234567",
        ),
        *((f"+49{space}170{space}{space}1234567", "+491701234567") for space in SPACES),
        ("+52 1 55 1234 5678", "+525512345678"),
        ("+5215512345678", "+525512345678"),
        ("+52 55 1234 5678", "+525512345678"),
        ("+49 00170 1234567", None),
        ("+1202555014", None),
        ("+120255501431", None),
        ("+999123456789", None),
        ("+1 555 0143", None),
        ("+49 170 1234567 ext. 5", None),
        ("+1 800 FLOWERS", None),
        ("call +49 170 1234567", None),
        ("+1", None),
        ("030 123456", None),
        ("7241234567", None),
        ("0049 30 123456", None),
        ("+0 30 123456", None),
        ("++4930123456", None),
        ("", None),
    ],
)
def test_phone_is_e164_or_none(text: str, expected: str | None) -> None:
    """One person who types a number in several ways has one number."""
    assert normal_phone(text) == expected


@given(
    st.one_of(
        st.text(),
        st.text(alphabet="+0123456789 -().\uff10\uff15\u0660\u0665" + "".join(SPACES), max_size=25),
        st.from_regex(r"\+(1|7|39|44|49|52|54|351)[0-9 ()-]{6,14}", fullmatch=True),
    )
)
def test_any_text_is_a_number_or_none(text: str) -> None:
    """Nothing raises, and a number read again is the same."""
    once = normal_phone(text)

    if once is not None:
        assert once.startswith("+")
        assert once[1:].isascii()
        assert once[1:].isdigit()
        assert normal_phone(once) == once


@given(st.lists(st.sampled_from([*"0123456789-()", *SPACES]), max_size=20), st.sampled_from(SPACES))
def test_any_space_counts_as_a_plain_one(typed: list[str], space: str) -> None:
    """Also a run of them."""
    text = "+" + "".join(typed)
    plain = "".join(" " if each.isspace() else each for each in text)

    assert normal_phone(text) == normal_phone(plain) == normal_phone(plain.replace(" ", space * 2))
