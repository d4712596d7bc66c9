"""The DeliveryJob: what it refuses, how it travels, how it is split."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from braze_bridge.jobs.envelope import (
    CONTROL_NAMES,
    IDENTIFIER_NAMES,
    MAX_OBJECT_BYTES,
    DeliveryJob,
    JobObject,
    JobUser,
    LaterJobError,
    UnreadableJobError,
    UserAlias,
    canonical_hash,
    parse_job,
    split_job,
)
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import event, increment, job

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
        {"schema_version": 3},
        {"sender": "outgrow_ingest"},
        {"events": [event("answered", event_id="1")]},
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


# -- version 2 ---------------------------------------------------------------------------------


json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), scalars),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)
objects = st.builds(
    JobObject,
    id=st.none(),
    array=st.sampled_from(["attributes", "events", "purchases"]),
    object=st.dictionaries(st.sampled_from("abc"), json_values, min_size=1, max_size=3),
)
v2_jobs = st.builds(
    job,
    attributes=attributes,
    events=st.lists(st.text("ab\ufffe", min_size=1).map(event), max_size=5),
    objects=st.lists(objects, max_size=5),
    version=st.just(2),
)
any_jobs = st.one_of(v2_jobs, st.builds(job, attributes=attributes, events=st.integers(0, 20)))


@given(v2_jobs)
def test_version_2_survives_the_journey_too(sent: DeliveryJob) -> None:
    """Ids of events, nested values and the order of objects arrive as they were."""
    arrived = parse_job(sent.to_json())

    assert arrived == sent
    assert json.dumps([each.object for each in arrived.objects]) == json.dumps(
        [each.object for each in sent.objects]
    )
    assert arrived.once_ids == sent.once_ids
    assert len(set(sent.once_ids)) == len(sent.events) + len(sent.objects)


@given(any_jobs, st.integers(900, 3_000))
def test_parts_keep_the_order_and_the_ids_of_what_counts_once(
    whole: DeliveryJob, max_bytes: int
) -> None:
    """No id appears in two parts; a part of a part keeps them, too."""
    parts = split_job(whole, max_bytes)

    assert parts == split_job(whole, max_bytes)
    assert [each.object for part in parts for each in part.objects] == [
        each.object for each in whole.objects
    ]
    ids = [id_ for part in parts for id_ in part.once_ids]
    assert len(set(ids)) == len(whole.once_ids)
    if whole.schema_version == 2 or len(parts) == 1:
        assert tuple(ids) == whole.once_ids
    assert [parse_job(part.to_json()) for part in parts] == parts


@given(any_jobs)
def test_another_sender_queues_a_job_of_version_2_with_the_same_ids(given_job: DeliveryJob) -> None:
    """An event of a v1 job that was counted stays counted when the job is replayed."""
    sent = given_job.sent_by("bridge")

    assert (sent.schema_version, sent.sender) == (2, "bridge")
    assert sent.once_ids == given_job.once_ids
    assert parse_job(sent.to_json()) == sent


def test_the_ids_of_a_job_are_the_events_then_the_objects() -> None:
    """v1 has only the job's id and the positions; an object has its own id or is counted."""
    assert job(events=2).once_ids == ("outgrow:default:1#0", "outgrow:default:1#1")
    assert job(
        events=[event("a", event_id="e-1")],
        objects=[increment(), increment(object_id="mine")],
        version=2,
    ).once_ids == ("e-1", "outgrow:default:1!0", "mine")


@pytest.mark.parametrize(
    "fields",
    [
        {"sender": None},
        {"sender": "Outgrow ingest"},
        {"events": (event("a", event_id="1"), event("b", event_id="1"))},
        {"events": (event("a", event_id="outgrow:default:1!0"),)},
        {"user": JobUser(email="a@example.com"), "object": {"email": "b@example.com"}},
        {"user": JobUser(phone="+15555550100"), "object": {" phone": "+15555550101"}},
    ],
)
def test_a_job_of_version_2_that_cannot_be_counted_or_changes_its_person_is_refused(
    fields: dict[str, Any],
) -> None:
    """No sender, one id twice, an object that would choose another person."""
    given_object = fields.pop("object", {"points": {"inc": 1}})
    with pytest.raises(ValidationError):
        job(
            objects=[JobObject(array="attributes", object=given_object)],
            version=2,
            **fields,
        )


