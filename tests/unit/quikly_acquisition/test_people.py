"""Addresses and attributes of a person who signs up: accepted as Braze takes them, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.braze.identifiers import UserIdentifier
from braze_bridge.braze.models import AttributesObject
from quikly_acquisition.people import (
    MAX_ATTRIBUTES,
    acquired_email,
    acquired_phone,
    checked_attributes,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Ada@Example.com ", "ada@example.com"),
        ("ada@", None),
        ("ada", None),
        ("", None),
        # Fits an e-mail address (254), not an alias (236).
        (f"{'a' * 60}@{'.'.join(['b' * 60] * 3)}.com", None),
    ],
)
def test_an_email_can_be_an_alias(text: str, expected: str | None) -> None:
    """Trimmed, in lower case; ``None`` for a text that is no address."""
    assert acquired_email(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+1 (202) 555-0143", "+12025550143"),
        ("+49 1511 2345678", "+4915112345678"),
        ("2025550143", None),
        ("+49 (0)1511 2345678", None),
        ("+1202555014", None),
        ("+120255501431", None),
        ("+999123456789", None),
        ("+1", None),
        ("", None),
    ],
)
def test_a_phone_number_can_exist(text: str, expected: str | None) -> None:
    """E.164, with a country that has numbers of that length."""
    assert acquired_phone(text) == expected


@given(st.text())
def test_any_text_is_a_number_or_none(text: str) -> None:
    """No text raises."""
    assert acquired_phone(text) is None or text.strip().startswith("+")
    acquired_email(text)


def test_attributes_keep_their_type() -> None:
    """A number stays a number; names lose the spaces Braze would strip."""
    given = {
        " first_name ": "Ada",
        "size": 3,
        "ratio": 0.5,
        "vip": True,
        "tags": ["a", "b"],
        "scores": [1, 2.5],
        "zip": "007",
        "country": "de",
        "dob": "1990-05-01",
    }
    values, reasons = checked_attributes(given)
    assert reasons == ()
    assert values == {
        "first_name": "Ada",
        "size": 3,
        "ratio": 0.5,
        "vip": True,
        "tags": ["a", "b"],
        "scores": [1, 2.5],
        "zip": "007",
        "country": "DE",
        "dob": "1990-05-01",
    }
    assert isinstance(values["vip"], bool)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("external_id", "x", "attribute_name"),
        ("_update_existing_only", False, "attribute_name"),
        ("email", "a@example.com", "attribute_name"),
        ("phone", "+12025550143", "attribute_name"),
        (" email ", "a@example.com", "attribute_name"),
        ("push_token_import", True, "attribute_name"),
        ("subscription_groups", [], "attribute_name"),
        ("email_subscribe", "subscribed", "attribute_name"),
        ("push_subscribe", "opted_in", "attribute_name"),
        ("", 1, "attribute_name"),
        ("$x", 1, "attribute_name"),
        ("email_subscribe\u200b", "subscribed", "attribute_name"),
        ("x" * 256, 1, "attribute_name"),
        ("a", None, "wrong_type"),
        ("a", {"b": 1}, "wrong_type"),
        ("a", ["x", 1], "wrong_type"),
        ("a", [True], "wrong_type"),
        ("a", "x" * 256, "too_long"),
        ("a", "2026-11-22", "looks_like_date"),
        ("a", 2**64, "out_of_range"),
        ("a", " ", "blank"),
        ("country", "Germany", "not_allowed"),
        ("country", 49, "wrong_type"),
        ("email_open_tracking_disabled", 1, "wrong_type"),
    ],
)
def test_what_braze_would_refuse_or_lose_is_refused(name: str, value: object, code: str) -> None:
    """By its name, with a code, and without the value."""
    values, (reason,) = checked_attributes({name: value})
    assert values == {}
    assert reason.code == code
    assert reason.field == f"attributes.{name.strip()}"


def test_too_many_attributes_are_refused_as_one_thing() -> None:
    """And so is the same name twice."""
    _, (many,) = checked_attributes({f"a{n}": 1 for n in range(MAX_ATTRIBUTES + 1)})
    assert many.code == "too_many"
    _, (twice,) = checked_attributes({"a": 1, " a": 2})
    assert twice.code == "attribute_name"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(alphabet=st.characters(codec="utf-8")), JSON, max_size=4))
def test_what_is_taken_can_be_sent(given: dict[str, object]) -> None:
    """For any JSON: what passes here encodes as an attributes object."""
    values, reasons = checked_attributes(given)
    if not reasons:
        user = UserIdentifier(external_id="ada")
        AttributesObject(user, update_existing_only=False, attributes=values).encode()
