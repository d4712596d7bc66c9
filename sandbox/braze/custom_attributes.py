"""Custom attributes: typing by the first value, arrays, operators, null (reference §1.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from sandbox.braze.dates import recognise_date, write_date
from sandbox.braze.exchange import JsonObject
from sandbox.braze.nested import (
    MAX_TEXT,
    DroppedError,
    change_objects,
    check_nested,
    check_number,
    check_size,
    merge_objects,
)

Kind = Literal["boolean", "number", "string", "time", "array", "object", "object_array"]

MAX_ARRAY_ITEMS = 500
_SURELY_FITS = 60
"""This number of 255-character strings is under 100 KB even if each character is escaped."""
_TRUE = frozenset({"1", "true", "t"})
_FALSE = frozenset({"0", "false", "f"})
_ARRAY_OPERATORS = frozenset({"add", "remove"})
_OBJECT_OPERATORS = frozenset({"$add", "$remove", "$update"})


@dataclass(frozen=True, slots=True)
class AttributeType:
    """The type a custom attribute has in the whole workspace; forced ones coerce."""

    kind: Kind
    is_forced: bool = False


def read_name(name: str) -> str:
    """Bring an attribute's name into the form Braze keeps.

    Returns:
        The name without leading and trailing spaces.

    Raises:
        DroppedError: Nothing is left, it is over 255 characters, or it begins with a dollar sign
            (documented for event properties; the documentation is silent here).
    """
    stripped = name.strip(" ")
    if not stripped:
        raise DroppedError("an empty name")
    if len(stripped) > MAX_TEXT:
        raise DroppedError("a name over 255 characters")
    if stripped[0] == "$":
        raise DroppedError("a name with a leading $")
    return stripped


def _scalar_array(items: list[JsonValue]) -> list[JsonValue]:
    """Keep the newest 500 unique values, each at its last place."""
    if all(isinstance(item, str) and len(item) <= MAX_TEXT for item in items):
        unique = list(dict.fromkeys(reversed(items)))[:MAX_ARRAY_ITEMS]
        if len(unique) > _SURELY_FITS:
            check_size(unique)
        return unique[::-1]
    kept: dict[tuple[type, JsonValue], JsonValue] = {}
    for item in items:
        if isinstance(item, str):
            if len(item) > MAX_TEXT:
                raise DroppedError("an array item over 255 characters")
        elif isinstance(item, (int, float)):
            check_number(item)
        else:
            raise DroppedError("an array item that is neither text, number nor boolean")
        key = (type(item), item)
        kept.pop(key, None)
        kept[key] = item
    values = list(kept.values())[-MAX_ARRAY_ITEMS:]
    check_size(values)
    return values


def _array(value: JsonValue, operator: str) -> list[JsonValue]:
    if not isinstance(value, list):
        raise DroppedError(f"{operator} is not an array")
    return value


def read_value(value: JsonValue) -> tuple[Kind, JsonValue]:
    """Detect a value's type and bring it into the form Braze keeps.

    Args:
        value: What was sent, not null and not an operator.

    Returns:
        The detected type and the value: dates in UTC, arrays unique and at most 500 long.

    Raises:
        DroppedError: A value Braze would not keep.
    """
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise DroppedError("a string over 255 characters")
        moment = recognise_date(value)
        return ("string", value) if moment is None else ("time", write_date(moment))
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, (int, float)):
        check_number(value)
        return "number", value
    if isinstance(value, list):
        if value and isinstance(value[0], dict) and all(isinstance(item, dict) for item in value):
            check_nested(value)
            return "object_array", value
        return "array", _scalar_array(value)
    check_nested(value)
    return "object", value


def coerce(value: JsonValue, kind: Kind) -> JsonValue:
    """Turn a value into a forced type, or drop it.

    Returns:
        The value in that type: `1`, `true`, `t` and `0`, `false`, `f` as booleans, numeric strings
        as numbers.

    Raises:
        DroppedError: It cannot be coerced; no other coercion is documented.
    """
    if kind == "boolean" and isinstance(value, (str, int)):
        text = str(value).lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
    if kind == "number" and isinstance(value, str):
        try:
            number = int(value) if value.lstrip("+-").isdigit() else float(value)
        except ValueError:
            raise DroppedError(f"cannot be coerced to the forced type {kind}") from None
        check_number(number)
        return number
    raise DroppedError(f"cannot be coerced to the forced type {kind}")


class CustomAttributes:
    """The workspace's custom attribute types, and the writing of values under them."""

    def __init__(self, forced: dict[str, Kind] | None = None) -> None:
        self._types: dict[str, AttributeType] = {}
        self.force(forced or {})

    @property
    def types(self) -> Mapping[str, AttributeType]:
        """The type of every attribute that the workspace knows, by name."""
        return self._types

    def force(self, forced: dict[str, Kind]) -> None:
        """Set the forced types; an attribute that is no longer forced keeps its type."""
        for name, known in list(self._types.items()):
            self._types[name] = AttributeType(known.kind)
        for name, kind in forced.items():
            self._types[name] = AttributeType(kind, is_forced=True)

    def apply(
        self,
        attributes: JsonObject,
        name: str,
        value: JsonValue,
        *,
        merge: bool = False,
    ) -> None:
        """Write one custom attribute.

        Args:
            attributes: The profile's custom attributes; changed in place.
            value: What was sent: a value, an operator, or null to remove the attribute.
            merge: Whether the object said `_merge_objects: true`.

        Raises:
            DroppedError: Braze would drop it silently; nothing is changed then.
        """
        if value is None:
            attributes.pop(name, None)
            return
        if isinstance(value, dict) and value:
            if value.keys() == {"inc"}:
                self._increment(attributes, name, value["inc"])
                return
            if value.keys() <= _ARRAY_OPERATORS:
                self._change_array(attributes, name, value)
                return
            if value.keys() <= _OBJECT_OPERATORS:
                self._change_objects(attributes, name, value, merge=merge)
                return
        kind, kept = read_value(value)
        known = self._types.get(name)
        if known is not None and known.kind != kind:
            kind, kept = known.kind, self._reconcile(known, kind, value, kept)
        old = attributes.get(name)
        if merge and isinstance(kept, dict) and isinstance(old, dict):
            kept = merge_objects(old, kept)
            check_size(kept)
        if known is None:
            self._types[name] = AttributeType(kind)
        attributes[name] = kept

    def _reconcile(
        self,
        known: AttributeType,
        kind: Kind,
        value: JsonValue,
        kept: JsonValue,
    ) -> JsonValue:
        if known.kind == "string" and kind == "time":
            return value
        if known.kind == "object_array" and kept == []:
            return []
        if known.is_forced:
            return coerce(value, known.kind)
        raise DroppedError(f"the attribute's type is {known.kind}, the value's {kind}")

    def _expect(self, name: str, kind: Kind) -> None:
        known = self._types.get(name)
        if known is not None and known.kind != kind:
            raise DroppedError(f"the attribute's type is {known.kind}, the operator's {kind}")

    def _increment(self, attributes: JsonObject, name: str, step: JsonValue) -> None:
        self._expect(name, "number")
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise DroppedError("inc takes an integer that is not negative")
        old = attributes.get(name, 0)
        if not isinstance(old, int):
            raise DroppedError("inc works on integers only")
        check_number(old + step)
        attributes[name] = old + step
        self._types.setdefault(name, AttributeType("number"))

    def _change_array(self, attributes: JsonObject, name: str, change: JsonObject) -> None:
        self._expect(name, "array")
        old = _array(attributes.get(name, []), name)
        added = _scalar_array([*old, *_array(change.get("add", []), "add")])
        gone = {
            (type(item), item) for item in _scalar_array(_array(change.get("remove", []), "remove"))
        }
        attributes[name] = [item for item in added if (type(item), item) not in gone]
        self._types.setdefault(name, AttributeType("array"))

    def _change_objects(
        self, attributes: JsonObject, name: str, change: JsonObject, *, merge: bool
    ) -> None:
        self._expect(name, "object_array")
        old = _array(attributes.get(name, []), name)
        attributes[name] = change_objects(old, change, merge=merge)
        self._types.setdefault(name, AttributeType("object_array"))
