"""E-mail addresses and phone numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.mapping.identifiers import (
    alias_fits,
    external_id_fits,
    normal_email,
    normal_phone,
    one_spelling,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada.Winter+quiz@Example.CO.UK\n", "ada.winter+quiz@example.co.uk"),
        ("zoë@exämple.de", "zoë@exämple.de"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("a@b-c.example", "a@b-c.example"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        ("a" * 65 + "@example.com", None),
        ("a@" + "b." * 130 + "com", None),
        ("ada", None),
        ("ada@example", None),
        ("ada@@example.com", None),
        ("ada@home@example.com", None),
        ("ada winter@example.com", None),
        ("ada@exam ple.com", None),
        ("ada@.com", None),
        ("ada@example..com", None),
        (".ada@example.com", None),
        ("ada.@example.com", None),
        ("ada@-example.com", None),
        ("ada@example.c", None),
        ("<ada@example.com>", None),
        ("ada@example.com, bob@example.com", None),
        ("mailto:ada@example.com", None),
        ("ada@[127.0.0.1]", None),
        ("@example.com", None),
        ("ada\x00@example.com", None),
        ("ada\x85@example.com", None),
        ("ad\u200ba@example.com", None),
        ("ad\u00ada@example.com", None),
        ("\u202eada@example.com", None),
        ("", None),
    ],
)
def test_email_is_normal_or_none(text: str, expected: str | None) -> None:
    """An address is trimmed and lower-cased; what is doubtful is none."""
    assert normal_email(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+4930123456", "+4930123456"),
        (" +49 (30) 123-456 ", "+4930123456"),
        ("+351.912.345.678", "+351912345678"),
        ("+1\u00a0724\u2011123\u20134567", "+17241234567"),
        ("+1" + "2" * 14, "+1" + "2" * 14),
        ("+1" + "2" * 15, None),
        ("+1", None),
        ("030 123456", None),
        ("7241234567", None),
        ("0049 30 123456", None),
        ("+0 30 123456", None),
        ("+49 (0)30 123456", None),
        ("+49 30 CALL ME", None),
        ("++4930123456", None),
        ("+٤٩٣٠١٢٣٤٥٦", None),
        ("", None),
    ],
)
def test_phone_is_e164_or_none(text: str, expected: str | None) -> None:
    """Separators go; a number without + and country code is never completed."""
    assert normal_phone(text) == expected


@given(st.one_of(st.text(), st.emails()))
def test_normal_email_stays_as_it_is(text: str) -> None:
    """Normalising twice changes nothing, and the result has one @ and no space."""
    once = normal_email(text)

    if once is not None:
        assert normal_email(once) == once
        assert once.count("@") == 1
        assert not re.search(r"\s", once)
        assert len(once) <= 254


@given(st.text(alphabet="+0123456789 -().", max_size=25))
def test_normal_phone_keeps_the_digits(text: str) -> None:
    """A number loses separators only."""
    once = normal_phone(text)

    if once is not None:
        assert [c for c in text if c.isdigit()] == list(once[1:])
        assert normal_phone(once) == once


def test_lengths_are_counted_in_bytes() -> None:
    """987 bytes of external id and 236 of alias fit, one more does not, however many characters."""
    assert (external_id_fits("x" * 987), external_id_fits("x" * 988)) == (True, False)
    assert (external_id_fits("é" * 493), external_id_fits("é" * 494)) == (True, False)
    assert (alias_fits("x" * 236), alias_fits("é" * 119)) == (True, False)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("andr\u00e9@example.com", "andre\u0301@example.com", True),
        ("zoe@\uff45xample.com", "zoe@example.com", True),
        ("zoe@m\u00fcnchen.example", "zoe@xn--mnchen-3ya.example", True),
        ("zoe@" + "\u00fc" * 63 + ".example", "zoe@" + "u\u0308" * 63 + ".example", True),
        ("andr\u00e9@example.com", "andre@example.com", False),
        ("ada+1@example.com", "ada+2@example.com", False),
    ],
    ids=["accent", "width", "domain", "domain that has no ASCII form", "another", "plus"],
)
def test_one_mailbox_has_one_spelling(one: str, other: str, same: bool) -> None:
    """Unicode forms of one address are equal; other letters are another address."""
    assert (one_spelling(one) == one_spelling(other)) is same


@given(st.one_of(st.text(), st.emails()))
def test_spelling_is_settled(text: str) -> None:
    """A spelling spelt again is the same, and any address has one."""
    address = normal_email(text)

    if address is not None:
        assert one_spelling(one_spelling(address)) == one_spelling(address)
