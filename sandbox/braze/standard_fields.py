"""Standard profile fields: what each takes, and what Braze says or loses (reference §1.5)."""

import re
from collections.abc import Callable, Collection
from zoneinfo import available_timezones

from pydantic import JsonValue

from sandbox.braze.dates import recognise_date, write_date
from sandbox.braze.exchange import JsonObject
from sandbox.braze.identity import BAD_EMAIL, ObjectRejectedError, is_email, normalise_phone
from sandbox.braze.nested import MAX_TEXT, DroppedError
from sandbox.braze.profiles import SubscriptionState
from sandbox.braze.push_tokens import check_push_tokens

CONTROL_KEYS = frozenset({"_update_existing_only", "_merge_objects", "push_token_import"})
IDENTIFIER_KEYS = frozenset({"external_id", "user_alias", "braze_id"})
SUBSCRIPTION_STATES: dict[str, SubscriptionState] = {
    "subscribed": "Subscribed",
    "unsubscribed": "Unsubscribed",
}

BAD_EMAIL_SUBSCRIPTION_STATE = "BAD_EMAIL_SUBSCRIPTION_STATE"
BAD_PUSH_SUBSCRIPTION_STATE = "BAD_PUSH_SUBSCRIPTION_STATE"
BAD_LOCATION_UPDATE = "BAD_LOCATION_UPDATE"
BAD_GROUP_ARRAY = "BAD_SUBSCRIPTION_GROUP_ARRAY"
BAD_GROUP_HASH = "BAD_SUBSCRIPTION_GROUP_HASH"
BAD_GROUP_ID = "BAD_SUBSCRIPTION_GROUP_ID"
BAD_GROUP_STATE = "BAD_SUBSCRIPTION_GROUP_STATE"
NO_EMAIL_SUBSCRIPTION_INFO = "INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO"

_GLOBAL_STATES = ("opted_in", "subscribed", "unsubscribed")
_COUNTRY = re.compile(r"[A-Z]{2}")
_LANGUAGE = re.compile(r"[a-z]{2}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MAX_URL = 1024
_TIME_ZONES = available_timezones() | {"Eastern Time (US & Canada)"}
"""IANA's names, and the other one that the page of the user attributes object calls valid."""


def _check_location(value: JsonValue) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        raise ObjectRejectedError(BAD_LOCATION_UPDATE)
    for axis, limit in (("longitude", 180), ("latitude", 90)):
        degrees = value.get(axis)
        if (
            not isinstance(degrees, (int, float))
            or isinstance(degrees, bool)
            or not -limit <= degrees <= limit
        ):
            raise ObjectRejectedError(BAD_LOCATION_UPDATE)


def _check_groups(value: JsonValue, known: Collection[str]) -> None:
    if not isinstance(value, list):
        raise ObjectRejectedError(BAD_GROUP_ARRAY)
    for entry in value:
        if not isinstance(entry, dict):
            raise ObjectRejectedError(BAD_GROUP_HASH)
        group = entry.get("subscription_group_id")
        if not isinstance(group, str) or group not in known:
            raise ObjectRejectedError(BAD_GROUP_ID)
        state = entry.get("subscription_state")
        if not isinstance(state, str) or state not in SUBSCRIPTION_STATES:
            raise ObjectRejectedError(BAD_GROUP_STATE)


def check_standard_fields(item: JsonObject, groups: Collection[str]) -> None:
    """Find what makes Braze name an attributes object in `errors`.

    Raises:
        ObjectRejectedError: A standard field whose bad value is an error, not a silent loss.
    """
    if (email := item.get("email")) is not None and not is_email(email):
        raise ObjectRejectedError(BAD_EMAIL)
    if "email_subscription_info" in item:
        raise ObjectRejectedError(NO_EMAIL_SUBSCRIPTION_INFO)
    for name, error in (
        ("email_subscribe", BAD_EMAIL_SUBSCRIPTION_STATE),
        ("push_subscribe", BAD_PUSH_SUBSCRIPTION_STATE),
    ):
        if name in item and item[name] not in _GLOBAL_STATES:
            raise ObjectRejectedError(error)
    if "current_location" in item:
        _check_location(item["current_location"])
    if "push_tokens" in item or "push_token_import" in item:
        check_push_tokens(item)
    if "subscription_groups" in item:
        _check_groups(item["subscription_groups"], groups)


def _text(limit: int) -> Callable[[JsonValue], JsonValue]:
    def read(value: JsonValue) -> JsonValue:
        if not isinstance(value, str):
            raise DroppedError("not a string")
        if len(value) > limit:
            raise DroppedError(f"over {limit} characters")
        return value

    return read


def _like(pattern: re.Pattern[str], meaning: str) -> Callable[[JsonValue], JsonValue]:
    def read(value: JsonValue) -> JsonValue:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise DroppedError(f"not {meaning}")
        return value

    return read


def _one_of(values: Collection[str], meaning: str) -> Callable[[JsonValue], JsonValue]:
    def read(value: JsonValue) -> JsonValue:
        if not isinstance(value, str) or value not in values:
            raise DroppedError(f"not {meaning}")
        return value

    return read


def _boolean(value: JsonValue) -> JsonValue:
    if not isinstance(value, bool):
        raise DroppedError("not a boolean")
    return value


def _moment(value: JsonValue) -> JsonValue:
    moment = recognise_date(value) if isinstance(value, str) else None
    if moment is None:
        raise DroppedError("not a date")
    return write_date(moment)


def _birthday(value: JsonValue) -> JsonValue:
    if not isinstance(value, str) or not _DAY.fullmatch(value) or recognise_date(value) is None:
        raise DroppedError("not a day as YYYY-MM-DD")
    return value


def _location(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict):
        raise DroppedError("not a location")
    return [value["longitude"], value["latitude"]]


def _phone(value: JsonValue) -> JsonValue:
    number = normalise_phone(value)
    if number is None:
        raise DroppedError("not a phone number")
    return number


def _mapping(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict):
        raise DroppedError("not an object")
    return value


def _as_is(value: JsonValue) -> JsonValue:
    return value


STANDARD_FIELDS: dict[str, Callable[[JsonValue], JsonValue]] = {
    "country": _like(_COUNTRY, "an ISO 3166-1 alpha-2 code"),
    "current_location": _location,
    "date_of_first_session": _moment,
    "date_of_last_session": _moment,
    "dob": _birthday,
    "email": _as_is,
    "email_click_tracking_disabled": _boolean,
    "email_open_tracking_disabled": _boolean,
    "email_subscribe": _as_is,
    "facebook": _mapping,
    "first_name": _text(MAX_TEXT),
    "gender": _one_of(frozenset("MFONP"), "one of M, F, O, N, P"),
    "home_city": _text(MAX_TEXT),
    "image_url": _text(_MAX_URL),
    "language": _like(_LANGUAGE, "an ISO 639-1 code"),
    "last_name": _text(MAX_TEXT),
    "marked_email_as_spam_at": _moment,
    "phone": _phone,
    "push_subscribe": _as_is,
    "push_tokens": _as_is,
    "time_zone": _one_of(_TIME_ZONES, "a time zone"),
    "twitter": _mapping,
}
"""What reads each standard field; reading raises DroppedError where Braze loses the value."""

RESERVED_KEYS = (
    frozenset(STANDARD_FIELDS)
    | CONTROL_KEYS
    | IDENTIFIER_KEYS
    | {"subscription_groups", "email_subscription_info"}
)

EXPORT_NAMES = {"current_location": "last_coordinates"}
"""Fields that `/users/export/ids` calls otherwise than `/users/track`."""
