"""How a body identifies its person."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from braze_bridge.mapping.identifiers import IdentifierKind
from braze_bridge.mapping.paths import compile_path
from braze_bridge.mapping.people import PersonRule, find_person
from tests.fakes.json_bodies import outgrow_bodies

RULE = PersonRule(
    order=(
        IdentifierKind.EXTERNAL_ID,
        IdentifierKind.BRAZE_ID,
        IdentifierKind.USER_ALIAS,
        IdentifierKind.EMAIL,
        IdentifierKind.PHONE,
    ),
    paths={
        IdentifierKind.EXTERNAL_ID: (compile_path("external_id"), compile_path("user_id")),
        IdentifierKind.BRAZE_ID: (compile_path("braze_id"),),
        IdentifierKind.USER_ALIAS: (compile_path("alias"),),
        IdentifierKind.EMAIL: (compile_path("email"), compile_path("lead.email")),
        IdentifierKind.PHONE: (compile_path("phone"),),
    },
    alias_label="outgrow_lead",
)


@pytest.mark.parametrize(
    ("body", "identifier", "reasons"),
    [
        ({"external_id": "c-1", "email": "a@example.com"}, {"external_id": "c-1"}, []),
        ({"external_id": 12, "user_id": "x"}, {"external_id": "12"}, []),
        ({"external_id": " spaced "}, {"external_id": "spaced"}, []),
        ({"external_id": "", "user_id": "u"}, {"external_id": "u"}, []),
        (
            {"external_id": True, "user_id": "u"},
            {"external_id": "u"},
            [("external_id", "wrong_type")],
        ),
        (
            {"external_id": "é" * 494, "email": "a@example.com"},
            {"email": "a@example.com"},
            [("external_id", "too_long")],
        ),
        ({"external_id": 1.5}, None, [("external_id", "wrong_type")]),
        ({"external_id": 10**4000}, None, [("external_id", "wrong_type")]),
        ({"braze_id": "5" * 24}, {"braze_id": "5" * 24}, []),
        (
            {"braze_id": "b-1", "email": "a@example.com"},
            {"email": "a@example.com"},
            [("braze_id", "invalid_braze_id")],
        ),
        (
            {"external_id": "undefined", "email": "a@example.com"},
            {"email": "a@example.com"},
            [("external_id", "placeholder")],
        ),
        (
            {"alias": "L-7"},
            {"user_alias": {"alias_name": "L-7", "alias_label": "outgrow_lead"}},
            [],
        ),
        ({"alias": "x" * 237}, None, [("alias", "too_long")]),
        ({"email": None, "lead": {"email": " A@Example.com "}}, {"email": "a@example.com"}, []),
        (
            {"email": "n/a", "lead": {"email": ["a@example.com"]}, "phone": "+49 30 123456"},
            {"phone": "+4930123456"},
            [("email", "placeholder"), ("lead.email", "wrong_type")],
        ),
        ({"phone": 4930123456}, None, [("phone", "invalid_phone")]),
        ({"phone": "030 123"}, None, [("phone", "invalid_phone")]),
        (
            {"external_id": "{{${user_id}}}", "email": "a@example.com"},
            {"email": "a@example.com"},
            [("external_id", "unrendered_liquid")],
        ),
        ({"braze_id": "%7b%7B$%7Bbraze_id%7D%7D"}, None, [("braze_id", "unrendered_liquid")]),
        ({}, None, []),
        ([], None, []),
        ("ada@example.com", None, []),
        (None, None, []),
    ],
)
def test_first_usable_identifier_wins(
    body: Any, identifier: dict[str, Any] | None, reasons: list[tuple[str, str]]
) -> None:
    """Kinds are tried in order; what is unusable leaves a reason, and the search goes on."""
    person = find_person(RULE, body)

    found = person.user and person.user.model_dump(exclude_none=True, exclude={"may_create"})
    assert found == identifier
    assert [(reason.field, reason.code) for reason in person.reasons] == reasons


def test_order_is_the_rules() -> None:
    """The configured order decides, not the body's."""
    reverse = RULE._replace(order=(IdentifierKind.PHONE, IdentifierKind.EMAIL))

    person = find_person(reverse, {"email": "a@example.com", "phone": "+4930123456"})

    assert person.user is not None
    assert person.user.phone == "+4930123456"


def test_whether_a_profile_may_be_created_is_the_rules() -> None:
    """``may_create`` goes along with whatever identifier was found."""
    bodies = ({"external_id": "c"}, {"alias": "l"}, {"email": "a@example.com"})
    strict = RULE._replace(may_create=False)

    users = [find_person(strict, body).user for body in bodies]

    assert [user and user.may_create for user in users] == [False, False, False]


@given(outgrow_bodies())
def test_reasons_never_quote_the_body(body: Any) -> None:
    """Whatever the body, a reason's text is one of ours, and a field is one of the paths."""
    details = {
        None,
        "not an e-mail address",
        "a Liquid tag that nobody rendered",
        "a placeholder is no identifier",
        "not 24 hex digits",
        "not an international number such as +4930123456",
        *(f"a text or a whole number can be a {kind}" for kind in IdentifierKind),
        *(f"longer than Braze takes a {kind}" for kind in IdentifierKind),
    }

    for reason in find_person(RULE, body).reasons:
        assert reason.detail in details
        assert reason.field in {"external_id", "user_id", "braze_id", "alias", "email", "phone"} | {
            "lead.email"
        }


@pytest.mark.parametrize(
    ("body", "email"),
    [
        ({"external_id": "c-1", "email": " Ada@Example.com "}, "ada@example.com"),
        ({"alias": "L-7", "email": "ada@example.com"}, "ada@example.com"),
        ({"external_id": "c-1", "email": "n/a"}, None),
        ({"external_id": "c-1"}, None),
        ({"braze_id": "5" * 24, "email": "ada@example.com"}, None),
        ({"email": "ada@example.com"}, None),
    ],
)
def test_an_address_is_written_only_if_the_rule_says_so(body: Any, email: str | None) -> None:
    """A new person gets the address; by default nobody's address changes."""
    assert find_person(RULE._replace(write_email=True), body).email == email
    assert find_person(RULE, body).email is None
