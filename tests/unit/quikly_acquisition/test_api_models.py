"""A posted sign-up: every field is checked, all reasons come at once, none quotes a value."""

from __future__ import annotations

import json
import pathlib
import secrets
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.clock import iso_millis
from braze_bridge.partner_config.toml_files import load_quikly
from quikly_acquisition.api_models import (
    CLOCK_DIFFERENCE,
    AcquisitionRequest,
    Refusal,
    read_request,
)
from tests.fakes.clock import NOON

CONFIG = load_quikly(pathlib.Path(__file__).parents[3] / "layers" / "partner_config")
CONSENT = {"given_at": "2026-11-22T11:00:00Z", "method": "checkbox", "text": "v1"}
EMAIL = {
    "q_scope": "demo-email",
    "channel": "email",
    "email": "ada@example.com",
    "consent": CONSENT,
}
SMS = {"q_scope": "demo-sms", "channel": "sms", "phone": "+12025550143", "consent": CONSENT}


def read(body: object, placeholders: frozenset[str] = frozenset()) -> AcquisitionRequest | Refusal:
    return read_request(body, acquisitions=CONFIG.acquisitions, now=NOON, placeholders=placeholders)


def refused(body: object) -> list[tuple[str | None, str]]:
    found = read(body)
    assert isinstance(found, Refusal)
    return [(reason.field, reason.code) for reason in found.reasons]


def accepted(body: object) -> AcquisitionRequest:
    found = read(body)
    assert isinstance(found, AcquisitionRequest)
    return found


def test_addresses_are_normalised() -> None:
    """In the form that is compared and sent: one person is one text."""
    found = accepted(SMS | {"email": " Ada@Example.COM ", "phone": "+1 (202) 555-0143"})

    assert (found.email, found.phone) == ("ada@example.com", "+12025550143")


def test_what_may_be_left_out() -> None:
    """The other channel's address, attributes, the idempotency key."""
    email, sms = accepted(EMAIL), accepted(SMS | {"email": None, "attributes": None})

    assert (email.phone, email.attributes, email.idempotency_key) == (None, {}, None)
    assert (sms.email, sms.attributes) == (None, {})


def test_consent_is_kept_as_evidence() -> None:
    """Its time, method and text."""
    consent = accepted(EMAIL).consent

    assert iso_millis(consent.given_at) == "2026-11-22T11:00:00.000Z"
    assert (consent.method, consent.text) == ("checkbox", "v1")


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        (None, [(None, "wrong_type")]),
        ([EMAIL], [(None, "wrong_type")]),
        ("text", [(None, "wrong_type")]),
        (EMAIL | {"q_scope": None}, [("q_scope", "missing")]),
        (EMAIL | {"q_scope": 5}, [("q_scope", "wrong_type")]),
        (EMAIL | {"q_scope": "x" * 129}, [("q_scope", "too_long")]),
        (EMAIL | {"q_scope": "elsewhere"}, [("q_scope", "unknown_activation")]),
        (EMAIL | {"channel": "push"}, [("channel", "not_allowed")]),
        (EMAIL | {"channel": ["email"]}, [("channel", "wrong_type")]),
        (
            EMAIL | {"channel": "sms", "phone": "+12025550143"},
            [("channel", "channel_not_configured")],
        ),
        (
            SMS | {"channel": "email", "email": "a@b.example"},
            [("channel", "channel_not_configured")],
        ),
        (EMAIL | {"email": None}, [("email", "missing")]),
        (EMAIL | {"email": "  "}, [("email", "blank")]),
        (EMAIL | {"email": "ada@example"}, [("email", "invalid_email")]),
        (EMAIL | {"email": "a" * 60 + "@" + "b." * 90 + "example"}, [("email", "invalid_email")]),
        (SMS | {"phone": None}, [("phone", "missing")]),
        (SMS | {"phone": 12025550143}, [("phone", "wrong_type")]),
        (SMS | {"phone": "2025550143"}, [("phone", "invalid_phone")]),
        (SMS | {"phone": "+1202555014"}, [("phone", "invalid_phone")]),
        (SMS | {"phone": "+999123456789"}, [("phone", "invalid_phone")]),
        (SMS | {"phone": "undefined"}, [("phone", "invalid_phone")]),
        (EMAIL | {"consent": None}, [("consent", "missing")]),
        (EMAIL | {"consent": True}, [("consent", "wrong_type")]),
        (
            EMAIL | {"consent": {}},
            [
                ("consent.method", "missing"),
                ("consent.text", "missing"),
                ("consent.given_at", "missing"),
            ],
        ),
        (
            EMAIL | {"consent": CONSENT | {"given_at": "soon"}},
            [("consent.given_at", "invalid_time")],
        ),
        (
            EMAIL | {"consent": CONSENT | {"given_at": "2026-11-22T13:00:00Z"}},
            [("consent.given_at", "in_the_future")],
        ),
        (EMAIL | {"consent": CONSENT | {"ip": "::1"}}, [("consent.ip", "unknown_field")]),
        (EMAIL | {"attributes": ["x"]}, [("attributes", "wrong_type")]),
        (
            EMAIL | {"attributes": {"email": "other@example.com"}},
            [("attributes.email", "attribute_name")],
        ),
        (EMAIL | {"idempotency_key": 7}, [("idempotency_key", "wrong_type")]),
        (EMAIL | {"idempotency_key": "k" * 256}, [("idempotency_key", "too_long")]),
        (EMAIL | {"mail": "x"}, [("mail", "unknown_field")]),
    ],
)
def test_what_is_wrong_is_named(body: object, reasons: list[tuple[str | None, str]]) -> None:
    """One reason a field."""
    assert refused(body) == reasons


