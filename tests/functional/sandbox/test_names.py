"""`/events/list` and `/custom_attributes`."""

from typing import Any

import pytest

from tests.functional.sandbox.caller import TIMEOUT, Caller


def track_events(braze: Caller, names: list[str]) -> None:
    for first in range(0, len(names), 75):
        braze.track(
            events=[
                {"external_id": "u", "name": name, "time": "2026-11-01T10:00:00Z"}
                for name in names[first : first + 75]
            ],
        )


def test_events_are_sorted_250_a_page(braze: Caller) -> None:
    """Each name comes once; a page past the last is empty. A deleted user's events stay known."""
    names = [f"event {number:03}" for number in range(251)]
    track_events(braze, [*reversed(names), "event 000"])
    braze.post("/users/delete", {"external_ids": ["u"]})

    pages = [braze.get("/events/list", page=page).json() for page in range(3)]

    assert braze.get("/events/list").json() == pages[0]
    assert [page["events"] for page in pages] == [names[:250], names[250:], []]
    assert pages[0]["message"] == "success"


@pytest.mark.parametrize("page", ["-1", "x", "1" * 5_000])
def test_bad_pages_are_400(braze: Caller, page: str) -> None:
    """A page that is no number is a 400."""
    assert braze.get("/events/list", page=page).status_code == 400


def test_custom_attributes_have_their_types(braze: Caller) -> None:
    """Each attribute comes with its type. Arrays have a length; standard fields are not listed."""
    braze.attributes(
        {
            "external_id": "u",
            "first_name": "Ana",
            "score": 1,
            "colours": ["red"],
            "member": True,
            "note": "hi",
        },
    )
    braze.settings(blocklisted_attributes=["note"])

    answer = braze.get("/custom_attributes")

    def shown(name: str, data_type: str, **more: Any) -> dict[str, Any]:
        always: dict[str, Any] = {
            "array_length": None,
            "description": None,
            "status": "Active",
            "tag_names": [],
        }
        return {"name": name, "data_type": data_type, **always, **more}

    assert answer.status_code == 200
    assert "link" not in answer.headers
    assert answer.json() == {
        "attributes": [
            shown("colours", "Array", array_length=500),
            shown("member", "Boolean"),
            shown("note", "String", status="Blocklisted"),
            shown("score", "Number"),
        ],
        "message": "success",
    }


def test_custom_attributes_come_50_a_page_with_a_link(braze: Caller) -> None:
    """The `Link` header leads through all pages; the last has none."""
    names = [f"attribute {number:03}" for number in range(101)]
    braze.attributes({"external_id": "u", **dict.fromkeys(names, 1)})

    found: list[str] = []
    sizes = []
    answer = braze.get("/custom_attributes")
    while True:
        page = [each["name"] for each in answer.json()["attributes"]]
        found += page
        sizes.append(len(page))
        if "next" not in answer.links:
            break
        answer = braze.session.get(
            answer.links["next"]["url"], headers=answer.request.headers, timeout=TIMEOUT
        )

    assert (found, sizes) == (names, [50, 50, 1])


def test_cursor_of_the_page_is_the_first_page(braze: Caller) -> None:
    """The documented `c2tpcDow` is `skip:0`."""
    braze.attributes({"external_id": "u", "score": 1})

    assert len(braze.get("/custom_attributes", cursor="c2tpcDow").json()["attributes"]) == 1


@pytest.mark.parametrize("cursor", ["x", "c2tpcDo=", "c2tpcDow" * 10, "é"])
def test_bad_cursors_are_400(braze: Caller, cursor: str) -> None:
    """A cursor that no answer gave is a 400."""
    assert braze.get("/custom_attributes", cursor=cursor).status_code == 400


def test_the_two_lists_share_a_limit(braze: Caller) -> None:
    """Their 1,000 requests an hour are one counter."""
    first = braze.get("/events/list").headers
    second = braze.get("/custom_attributes").headers

    assert first["X-RateLimit-Limit"] == "1000"
    assert (first["X-RateLimit-Remaining"], second["X-RateLimit-Remaining"]) == ("999", "998")
