"""`POST /users/export/ids` (reference §2), and profiles in its shape."""

from collections.abc import Collection, Mapping
from datetime import timedelta

from pydantic import JsonValue

from sandbox.braze.dates import from_epoch, write_date
from sandbox.braze.exchange import Answer, Call, JsonObject, refusal
from sandbox.braze.identity import ObjectRejectedError, id_text, normalise_phone, read_alias
from sandbox.braze.profiles import Identifier, Profile, Tally
from sandbox.braze.workspace import Workspace

MAX_IDS = 50
TOO_MANY_IDS = "The max number of external_ids and aliases per request was exceeded"
# We chose the texts below: the documentation has the rules, not the words.
NO_IDENTIFIER = "at least one identifier is required"
ONE_IDENTIFIER_ONLY = "only one of 'device_id', 'email_address' and 'phone' may be included"
NO_FIELDS = "'fields_to_export' is required"
BAD_FIELDS = "'fields_to_export' is not valid"

FIELDS = frozenset(
    {
        "apps",
        "attributed_ad",
        "attributed_adgroup",
        "attributed_campaign",
        "attributed_source",
        "braze_id",
        "campaigns_received",
        "canvases_received",
        "country",
        "created_at",
        "custom_attributes",
        "custom_events",
        "devices",
        "dob",
        "email",
        "email_subscribe",
        "external_id",
        "first_name",
        "gender",
        "home_city",
        "language",
        "last_coordinates",
        "last_name",
        "phone",
        "purchases",
        "push_subscribe",
        "push_tokens",
        "random_bucket",
        "time_zone",
        "total_revenue",
        "uninstalled_at",
        "user_aliases",
    },
)
_HISTORY = timedelta(days=90)
_SINGLE = ("device_id", "email_address", "phone")


def _tallies(tallies: Mapping[str, Tally], now: float) -> list[JsonValue]:
    oldest = from_epoch(now) - _HISTORY
    return [
        {
            "name": name,
            "first": write_date(tally.first),
            "last": write_date(tally.last),
            "count": tally.count,
        }
        for name, tally in tallies.items()
        if tally.last >= oldest
    ]


def export_profile(profile: Profile, fields: Collection[str], now: float) -> JsonObject:
    """Show a profile as `/users/export/ids` does.

    Args:
        now: Epoch seconds; events and purchases of the last 90 days are shown.

    Returns:
        The fields that are neither null nor empty; aliases and revenue always, as recorded.
    """
    standard: JsonObject = {
        "email_subscribe": "subscribed",
        "push_subscribe": "subscribed",
        **profile.standard,
    }
    always: JsonObject = {
        "user_aliases": [
            {"alias_name": name, "alias_label": label} for label, name in profile.aliases.items()
        ],
        "total_revenue": profile.total_revenue,
    }
    sometimes: JsonObject = {
        "created_at": write_date(from_epoch(profile.created_at)),
        "external_id": profile.external_id,
        "braze_id": profile.braze_id,
        "random_bucket": profile.random_bucket,
        "custom_attributes": profile.custom,
        "custom_events": _tallies(profile.tallies, now),
        "purchases": _tallies(profile.purchases, now),
    }
    shown = {
        name: value
        for name, value in {**standard, **sometimes}.items()
        if value is not None and value not in ({}, [])
    }
    return {name: value for name, value in {**shown, **always}.items() if name in fields}


def _strings(value: JsonValue, name: str) -> list[str]:
    if isinstance(value, list):
        strings = [item for item in value if isinstance(item, str)]
        if len(strings) == len(value):
            return strings
    raise ObjectRejectedError(f"'{name}' must be an array of strings")


def _external_ids(value: JsonValue) -> list[tuple[str, JsonValue]]:
    """Read external ids, each as the text that finds its profile and as it was sent."""
    if isinstance(value, list):
        ids = [(text, item) for item in value if (text := id_text(item)) is not None]
        if len(ids) == len(value):
            return ids
    raise ObjectRejectedError("'external_ids' must be an array of strings")


def _aliases(value: JsonValue) -> list[Identifier]:
    if not isinstance(value, list):
        raise ObjectRejectedError("'user_aliases' must be an array of objects")
    return [read_alias(item) for item in value]


def _text(body: JsonObject, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise ObjectRejectedError(f"'{name}' must be a string")
    return value


def _fields(body: JsonObject) -> frozenset[str]:
    if "fields_to_export" not in body:
        raise ObjectRejectedError(NO_FIELDS)
    fields = frozenset(_strings(body["fields_to_export"], "fields_to_export"))
    if not fields or not fields <= FIELDS:
        raise ObjectRejectedError(BAD_FIELDS)
    return fields


def _find(workspace: Workspace, body: JsonObject) -> tuple[list[Profile], list[JsonValue]]:
    externals = _external_ids(body.get("external_ids", []))
    aliases = _aliases(body.get("user_aliases", []))
    braze_id, email, phone = (_text(body, key) for key in ("braze_id", "email_address", "phone"))
    device = _text(body, "device_id")
    if len(externals) + len(aliases) > MAX_IDS:
        raise ObjectRejectedError(TOO_MANY_IDS)
    if len([key for key in _SINGLE if body.get(key) is not None]) > 1:
        raise ObjectRejectedError(ONE_IDENTIFIER_ONLY)
    if not externals and not aliases and (braze_id or email or phone or device) is None:
        raise ObjectRejectedError(NO_IDENTIFIER)

    store = workspace.profiles
    found: list[Profile | None] = []
    unknown: list[JsonValue] = []
    for external_id, sent in externals:
        profile = store.find(Identifier("external_id", external_id))
        found.append(profile)
        if profile is None or sent != external_id:  # a number is named even if found: recorded
            unknown.append(sent)
    found.extend(store.find(alias) for alias in aliases)
    if braze_id is not None:
        found.append(store.find(Identifier("braze_id", braze_id)))
    if email is not None:
        found.extend(store.sharing("email", email))
    if phone is not None:
        found.extend(store.sharing("phone", normalise_phone(phone) or phone))
    once = {profile.braze_id: profile for profile in found if profile is not None}
    return list(once.values()), unknown


def export_ids(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Find profiles by their identifiers.

    Args:
        body: Identifiers and `fields_to_export`, which customers since August 2024 must send.

    Returns:
        201 with `users`, each once, and the unknown external ids, if any; 400 for a bad body.
    """
    try:
        fields = _fields(body)
        profiles, unknown = _find(workspace, body)
    except ObjectRejectedError as error:
        return refusal(str(error))
    answer: JsonObject = {
        "users": [export_profile(profile, fields, call.at) for profile in profiles],
        "message": "success",
    }
    if unknown:
        answer["invalid_user_ids"] = unknown
    return Answer(201, answer)
