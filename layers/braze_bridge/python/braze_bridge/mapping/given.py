"""Check attributes that a caller or a configuration gives by name and value.

Nothing is mapped here: the type is the one of the JSON value. For mapped fields the configuration
names the type (:mod:`braze_bridge.mapping.attributes`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.mapping.attributes import ValueRule
from braze_bridge.mapping.profile_fields import STANDARD_FIELDS
from braze_bridge.mapping.values import Fitted, Misfit, Shape, ValueType

if TYPE_CHECKING:
    from braze_bridge.mapping.values import ItemType

_TYPES: Final = (
    (bool, ValueType.BOOLEAN),  # before int: Python's bool is one
    (int, ValueType.INTEGER),
    (float, ValueType.NUMBER),
    (str, ValueType.STRING),
    (list, ValueType.ARRAY),
)
_ITEM_TYPES: Final[tuple[tuple[type, ItemType], ...]] = (
    (int, ValueType.INTEGER),
    (float, ValueType.NUMBER),
    (str, ValueType.STRING),
)


def fit_given(name: str, value: object) -> Fitted | Misfit:
    """Fit a JSON value to what Braze takes under this name; the type stays.

    A standard field has its own type and rule.

    Returns:
        The value, or why it does not fit: ``null``, objects and arrays of mixed types are
        :attr:`Misfit.WRONG_TYPE`.
    """
    standard = STANDARD_FIELDS.get(name)
    kind = next((word for python, word in _TYPES if isinstance(value, python)), None)
    if kind is None:
        return Misfit.WRONG_TYPE
    items = _item_type(value) if isinstance(value, list) else ValueType.STRING
    if items is None:
        return Misfit.WRONG_TYPE
    if standard is None:
        return ValueRule(name, (), Shape(kind, items)).convert(value)
    if kind not in {standard.type, ValueType.STRING}:
        return Misfit.WRONG_TYPE
    shape = Shape(standard.type, max_chars=standard.max_chars, dates_are_text=True)
    return ValueRule(name, (), shape, standard=standard).convert(value)


def _item_type(values: list[object]) -> ItemType | None:
    for python, word in _ITEM_TYPES:
        if all(isinstance(each, python) and not isinstance(each, bool) for each in values):
            return word
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
    return ValueType.NUMBER if numbers else None
