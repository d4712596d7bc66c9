"""Pieces of JSON Schema: objects, models without what only pydantic needs, well-known fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from braze_bridge.mapping.paths import Path

NOT_BLANK: Final = r"\S"

INSTANT: Final[dict[str, Any]] = {
    "description": "ISO 8601, in 2000 or later, or seconds or milliseconds since 1970.",
    "anyOf": [
        {"type": "string", "format": "date-time", "pattern": "^2"},
        {"type": "string", "format": "date", "pattern": "^2"},
        {"type": "string", "pattern": "^[1-9]([0-9]{9}|[0-9]{12})$"},
        {"type": "number", "minimum": 1_000_000_000, "exclusiveMaximum": 10_000_000_000},
        {"type": "number", "minimum": 1_000_000_000_000, "exclusiveMaximum": 10_000_000_000_000},
    ],
}
"""What :func:`braze_bridge.mapping.instants.read_instant` reads, apart from rare spellings."""

_PLAIN_PATH: Final = re.compile(r"\w+(?:\.\w+)*", re.ASCII)


def closed(
    properties: Mapping[str, Any], *, optional: Iterable[str] = (), description: str | None = None
) -> dict[str, Any]:
    """An object that has these properties and no others.

    Args:
        properties: Name to schema.
        optional: Names of those that may be missing.
        description: For people.
    """
    schema: dict[str, Any] = {} if description is None else {"description": description}
    return schema | {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in set(optional)],
        "additionalProperties": False,
    }


def plain(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema for people: what may be ``None`` is left out instead, in what we answer.

    Titles, defaults and the class's docstring are pydantic's or the code's business.

    Args:
        model: One without models in it, where the schema is used whole.
    """
    schema = model.model_json_schema()
    properties = {name: _plain(each) for name, each in schema["properties"].items()}
    found: dict[str, Any] = {"type": "object", "properties": properties}
    return found | {
        "required": list(schema.get("required", [])),
        "additionalProperties": schema.get("additionalProperties", True),
    }


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key not in {"title", "default"}}
    choices = [each for each in kept.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        return {**kept, **choices[0]}
    return kept


def well_known(fields: Iterable[tuple[Path, str]]) -> dict[str, Any]:
    """Properties at the places where a configuration looks, of whatever type.

    Args:
        fields: A path and what stands there. Paths that are more than names with dots between
            them have no place in a schema and are left out.

    Returns:
        Name to schema, nested as the paths are.
    """
    properties: dict[str, Any] = {}
    for path, description in fields:
        if _PLAIN_PATH.fullmatch(path.text) is None:
            continue
        *outer, last = path.text.split(".")
        inner = properties
        for name in outer:
            inner = inner.setdefault(name, {}).setdefault("properties", {})
        leaf = inner.setdefault(last, {})
        said = leaf.get("description")
        leaf["description"] = description if said is None else f"{said} {description}"
    return properties
