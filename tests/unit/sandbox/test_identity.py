"""E-mail addresses and phone numbers (reference §1.3, §3.5)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.braze.identity import is_email, normalise_phone


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("+15555550123", "+15555550123"),
        ("+1 (724) 123-4567", "+17241234567"),
        ("(724) 123-4567", "+17241234567"),
        ("17241234567", "+17241234567"),
        ("+44 7911 123456", "+447911123456"),
        ("447911123456", None),
        ("27241234567", None),
        ("+0123456789", None),
        ("+123", None),
        ("+1234567890123456", None),
        ("1234567", None),
        ("phone", None),
        ("", None),
        (5_555_550_123, None),
        (None, None),
    ],
)
def test_phones(sent: object, number: str | None) -> None:
    """Separators go, ten digits are a U.S. number, anything else needs its country code."""
    assert normalise_phone(sent) == number


@given(st.text(alphabet="+0123456789 ()-.x", max_size=20))
def test_phones_are_e164_or_nothing(text: str) -> None:
    """Whatever is sent becomes E.164, which stays as it is, or nothing."""
    number = normalise_phone(text)

    assert number is None or re.fullmatch(r"\+[1-9][0-9]{6,14}", number)
    assert normalise_phone(number) == number


@pytest.mark.parametrize(
    "address",
    ["a@example.com", "ana.maria+quiz@mail.example.co.uk", "o'neill@example.com", "é@exämple.com"],
)
def test_addresses(address: str) -> None:
    """Ordinary addresses pass."""
    assert is_email(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@b",
        "@example.com",
        "a@",
        "a b@example.com",
        " a@example.com",
        "a@example.com ",
        "a@@example.com",
        "a@example..com",
        "<a@example.com>",
        "a@example.com,b@example.com",
        "a" * 250 + "@example.com",
        None,
        5,
        ["a@example.com"],
    ],
)
def test_no_addresses(address: object) -> None:
    """Everything that is not exactly one address is refused."""
    assert not is_email(address)
