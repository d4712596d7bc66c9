"""Who answered "No"? The control route that a follow-up campaign's filters stand in for."""

from typing import Any

import pytest

from tests.functional.sandbox.caller import TIMEOUT, Caller

TIME = "2026-11-20T08:00:00Z"
ENJOY = "Do you enjoy our products?"


def found(braze: Caller, **filters: Any) -> list[str]:
    return [profile["external_id"] for profile in braze.control("audience", filters)]


@pytest.fixture
def surveyed(braze: Caller) -> Caller:
    """Three people: two said No, one of them changed her mind later."""
    braze.track(
        attributes=[
            {"external_id": "ada", ENJOY: "No", "score": 1, "topics": ["a", "b"]},
            {"external_id": "bela", ENJOY: "Yes", "score": 2, "topics": ["b"]},
            {"external_id": "cora", ENJOY: "No", "flag": True},
        ],
        events=[
            {
                "external_id": person,
                "name": "survey-question-response",
                "time": TIME,
                "properties": {"question": ENJOY, "response": response},
            }
            for person, response in (("ada", "No"), ("bela", "Yes"), ("bela", "No"), ("cora", "No"))
        ],
    )
    return braze


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"attributes": {ENJOY: "No"}}, ["ada", "cora"]),
        ({"attributes": {ENJOY: "No", "score": 1}}, ["ada"]),
        ({"attributes": {"score": "1"}}, []),
        ({"attributes": {"score": True}}, []),
        ({"attributes": {"flag": True}}, ["cora"]),
        ({"attributes": {"topics": "b"}}, ["ada", "bela"]),
        ({"attributes": {"topics": ["b"]}}, ["bela"]),
        ({"attributes": {"nothing": None}}, []),
        ({"event": {"name": "survey-question-response"}}, ["ada", "bela", "cora"]),
        (
            {
                "event": {
                    "name": "survey-question-response",
                    "properties": {"question": ENJOY, "response": "No"},
                }
            },
            ["ada", "bela", "cora"],
        ),
        (
            {
                "attributes": {ENJOY: "Yes"},
                "event": {"name": "survey-question-response", "properties": {"response": "No"}},
            },
            ["bela"],
        ),
        ({"event": {"name": "another"}}, []),
    ],
)
def test_filters(surveyed: Caller, filters: dict[str, Any], expected: list[str]) -> None:
    """By attribute: a person's last answer; by event: every answer."""
    assert found(surveyed, **filters) == expected


@pytest.mark.parametrize(
    "filters", [{}, {"attributes": {}}, {"attribute": {"a": 1}}, {"event": {}}]
)
def test_filters_that_ask_for_nothing_are_refused(braze: Caller, filters: dict[str, Any]) -> None:
    """An empty filter is most likely a misspelt key."""
    url = f"{braze.url}/_sandbox/audience"

    assert braze.session.post(url, json=filters, timeout=TIMEOUT).status_code == 422
