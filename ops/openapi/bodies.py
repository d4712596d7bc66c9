"""The document's request bodies: a sign-up's types, and the fields that partners' files name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from braze_bridge.braze.limits import MAX_ALIAS_BYTES, MAX_STRING_CHARS
from braze_bridge.partner_config.quikly_acquisitions import ADDRESS_FIELDS
from quikly_acquisition import api_models
from quikly_acquisition.models import Channel
from quikly_acquisition.people import MAX_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from braze_bridge.mapping.paths import Path
    from braze_bridge.mapping.people import PersonRule
    from braze_bridge.partner_config.iterate import IterateConfig
    from braze_bridge.partner_config.outgrow import OutgrowConfig, OutgrowRule
    from braze_bridge.partner_config.quikly import QuiklyConfig
    from braze_bridge.partner_config.quikly_events import ActivationEventRule

    _Field = tuple[Iterable[Path], str]

_ID: Final = "The response's own id: the same id counts once."
_TIME: Final = (
    "The time of the answer: ISO 8601, or seconds or milliseconds since 1970. If it is missing or"
    " unreadable, the time of arrival counts."
)
_PLAIN_PATH: Final = re.compile(r"\w+(?:\.\w+)*", re.ASCII)

Text = Annotated[str, Field(pattern=r"\S")]
List = Annotated[list[str], Field(min_length=1)] | Annotated[list[float], Field(min_length=1)]
_NAMES: Final[dict[str, Any]] = {
    "pattern": r"^\s*[^\s$]",
    "maxLength": MAX_STRING_CHARS,
    "not": {"enum": sorted(ADDRESS_FIELDS)},
}
Attributes = Annotated[
    dict[str, float | bool | str | List | None],
    Field(max_length=MAX_ATTRIBUTES, json_schema_extra={"propertyNames": _NAMES}),
]
Blank = Literal[""]
"""Forms send every field: a blank one is no answer."""
Email = Annotated[str, Field(max_length=MAX_ALIAS_BYTES, json_schema_extra={"format": "email"})]
Phone = Annotated[
    str, Field(max_length=api_models.MAX_TEXT_CHARS, pattern=r"^\+[1-9]([ ().\-/]*[0-9]){1,14}$")
]


class ConsentGiven(BaseModel, extra="forbid"):
    """The evidence that the person agreed."""

    given_at: Any
    method: Annotated[Text, Field(max_length=api_models.MAX_METHOD_CHARS)]
    text: Annotated[Text, Field(max_length=api_models.MAX_TEXT_CHARS)]


class Acquisition(BaseModel, extra="forbid"):
    """A sign-up."""

    q_scope: Annotated[Text, Field(max_length=api_models.MAX_SCOPE_CHARS)]
    channel: Channel
    email: Email | Blank | None = None
    phone: Phone | Blank | None = None
    consent: ConsentGiven
    attributes: Attributes | None = None
    idempotency_key: Annotated[str, Field(max_length=api_models.MAX_KEY_CHARS)] | None = None


def outgrow_fields(config: OutgrowConfig) -> dict[str, Any]:
    """Describe the fields that the default rule looks for."""
    rule = config.default
    return _well_known(
        (rule.response_id, _ID),
        (rule.response_id_with_time, "A lead's id: identifies a response with the time."),
        (rule.occurred_at, _TIME),
        *_person(rule.person),
        (rule.consent, "If it is not true, nothing is kept."),
        *_mapped(rule),
    )


def iterate_fields(config: IterateConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe the fields of a response, and those of one answer."""
    rule = config.default
    response = _well_known(
        (config.survey_id, "The survey's id: finds its rules."),
        (rule.survey_name, "The survey's name."),
        (rule.response_id, _ID),
        (rule.occurred_at, _TIME),
        *_person(rule.person),
    )
    return response, _well_known((rule.answer, "The answer; blank or missing: not answered."))


def activation_event_fields(config: QuiklyConfig) -> dict[str, Any]:
    """Describe the fields that the rules of all events look for."""
    rules = [rule for rule in config.events.rules.values() if rule is not None]
    return _well_known(
        (config.events.event_id, "The event's own id: the same id counts once."),
        (config.events.occurred_at, _TIME),
        *_person(config.events.person),
        *(field for rule in rules for field in _mapped(rule)),
    )


def _person(rule: PersonRule) -> Iterator[_Field]:
    for kind in rule.order:
        yield rule.paths.get(kind, ()), f"Names the person by `{kind.value}`."


def _mapped(rule: OutgrowRule | ActivationEventRule) -> Iterator[_Field]:
    for each in rule.attributes:
        yield each.paths, f"Becomes the attribute `{each.name}` ({each.shape.type.value})."
    for each in () if rule.event is None else rule.event.properties:
        yield each.paths, f"Becomes the property `{each.name}` ({each.shape.type.value})."


def _well_known(*fields: _Field) -> dict[str, Any]:
    """Make properties of any type, nested as the paths are; only paths of names and dots fit."""
    properties: dict[str, Any] = {}
    for path, description in ((path, about) for paths, about in fields for path in paths):
        if _PLAIN_PATH.fullmatch(path.text) is None:
            continue
        *outer, last = path.text.split(".")
        inner = properties
        for name in outer:
            inner = inner.setdefault(name, {}).setdefault("properties", {})
        known = inner.setdefault(last, {}).get("description", "")
        if description not in known:  # events inherit the rules of all events
            inner[last]["description"] = f"{known} {description}".strip()
    return properties
