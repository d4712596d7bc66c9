"""Push tokens: who may import them, what Braze refuses, what an export shows (reference §1.5).

Sources: "Push token import" on the page of the user attributes object, and the endpoint-specific
errors of `/users/track`.
"""

from random import Random

from pydantic import JsonValue

from sandbox.braze.exchange import JsonObject
from sandbox.braze.identity import ObjectRejectedError
from sandbox.braze.profiles import Profile

BAD_DEVICE_ID = "BAD_DEVICE_ID"
BAD_APP_ID = "BAD_PUSH_TOKEN_APP_ID"
BAD_IMPORT = "BAD_PUSH_TOKEN_IMPORT"
BAD_STRING = "BAD_PUSH_TOKEN_STRING"
BAD_VALUE = "BAD_PUSH_TOKEN_VALUE"

_MIN_DEVICE_ID_BYTES = 8
_MAX_DEVICE_ID_BYTES = 255


def is_anonymous_import(item: JsonObject) -> bool:
    """Check whether an attributes object needs no identifier: each of its tokens is a new user."""
    return item.get("push_token_import") is True and "user_alias" not in item


def check_push_tokens(item: JsonObject) -> None:
    """Find what makes Braze refuse an object's push tokens.

    Raises:
        ObjectRejectedError: A malformed token, or an import that has no token, or that names its
            user by `external_id` or `braze_id`. The workspace has every app that is named.
    """
    tokens = item.get("push_tokens", [])
    if not isinstance(tokens, list):
        raise ObjectRejectedError(BAD_VALUE)
    for entry in tokens:
        if not isinstance(entry, dict):
            raise ObjectRejectedError(BAD_VALUE)
        if not isinstance(entry.get("app_id"), str):
            raise ObjectRejectedError(BAD_APP_ID)
        if not isinstance(entry.get("token"), str):
            raise ObjectRejectedError(BAD_STRING)
        if "device_id" in entry and not _is_device_id(entry["device_id"]):
            raise ObjectRejectedError(BAD_DEVICE_ID)
    is_import = item.get("push_token_import", False)
    if not isinstance(is_import, bool):
        raise ObjectRejectedError(BAD_IMPORT)
    if is_import and (not tokens or "external_id" in item or "braze_id" in item):
        raise ObjectRejectedError(BAD_IMPORT)


def _is_device_id(value: JsonValue) -> bool:
    return (
        isinstance(value, str)
        and _MIN_DEVICE_ID_BYTES <= len(value.encode()) <= _MAX_DEVICE_ID_BYTES
    )


def tokens_in(value: JsonValue) -> list[JsonObject]:
    """List the tokens of a checked `push_tokens`, or those that a profile has."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def has_token(profile: Profile, sent: JsonObject) -> bool:
    """Check whether a profile has this token of this app."""
    return any(
        (known["app"], known["token"]) == (sent["app_id"], sent["token"])
        for known in tokens_in(profile.standard.get("push_tokens"))
    )


def add_tokens(profile: Profile, value: JsonValue, random: Random) -> None:
    """Give a profile the tokens that it lacks, in the form of an export.

    A token without a `device_id` gets a random one. The stand-in has no list of apps: an app has
    its id as its name, and is an Android app, as in the sample of the export page.
    """
    known = tokens_in(profile.standard.get("push_tokens"))
    new: list[JsonValue] = [
        {
            "app": sent["app_id"],
            "platform": "Android",
            "token": sent["token"],
            "device_id": sent.get("device_id") or f"{random.getrandbits(128):032x}",
            "notifications_enabled": True,
            "provisionally_opted_in": None,
        }
        for sent in tokens_in(value)
        if not has_token(profile, sent)
    ]
    profile.standard["push_tokens"] = [*known, *new]