@pytest.mark.parametrize(
    ("body", "warnings"),
    [
        (EMAIL | {"phone": "", "attributes": {"last_name": "", "gender": None}}, []),
        (EMAIL | {"phone": " \u200b", "attributes": [], "idempotency_key": ""}, []),
        (EMAIL | {"phone": "N/A", "idempotency_key": "undefined"}, []),
        (SMS | {"email": "none@none.example"}, []),
        (EMAIL | {"phone": "555-0143"}, [("phone", "invalid_phone")]),
        (SMS | {"email": "ada"}, [("email", "invalid_email")]),
        (SMS | {"email": 7}, [("email", "wrong_type")]),
        (EMAIL | {"attributes": {"country": "Atlantis"}}, [("attributes.country", "not_allowed")]),
    ],
)
def test_what_is_optional_never_loses_a_sign_up(
    body: dict[str, Any], warnings: list[tuple[str, str]]
) -> None:
    """Blank and placeholders are no answer; what does not fit is left out and named."""
    found = read(body, frozenset({"none@none.example"}))

    assert isinstance(found, AcquisitionRequest)
    assert [(each.field, each.code) for each in found.warnings] == warnings
    assert (found.attributes, found.idempotency_key) == ({}, None)
    assert None in (found.email, found.phone)


def test_common_words_become_braze_s_values() -> None:
    """A form's words for gender and country."""
    found = accepted(EMAIL | {"attributes": {"gender": "female", "country": "Germany"}})

    assert found.attributes == {"gender": "F", "country": "DE"}


def test_a_refusal_also_names_what_would_be_left_out() -> None:
    """The caller corrects all of it at once."""
    assert refused(EMAIL | {"email": "ada", "phone": "1", "attributes": {"a": {"b": 1}}}) == [
        ("email", "invalid_email"),
        ("phone", "invalid_phone"),
        ("attributes.a", "wrong_type"),
    ]


def test_every_fault_is_in_one_answer() -> None:
    """The caller learns five faults from one post."""
    assert refused({"idempotency_key": 1, "attributes": 1}) == [
        ("q_scope", "missing"),
        ("channel", "missing"),
        ("consent", "missing"),
        ("attributes", "wrong_type"),
        ("idempotency_key", "wrong_type"),
    ]


def test_the_name_of_an_unknown_field_is_answered_only_if_it_is_plain() -> None:
    """A caller may have put an address in place of a name."""
    found = read(EMAIL | {"ada@example.com": True})

    assert isinstance(found, Refusal)
    assert [(reason.field, reason.code) for reason in found.reasons] == [(None, "unknown_field")]
    assert "ada" not in repr(found)


def test_other_clocks_may_be_a_little_fast() -> None:
    """A consent up to five minutes ahead is accepted; a later one is not."""
    edge = EMAIL | {"consent": CONSENT | {"given_at": iso_millis(NOON + CLOCK_DIFFERENCE)}}
    late = iso_millis(NOON + CLOCK_DIFFERENCE + timedelta(milliseconds=1))

    assert accepted(edge).consent.given_at == NOON + CLOCK_DIFFERENCE
    assert refused(EMAIL | {"consent": CONSENT | {"given_at": late}}) == [
        ("consent.given_at", "in_the_future")
    ]


def test_a_repr_shows_no_address() -> None:
    """Tracebacks show it."""
    shown = repr(accepted(SMS | {"email": "ada@example.com"}))

    assert "ada" not in shown
    assert "5550143" not in shown


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
NAMES = st.sampled_from([*EMAIL, "phone", "attributes", "idempotency_key", "x"])


@given(st.dictionaries(NAMES, VALUES), st.sampled_from([EMAIL, SMS, {}]))
def test_any_json_is_read_or_refused(given_fields: dict[str, Any], base: dict[str, Any]) -> None:
    """Nothing raises; a refusal says why; what is accepted has its channel's address."""
    found = read(base | given_fields)

    if isinstance(found, Refusal):
        assert found.reasons
    else:
        assert found.email if found.channel == "email" else found.phone


@given(st.sampled_from([*EMAIL, "phone", "idempotency_key", "method", "text", "given_at", "a"]))
def test_a_refusal_never_quotes_a_value(name: str) -> None:
    """No reason holds a field's content."""
    mark = secrets.token_hex(8)
    text = f"+{mark}@ {mark}"
    body = EMAIL | {name: text, "attributes": {"a": {"b": text}}, "consent": {name: text}}

    found = read(body)

    assert isinstance(found, Refusal)
    assert mark not in json.dumps([reason.model_dump() for reason in found.reasons])
