"""Attributes that come under Braze's own names, with the type JSON gives them: checked, not mapped.

Where a configuration maps a field it also names the type (:mod:`braze_bridge.mapping.attributes`);
here the caller, or the configuration itself, gives name and value outright.
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
    """A value as Braze takes it under this name, its type unchanged.

    Args:
        name: Of the attribute; a standard field's own type and rule hold.
        value: Any JSON value.

    Returns:
        The value, or why it does not fit: ``null`` and objects are :attr:`Misfit.WRONG_TYPE`, and
        so is an array of mixed types.
    """
    standard = STANDARD_FIELDS.get(name)
    kind = next((word for python, word in _TYPES if isinstance(value, python)), None)
    if kind is None:
        return Misfit.WRONG_TYPE
    items: ItemType = ValueType.STRING
    if isinstance(value, list):
        found = _item_type(value)
        if found is None:
            return Misfit.WRONG_TYPE
        items = found
    if standard is None:
        return ValueRule(name, (), Shape(kind, items)).convert(value)
    if kind not in {standard.type, ValueType.STRING}:
        return Misfit.WRONG_TYPE
    shape = Shape(
        standard.type,
        max_chars=standard.max_chars,
        dates_are_text=True,
    )
    return ValueRule(name, (), shape, standard=standard).convert(value)


def _item_type(values: list[object]) -> ItemType | None:
    for python, word in _ITEM_TYPES:
        if all(isinstance(each, python) and not isinstance(each, bool) for each in values):
            return word
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
    return ValueType.NUMBER if numbers else None
