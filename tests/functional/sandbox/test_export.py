"""`/users/export/ids` (reference §2)."""

import re
from typing import Any

import pytest

from tests.functional.sandbox.caller import EVERY_FIELD, Caller, people

ALIAS = {"alias_name": "ana", "alias_label": "email"}


def test_export_is_201(braze: Caller) -> None:
    """A look-up that finds a profile is a 201 with `users` and the message `success`."""
    braze.attributes({"external_id": "u", "email": "a@example.com"})

    answer = braze.post(
        "/users/export/ids",
        {"email_address": "a@example.com", "fields_to_export": ["external_id", "email"]},
    )

    assert answer.status_code == 201
    assert answer.json() == {
        "users": [{"external_id": "u", "email": "a@example.com"}],
        "message": "success",
    }


@pytest.mark.parametrize(
    ("body", "unknown"),
    [
        ({"email_address": "nobody@example.com"}, None),
        ({"phone": "+15555550123"}, None),
        ({"braze_id": "5eea769d45bb2e1467418f92"}, None),
        ({"device_id": "d"}, None),
        ({"user_aliases": [ALIAS]}, None),
        ({"external_ids": ["x", "y"]}, ["x", "y"]),
    ],
    ids=str,
)
def test_no_profile_found_is_an_empty_list(
    braze: Caller,
    body: dict[str, Any],
    unknown: list[str] | None,
) -> None:
    """Without a match the answer is a 201 with no users; only external ids are named as invalid."""
    answer = braze.post("/users/export/ids", {**body, "fields_to_export": ["email"]})

    assert answer.status_code == 201
    assert answer.json()["users"] == []
    assert answer.json().get("invalid_user_ids") == unknown


@pytest.mark.parametrize(
    "body",
    [
        {"email_address": "a@example.com"},
        {"email_address": "a@example.com", "fields_to_export": []},
        {"email_address": "a@example.com", "fields_to_export": "email"},
        {"email_address": "a@example.com", "fields_to_export": ["everything"]},
        {"email_address": ["a@example.com"], "fields_to_export": ["email"]},
        {"external_ids": "u", "fields_to_export": ["email"]},
        {"external_ids": [5.5], "fields_to_export": ["email"]},
        {"user_aliases": ["ana"], "fields_to_export": ["email"]},
        {"email_address": "a@b.co", "phone": "+15555550123", "fields_to_export": ["email"]},
        {"device_id": "d", "phone": "+15555550123", "fields_to_export": ["email"]},
        {"fields_to_export": ["email"]},
        {"external_ids": [], "fields_to_export": ["email"]},
    ],
    ids=lambda body: str(body)[:60],
)
def test_bad_export_bodies_are_400(braze: Caller, body: dict[str, Any]) -> None:
    """No fields, unknown fields, no identifier, two single ones, or a wrong type are all 400."""
    assert braze.post("/users/export/ids", body).status_code == 400


def test_50_ids_and_aliases(braze: Caller) -> None:
    """50 external ids and aliases together pass, 51 are refused in Braze's words."""
    ids = [f"user-{n}" for n in range(49)]
    aliases = [{"alias_name": str(n), "alias_label": "l"} for n in range(2)]
    fields = ["email"]

    fits = braze.post(
        "/users/export/ids",
        {"external_ids": ids, "user_aliases": aliases[:1], "fields_to_export": fields},
    )
    too_many = braze.post(
        "/users/export/ids",
        {"external_ids": ids, "user_aliases": aliases, "fields_to_export": fields},
    )

    assert fits.status_code == 201
    assert too_many.status_code == 400
    assert too_many.json() == {
        "message": "The max number of external_ids and aliases per request was exceeded",
    }


def test_everybody_with_the_address_is_exported(braze: Caller) -> None:
    """Several profiles with one e-mail are all returned, each once."""
    braze.attributes(*people(3, email="a@example.com"))

    users = braze.export(email_address="a@example.com", external_ids=["user-1"])

    assert sorted(user["external_id"] for user in users) == ["user-0", "user-1", "user-2"]


def test_missing_fields_are_left_out(braze: Caller) -> None:
    """Empty fields are not in the export, except the aliases and the revenue."""
    braze.attributes({"user_alias": ALIAS, "_update_existing_only": False})

    (user,) = braze.export(user_aliases=[ALIAS])

    assert set(user) == {
        "braze_id",
        "created_at",
        "email_subscribe",
        "push_subscribe",
        "random_bucket",
        "total_revenue",
        "user_aliases",
    }
    assert (user["user_aliases"], user["total_revenue"]) == ([ALIAS], 0.0)


def test_only_the_fields_asked_for(braze: Caller) -> None:
    """Fields that were not asked for are not shown."""
    braze.attributes({"external_id": "u", "email": "a@example.com", "score": 1})

    (user,) = braze.export(external_ids=["u"], fields_to_export=["custom_attributes"])

    assert user == {"custom_attributes": {"score": 1}}


def test_shape_of_the_recording(braze: Caller) -> None:
    """Ids, dates, buckets and states have the recorded form."""
    braze.attributes({"external_id": "12345", "first_name": "John", "email": "x@example.com"})

    user = braze.user("12345")

    assert re.fullmatch(r"[0-9a-f]{24}", user["braze_id"])
    assert user["created_at"] == "2026-11-22T12:00:00.000Z"
    assert 0 <= user["random_bucket"] < 10_000
    assert user["email_subscribe"] == user["push_subscribe"] == "subscribed"


def test_events_of_the_last_90_days(braze: Caller) -> None:
    """Events and purchases older than 90 days are not exported."""
    braze.event(external_id="u", name="old", time="2026-08-20T00:00:00Z")
    braze.event(external_id="u", name="new", time="2026-08-28T00:00:00Z")

    assert [event["name"] for event in braze.user("u")["custom_events"]] == ["new"]


def test_profiles_are_in_the_shape_of_the_export(braze: Caller) -> None:
    """`/_sandbox/profiles` shows each profile as the export does, and its events one by one."""
    braze.track(
        attributes=[{"external_id": "u", "email": "a@example.com", "score": 1}],
        events=[
            {
                "external_id": "u",
                "name": "answered",
                "time": "2026-11-01T10:00:00Z",
                "properties": {"q": 1},
            },
        ],
    )

    (profile,) = braze.profiles()

    exported = braze.export(external_ids=["u"], fields_to_export=EVERY_FIELD)[0]
    assert exported.items() <= profile.items()
    assert profile["events"] == [
        {"name": "answered", "time": "2026-11-01T10:00:00.000Z", "properties": {"q": 1}},
    ]