def nested(depth: int) -> Any:
    """So many arrays in each other."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("array", "fields"),
    [
        *[("attributes", {name: "x"}) for name in sorted(IDENTIFIER_NAMES)],
        ("attributes", {" external_id ": "x"}),
        ("attributes", {"_update_existing_only": True}),
        ("attributes", {" ": 1}),
        ("attributes", {}),
        ("events", {"name": "a", "email": "a@example.com"}),
        ("purchases", {"product_id": "a", "phone": "+15555550100"}),
        ("attributes", {"deep": nested(20)}),
        ("attributes", {"long": "ü" * (MAX_OBJECT_BYTES // 2)}),
        ("attributes", {"points": float("nan")}),
        ("attributes", {"points": {"inc": float("inf")}}),
        ("attributes", {"points": {"inc": 2**63}}),
        ("profiles", {"a": 1}),
    ],
)
def test_an_object_that_braze_cannot_take_is_refused(array: Any, fields: dict[str, Any]) -> None:
    """Identifiers and the switch that delivery sets, nothing, too deep, too long, no number."""
    with pytest.raises(ValidationError):
        JobObject(array=array, object=fields)


def test_an_object_may_nest_and_merge() -> None:
    """What Braze takes of a partner's own integration."""
    given_objects = [
        JobObject(array="attributes", object={"deep": nested(19), "_merge_objects": True}),
        JobObject(array="purchases", object={"product_id": "a", "price": 9.9, "quantity": 2}),
        JobObject(array="attributes", object={"email": "a@example.com", "tags": {"add": ["x"]}}),
    ]

    sent = job(objects=given_objects, version=2)

    assert parse_job(sent.to_json()).objects == tuple(given_objects)


def test_a_job_has_no_more_objects_than_one_request() -> None:
    """Their order holds inside one request only."""
    assert len(job(objects=[increment()] * 75, version=2).objects) == 75

    with pytest.raises(ValidationError):
        job(objects=[increment()] * 76, version=2)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("field", ["received_at", "occurred_at", "time"])
@pytest.mark.parametrize("year", [1, 1969, 3000, 9999])
def test_times_that_no_clock_shows_are_refused(
    version: Literal[1, 2], field: str, year: int
) -> None:
    """Near year 1 or 9999, a change of the time zone raises OverflowError."""
    document = json.loads(job(events=1, version=version).to_json())
    zone = timezone(timedelta(hours=-14 if year > 3000 else 14))
    at = datetime(year, 12, 31, 23, 59, tzinfo=zone).isoformat()
    for name in ("received_at",) if field == "received_at" else ("received_at", "occurred_at"):
        if year >= 3000:
            document[name] = at
    (document["events"][0] if field == "time" else document)[field] = at

    with pytest.raises(UnreadableJobError) as caught:
        parse_job(json.dumps(document))

    assert not isinstance(caught.value, LaterJobError)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("year", [1970, 2999])
def test_the_first_and_the_last_year_are_read(version: Literal[1, 2], year: int) -> None:
    """Also in the zone farthest from UTC, back and forth."""
    at = datetime(year, 6, 1, tzinfo=UTC)
    for zone in (timezone(timedelta(hours=14)), timezone(timedelta(hours=-14))):
        sent = job(occurred_at=at, received_at=at.astimezone(zone), version=version)
        assert parse_job(sent.to_json()).received_at.astimezone(UTC) == at


@pytest.mark.parametrize(
    ("version", "change", "waits"),
    [
        (1, {"unknown": 1}, True),
        (2, {"unknown": 1}, True),
        (1, {"schema_version": 3}, True),
        (2, {"schema_version": 3}, True),
        (2, {"schema_version": 3, "events": "of another shape"}, True),
        (1, {"sender": "outgrow_ingest"}, False),
        (1, {"objects": [{"array": "attributes", "object": {"a": {"inc": 1}}}]}, False),
        (2, {"sender": None}, False),
        (2, {"schema_version": 1}, False),
        (2, {"schema_version": 0}, False),
        (2, {"schema_version": "3"}, False),
        (2, {"unknown": 1, "job_id": ""}, False),
    ],
)
def test_only_what_newer_code_may_read_waits(
    version: Literal[1, 2],
    change: dict[str, Any],
    waits: bool,
) -> None:
    """v1 is closed: no newer code reads it with fields of v2, so that is parked at once."""
    document = json.loads(job(events=1, version=version).to_json())

    with pytest.raises(UnreadableJobError) as caught:
        parse_job(json.dumps(document | change))

    assert isinstance(caught.value, LaterJobError) is waits
