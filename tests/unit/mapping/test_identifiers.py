"""Identifiers: usable in one form, or refused with a reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.mapping.identifiers import (
    IdentifierKind,
    Unusable,
    alias_fits,
    external_id_fits,
    is_placeholder,
    normal_email,
    one_spelling,
    usable,
)
from braze_bridge.mapping.identities import id_text
from tests.fakes.json_bodies import json_values


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
        ("\u200bada@example.com\u00a0\ufeff", "ada@example.com"),
        ("andre\u0301@example.com", "andr\u00e9@example.com"),
        ("ad\u200ba@example.com", None),
        ("ad\u00ada@example.com", None),
        ("ad\u2800a@example.com", None),
        ("ada\u202e@example.com", None),
        ("", None),
    ],
)
def test_email_is_normal_or_none(text: str, expected: str | None) -> None:
    """An address is trimmed and lower-cased; what is doubtful is none."""
    assert normal_email(text) == expected


@given(st.one_of(st.text(), st.emails()))
def test_normal_email_stays_as_it_is(text: str) -> None:
    """Normalising twice changes nothing, and the result has one @ and no space."""
    once = normal_email(text)

    if once is not None:
        assert normal_email(once) == once
        assert once.count("@") == 1
        assert not re.search(r"\s", once)
        assert len(once) <= 254


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


@pytest.mark.parametrize(
    "text",
    [
        *("undefined", "NULL", "None", "n/a", "N/A", "NaN", "[object Object]", "nil", "#N/A"),
        *("0", "0.0", "000", "-", "--", "?", "_", "(null)", "<none>", "'undefined'", "-1"),
        *("00000000-0000-0000-0000-000000000000", "Guest"),
        *("\uff2e\uff35\uff2c\uff2c", "N / A", "not  set", "\u2800"),
    ],
)
@pytest.mark.parametrize("kind", list(IdentifierKind))
def test_a_placeholder_is_no_identifier(kind: IdentifierKind, text: str) -> None:
    """In any case, with spaces around it, and also those of the partner's file."""
    found = usable(kind, f"\u00a0{text}\n", frozenset({"guest"}))

    assert isinstance(found, Unusable)
    assert found.code == "placeholder"


@pytest.mark.parametrize(
    "text",
    [
        *("{{user_id}}", "{{${user_id}}}", "${user_id}", "#{user_id}", "{user_id}", "<%= id %>"),
        *("%%user_id%%", "%user_id%", "*|USER_ID|*", "[[user.id]]", "x-{{user_id}}"),
        *("%7B%7Buser_id%7D%7D", "%24%7Buser_id%7D", "%5B%5Buser_id%5D%5D", "%25%25user_id%25%25"),
    ],
)
def test_a_tag_that_nobody_rendered_is_no_identifier(text: str) -> None:
    """Two people with the same tag would become one profile, or one response."""
    found = usable(IdentifierKind.EXTERNAL_ID, text)

    assert isinstance(found, Unusable)
    assert found.code == "unrendered_liquid"
    assert is_placeholder(text)
    assert id_text(text) is None


@pytest.mark.parametrize("text", ["0", "none", "NONE", "true", "test"])
def test_a_file_can_say_that_a_word_is_an_identifier(text: str) -> None:
    """Somebody's real id may be 0; other placeholders stay placeholders."""
    allowed = frozenset({"0", "none", "true", "test"})

    assert usable(IdentifierKind.EXTERNAL_ID, text, frozenset({"test"}), allowed) == text
    assert isinstance(usable(IdentifierKind.EXTERNAL_ID, "00", frozenset(), allowed), Unusable)


@pytest.mark.parametrize(
    "text",
    [
        "crm-77",
        "10",
        "a",
        "nullmeyer",
        "nan-1",
        "x0",
        "日本",
        "50%",
        "a%b",
        "%41",
        "[a]",
        "{6f96-4f}",
    ],
)
def test_what_looks_like_a_placeholder_may_be_an_id(text: str) -> None:
    """Only whole texts are placeholders."""
    assert not is_placeholder(text)
    assert usable(IdentifierKind.EXTERNAL_ID, text) == text


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (IdentifierKind.EXTERNAL_ID, "crm-77 ", "crm-77"),
        (IdentifierKind.EXTERNAL_ID, "\u200bcrm-77\u00a0\n", "crm-77"),
        (IdentifierKind.EXTERNAL_ID, "\u2800crm-77\u2800", "crm-77"),
        (IdentifierKind.EXTERNAL_ID, "Caf\u0065\u0301-1", "Caf\u00e9-1"),
        (IdentifierKind.EXTERNAL_ID, 17, "17"),
        (IdentifierKind.BRAZE_ID, " 5FBD99BAC125CA40511F2CB1 ", "5fbd99bac125ca40511f2cb1"),
        (IdentifierKind.USER_ALIAS, "lead-7\t", "lead-7"),
        (IdentifierKind.PHONE, "+49 (0)170 1234567", "+491701234567"),
    ],
)
def test_an_identifier_has_one_form(kind: IdentifierKind, value: object, expected: str) -> None:
    """Trimmed, composed, and as its kind is compared."""
    assert usable(kind, value) == expected


@pytest.mark.parametrize("text", ["b-1", "5fbd99bac125ca40511f2cb", "5fbd99bac125ca40511f2cbg"])
def test_a_braze_id_has_24_hexadecimal_digits(text: str) -> None:
    """Braze drops what comes with another one."""
    found = usable(IdentifierKind.BRAZE_ID, text)

    assert isinstance(found, Unusable)
    assert found.code == "invalid_braze_id"


_TYPED = st.text(
    alphabet="+0123456789 -().@abcdefNULLnul\u00a0\u200b\uff10\u0661\u0301e\n", max_size=40
)


@given(
    st.sampled_from(list(IdentifierKind)), st.one_of(json_values(), st.text(), st.emails(), _TYPED)
)
def test_any_value_is_an_identifier_or_has_a_reason(kind: IdentifierKind, value: object) -> None:
    """Nothing raises; what is usable is usable again, unchanged."""
    found = usable(kind, value)

    if isinstance(found, Unusable):
        assert found.code
        assert found.detail
    else:
        assert usable(kind, found) == found
        assert found == found.strip() != ""
