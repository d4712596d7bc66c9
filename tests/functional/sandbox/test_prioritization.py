"""Which of several profiles with one address is meant (reference §4; the pages of each call)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.functional.sandbox.caller import Caller

ADDRESS = {"email": "a@example.com", "phone": "+15555550123"}
Body = Callable[[dict[str, Any]], dict[str, Any]]


def identify(array: str) -> Body:
    return lambda who: {array: [{"external_id": "new", **who}]}


def merge(who: dict[str, Any]) -> dict[str, Any]:
    keep = {"external_id": "target"}
    return {"merge_updates": [{"identifier_to_merge": who, "identifier_to_keep": keep}]}


def keep(who: dict[str, Any]) -> dict[str, Any]:
    gone = {"external_id": "target"}
    return {"merge_updates": [{"identifier_to_merge": gone, "identifier_to_keep": who}]}


def delete(array: str) -> Body:
    return lambda who: {array: [who]}


CALLS = [
    pytest.param("/users/identify", "email", identify("emails_to_identify"), id="identify e-mail"),
    pytest.param(
        "/users/identify", "phone", identify("phone_numbers_to_identify"), id="identify phone"
    ),
    pytest.param("/users/merge", "email", merge, id="merge e-mail"),
    pytest.param("/users/merge", "phone", keep, id="keep phone"),
    pytest.param("/users/delete", "email", delete("email_addresses"), id="delete e-mail"),
    pytest.param("/users/delete", "phone", delete("phone_numbers"), id="delete phone"),
]
BY_ADDRESS = pytest.mark.parametrize(("path", "kind", "body"), CALLS)


def anonymous(braze: Caller, name: str) -> None:
    alias = {"alias_name": name, "alias_label": "l"}
    braze.attributes({"user_alias": alias, "_update_existing_only": False, **ADDRESS})


def sharers(braze: Caller) -> None:
    """Make two anonymous users, then an identified one, all with one address, and a target."""
    braze.attributes({"external_id": "target"})
    anonymous(braze, "older")
    anonymous(braze, "newer")
    braze.attributes({"external_id": "latest", **ADDRESS})


def names(braze: Caller) -> list[set[str | None]]:
    """List each profile's external id and alias names."""
    return [
        {alias["alias_name"] for alias in profile["user_aliases"]} | {profile.get("external_id")}
        for profile in braze.profiles()
    ]


@BY_ADDRESS
@pytest.mark.parametrize(
    "prioritization", [None, [], "identified", ["newest"], ["identified", "unidentified"]], ids=str
)
def test_prioritization_is_required(
    braze: Caller, path: str, kind: str, body: Body, prioritization: Any
) -> None:
    """An address without a prioritization, or with a bad one, is a 400 and changes nothing."""
    sharers(braze)
    before = braze.profiles()
    who = {kind: ADDRESS[kind], "prioritization": prioritization}
    missing = {name: value for name, value in who.items() if value is not None}

    assert braze.post(path, body(missing)).status_code == 400
    assert braze.profiles() == before


@BY_ADDRESS
@pytest.mark.parametrize(
    "priorities", [["unidentified"], ["most_recently_updated", "unidentified"]], ids=str
)
def test_an_ambiguous_match_acts_on_none(
    braze: Caller, path: str, kind: str, body: Body, priorities: list[str]
) -> None:
    """Two users fit, or the most recent one of all is not unidentified: no user changes."""
    sharers(braze)
    before = names(braze)

    answer = braze.post(path, body({kind: ADDRESS[kind], "prioritization": priorities}))

    assert answer.json()["message"] == "success"
    assert names(braze) == before
    assert len(braze.dropped()) == 1


@pytest.mark.parametrize(
    ("path", "kind", "body"), [call for call in CALLS if call.id != "keep phone"]
)
def test_priorities_narrow_in_order(braze: Caller, path: str, kind: str, body: Body) -> None:
    """Of the unidentified users the most recently updated one is meant."""
    sharers(braze)
    priorities = ["unidentified", "most_recently_updated"]

    braze.post(path, body({kind: ADDRESS[kind], "prioritization": priorities}))

    assert {None, "older"} in names(braze)
    assert {None, "newer"} not in names(braze)
    assert braze.dropped() == []


@BY_ADDRESS
def test_least_recently_updated_is_not_for_delete(
    braze: Caller, path: str, kind: str, body: Body
) -> None:
    """The delete page does not list it; the others do."""
    priorities = ["unidentified", "least_recently_updated"]

    answer = braze.post(path, body({kind: ADDRESS[kind], "prioritization": priorities}))

    assert (answer.status_code == 400) is (path == "/users/delete")


@pytest.mark.parametrize(
    ("kind", "array"), [("email", "emails_to_identify"), ("phone", "phone_numbers_to_identify")]
)
@pytest.mark.parametrize("shared", [True, False])
def test_identify_does_not_merge_if_the_target_has_the_address(
    braze: Caller, kind: str, array: str, shared: bool
) -> None:
    """An address that the identified user has as well matches two users: no merge, and a 201."""
    anonymous(braze, "ana")
    braze.attributes({"external_id": "u", **({kind: ADDRESS[kind]} if shared else {})})
    who = {
        "external_id": "u",
        kind: ADDRESS[kind],
        "prioritization": ["unidentified", "most_recently_updated"],
    }

    answer = braze.post("/users/identify", {array: [who]})

    assert (answer.status_code, answer.json()["message"]) == (201, "success")
    assert len(braze.profiles()) == (2 if shared else 1)
    assert len(braze.dropped()) == (1 if shared else 0)
