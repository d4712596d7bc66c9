"""Which parked rows are about a person: all of theirs, and no other person's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.jobs.envelope import JobUser, UserAlias
from braze_bridge.mapping.identifiers import IdentifierKind
from braze_bridge.mapping.paths import compile_path
from braze_bridge.mapping.people import PersonRule
from ops.forget.people import (
    Payload,
    Person,
    UnusableIdentifierError,
    is_about,
    read_people,
    read_person,
)
from tests.fakes.delivery_jobs import job

if TYPE_CHECKING:
    from braze_bridge.jobs.envelope import DeliveryJob

ADA = Person(IdentifierKind.EMAIL, "ada@example.com")
PHONE = Person(IdentifierKind.PHONE, "+4930123456")
SEVENTEEN = Person(IdentifierKind.EXTERNAL_ID, "17")
ALIAS = Person(IdentifierKind.USER_ALIAS, "17", "iterate_id")
RULE = PersonRule(
    order=(IdentifierKind.EXTERNAL_ID,),
    paths={IdentifierKind.EXTERNAL_ID: (compile_path("lead.customer"), compile_path("user_id"))},
)


def body(document: Any, text: str | None = None) -> Payload:
    return Payload("1", "body", "outgrow", text or json.dumps(document))


def objects(parked: DeliveryJob) -> Payload:
    return Payload("1", "objects", "outgrow", parked.to_json())


@pytest.mark.parametrize(
    ("kind", "text", "key"),
    [
        ("email", " Ada@Example.COM ", ("email", "ada@example.com")),
        ("phone", "+49 (30) 123-456", ("phone", "+4930123456")),
        ("external_id", "17", ("external_id", "17")),
        ("braze_id", "abc", ("braze_id", "abc")),
        ("user_alias", "iterate_id:17", ("user_alias", "iterate_id", "17")),
        ("user_alias", "a:b:c", ("user_alias", "a", "b:c")),
    ],
)
def test_an_identifier_is_read_as_the_functions_read_it(
    kind: str, text: str, key: tuple[str, ...]
) -> None:
    """Otherwise the ledger's hash would differ."""
    assert read_person(IdentifierKind(kind), text).key == key


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("+49 (30) 123-456", ["+4930123456"]),
        ("+49 (0)170 1234567", ["+491701234567", "+4901701234567"]),
        ("+52 1 55 1234 5678", ["+525512345678", "+5215512345678"]),
        ("+1 202 555", ["+1202555"]),
    ],
)
def test_a_number_is_also_searched_as_earlier_versions_stored_it(
    text: str, numbers: list[str]
) -> None:
    """They removed separators and asked no library."""
    assert [each.value for each in read_people(IdentifierKind.PHONE, text)] == numbers


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", "ada"),
        ("phone", "030 123456"),
        ("external_id", " "),
        ("user_alias", "no-label"),
        ("user_alias", ":name"),
        ("user_alias", "label:"),
    ],
)
def test_a_text_that_is_no_identifier_is_refused(kind: str, text: str) -> None:
    """It is not a search without results."""
    with pytest.raises(UnusableIdentifierError):
        read_person(IdentifierKind(kind), text)


def test_a_key_is_the_one_of_jobs() -> None:
    """Both are hashed in the same way."""
    alias = UserAlias(alias_name="17", alias_label="iterate_id")

    assert ALIAS.key == JobUser(user_alias=alias).key
    assert ADA.key == JobUser(email="ada@example.com").key


