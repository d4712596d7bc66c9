"""What the local stack answers is what ``docs/openapi.json`` documents."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.event_files import EventCase, event_cases
from tests.api_document import ApiDocument

if TYPE_CHECKING:
    from sandbox.stack.stack_file import StackFile

CALL_SECONDS = 30
REFUSED = [
    case
    for partner in ("outgrow", "iterate", "quikly")
    for case in event_cases(partner, "*bad_*")
    if not case.is_for_the_function_only
]
DOCUMENT = ApiDocument.read()


def problems(resource: str, answer: requests.Response, method: str = "POST") -> list[str]:
    return DOCUMENT.answer_problems(
        resource, answer.status_code, answer.headers, answer.content, method
    )


def post(stack: StackFile, path: str, token: str, body: dict[str, Any]) -> requests.Response:
    return requests.post(
        stack.api_url + path,
        json=body,
        headers={"Authorization": f"Bearer {stack.tokens[token]}"},
        timeout=CALL_SECONDS,
    )


def test_every_refusal_is_documented(stack: StackFile) -> None:
    """The bad samples, through API and functions."""
    found: dict[tuple[str, str], list[str]] = {}
    statuses = set()
    for case in REFUSED:
        answer = send(stack, case)
        resource = "/outgrow/{content_id}" if case.path.startswith("/outgrow/") else case.path
        found[case.path, case.name] = problems(resource, answer)
        statuses.add(answer.status_code)

    assert {sample: each for sample, each in found.items() if each} == {}
    assert statuses == {400, 401, 413, 415, 422}


def send(stack: StackFile, case: EventCase) -> requests.Response:
    return requests.post(
        stack.api_url + case.path,
        data=case.sent_bytes(),
        headers=case.sent_headers(stack.tokens[case.token_name]),
        timeout=CALL_SECONDS,
    )


@pytest.mark.parametrize(
    ("path", "resource", "token", "body"),
    [
        ("/outgrow", "/outgrow", "outgrow", {"score": 1}),
        ("/outgrow/demo", "/outgrow/{content_id}", "outgrow", {"score": 1}),
        (
            "/iterate",
            "/iterate",
            "iterate",
            {
                "event_type": "survey_response",
                "survey_response": {
                    "responses": [{"question_prompt": "Why?", "formatted_response": "So"}]
                },
            },
        ),
        ("/iterate", "/iterate", "iterate", {"event_type": "survey_viewed"}),
        (
            "/quikly/events",
            "/quikly/events",
            "quikly",
            {"q_scope": "demo-first", "event": "entered"},
        ),
        (
            "/quikly/webhook",
            "/quikly/webhook",
            "braze_webhook",
            {"q_scope": "demo-decay", "event": "demo-action"},
        ),
    ],
    ids=["outgrow", "content", "iterate", "ignored", "events", "webhook"],
)
def test_every_success_is_documented(
    stack: StackFile, path: str, resource: str, token: str, body: dict[str, Any]
) -> None:
    """One call of each kind, about a new person."""
    email = f"{uuid.uuid4().hex}@example.com"
    if "survey_response" in body:
        body = {**body, "survey_response": body["survey_response"] | {"user": {"email": email}}}
    else:
        body = {**body, "email": email}

    answer = post(stack, path, token, body)

    assert answer.status_code == 200, answer.text
    assert problems(resource, answer) == []
    assert DOCUMENT.body_problems(resource, body) == []


def test_an_acquisition_and_its_state_are_documented(stack: StackFile) -> None:
    """From the sign-up to its history, and an unknown id."""
    path = "/quikly/acquisitions"
    body = {
        "q_scope": "demo-email",
        "channel": "email",
        "email": f"{uuid.uuid4().hex}@example.com",
        "consent": {"given_at": "2026-11-21T18:30:00Z", "method": "checkbox", "text": "v1"},
    }
    taken = post(stack, path, "quikly", body)

    assert (taken.status_code, problems(path, taken)) == (202, [])
    for acquisition_id, status in ((taken.json()["acquisition_id"], 200), ("A" * 24, 404)):
        told = requests.get(
            f"{stack.api_url}{path}/{acquisition_id}",
            headers={"Authorization": f"Bearer {stack.tokens['quikly']}"},
            timeout=CALL_SECONDS,
        )
        assert (told.status_code, problems(f"{path}/{{id}}", told, "GET")) == (status, [])
