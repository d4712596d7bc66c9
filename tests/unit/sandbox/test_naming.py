"""The people that a call names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.braze.exchange import Answer, Call
from sandbox.braze.naming import people_named, people_refused


def call(body: Any = None, *, raw: bytes | None = None, query: Any = ()) -> Call:
    data = json.dumps(body).encode() if raw is None else raw
    return Call(1, 0.0, "POST", "/users/track", query=query, body=data)


@pytest.mark.parametrize(
    ("body", "people"),
    [
        (
            {"attributes": [{"external_id": "a"}, {"email": "b@example.com"}]},
            ("a", "b@example.com"),
        ),
        ({"events": [{"user_alias": {"alias_name": "c", "alias_label": "quiz"}}]}, ("c",)),
        ({"attributes": [{"external_id": "a"}], "events": [{"external_id": "a"}]}, ("a",)),
        ({"external_ids": ["a", "b"], "email_address": "c@example.com"}, None),
        ({"subscription_group_id": "g", "phone": ["+15555550100"]}, ("+15555550100",)),
        ({"subscription_groups": [{"emails": ["d@example.com"]}]}, ("d@example.com",)),
        ({"attributes": [{"external_id": None, "braze_id": 5}]}, ()),
        ({"attributes": [{"deep": {"er": {"email": "x@example.com"}}}]}, ()),
        ([], ()),
        ("a", ()),
    ],
    ids=str,
)
def test_identifiers_are_found_where_braze_takes_them(
    body: Any, people: tuple[str, ...] | None
) -> None:
    """Each once, in order; nested attributes of the customer's own are none."""
    expected = ("a", "b", "c@example.com") if people is None else people
    assert people_named(call(body)) == expected


def test_a_query_names_people_too() -> None:
    """As a look at a subscription's state does."""
    query = [("subscription_group_id", "g"), ("phone", "+1"), ("email[]", "a@example.com")]

    assert people_named(call(raw=b"", query=query)) == ("+1", "a@example.com")


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 10_000])
def test_a_body_that_is_no_json_names_no_person(raw: bytes) -> None:
    """Nor does it disturb."""
    assert people_named(call(raw=raw)) == ()
    assert people_refused(call(raw=raw), Answer(400, {"errors": [{"index": 0}]})) == ()


def test_those_whose_objects_were_refused() -> None:
    """By array and index, as the answer names them; what points nowhere is passed over."""
    body = {"attributes": [{"external_id": "a"}, {"external_id": "b"}], "events": [{"email": "c"}]}
    errors: list[Any] = [
        {"input_array": "attributes", "index": 1, "type": "no"},
        {"input_array": "events", "index": 0, "type": "no"},
        {"input_array": "events", "index": 9, "type": "no"},
        {"input_array": "purchases", "index": 0, "type": "no"},
        "no",
    ]

    assert people_refused(call(body), Answer(201, {"errors": errors})) == ("b", "c")
    assert people_refused(call(body), Answer(201, {"errors": "none"})) == ()
    assert people_refused(call(body), Answer(503)) == ()
