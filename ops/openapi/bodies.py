"""The document's request bodies: as strict as the code is, and no stricter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from braze_bridge.braze.limits import MAX_ALIAS_BYTES, MAX_STRING_CHARS
from braze_bridge.partner_config.quikly_acquisitions import ADDRESS_FIELDS
from iterate_responses.mapping import EVENT_TYPE, MOST_RESPONSES
from ops.openapi.schemas import INSTANT, NOT_BLANK, plain, well_known
from quikly_acquisition.api_models import (
    CONSENT_FIELDS,
    FIELDS,
    MAX_KEY_CHARS,
    MAX_METHOD_CHARS,
    MAX_SCOPE_CHARS,
    MAX_TEXT_CHARS,
)
from quikly_acquisition.models import Channel
from quikly_acquisition.people import MAX_ATTRIBUTES
from quikly_webhook.models import WebhookCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from braze_bridge.mapping.attributes import ValueRule
    from braze_bridge.mapping.paths import Path
    from braze_bridge.mapping.people import PersonRule
    from braze_bridge.partner_config.iterate import IterateConfig
    from braze_bridge.partner_config.outgrow import OutgrowConfig
    from braze_bridge.partner_config.quikly import QuiklyConfig

_ID: Final = "The response's own id: one that is sent twice counts once."
_TIME: Final = (
    "When it was answered, ISO 8601 or seconds or milliseconds since 1970; unreadable or missing:"
    " the time of arrival."
)

_WEBHOOK: Final = {
    "q_scope": "The activation, as `quikly.toml` names it.",
    "event": "What the person did; one of the activation's `events`.",
    "email": "Who claims; case and surrounding spaces do not count.",
    "dispatch_id": "Braze's id of the sending, for the log.",
    "external_id": "Finds the profile before the e-mail address does.",
    "braze_id": "Finds the profile before both.",
    "since": "When the person could first respond; not in the future. " + INSTANT["description"],
}


def outgrow_body(config: OutgrowConfig) -> dict[str, Any]:
    """An Outgrow response: any object, with the fields that the default rule looks for."""
    rule = config.default
    return {
        "description": "What Outgrow's webhook posts. It documents no schema: anything goes, and"
        " the fields below are those that the default rule looks for. An identifier is needed, and"
        " at least one of the fields that become an attribute (unless the rule sends an event).",
        "type": "object",
        "properties": well_known(
            [
                *_at(rule.response_id, _ID),
                *_at(rule.response_id_with_time, "A lead's id: names a response with the time."),
                *_at(rule.occurred_at, _TIME),
                *_person(rule.person),
                *_at(rule.consent, "Has to be true, or nothing is kept."),
                *_values(rule.attributes, "the attribute"),
                *_values(() if rule.event is None else rule.event.properties, "the property"),
            ]
        ),
    }


def iterate_body(config: IterateConfig) -> dict[str, Any]:
    """An Iterate event: strict in its frame, tolerant inside."""
    rule = config.default
    entry = {
        "id": {"description": "The answer's own id."},
        "question_id": {"description": "Finds the question's rule."},
        "question_prompt": {"description": "Finds the rule, too, and names the attribute."},
        "created_at": {"description": _TIME},
        **well_known(_at(rule.answer, "The answer; blank or missing: not answered.")),
    }
    known = well_known(
        [
            *_at(config.survey_id, "The survey's id: finds its rules."),
            *_at(rule.survey_name, "The survey's name."),
            *_at(rule.response_id, _ID),
            *_at(rule.occurred_at, _TIME),
            *_person(rule.person),
        ]
    )
    response = known.setdefault(EVENT_TYPE, {})
    response.setdefault("properties", {})["responses"] = {
        "description": "One entry a question. Entries that are no objects are left out."
    }
    return {
        "description": "What Iterate's webhook posts"
        " (https://help.iteratehq.com/en/articles/2835022-webhooks).",
        "type": "object",
        "properties": {
            "event_type": {
                "type": "string",
                "pattern": NOT_BLANK,
                "description": f"`{EVENT_TYPE}`; anything else is ignored.",
            },
            **known,
        },
        "required": ["event_type"],
        "if": {"properties": {"event_type": {"const": EVENT_TYPE}}},
        "then": {
            "properties": {
                EVENT_TYPE: {
                    "type": "object",
                    "properties": {
                        "responses": {
                            "type": ["array", "null"],
                            "maxItems": MOST_RESPONSES,
                            "items": {"properties": entry},
                        }
                    },
                    "required": ["responses"],
                }
            },
            "required": [EVENT_TYPE],
        },
    }


def acquisition_body(config: QuiklyConfig) -> dict[str, Any]:
    """An acquisition: every field is checked, and there are no others."""
    described: dict[str, dict[str, Any]] = {
        "q_scope": _text(MAX_SCOPE_CHARS, "The activation, as `quikly.toml` names it."),
        "channel": {
            "type": "string",
            "enum": list(get_args(Channel)),
            "description": "What is signed up for; one of the activation's `channels`.",
        },
        "email": {
            "type": ["string", "null"],
            "format": "email",
            "maxLength": MAX_ALIAS_BYTES,
            "description": "Needed on the e-mail channel.",
        },
        "phone": {
            "type": ["string", "null"],
            "pattern": r"^\+[1-9]([ ().\-/]*[0-9]){1,14}$",
            "maxLength": MAX_TEXT_CHARS,
            "description": "E.164, of a length that its country has; spaces, dots, dashes and"
            " brackets do not count. Needed on the SMS channel.",
        },
        "consent": {
            "type": "object",
            "properties": {
                "given_at": {
                    **INSTANT,
                    "description": f"Not in the future. {INSTANT['description']}",
                },
                "method": _text(MAX_METHOD_CHARS, "Such as `checkbox` or `sms_keyword`."),
                "text": _text(MAX_TEXT_CHARS, "What was agreed to: its version, or the text."),
            },
            "required": sorted(CONSENT_FIELDS),
            "additionalProperties": False,
            "description": "The evidence that the person agreed.",
        },
        "attributes": {
            "type": ["object", "null"],
            "maxProperties": MAX_ATTRIBUTES,
            "propertyNames": {
                "pattern": r"^\s*[^\s$]",
                "maxLength": MAX_STRING_CHARS,
                "not": {"enum": sorted(ADDRESS_FIELDS)},
            },
            "additionalProperties": {
                "anyOf": [
                    {"type": ["number", "boolean"]},
                    {"type": "string", "pattern": NOT_BLANK},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1},
                    {"type": "array", "items": {"type": "number"}, "minItems": 1},
                ]
            },
            "description": "For the profile, by Braze's own names and with their types; identifiers"
            " and Braze's control fields are refused, and so are texts that Braze would not keep.",
        },
        "idempotency_key": {
            **_text(MAX_KEY_CHARS, "The caller's own name of this request."),
            "type": ["string", "null"],
        },
    }
    # A field that the code takes and nobody described is an error here, not a gap in the document.
    properties = {
        name: described[name] for name in [*described, *sorted(FIELDS - described.keys())]
    }
    scopes = ", ".join(f"`{scope}`" for scope in sorted(config.acquisitions))
    properties["q_scope"]["description"] += f" Configured: {scopes}." if scopes else ""
    return {
        "description": "A sign-up.",
        "type": "object",
        "properties": properties,
        "required": ["q_scope", "channel", "consent"],
        "additionalProperties": False,
        "allOf": [
            _needs("email", "email"),
            _needs("sms", "phone"),
        ],
    }


def activation_event_body(config: QuiklyConfig) -> dict[str, Any]:
    """An activation event: two words that must be known, the rest as the rules read it."""
    events = config.events
    rules = [rule for rule in events.rules.values() if rule is not None]
    known = well_known(
        [
            *_at(events.event_id, "The event's own id: one that is sent twice counts once."),
            *_at(events.occurred_at, _TIME),
            *_person(events.person),
            *_values(_once(value for rule in rules for value in rule.attributes), "the attribute"),
            *_values(
                _once(
                    value
                    for rule in rules
                    if rule.event is not None
                    for value in rule.event.properties
                ),
                "the property",
            ),
        ]
    )
    words = {
        "q_scope": "The activation; one that `quikly.toml` names.",
        "event": "What happened; with a rule: "
        + ", ".join(f"`{name}`" for name in sorted(events.rules))
        + ".",
    }
    for name, description in words.items():
        known[name] = {"type": "string", "pattern": NOT_BLANK, "description": description}
    return {
        "description": "An activation event. An identifier is needed.",
        "type": "object",
        "properties": known,
        "required": list(words),
    }


def webhook_body() -> dict[str, Any]:
    """A campaign's call; further fields are overlooked."""
    schema = plain(WebhookCall)
    properties: dict[str, Any] = schema["properties"]
    for name, description in _WEBHOOK.items():
        needed = name in schema["required"]
        properties[name] = {
            **properties[name],
            "type": "string" if needed else ["string", "null"],
            "description": description,
            **({"pattern": NOT_BLANK} if needed else {}),
        }
    properties["email"]["format"] = "email"
    # Liquid renders what a person does not have as an empty text.
    properties["since"] = {
        "description": _WEBHOOK["since"],
        "anyOf": [*INSTANT["anyOf"], {"const": ""}, {"type": "null"}],
    }
    return {
        "description": "What a Braze webhook campaign posts (docs/quikly). A blank text counts as"
        " left out.",
        **schema,
    }


def _text(max_chars: int, description: str) -> dict[str, Any]:
    return {
        "type": "string",
        "pattern": NOT_BLANK,
        "maxLength": max_chars,
        "description": description,
    }


def _needs(channel: str, field: str) -> dict[str, Any]:
    return {
        "if": {"properties": {"channel": {"const": channel}}, "required": ["channel"]},
        "then": {"properties": {field: {"type": "string"}}, "required": [field]},
    }


def _at(paths: Iterable[Path], description: str) -> Iterator[tuple[Path, str]]:
    return ((path, description) for path in paths)


def _person(rule: PersonRule) -> Iterator[tuple[Path, str]]:
    for kind in rule.order:
        yield from _at(rule.paths.get(kind, ()), f"Names the person by `{kind.value}`.")


def _values(rules: Iterable[ValueRule], becomes: str) -> Iterator[tuple[Path, str]]:
    for rule in rules:
        yield from _at(rule.paths, f"Becomes {becomes} `{rule.name}` ({rule.shape.type.value}).")


def _once(rules: Iterable[ValueRule]) -> list[ValueRule]:
    """Each rule once: events inherit what is said for all of them."""
    return list({(rule.name, rule.paths): rule for rule in rules}.values())
