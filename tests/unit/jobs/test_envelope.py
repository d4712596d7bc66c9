"""The DeliveryJob: what it refuses, how it travels, how it is split."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from braze_bridge.jobs.envelope import (
    CONTROL_NAMES,
    IDENTIFIER_NAMES,
    DeliveryJob,
    JobUser,
    UnreadableJobError,
    UserAlias,
    canonical_hash,
    parse_job,
    split_job,
)
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import event, job

if TYPE_CHECKING:
    from datetime import datetime

ALIAS = UserAlias(alias_name="a", alias_label="email")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"external_id": "a", "email": "a@example.com"},
        {"user_alias": ALIAS, "braze_id": "b"},
        {"external_id": ""},
        {"external_id": "  "},
        {"external_id": "a", "nickname": "b"},
    ],
)
def test_a_user_has_exactly_one_usable_identifier(fields: dict[str, Any]) -> None:
    """None, two, blank or unknown ones are refused."""
    with pytest.raises(ValidationError):
        JobUser(**fields)


def test_people_are_told_apart_by_kind_and_value() -> None:
    """The same text as another kind of identifier is another key."""
    users = [
        JobUser(external_id="a"),
        JobUser(braze_id="a"),
        JobUser(email="a"),
        JobUser(phone="a"),
        JobUser(user_alias=ALIAS),
        JobUser(user_alias=UserAlias(alias_name="email", alias_label="a")),
    ]

    assert len({user.key for user in users}) == len(users)


@pytest.mark.parametrize(
    ("user", "attributes"),
    [
        *[(JobUser(external_id="a"), {name: "x"}) for name in sorted(IDENTIFIER_NAMES)],
        *[(JobUser(external_id="a"), {name: "x"}) for name in sorted(CONTROL_NAMES)],
        (JobUser(external_id="a"), {" ": 1}),
        (JobUser(external_id="a"), {" braze_id": "b"}),
        (JobUser(external_id="a"), {}),
        (JobUser(email="a@example.com"), {"email": "b@example.com"}),
        (JobUser(phone="+15555550100"), {"email": "b@example.com"}),
        (JobUser(phone="+15555550100"), {"phone": "+15555550101"}),
        (JobUser(external_id="a"), {"score": {"inc": 1}}),
        (JobUser(external_id="a"), {"scores": [[1]]}),
        (JobUser(external_id="a"), {"scores": [None]}),
    ],
)
def test_attributes_that_would_mean_something_else_are_refused(
    user: JobUser, attributes: dict[str, Any]
) -> None:
    """Identifiers, control keys, operators, nothing at all, another e-mail as identifier."""
    with pytest.raises(ValidationError):
        job(user=user, attributes=attributes)


@pytest.mark.parametrize(
    "fields",
    [
        {"occurred_at": NOON + timedelta(seconds=1), "received_at": NOON},
        {"occurred_at": NOON.replace(tzinfo=None)},
        {"source": "Out grow"},
        {"job_id": ""},
        {"schema_version": 2},
    ],
)
def test_odd_fields_are_refused(fields: dict[str, Any]) -> None:
    """A time after arrival or without a zone, an unknown version, a job without an id."""
    with pytest.raises(ValidationError):
        job(**fields)


scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
)
attributes = st.dictionaries(
    st.text(min_size=1, max_size=20).filter(
        lambda name: bool(name.strip()) and name.strip() not in IDENTIFIER_NAMES | CONTROL_NAMES
    ),
    st.one_of(st.none(), scalars, st.lists(scalars, max_size=4)),
    min_size=1,
    max_size=6,
)


@given(attributes)
def test_a_job_survives_the_journey_with_every_type_as_it_was(values: dict[str, Any]) -> None:
    """A "007" stays a string, 1 an integer, true a boolean, 1.0 a float."""
    sent = job(attributes=values)

    arrived = parse_job(sent.to_json())

    assert arrived == sent
    assert json.dumps(arrived.attributes) == json.dumps(values)
    assert [type(value) for value in arrived.attributes.values()] == [
        type(value) for value in values.values()
    ]


def test_characters_that_sqs_refuses_travel_as_escapes() -> None:
    """U+FFFE and U+FFFF are valid JSON text but invalid in an SQS message."""
    sent = job(attributes={"odd": "\ufffe\uffff\x00"})

    text = sent.to_json()

    assert not {"\ufffe", "\uffff", "\x00"} & set(text)
    assert parse_job(text) == sent


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("{", "job"),
        (json.dumps({"schema_version": 9}), "schema_version"),
        (b"\xff", "job"),
    ],
)
def test_an_unreadable_job_says_where_but_not_what(body: str | bytes, where: str) -> None:
    """Reasons name fields and kinds of error, never values."""
    with pytest.raises(UnreadableJobError) as caught:
        parse_job(body)

    assert where in {place for place, _ in caught.value.reasons}


def test_unreadable_reasons_never_quote_the_body() -> None:
    """A person's address in a broken job stays out of the reasons."""
    broken = json.loads(job(user=JobUser(email="ada@example.com")).to_json())
    broken["occurred_at"] = "ada@example.com"

    with pytest.raises(UnreadableJobError) as caught:
        parse_job(json.dumps(broken))

    assert "ada@example.com" not in repr(caught.value.reasons) + str(caught.value)
    assert caught.value.__cause__ is None


