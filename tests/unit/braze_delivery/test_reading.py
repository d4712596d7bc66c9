"""A plain job gives the same requests and refusals as the contract's own parser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_bridge.jobs.envelope import LaterJobError, UnreadableJobError, parse_job
from braze_bridge.ledger.port import PersonState
from braze_delivery.entry import BatchEntry, Chunk
from braze_delivery.merging import merge
from braze_delivery.reading import PlainJob, read_job
from tests.fakes.delivery_jobs import event, job

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_delivery.reading import Job


def outcome(body: str, read: Callable[[str], Job]) -> object:
    """Return the Braze objects and the refused parts, or why the message is no job."""
    try:
        read_one = read(body)
    except LaterJobError as error:
        return ("later", error.reasons, error.received_at)
    except UnreadableJobError as error:
        return ("unreadable", error.reasons)
    entry = BatchEntry(0, read_one, read_one.user.key, Chunk({}))
    merged = merge(entry.key, [entry], PersonState())
    objects = [(each.array, json.loads(each.body)) for each in merged.attributes + merged.rest]
    ids = (read_one.job_id, read_one.once_ids, entry.key, read_one.occurred_at)
    return (objects, entry.refused, ids)


NAMES = st.one_of(
    st.sampled_from(
        [
            "score",
            "city",
            "email",
            "phone",
            " email",
            "external_id",
            " external_id ",
            "user_alias",
            "braze_id",
            "push_tokens",
            "push_token_import",
            "subscription_groups",
            "",
            " ",
            "\t",
            "_update_existing_only",
            "_merge_objects",
            "email_subscription_info",
            "image_url",
            "time",
            "event_name",
            "$inc",
            "a.b",
            "\u2003time",
            "n" * 255,
            "n" * 256,
            "naïve",
            "\U0001f600",
        ]
    ),
    st.text(max_size=6),
)
NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "1.0",
        "1E5",
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "1" * 30,
        "1" * 5_000,
        "01",
        "1.",
        "0.1",
        "5e-324",
        "18446744073709551616",
    ]
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            '"\\ud800"',
            '"\\ud83d\\ude00"',
            '"\\udc00x"',
            '"\\u0000"',
            '"a\\/b"',
            '""',
            '" "',
            '"\\ufffe"',
            '"' + "x" * 255 + '"',
            '"' + "x" * 256 + '"',
            '"' + "é" * 255 + '"',
            '"\\x"',
        ]
    ),
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
)
SCALARS = st.one_of(NUMBERS, TEXTS, st.sampled_from(["true", "false", "null", "1", "2.5"]))
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3).map(lambda each: f"[{','.join(each)}]"),
    st.sampled_from(['{"add":["x"]}', '{"inc":1}', "[[1]]", "{}", "[" + "1," * 500 + "1]"]),
)


def object_of(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members) + "}"


MEMBERS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
TIMES = st.sampled_from(
    [
        '"2026-11-22T11:59:00Z"',
        '"2026-11-22T12:59:00.123456+01:00"',
        '"2026-11-22T11:59:00"',
        '"1969-12-31T23:59:59Z"',
        '"9999-12-31T23:59:59-23:00"',
        '"0001-01-01T00:00:00+23:00"',
        '"2026-11-22 11:59:00z"',
        "1700000000",
        '"1700000000"',
        '"2026-02-30T00:00:00Z"',
        "null",
    ]
)
IDS = st.sampled_from(
    [
        "ada",
        "",
        " ",
        "x" * 246,
        "x" * 247,
        "x" * 987,
        "x" * 988,
        "é" * 494,
        "a@example.com",
        "+4915112345678",
        "0151",
        "\u2003",
    ]
).map(json.dumps)
ALIASES = st.tuples(IDS, IDS).map(lambda two: f'{{"alias_name":{two[0]},"alias_label":{two[1]}}}')
USERS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["external_id", "braze_id", "email", "phone"]), IDS),
        st.tuples(st.just("user_alias"), ALIASES),
        st.tuples(
            st.sampled_from(["external_id", "email", "user_alias", "instance"]), st.just("null")
        ),
        st.tuples(st.just("may_create"), st.sampled_from(["true", "false", "1", '"yes"'])),
    ),
    max_size=3,
).map(object_of)
EVENTS = st.lists(
    st.tuples(NAMES.map(json.dumps), TIMES, MEMBERS, st.sampled_from([None, '"e1"', '""', "null"])),
    max_size=2,
).map(
    lambda events: (
        "["
        + ",".join(
            object_of(
                [("name", name), ("time", time), ("properties", object_of(properties))]
                + ([] if id_ is None else [("id", id_)])
            )
            for name, time, properties, id_ in events
        )
        + "]"
    )
)
PLAIN_MEMBERS = {
    "schema_version": "2",
    "job_id": '"outgrow:default:1"',
    "source": '"outgrow"',
    "sender": '"outgrow_ingest"',
    "occurred_at": '"2026-11-22T11:59:00Z"',
    "received_at": '"2026-11-22T11:59:00Z"',
    "correlation_id": '"c"',
    "user": '{"external_id":"ada"}',
    "attributes": '{"score":1}',
    "events": "[]",
}
ODD_MEMBERS = st.one_of(
    st.tuples(st.just("schema_version"), st.sampled_from(["1", "2", "3", "0", '"1"', "true"])),
    st.tuples(
        st.sampled_from(["job_id", "correlation_id"]),
        st.sampled_from(
            ['"x"', '""', '"' + "x" * 128 + '"', '"' + "x" * 129 + '"', '"' + "x" * 257 + '"', "1"]
        ),
    ),
    st.tuples(
        st.just("source"), st.sampled_from(['"outgrow"', '"Outgrow"', '""', '"a1"', '"a\\n"'])
    ),
    st.tuples(st.just("sender"), st.sampled_from(['"bridge"', '"a1"', "null", '""', '"a\\n"'])),
    st.tuples(st.sampled_from(["occurred_at", "received_at"]), TIMES),
    st.tuples(st.just("user"), USERS),
    st.tuples(st.just("attributes"), MEMBERS.map(object_of)),
    st.tuples(st.just("events"), EVENTS),
    st.tuples(
        st.just("objects"),
        st.sampled_from(["[]", '[{"array":"attributes","object":{"score":{"inc":1}}}]', "null"]),
    ),
    st.tuples(st.just("sooner"), st.just("1")),
)


@settings(max_examples=400, deadline=None)
@given(
    odd=st.lists(ODD_MEMBERS, max_size=4),
    twice=st.booleans(),
    absent=st.none() | st.sampled_from(sorted(PLAIN_MEMBERS)),
)
def test_both_readers_give_the_same_requests_and_refusals(
    odd: list[tuple[str, str]], absent: str | None, *, twice: bool
) -> None:
    """Whatever a message holds: odd names, numbers, texts, times, identifiers, duplicate keys."""
    members = {name: value for name, value in PLAIN_MEMBERS.items() if name != absent}
    given = [*members.items(), *odd] if twice else [*(members | dict(odd)).items()]
    body = object_of(given)

    assert outcome(body, read_job) == outcome(body, parse_job)


@pytest.mark.parametrize(
    "each",
    [
        job(),
        job(user="ada", events=2, attributes={"list": ["a", 1, True, 2.5], "gone": None}),
        job(events=[event("answered", score=1, tags=["a"])]),
        parse_job(object_of([*PLAIN_MEMBERS.items()])),
        *(
            parse_job(object_of([*(PLAIN_MEMBERS | {"user": user}).items()]))
            for user in (
                '{"email":"a@example.com"}',
                '{"phone":"+4915112345678"}',
                '{"braze_id":"b"}',
                '{"user_alias":{"alias_name":"n","alias_label":"l"},"may_create":false}',
            )
        ),
    ],
)
def test_what_producers_write_is_read_the_fast_way(each: Any) -> None:
    """All kinds of identifiers, new and returning people, events."""
    assert type(read_job(each.to_json())) is PlainJob
    assert outcome(each.to_json(), read_job) == outcome(each.to_json(), parse_job)