@pytest.mark.parametrize(
    ("person", "document", "about"),
    [
        (ADA, {"lead": {"email": "ADA@example.com"}}, True),
        (ADA, {"answers": ["write to <Ada@example.com>."]}, True),
        (ADA, {"ada@example.com": 1}, True),
        (ADA, {"link": "https://example.org/survey?email=ada@example.com&x=1"}, True),
        (ADA, {"link": "https://example.org/survey?email=Ada%40example.com"}, True),
        (ADA, {"link": "https://a.example/?to=%2Fs%3Femail%3Dada%2540example.com"}, True),
        (ADA, {"text": "...ada@example.com..."}, True),
        (ADA, {"email": "xada@example.com"}, False),
        (ADA, {"email": "x+ada@example.com"}, False),
        (ADA, {"email": "x.ada@example.com"}, False),
        (ADA, {"email": "ada@example.com.au"}, False),
        (ADA, {"name": "Ada"}, False),
        (PHONE, {"phone": "+49 30 123456"}, True),
        (PHONE, {"phone": 4930123456}, True),
        (PHONE, {"note": "call +49 (30) 123-456!"}, True),
        (PHONE, {"phone": "030/123 456"}, True),
        (PHONE, {"note": "or 030 123-456 in the evening, 9 to 5"}, True),
        (PHONE, {"link": "https://example.org/?phone=030%20123456"}, True),
        (PHONE, {"phone": "030 1234567"}, False),
        (PHONE, {"phone": "+4930123457"}, False),
        (SEVENTEEN, {"user_id": "17"}, True),
        (SEVENTEEN, {"lead": {"customer": 17}}, True),
        (SEVENTEEN, {"score": 17, "id": "17", "user_id": "18"}, False),
        (SEVENTEEN, {"user_id": True}, False),
    ],
)
def test_a_body_is_about_who_is_named_in_it(person: Person, document: Any, *, about: bool) -> None:
    """Addresses and numbers anywhere, ids only at the mapping's paths."""
    assert is_about(person, body(document), [RULE]) is about


@pytest.mark.parametrize("person", [ADA, PHONE])
@pytest.mark.parametrize("text", ["YWJj" * 65_536, "1" * 262_144, "%41" * 87_000, "a." * 131_072])
def test_the_longest_body_is_searched_in_linear_time(person: Person, text: str) -> None:
    """A photo in base64 of 256 KB took minutes: the suite's own limit would end this test."""
    assert not is_about(person, body({"photo": text}), [RULE])


def test_without_a_rule_an_id_counts_anywhere() -> None:
    """A message of no partner's mapping: a false match is better than a missed one."""
    assert is_about(SEVENTEEN, body({"x": {"y": "17"}}), [])
    assert not is_about(SEVENTEEN, body({"x": "1700"}), [])


@pytest.mark.parametrize(
    ("person", "text", "about"),
    [
        (ADA, '{"email": "ada@example.com"', True),
        (PHONE, "phone=+49 30 123456", True),
        (SEVENTEEN, "user=17;", True),
        (SEVENTEEN, "user=170;", False),
        (ADA, "nothing", False),
    ],
)
def test_a_text_that_is_not_json_is_searched_as_text(
    person: Person, text: str, *, about: bool
) -> None:
    """Such as a message that was cut."""
    assert is_about(person, body(None, text), [RULE]) is about


@pytest.mark.parametrize(
    ("person", "user", "attributes", "about"),
    [
        (SEVENTEEN, JobUser(external_id="17"), {"a": 1}, True),
        (SEVENTEEN, JobUser(external_id="18"), {"a": "17"}, False),
        (
            ALIAS,
            JobUser(user_alias=UserAlias(alias_name="17", alias_label="iterate_id")),
            None,
            True,
        ),
        (ALIAS, JobUser(user_alias=UserAlias(alias_name="17", alias_label="other")), None, False),
        (ADA, JobUser(external_id="18"), {"email": "ada@example.com"}, True),
        (ADA, JobUser(email="ada@example.com"), None, True),
        (ADA, JobUser(external_id="18"), {"a": "b"}, False),
    ],
)
def test_a_job_is_about_its_user_and_the_people_it_mentions(
    person: Person, user: JobUser, attributes: dict[str, Any] | None, *, about: bool
) -> None:
    """An attribute that equals a person's id is not that id."""
    assert is_about(person, objects(job("1", user, attributes=attributes)), []) is about


def test_no_identifier_is_in_a_traceback() -> None:
    """The reprs hold no identifier and no payload."""
    assert "ada" not in repr(ADA)
    assert "ada" not in repr(body({"email": "ada@example.com"}))
