"""An identifier counts only with a signature that the holder of a key made of it."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from braze_bridge.aws.secrets import SecretPair
from braze_bridge.mapping.identifiers import IdentifierKind
from braze_bridge.mapping.link_signatures import (
    any_signature_fits,
    check_with,
    is_signed,
    no_signature_fits,
    sign,
)
from braze_bridge.mapping.paths import compile_path
from braze_bridge.mapping.people import PersonRule, find_person

KEY = "a key of tests"
kinds = st.sampled_from(list(IdentifierKind))
keys = st.text(min_size=1, max_size=60)
RULE = PersonRule(
    order=(IdentifierKind.EXTERNAL_ID, IdentifierKind.EMAIL),
    paths={
        IdentifierKind.EXTERNAL_ID: (compile_path("user_id"),),
        IdentifierKind.EMAIL: (compile_path("email"),),
    },
    signature=(compile_path("user_signature"),),
)


class Secret:
    """A secret whose value is read again by ``refresh`` only."""

    def __init__(self, cached: SecretPair, stored: SecretPair) -> None:
        self.cached, self.stored, self.reads = cached, stored, 0

    def get(self) -> SecretPair:
        self.reads += 1
        return self.cached

    def refresh(self) -> SecretPair:
        return self.stored

    def drop(self) -> None: ...


def test_a_signature_is_the_one_that_braze_makes() -> None:
    """As ``printf external_id:c-42 | openssl dgst -sha256 -hmac secret_key`` prints it."""
    assert (
        sign("secret_key", "external_id", "c-42")
        == "216c72e65618c7bc8d7b2ee29ced844e436ce1b2ec4540b936675490fe5a367f"
    )


@given(kinds, st.text(max_size=300), keys, keys)
def test_the_current_and_the_previous_key_sign(
    kind: IdentifierKind, value: str, current: str, previous: str
) -> None:
    """Whatever the identifier is, and with spaces or capitals that a form adds."""
    for key in (current, previous):
        given_ = f" {sign(key, kind, value).upper()} "
        assert is_signed((current, previous), kind, value, given_)


@given(kinds, st.text(max_size=50), kinds, st.text(max_size=50))
def test_a_signature_fits_no_other_identifier(
    kind: IdentifierKind, value: str, other_kind: IdentifierKind, other: str
) -> None:
    """Neither of another person nor of another kind."""
    assume((kind, value) != (other_kind, other))

    assert not is_signed((KEY,), other_kind, other, sign(KEY, kind, value))


@given(
    kinds,
    st.text(max_size=50),
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
)
def test_nothing_else_is_a_signature(kind: IdentifierKind, value: str, given_: object) -> None:
    """Of any type, and it never raises; blank keys sign nothing."""
    assert not is_signed((KEY,), kind, value, given_)
    assert not is_signed(("", ""), kind, value, sign("", kind, value))
    assert not no_signature_fits(kind, value, sign(KEY, kind, value))


def test_a_newer_key_is_read_for_a_signature_that_does_not_fit_the_known_ones() -> None:
    """Links are signed with a new key before each function has read it."""
    secret = Secret(SecretPair(current="old"), SecretPair(current="new", previous="old"))
    fits = check_with(secret)

    assert fits("email", "a@example.com", sign("new", "email", "a@example.com"))
    assert fits("email", "a@example.com", sign("old", "email", "a@example.com"))
    assert not fits("email", "a@example.com", sign("older", "email", "a@example.com"))


@pytest.mark.parametrize("absent", [None, "", "  ", 7])
def test_without_a_signature_no_secret_is_read(absent: object) -> None:
    """So a stack whose secret is not made yet refuses the body instead of answering 503."""
    secret = Secret(SecretPair(current=KEY), SecretPair(current=KEY))

    assert not check_with(secret)("email", "a@example.com", absent)
    assert secret.reads == 0


def test_only_the_signed_identifier_names_the_person() -> None:
    """A respondent who changes the id in the link keeps only the identifier that was signed."""
    fits = check_with(Secret(SecretPair(current=KEY), SecretPair(current=KEY)))
    body = {
        "user_id": "somebody-else",
        "email": "Ada@example.com",
        "user_signature": sign(KEY, "email", "ada@example.com"),
    }

    person = find_person(RULE, body, fits)

    assert person.user is not None
    assert person.user.email == "ada@example.com"
    assert [(each.field, each.code) for each in person.reasons] == [("user_id", "unsigned")]


def test_a_body_without_a_right_signature_has_no_person() -> None:
    """Each identifier is named with the reason."""
    body = {"user_id": "c-1", "email": "ada@example.com", "user_signature": "0" * 64}

    fits = check_with(Secret(SecretPair(current=KEY), SecretPair(current=KEY)))

    person = find_person(RULE, body, fits)

    assert person.user is None
    assert [(each.field, each.code) for each in person.reasons] == [
        ("user_id", "unsigned"),
        ("email", "unsigned"),
    ]
    assert find_person(RULE, body).user is None
    assert find_person(RULE._replace(signature=()), body).user is not None
    assert find_person(RULE, body, any_signature_fits).user is not None
