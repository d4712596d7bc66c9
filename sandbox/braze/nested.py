"""Nested values: objects and arrays of objects in custom attributes (reference §1.5)."""

import math

from pydantic import JsonValue
from pydantic_core import to_json

from sandbox.braze.dates import recognise_date
from sandbox.braze.exchange import JsonObject

MAX_TEXT = 255
MAX_NESTED_BYTES = 100_000
"""Braze says "100 KB"; we chose the smaller reading."""
_MAX_INTEGER = 2**63 - 1
_FORBIDDEN_IN_KEYS = frozenset(" .$")
_IDENTIFIER_KEY = "$identifier_key"
_IDENTIFIER_VALUE = "$identifier_value"
_NEW_OBJECT = "$new_object"


class DroppedError(Exception):
    """A value that Braze would drop silently; the text says why."""


def check_number(value: float) -> None:
    """Refuse numbers that no 64-bit field holds.

    Raises:
        DroppedError: An infinity, or an integer beyond 64 bits.
    """
    if isinstance(value, int):
        if not -_MAX_INTEGER - 1 <= value <= _MAX_INTEGER:
            raise DroppedError("an integer beyond 64 bits")
    elif not math.isfinite(value):
        raise DroppedError("not a finite number")


def check_size(value: JsonValue, limit: int = MAX_NESTED_BYTES) -> None:
    """Refuse values whose JSON is too long.

    Raises:
        DroppedError: More than `limit` bytes.
    """
    if len(to_json(value)) > limit:
        raise DroppedError(f"over {limit // 1000} KB")


def _check_object(value: JsonObject) -> None:
    if value.keys() == {"$time"}:
        moment = value["$time"]
        if not isinstance(moment, str) or recognise_date(moment) is None:
            raise DroppedError("a nested $time that is no date")
        return
    for key, inner in value.items():
        if not key or len(key) > MAX_TEXT or not _FORBIDDEN_IN_KEYS.isdisjoint(key):
            raise DroppedError("a nested key that is empty, over 255 or holds a space, . or $")
        _check(inner)


def _check(value: JsonValue) -> None:
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise DroppedError("a nested string over 255 characters")
    elif isinstance(value, dict):
        _check_object(value)
    elif isinstance(value, list):
        for inner in value:
            _check(inner)
    elif value is None:
        raise DroppedError("a nested null")
    elif not isinstance(value, bool):
        check_number(value)


def check_nested(value: JsonValue) -> None:
    """Refuse a nested value as a whole when any part of it is invalid or null.

    Raises:
        DroppedError: A bad key, string, number, date or null in it, or over 100 KB.
    """
    _check(value)
    check_size(value)


def merge_objects(old: JsonObject, new: JsonObject) -> JsonObject:
    """Merge deeply, as `_merge_objects: true` asks: objects into objects, all else replaced."""
    merged = dict(old)
    for key, value in new.items():
        current = merged.get(key)
        if isinstance(current, dict) and isinstance(value, dict):
            merged[key] = merge_objects(current, value)
        else:
            merged[key] = value
    return merged


def _objects(value: JsonValue, name: str) -> list[JsonObject]:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return [item for item in value if isinstance(item, dict)]
    raise DroppedError(f"{name} is not an array of objects")


def _selector(change: JsonObject) -> tuple[str, JsonValue]:
    key = change.get(_IDENTIFIER_KEY)
    if not isinstance(key, str) or _IDENTIFIER_VALUE not in change:
        raise DroppedError("$identifier_key and $identifier_value are required")
    return key, change[_IDENTIFIER_VALUE]


def _matches(item: JsonValue, selector: tuple[str, JsonValue]) -> bool:
    key, value = selector
    return isinstance(item, dict) and key in item and item[key] == value


def change_objects(old: list[JsonValue], change: JsonObject, *, merge: bool) -> list[JsonValue]:
    """Apply `$add`, then `$remove`, then `$update` to an array of objects.

    Args:
        merge: Whether `_merge_objects` is true. If not, `$update` overwrites the object.

    Returns:
        The new array.

    Raises:
        DroppedError: An operator is malformed or a value in it invalid; nothing is changed then.
    """
    items = [*old, *_objects(change.get("$add", []), "$add")]
    for removal in _objects(change.get("$remove", []), "$remove"):
        selector = _selector(removal)
        items = [item for item in items if not _matches(item, selector)]
    for update in _objects(change.get("$update", []), "$update"):
        selector, new = _selector(update), update.get(_NEW_OBJECT)
        if not isinstance(new, dict):
            raise DroppedError("$new_object is not an object")
        items = [
            (merge_objects(item, new) if merge else new)
            if isinstance(item, dict) and _matches(item, selector)
            else item
            for item in items
        ]
    check_nested(items)
    return items
