"""What a body would become, byte for byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.web.door import MAX_BODY_BYTES
from ops.preview.body_mappings import BodyMappings
from ops.preview.requests import Preview, preview, requests_for
from ops.stack.config_directory import CONFIG_DIRECTORY
from sandbox.event_files import event_cases
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import job

if TYPE_CHECKING:
    from sandbox.event_files import EventCase

CASES = [
    (source, case)
    for source, cases in (
        ("outgrow", event_cases("outgrow")),
        ("iterate", event_cases("iterate")),
        ("quikly_events", event_cases("quikly", "events_*")),
    )
    for case in cases
    # Not those that the route, the token or the headers decide.
    if case.token == "valid" and not case.headers and case.expect["status"] != 404
]


def of(body: bytes, route: str = "/outgrow", source: str = "outgrow") -> Preview:
    mappings = BodyMappings(CONFIG_DIRECTORY)
    return preview(body, source=source, route=route, mappings=mappings, now=NOON)


@pytest.mark.parametrize(
    ("source", "case"), CASES, ids=lambda each: each if isinstance(each, str) else each.name
)
def test_it_says_what_the_function_answers(source: str, case: EventCase) -> None:
    """Every sample: its status, its job, its attributes, its skips, its reasons."""
    found = of(case.sent_bytes(), case.path, source)

    assert found.status == case.expect["status"]
    if "job_id_prefix" in case.expect:
        assert str(found.job_id).startswith(case.expect["job_id_prefix"])
    if "attributes" in case.expect:
        assert attributes_in(found) == case.expect["attributes"]
    if "skipped" in case.expect:
        skipped = [[reason.field, reason.code] for reason in found.skipped]
        expected = case.expect["skipped"]
        assert skipped == [*map(list, expected.items() if isinstance(expected, dict) else expected)]
    if "reasons" in case.expect:
        assert [{"field": each.field, "code": each.code} for each in found.reasons] == [
            {"field": None} | each for each in case.expect["reasons"]
        ]


def attributes_in(found: Preview) -> dict[str, Any]:
    """What the requests would set, without identifiers."""
    names = {"external_id", "braze_id", "user_alias", "email", "phone", "_update_existing_only"}
    return {
        name: value
        for request in found.requests
        for item in json.loads(request.body).get("attributes", [])
        for name, value in item.items()
        if name not in names
    }


def test_a_body_over_the_limit_is_refused_as_by_the_function() -> None:
    """413, and nothing is parsed."""
    assert of(b"[" * (MAX_BODY_BYTES + 1)).status == 413


@pytest.mark.parametrize("body", [b"\xff\xfe", b"{", b"NaN", b"[" * 10_000])
def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    """400, with the reason."""
    found = of(body)

    assert (found.status, found.result) == (400, "refused")
    assert [reason.code for reason in found.reasons] == ["not_json"]


def test_many_events_are_several_requests_in_order() -> None:
    """76 objects are two requests, and the bytes are the request's own."""
    requests, refused = requests_for(job("1", attributes={"a": 1}, events=75))

    assert [request.objects for request in requests] == [75, 1]
    assert refused == ()
    assert requests[0].body.startswith(b'{"attributes":[{"external_id"')


def test_what_breaks_a_limit_of_braze_is_named_and_not_in_the_request() -> None:
    """As delivery would park it."""
    requests, refused = requests_for(job("1", attributes={"a": "x" * 256}))

    assert requests == ()
    (reason,) = refused
    assert (reason.code, reason.field) == ("limit_broken", "attributes.a")


def test_nothing_personal_is_in_a_repr() -> None:
    """A traceback may print it."""
    found = of(json.dumps({"email": "ada@example.com", "score": 1}).encode())

    assert "ada" not in repr(found)