def test_a_short_job_is_not_split() -> None:
    """The usual case: one message."""
    short = job()

    assert split_job(short) == [short]


@given(st.integers(2, 60), st.integers(0, 60), st.integers(700, 3_000))
def test_the_parts_of_a_job_hold_all_of_it_and_fit(names: int, events: int, max_bytes: int) -> None:
    """Every attribute and event is in exactly one part; ids count from 1; twice splits alike."""
    whole = job(
        attributes={f"name-{n}": "ü" * 20 for n in range(names)},
        events=[event(f"event-{n}", answer="x" * 20) for n in range(events)],
    )

    parts = split_job(whole, max_bytes)

    assert parts == split_job(whole, max_bytes)
    merged: dict[str, Any] = {}
    for part in parts:
        assert not set(merged) & set(part.attributes)
        merged |= part.attributes
    assert merged == whole.attributes
    assert [each for part in parts for each in part.events] == list(whole.events)
    if len(parts) > 1:
        assert [part.job_id for part in parts] == [
            f"{whole.job_id}/{n}" for n in range(1, len(parts) + 1)
        ]
    assert all(len(part.to_json().encode()) <= max_bytes for part in parts)


def test_a_resend_is_cut_at_the_same_places() -> None:
    """The time of arrival and the correlation id move no attribute into another part."""
    first = job(attributes={f"name-{n}": n for n in range(500)})
    later = first.model_copy(
        update={
            "received_at": NOON + timedelta(seconds=61, microseconds=123),
            "correlation_id": "a-much-longer-correlation-id",
        }
    )

    assert [part.attributes for part in split_job(first, 3_000)] == [
        part.attributes for part in split_job(later, 3_000)
    ]


@given(st.integers(1_500, 12_000))
def test_a_resend_with_times_of_its_arrival_is_cut_alike(max_bytes: int) -> None:
    """An event may have its arrival's time, written longer or shorter: that moves no cut."""

    def sent(at: datetime, correlation_id: str) -> DeliveryJob:
        return job(
            occurred_at=at,
            received_at=at,
            correlation_id=correlation_id,
            events=[
                event(f"event-{n}", answer="x" * 20).model_copy(update={"time": at})
                for n in range(60)
            ],
        )

    first = split_job(sent(NOON, "r"), max_bytes)
    later = split_job(sent(NOON + timedelta(seconds=61, microseconds=123), "r" * 128), max_bytes)

    assert [part.job_id for part in first] == [part.job_id for part in later]
    assert [len(part.events) for part in first] == [len(part.events) for part in later]


def test_a_hash_ignores_spelling_and_sees_content() -> None:
    """Key order does not matter; types and values do."""
    assert canonical_hash({"a": 1, "b": [2]}) == canonical_hash({"b": [2], "a": 1})
    assert len({canonical_hash(value) for value in ({"a": 1}, {"a": "1"}, {"a": 1.5}, [1])}) == 4


def test_the_contract_of_version_1_does_not_change_by_accident() -> None:
    """The JSON of a full job, field by field."""
    full = DeliveryJob(
        job_id="outgrow:quiz:1",
        source="outgrow",
        occurred_at=NOON,
        received_at=NOON,
        correlation_id="c",
        user=JobUser(user_alias=ALIAS, may_create=False),
        attributes={"score": 87, "gone": None, "tags": ["a", 1]},
        events=(event("answered", question="q"),),
    )

    assert json.loads(full.to_json()) == {
        "schema_version": 1,
        "job_id": "outgrow:quiz:1",
        "source": "outgrow",
        "occurred_at": "2026-11-22T12:00:00Z",
        "received_at": "2026-11-22T12:00:00Z",
        "correlation_id": "c",
        "user": {
            "external_id": None,
            "braze_id": None,
            "user_alias": {"alias_name": "a", "alias_label": "email"},
            "email": None,
            "phone": None,
            "may_create": False,
        },
        "attributes": {"score": 87, "gone": None, "tags": ["a", 1]},
        "events": [
            {"name": "answered", "time": "2026-11-22T12:00:00Z", "properties": {"question": "q"}}
        ],
    }
