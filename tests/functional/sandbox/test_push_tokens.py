"""Push tokens (reference §1.5; the pages of the user attributes object and of the export)."""

from typing import Any

import pytest

from tests.functional.sandbox.caller import Caller

TOKEN = {"app_id": "app", "token": "abc", "device_id": "device-1"}
ALIAS = {"alias_name": "ana", "alias_label": "email"}


def imported(*tokens: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"push_token_import": True, "push_tokens": list(tokens), **more}


def tokens_of(profile: dict[str, Any]) -> list[str]:
    return [each["token"] for each in profile["push_tokens"]]


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (imported(TOKEN, external_id="u"), "BAD_PUSH_TOKEN_IMPORT"),
        (imported(TOKEN, braze_id="b"), "BAD_PUSH_TOKEN_IMPORT"),
        (imported(), "BAD_PUSH_TOKEN_IMPORT"),
        ({"push_token_import": True}, "BAD_PUSH_TOKEN_IMPORT"),
        ({"push_token_import": True, "user_alias": ALIAS}, "BAD_PUSH_TOKEN_IMPORT"),
        (imported({**TOKEN, "device_id": "7 bytes"}), "BAD_DEVICE_ID"),
        (imported({**TOKEN, "device_id": "x" * 256}), "BAD_DEVICE_ID"),
        ({"external_id": "u", "push_tokens": [{**TOKEN, "device_id": "x"}]}, "BAD_DEVICE_ID"),
        (
            {"push_token_import": False, "push_tokens": [TOKEN]},
            "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_imports_are_errors(braze: Caller, item: dict[str, Any], error: str) -> None:
    """An import excludes ids and needs tokens; a `device_id` has 8 to 255 bytes."""
    answer = braze.attributes(item)

    assert answer.status_code == 400
    assert [each["type"] for each in answer.json()["errors"]] == [error]
    assert braze.profiles() == []


@pytest.mark.parametrize("device_id", ["8  bytes", "é" * 4, "x" * 255])
def test_device_ids_of_8_to_255_bytes(braze: Caller, device_id: str) -> None:
    """The bounds are of bytes, and are taken."""
    assert braze.attributes(imported({**TOKEN, "device_id": device_id})).status_code == 201


def test_an_anonymous_import_makes_a_user_of_each_token(braze: Caller) -> None:
    """No identifier is needed. Each token becomes a user of its own, with all the attributes."""
    other = {"app_id": "app", "token": "def"}
    braze.attributes({"external_id": "u", "email": "a@example.com"})

    answer = braze.attributes(imported(TOKEN, other, email="a@example.com", score=1))

    assert (answer.status_code, answer.json()["attributes_processed"]) == (201, 1)
    known, first, second = braze.profiles()
    assert "push_tokens" not in known
    assert (tokens_of(first), tokens_of(second)) == (["abc"], ["def"])
    for profile in (first, second):
        assert (profile["email"], profile["custom_attributes"]) == ("a@example.com", {"score": 1})
        assert "external_id" not in profile


def test_a_token_that_exists_is_not_imported_again(braze: Caller) -> None:
    """The import of a known token is ignored."""
    braze.attributes({"external_id": "u", "push_tokens": [TOKEN]})

    assert braze.attributes(imported(TOKEN, score=1)).status_code == 201
    assert [profile.get("external_id") for profile in braze.profiles()] == ["u"]
    assert braze.dropped() == [("attributes", 0, "push_tokens")]


def test_an_alias_may_import(braze: Caller) -> None:
    """An import by alias is about that user."""
    braze.attributes(imported(TOKEN, user_alias=ALIAS, _update_existing_only=False))

    (profile,) = braze.profiles()
    assert (profile["user_aliases"], tokens_of(profile)) == ([ALIAS], ["abc"])


def test_tokens_are_exported_as_documented(braze: Caller) -> None:
    """An export shows each token once, with its app and device; a device without id gets one."""
    braze.attributes({"external_id": "u", "push_tokens": [TOKEN]})
    braze.attributes(
        {"external_id": "u", "push_tokens": [{"app_id": "app", "token": "def"}, TOKEN]}
    )

    (user,) = braze.post(
        "/users/export/ids", {"external_ids": ["u"], "fields_to_export": ["push_tokens"]}
    ).json()["users"]

    first, second = user["push_tokens"]
    assert first == {
        "app": "app",
        "platform": "Android",
        "token": "abc",
        "device_id": "device-1",
        "notifications_enabled": True,
        "provisionally_opted_in": None,
    }
    assert second == {**first, "token": "def", "device_id": second["device_id"]}
    assert len(second["device_id"]) >= 8
