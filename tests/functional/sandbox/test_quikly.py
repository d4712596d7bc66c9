"""The stand-in for Quikly's API (reference §7.3, §8.3)."""

import json
from typing import Any

import pytest
import requests

from tests.functional.sandbox.caller import TIMEOUT, Caller

PATH = "/quikly/webhook/braze"
BODY = {"q_scope": "demo-email", "event": "demo-action", "email": "a@example.com"}


def call(braze: Caller, key: str = "quikly-key", **options: Any) -> requests.Response:
    options.setdefault("json", BODY)
    return braze.session.post(
        braze.url + PATH,
        headers={"Authorization": f"Bearer {key}", **options.pop("headers", {})},
        timeout=TIMEOUT,
        **options,
    )


def test_a_good_call_is_an_empty_200_and_kept(braze: Caller) -> None:
    """A call with the key is answered 200 without a body, logged, and kept with its body."""
    answer = call(braze)

    assert (answer.status_code, answer.content) == (200, b"")
    assert [(row["path"], row["status"]) for row in braze.logged()] == [(PATH, 200)]
    (kept,) = braze.control("quikly")["calls"]
    assert (kept["n"], kept["status"], json.loads(kept["body"])) == (1, 200, BODY)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"key": "wrong"}, 401),
        ({"key": "the-key"}, 401),
        ({"json": None, "data": b"{}"}, 415),
        ({"json": None, "data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": []}, 400),
    ],
    ids=str,
)
def test_refusals(braze: Caller, options: dict[str, Any], status: int) -> None:
    """Braze's own key, a wrong one, and bodies that are no JSON object are refused and kept."""
    assert call(braze, **options).status_code == status
    assert [kept["status"] for kept in braze.control("quikly")["calls"]] == [status]


def test_only_post(braze: Caller) -> None:
    """Another method is a 404."""
    assert braze.get(PATH).status_code == 404


def test_faults_hit_quikly_too(braze: Caller) -> None:
    """Faults work on Quikly's paths, and resets are kept as unanswered."""
    braze.fault(path="/quikly/*", status=503)
    braze.fault(path="/quikly/*", reset="after")

    first = call(braze).status_code
    with pytest.raises(requests.ConnectionError):
        call(braze)

    assert first == 503
    assert [kept["status"] for kept in braze.control("quikly")["calls"]] == [503, 0]


def test_key_can_be_set(braze: Caller) -> None:
    """The key is read and set by a control route."""
    before = braze.control("quikly")["key"]
    braze.control("quikly", {"key": "rotated"})

    assert before == "quikly-key"
    assert call(braze).status_code == 401
    assert call(braze, key="rotated").status_code == 200
