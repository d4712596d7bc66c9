"""The stand-in's OpenAPI document, at `/_sandbox/openapi.json`: what may be sent, what may come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.braze.api import ENDPOINTS
from sandbox.braze.endpoints import messages
from sandbox.braze.endpoints.email import DIRECTIONS, MAX_EMAILS, MAX_ROWS, STATES
from sandbox.braze.endpoints.export import FIELDS, MAX_IDS
from sandbox.braze.endpoints.kpi import MAX_DAYS
from sandbox.braze.endpoints.renames import MAX_RENAMES
from sandbox.braze.endpoints.subscription_status import MAX_PAGE, MAX_USERS
from sandbox.braze.endpoints.track import MAX_OBJECTS
from sandbox.braze.endpoints.users import MAX_ENTRIES
from sandbox.braze.identity import MAX_ALIAS_BYTES, MAX_EXTERNAL_ID_BYTES
from sandbox.braze.merging import DELETE_PRIORITIES, PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import JsonValue

    from sandbox.braze.exchange import JsonObject

_TEXT: JsonObject = {"type": "string"}
_NUMBER_TOO: JsonObject = {"type": ["string", "integer"]}
_TEXT_OR_NULL: JsonObject = {"type": ["string", "null"]}
_BOOLEAN: JsonObject = {"type": "boolean"}
_TIME: JsonObject = {"type": "string", "format": "date-time"}
_DATE: JsonObject = {"type": "string", "format": "date"}
_ADDRESSES: JsonObject = {
    "oneOf": [_TEXT, {"type": "array", "items": _TEXT, "maxItems": MAX_USERS}],
}


def _ref(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: JsonObject, *required: str) -> JsonObject:
    schema: JsonObject = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return schema


def _array(items: JsonObject, longest: int) -> JsonObject:
    return {"type": "array", "items": items, "maxItems": longest}


def _choice(values: Iterable[str]) -> JsonObject:
    return {"type": "string", "enum": [*values]}


def _id(longest: int) -> JsonObject:
    return {"type": "string", "minLength": 1, "maxLength": longest}


_IDENTIFIERS: JsonObject = {
    "external_id": {**_id(MAX_EXTERNAL_ID_BYTES), "type": ["string", "integer"]},
    "user_alias": _ref("UserAlias"),
    "braze_id": _TEXT,
    "email": {"type": ["string", "null"], "format": "email"},
    "phone": _TEXT_OR_NULL,
    "_update_existing_only": _BOOLEAN,
}


def _prioritization(priorities: Iterable[str]) -> JsonObject:
    return {"type": "array", "items": _choice(sorted(priorities)), "minItems": 1}


def _address(name: str, priorities: Iterable[str], **more: JsonValue) -> JsonObject:
    properties = {name: _TEXT, "prioritization": _prioritization(priorities), **more}
    return _object(properties, *properties)


_PUSH_TOKEN = _object(
    {"app_id": _TEXT, "token": _TEXT, "device_id": {**_id(255), "minLength": 8}}, "app_id", "token"
)
_GROUP_STATE = _choice(["subscribed", "unsubscribed"])
_CHANGE = ("subscription_group_id", "subscription_state")

_SCHEMAS: JsonObject = {
    "UserAlias": _object(
        {"alias_name": _id(MAX_ALIAS_BYTES), "alias_label": _id(MAX_ALIAS_BYTES)},
        "alias_name",
        "alias_label",
    ),
    "Attributes": {
        **_object(
            {
                **_IDENTIFIERS,
                "_merge_objects": _BOOLEAN,
                "country": _TEXT_OR_NULL,
                "current_location": {"type": ["object", "null"]},
                "dob": _TEXT_OR_NULL,
                "email_subscribe": _TEXT,
                "first_name": _TEXT_OR_NULL,
                "push_token_import": _BOOLEAN,
                "push_tokens": {"type": "array", "items": _PUSH_TOKEN},
                "subscription_groups": {"type": "array", "items": {"type": "object"}},
                "time_zone": _TEXT_OR_NULL,
            },
        ),
        "additionalProperties": True,
    },
    "Event": _object(
        {
            **_IDENTIFIERS,
            "name": _TEXT,
            "time": _TIME,
            "app_id": _TEXT,
            "properties": {"type": "object"},
        },
        "name",
        "time",
    ),
    "Purchase": _object(
        {
            **_IDENTIFIERS,
            "product_id": _NUMBER_TOO,
            "currency": _TEXT,
            "price": {"type": "number"},
            "quantity": {"type": "integer", "minimum": 1, "maximum": 100},
            "time": _TIME,
            "properties": {"type": "object"},
        },
        "product_id",
        "currency",
        "price",
        "time",
    ),
    "MergeIdentifier": _object(
        {
            "external_id": _TEXT,
            "user_alias": _ref("UserAlias"),
            "email": _TEXT,
            "phone": _TEXT,
            "prioritization": _prioritization(PRIORITIES),
        },
    ),
    "SubscriptionChange": _object(
        {
            "subscription_group_id": _TEXT,
            "subscription_state": _GROUP_STATE,
            **dict.fromkeys(("external_ids", "emails", "phones"), _array(_TEXT, MAX_USERS)),
            "use_double_opt_in_logic": _BOOLEAN,
        },
        *_CHANGE,
    ),
}
_ALIAS_UPDATE = ("alias_label", "old_alias_name", "new_alias_name")
_RENAME = ("current_external_id", "new_external_id")
_MERGED = ("identifier_to_merge", "identifier_to_keep")


def _trigger(identifier: str, *properties: str) -> JsonObject:
    objects: JsonObject = {name: {"type": "object"} for name in properties}
    recipient = _object(
        {
            "external_user_id": _NUMBER_TOO,
            "user_alias": _ref("UserAlias"),
            "email": _TEXT,
            "prioritization": {"type": "array", "items": _choice(sorted(PRIORITIES))},
            "send_to_existing_only": _BOOLEAN,
            "attributes": {"type": "object"},
            **objects,
        },
    )
    return _object(
        {
            identifier: _TEXT,
            "broadcast": _BOOLEAN,
            "audience": {"type": "object"},
            "recipients": _array(recipient, messages.MAX_RECIPIENTS),
            **objects,
        },
        identifier,
    )


_BODIES: dict[str, JsonObject] = {
    "/users/track": _object(
        {
            "attributes": _array(_ref("Attributes"), MAX_OBJECTS),
            "events": _array(_ref("Event"), MAX_OBJECTS),
            "purchases": _array(_ref("Purchase"), MAX_OBJECTS),
        },
    ),
    "/users/export/ids": _object(
        {
            "external_ids": _array(_NUMBER_TOO, MAX_IDS),
            "user_aliases": _array(_ref("UserAlias"), MAX_IDS),
            **dict.fromkeys(("device_id", "braze_id", "email_address", "phone"), _TEXT),
            "fields_to_export": {"type": "array", "items": _choice(sorted(FIELDS)), "minItems": 1},
        },
        "fields_to_export",
    ),
    "/users/alias/new": _object(
        {
            "user_aliases": _array(
                {"allOf": [_ref("UserAlias"), _object({"external_id": _TEXT})]},
                MAX_ENTRIES,
            ),
        },
        "user_aliases",
    ),
    "/users/identify": _object(
        {
            "aliases_to_identify": _array(
                _object({"external_id": _NUMBER_TOO, "user_alias": _ref("UserAlias")}),
                MAX_ENTRIES,
            ),
            **{
                array: _array(_address(name, PRIORITIES, external_id=_NUMBER_TOO), MAX_ENTRIES)
                for array, name in (
                    ("emails_to_identify", "email"),
                    ("phone_numbers_to_identify", "phone"),
                )
            },
        },
    ),
    "/users/merge": _object(
        {
            "merge_updates": _array(
                _object({name: _ref("MergeIdentifier") for name in _MERGED}, *_MERGED), MAX_ENTRIES
            ),
        },
        "merge_updates",
    ),
    "/users/delete": _object(
        {
            "external_ids": _array(_NUMBER_TOO, MAX_ENTRIES),
            "user_aliases": _array(_ref("UserAlias"), MAX_ENTRIES),
            "braze_ids": _array(_TEXT, MAX_ENTRIES),
            "email_addresses": _array(_address("email", DELETE_PRIORITIES), MAX_ENTRIES),
            "phone_numbers": _array(_address("phone", DELETE_PRIORITIES), MAX_ENTRIES),
        },
    ),
    "/subscription/status/set": _object(
        {
            "subscription_group_id": _TEXT,
            "subscription_state": _GROUP_STATE,
            **dict.fromkeys(("external_id", "email", "phone"), _ADDRESSES),
            "use_double_opt_in_logic": _BOOLEAN,
        },
        *_CHANGE,
    ),
    "/v2/subscription/status/set": _object(
        {"subscription_groups": _array(_ref("SubscriptionChange"), MAX_USERS)},
        "subscription_groups",
    ),
    "/users/alias/update": _object(
        {
            "alias_updates": _array(
                _object(
                    dict.fromkeys(_ALIAS_UPDATE, _id(MAX_ALIAS_BYTES)),
                    *_ALIAS_UPDATE,
                ),
                MAX_RENAMES,
            ),
        },
        "alias_updates",
    ),
    "/users/external_ids/rename": _object(
        {"external_id_renames": _array(_object(dict.fromkeys(_RENAME, _TEXT)), MAX_RENAMES)},
        "external_id_renames",
    ),
    "/users/external_ids/remove": _object(
        {"external_ids": _array(_TEXT, MAX_RENAMES)}, "external_ids"
    ),
    "/email/status": _object(
        {
            "email": {"oneOf": [_TEXT, _array(_TEXT, MAX_EMAILS)]},
            "subscription_state": _choice(STATES),
        },
        "email",
        "subscription_state",
    ),
    "/messages/send": _object(
        {
            "external_user_ids": _array(_NUMBER_TOO, messages.MAX_RECIPIENTS),
            "user_aliases": _array(_ref("UserAlias"), messages.MAX_RECIPIENTS),
            "segment_id": _TEXT,
            "audience": {"type": "object"},
            "broadcast": _BOOLEAN,
            "campaign_id": _TEXT,
            "recipient_subscription_state": _choice(messages.STATES),
            "messages": _object({name: {"type": "object"} for name in messages.CHANNELS}),
        },
        "messages",
    ),
    "/campaigns/trigger/send": _trigger("campaign_id", "trigger_properties"),
    "/canvas/trigger/send": _trigger("canvas_id", "context", "canvas_entry_properties"),
}
_PEOPLE = [(name, _TEXT, False) for name in ("external_id", "email", "phone")]
_SERIES: list[tuple[str, JsonObject, bool]] = [
    ("length", {"type": "integer", "minimum": 1, "maximum": MAX_DAYS}, True),
    ("ending_at", _TIME, False),
    ("app_id", _TEXT, False),
]
_QUERIES: dict[str, list[tuple[str, JsonObject, bool]]] = {
    "/subscription/status/get": [("subscription_group_id", _TEXT, True), *_PEOPLE],
    "/subscription/user/status": [
        *_PEOPLE,
        ("limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}, False),
        ("offset", {"type": "integer", "minimum": 0}, False),
    ],
    "/kpi/mau/data_series": _SERIES,
    "/kpi/dau/data_series": _SERIES,
    "/kpi/new_users/data_series": _SERIES,
    "/email/unsubscribes": [
        ("start_date", _DATE, False),
        ("end_date", _DATE, True),
        ("email", _TEXT, False),
        ("limit", {"type": "integer", "minimum": 1, "maximum": MAX_ROWS}, False),
        ("offset", {"type": "integer", "minimum": 0}, False),
        ("sort_direction", _choice(DIRECTIONS), False),
    ],
    "/events/list": [("page", {"type": "integer", "minimum": 0}, False)],
    "/custom_attributes": [("cursor", _TEXT, False)],
}
_SUCCESS = {"GET": "200", "POST": "201"}
_MERGE = "/users/merge"


def _operation(path: str) -> JsonObject:
    endpoint = ENDPOINTS[path]
    success = "202" if path == _MERGE else _SUCCESS[endpoint.method]
    answers: dict[str, str] = {
        success: "Accepted; never a promise that anything was applied.",
        "400": "Nothing valid, or not JSON.",
        "401": "The key does not exist.",
        "403": f"The key lacks the permission `{endpoint.permission}`.",
        "429": "Over a rate limit.",
    }
    operation: JsonObject = {
        "operationId": path.strip("/").replace("/", "_"),
        "security": [{"key": []}],
    }
    if path in _BODIES:
        answers |= {"413": "The body is over 4 MB.", "415": "The body is not `application/json`."}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _BODIES[path]}},
        }
    if path in _QUERIES:
        operation["parameters"] = [
            {"name": name, "in": "query", "schema": schema, "required": is_required}
            for name, schema, is_required in _QUERIES[path]
        ]
    operation["responses"] = {status: {"description": text} for status, text in answers.items()}
    return operation


def document() -> JsonObject:
    """Build the OpenAPI document of the stand-in's Braze endpoints.

    Returns:
        OpenAPI 3.1; the control routes and the stand-in for Quikly are not in it.
    """
    paths: dict[str, JsonValue] = {
        path: {endpoint.method.lower(): _operation(path)} for path, endpoint in ENDPOINTS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "The stand-in Braze", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
