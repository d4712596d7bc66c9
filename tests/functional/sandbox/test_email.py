"""`/email/status` and `/email/unsubscribes`."""

from typing import Any

import pytest
import requests

from tests.functional.sandbox.caller import Caller

DAY = 86_400
TODAY = {"start_date": "2026-11-22", "end_date": "2026-11-23"}


def set_state(braze: Caller, email: Any, state: Any = "unsubscribed") -> requests.Response:
    return braze.post("/email/status", {"email": email, "subscription_state": state})


def unsubscribed(braze: Caller, **query: Any) -> list[str]:
    answer = braze.get("/email/unsubscribes", **{**TODAY, **query})
    assert answer.status_code == 200, answer.text
    return [row["email"] for row in answer.json()["emails"]]


@pytest.mark.parametrize("state", ["subscribed", "unsubscribed", "opted_in"])
def test_status_is_on_every_profile_with_the_address(braze: Caller, state: str) -> None:
    """An address is set on all profiles that share it, and on no other."""
    shared = {"email": "a@example.com", "email_subscribe": "unsubscribed"}
    braze.attributes(
        {"external_id": "u", **shared},
        {"external_id": "v", **shared},
        {"external_id": "w", "email": "w@example.com"},
    )

    answer = set_state(braze, "a@example.com", state)

    assert (answer.status_code, answer.json()) == (201, {"message": "success"})
    assert [braze.user(name)["email_subscribe"] for name in "uvw"] == [state, state, "subscribed"]


def test_status_of_an_unknown_address_is_201(braze: Caller) -> None:
    """The recorded answer for an address without a profile is the same success."""
    answer = set_state(braze, "notthere@example.com")

    assert (answer.status_code, answer.json()) == (201, {"message": "success"})
    assert braze.profiles() == []


def test_status_waits_for_the_first_profile_with_the_address(braze: Caller) -> None:
    """The first profile that gets the address gets its state; the state is used up then."""
    set_state(braze, "a@example.com")
    braze.attributes({"external_id": "u"})
    braze.attributes({"external_id": "u", "email": "a@example.com"})
    first = braze.user("u")["email_subscribe"]
    set_state(braze, "a@example.com", "opted_in")
    braze.post("/users/delete", {"external_ids": ["u"]})
    braze.attributes({"external_id": "v", "email": "a@example.com"})

    assert (first, braze.user("v")["email_subscribe"]) == ("unsubscribed", "subscribed")


def test_status_takes_50_addresses(braze: Caller) -> None:
    """An array has at most 50 addresses."""
    many = [f"u{number}@example.com" for number in range(51)]
    braze.attributes({"external_id": "u", "email": many[49]})

    assert set_state(braze, many).status_code == 400
    assert set_state(braze, many[:50]).status_code == 201
    assert braze.user("u")["email_subscribe"] == "unsubscribed"


@pytest.mark.parametrize(
    ("email", "state"),
    [
        (None, "subscribed"),
        ([], "subscribed"),
        ("not an address", "subscribed"),
        (["a@example.com", 5], "subscribed"),
        ("a@example.com", None),
        ("a@example.com", "Subscribed"),
        ("a@example.com", ["subscribed"]),
    ],
)
def test_bad_statuses_are_400(braze: Caller, email: Any, state: Any) -> None:
    """An address or a state that is missing or not valid is a 400 with a message."""
    answer = set_state(braze, email, state)

    assert answer.status_code == 400
    assert answer.json()["message"]


def test_unsubscribes_of_a_day_newest_first(braze: Caller) -> None:
    """A day's addresses come newest first, with the time in the recorded form."""
    braze.attributes(
        {"external_id": "u", "email": "a@example.com", "email_subscribe": "unsubscribed"},
        {"external_id": "v", "email": "b@example.com"},
        {"external_id": "w", "email": "c@example.com"},
    )
    braze.clock.advance(60)
    set_state(braze, "b@example.com")

    answer = braze.get("/email/unsubscribes", **TODAY)

    assert answer.status_code == 200
    assert answer.json() == {
        "emails": [
            {"email": "b@example.com", "unsubscribed_at": "2026-11-22 12:01:00 +0000"},
            {"email": "a@example.com", "unsubscribed_at": "2026-11-22 12:00:00 +0000"},
        ],
        "message": "success",
    }


def test_unsubscribes_by_range_address_and_page(braze: Caller) -> None:
    """Both ends are midnights; `email`, `limit`, `offset` and `sort_direction` choose further."""
    emails = ["a@example.com", "b@example.com", "c@example.com"]
    braze.attributes(*({"external_id": email, "email": email} for email in emails))
    for email in emails:
        set_state(braze, email)
        braze.clock.advance(DAY)
    set_state(braze, "c@example.com", "subscribed")

    def ask(**query: str | int) -> list[str]:
        return unsubscribed(braze, **{"end_date": "2026-12-01", **query})

    assert unsubscribed(braze) == emails[:1]
    assert ask() == ["b@example.com", "a@example.com"]
    assert ask(sort_direction="asc") == emails[:2]
    assert ask(limit=1) == ["b@example.com"]
    assert ask(limit=1, offset=1) == ["a@example.com"]
    assert ask(email="a@example.com") == ["a@example.com"]
    assert ask(email="c@example.com") == []
    by_email = {"end_date": "2026-12-01", "email": "b@example.com"}
    assert len(braze.get("/email/unsubscribes", **by_email).json()["emails"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"start_date": "2026-11-22"},
        {"end_date": "2026-11-22"},
        {"email": "a@example.com"},
        {**TODAY, "start_date": "2026-11-23"},
        {**TODAY, "start_date": "20261122"},
        {**TODAY, "end_date": "2026-11-31"},
        {**TODAY, "limit": 0},
        {**TODAY, "limit": 501},
        {**TODAY, "limit": "1" * 5_000},
        {**TODAY, "offset": -1},
        {**TODAY, "sort_direction": "up"},
    ],
    ids=lambda query: str(query)[:60],
)
def test_bad_unsubscribe_queries_are_400(braze: Caller, query: dict[str, Any]) -> None:
    """`end_date` is required, with `email` or an earlier `start_date`; a page has at most 500."""
    assert braze.get("/email/unsubscribes", **query).status_code == 400
