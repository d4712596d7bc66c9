"""Addresses and attributes of a person who signs up: accepted as Braze takes them, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.braze.identifiers import UserIdentifier
from braze_bridge.braze.models import AttributesObject
from braze_bridge.mapping.texts import one_form
from braze_bridge.partner_config.toml_files import load_quikly
from quikly_acquisition.people import (
    MAX_ATTRIBUTES,
    acquired_email,
    checked_attributes,
)
from tests.fakes.ingest import PARTNER_CONFIG

if TYPE_CHECKING:
    import pathlib


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


@given(st.text())
def test_any_text_is_an_address_or_none(text: str) -> None:
    """No text raises."""
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
    values, warnings, reasons = checked_attributes(given)
    assert (warnings, reasons) == ((), ())
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
        ("subscription_groups", ["x"], "attribute_name"),
        ("email_subscribe", "subscribed", "attribute_name"),
        ("push_subscribe", "opted_in", "attribute_name"),
        ("", 1, "attribute_name"),
        ("$x", 1, "attribute_name"),
        ("email_subscribe\u200b", "subscribed", "attribute_name"),
        ("email_subscribe\x08", "subscribed", "attribute_name"),
        ("external\u200d_id", "x", "attribute_name"),
        ("x" * 256, 1, "attribute_name"),
    ],
)
def test_a_name_that_a_sign_up_must_not_set_is_refused(name: str, value: object, code: str) -> None:
    """By its name, with a code, and without the value."""
    values, warnings, (reason,) = checked_attributes({name: value})
    assert (values, warnings) == ({}, ())
    assert reason.code == code
    assert reason.field == f"attributes.{one_form(name)}"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("a", {"b": 1}, "wrong_type"),
        ("a", ["x", 1], "wrong_type"),
        ("a", [True], "wrong_type"),
        ("a", "x" * 256, "too_long"),
        ("a", "2026-11-22", "looks_like_date"),
        ("a", 2**64, "out_of_range"),
        ("country", 49, "wrong_type"),
        ("email_open_tracking_disabled", 1, "wrong_type"),
    ],
)
def test_a_value_that_braze_would_refuse_or_lose_is_left_out(
    name: str, value: object, code: str
) -> None:
    """The others stay; the warning has its name and a code, and not the value."""
    values, (warning,), reasons = checked_attributes({name: value, "first_name": "Ada"})
    assert (values, reasons) == ({"first_name": "Ada"}, ())
    assert (warning.code, warning.field) == (code, f"attributes.{name}")


def test_a_blank_attribute_is_no_answer() -> None:
    """Forms send every field; one that nobody filled in is neither sent nor worth a warning."""
    blanks: dict[str, object] = {
        "last_name": "",
        "gender": None,
        "tags": [],
        "note": "\u200b ",
        "email": "",
    }
    assert checked_attributes(blanks) == ({}, (), ())


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("gender", "female", "F"),
        ("gender", "Male ", "M"),
        ("gender", "Prefer not to say", "P"),
        ("country", "Germany", "DE"),
        ("country", "the Netherlands", "NL"),
        ("country", "USA", "US"),
        ("country", "Cote d'Ivoire", "CI"),
        ("language", "German", "de"),
        ("language", "pt_BR", "pt"),
    ],
)
def test_a_common_word_becomes_braze_s_value(name: str, value: str, sent: str) -> None:
    """Only where it is certain."""
    assert checked_attributes({name: value}).values == {name: sent}


def test_an_accent_is_written_one_way() -> None:
    """Composed and separate accents look alike: they are one name."""
    values, _, (twice,) = checked_attributes({"Caf\u00e9": 1, "Cafe\u0301": 2})
    assert values == {"Caf\u00e9": 1}
    assert twice.code == "attribute_name"


def test_too_many_attributes_are_refused_as_one_thing() -> None:
    """And so is the same name twice."""
    _, _, (many,) = checked_attributes({f"a{n}": 1 for n in range(MAX_ATTRIBUTES + 1)})
    assert many.code == "too_many"
    _, _, (twice,) = checked_attributes({"a": 1, " a": 2})
    assert twice.code == "attribute_name"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(alphabet=st.characters(codec="utf-8")), JSON, max_size=4))
def test_what_is_taken_can_be_sent(given: dict[str, object]) -> None:
    """For any JSON: what passes here encodes as an attributes object."""
    values, _, reasons = checked_attributes(given)
    if not reasons:
        user = UserIdentifier(external_id="ada")
        AttributesObject(user, update_existing_only=False, attributes=values).encode()


def test_a_file_can_list_the_only_names(tmp_path: pathlib.Path) -> None:
    """Braze's own fields stay free; an empty list leaves nothing else."""
    text = (PARTNER_CONFIG / "quikly.toml").read_text(encoding="utf-8")
    given = {"shoe_size": 43, "hat": "L", "first_name": "Ada"}
    for only, left in (('["shoe_size "]', {"shoe_size", "first_name"}), ("[]", {"first_name"})):
        names = f"[names]\nonly = {only}\n\n[door]"
        (tmp_path / "quikly.toml").write_text(text.replace("[door]", names, 1), encoding="utf-8")
        checked = checked_attributes(given, load_quikly(tmp_path).names)

        assert checked.values.keys() == left
        assert {each.code for each in checked.warnings} == {"attribute_name"}


@pytest.mark.parametrize(
    "name",
    [
        " outgrow_quiz_score",
        "outgrow_quiz_score\x08",
        "outgrow\u200d_quiz_score",
        "two\u200bwords",
        "two\u00a0words",
        "quikly_cafe\u034f\u0301",
        "marketing_consent",
    ],
)
def test_a_name_of_another_partner_or_with_unseen_characters_is_left_out(name: str) -> None:
    """The sign-up is taken and names it; Braze's own fields stay free."""
    values, warnings, reasons = checked_attributes(
        {name: 1, "first_name": "Ada"}, load_quikly(PARTNER_CONFIG).names
    )

    assert (values, reasons) == ({"first_name": "Ada"}, ())
    assert [(each.code, each.field) for each in warnings] == [
        ("attribute_name", f"attributes.{one_form(name)}")
    ]
