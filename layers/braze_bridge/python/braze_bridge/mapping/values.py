"""Turn a found value into the configured type, or say by a code why it does not fit.

Types are never guessed: ``"007"`` as a string stays ``"007"``, ``"no"`` as a boolean is false, and
``"1,5"`` is no number. Spaces around a value never count, unless it is a string. The code never
contains the value.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from braze_bridge.braze.limits import (
    MAX_ARRAY_BYTES,
    MAX_ARRAY_ELEMENTS,
    MAX_INTEGER,
    MAX_STRING_CHARS,
)
from braze_bridge.clock import iso_millis
from braze_bridge.mapping.instants import read_time
from braze_bridge.mapping.texts import ascii_digits, trimmed

Fitted = bool | int | float | str | list[bool | int | float | str]
"""A value in a DeliveryJob."""

MAX_YEAR: Final = 3000
"""Braze stores later years as strings
(https://www.braze.com/docs/user_guide/data/activation/custom_data/data_types)."""

_LONGEST_NUMBER: Final = 400
"""More digits than a finite number needs, and under Python's own limit of 4,300."""

_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_BOOLEANS: Final = {
    "true": True,
    "yes": True,
    "y": True,
    "t": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "n": False,
    "f": False,
    "off": False,
    "0": False,
}

_CLOCK: Final = (
    r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,:][0-9]+)?)?\s?(?:Z|UTC|GMT|[+-][0-9:]{2,6})?"
)
_BRAZE_DATES: Final = re.compile(
    # ISO 8601, yyyy-MM-dd, yyyy-MM-dd HH:mm:ss, yyyy-MM-ddTHH:mm:ss, yyyy-MM-ddTHH:mm:ss:SSSZ
    rf"[0-9]{{4}}-(?P<m1>[0-9]{{1,2}})-(?P<d1>[0-9]{{1,2}})(?:[T\s]\s?{_CLOCK})?"
    r"|[0-9]{8}T[0-9]{4,6}(?:\.[0-9]+)?(?:Z|[+-][0-9:]{2,6})?"
    # MM/dd/yyyy, and 12/1/2021 and 12-1-2021, which Braze turns into dates as well
    rf"|(?P<m2>[0-9]{{1,2}})(?P<sign>[/-])(?P<d2>[0-9]{{1,2}})(?P=sign)[0-9]{{4}}(?:[T\s]\s?{_CLOCK})?"
    # ddd MM dd HH:mm:ss.TZD YYYY
    r"|(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s(?:[0-9]{1,2}|[a-z]{3,9})\s[0-9]{1,2}\s"
    r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}\S*\s(?:\S+\s)?[0-9]{4}",
    re.IGNORECASE | re.ASCII,
)
_MONTHS: Final = 12
_DAYS: Final = 31


class ValueType(StrEnum):
    """The types that a configuration may name."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    ARRAY = "array"


ItemType = Literal[ValueType.STRING, ValueType.INTEGER, ValueType.NUMBER]


class Misfit(StrEnum):
    """Why a value does not fit. Metrics and logs use these words."""

    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    TOO_LONG = "too_long"
    TOO_MANY = "too_many"
    LOOKS_LIKE_DATE = "looks_like_date"
    BLANK = "blank"
    NOT_ALLOWED = "not_allowed"
    """A standard profile field takes only certain values, such as ISO country codes."""


class Shape(NamedTuple):
    """A type with its options.

    Attributes:
        items: The type of an array's elements.
        separator: Splits a single string into the elements of an array; empty: does not split.
        trim: Whether to remove the spaces around a string. Other types never have any.
        max_chars: The longest string.
        formats: ``strptime`` formats of a date, besides those of ``instants.read_time``.
        dates_are_text: Whether a string may look like a date. Braze turns such a string into a
            date in custom attributes and event properties, but not in its standard fields.
    """

    type: ValueType
    items: ItemType = ValueType.STRING
    separator: str = ""
    trim: bool = False
    max_chars: int = MAX_STRING_CHARS
    formats: tuple[str, ...] = ()
    dates_are_text: bool = False


def fit(value: object, shape: Shape) -> Fitted | Misfit:
    """Turn a JSON value into the shape's type, without guessing.

    A fitted value fits again, unchanged.

    Returns:
        The value within Braze's limits, or why it does not fit.
    """
    if shape.trim or shape.type is not ValueType.STRING:
        value = _trimmed(value)
    match shape.type:
        case ValueType.STRING:
            return _string(value, shape)
        case ValueType.INTEGER:
            return _integer(value)
        case ValueType.NUMBER:
            return _number(value)
        case ValueType.BOOLEAN:
            return _boolean(value)
        case ValueType.DATE:
            return _date(value, shape.formats)
        case ValueType.ARRAY:
            return _array(value, shape)


def compact_json(value: object) -> bytes:
    """Encode JSON as Braze counts its size: UTF-8, no spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def looks_like_date(text: str) -> bool:
    """Check whether Braze would store a string as a date.

    It does so for ISO 8601 and its other documented formats, and for ``12-1-2021`` and
    ``12/1/2021`` (https://www.braze.com/docs/user_guide/data/activation/custom_data/data_types).
    If the attribute's type is already "string", Braze then drops the value without an error.
    """
    match = _BRAZE_DATES.fullmatch(text.strip())
    if match is None:
        return False
    month, day = match["m1"] or match["m2"], match["d1"] or match["d2"]
    if month is None or day is None:
        return True
    low, high = sorted((int(month), int(day)))
    # Braze does not say which of the two is the month, so both readings count.
    return 1 <= low <= _MONTHS and high <= _DAYS


def _trimmed(value: object) -> object:
    if isinstance(value, str):
        return trimmed(value)
    if isinstance(value, list):
        return [_trimmed(element) for element in value]
    return value


def _string(value: object, shape: Shape) -> str | Misfit:
    text = as_text(value)
    if isinstance(text, Misfit):
        return text
    if not trimmed(text):
        return Misfit.BLANK
    if len(text) > shape.max_chars:
        return Misfit.TOO_LONG
    if not shape.dates_are_text and looks_like_date(text):
        return Misfit.LOOKS_LIKE_DATE
    return text


def as_text(value: object) -> str | Misfit:
    """Return a text, boolean or number as text; anything else has the wrong type."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**_LONGEST_NUMBER else Misfit.OUT_OF_RANGE
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else Misfit.OUT_OF_RANGE
    return Misfit.WRONG_TYPE


def _integer(value: object) -> int | Misfit:
    if isinstance(value, str):
        value = ascii_digits(value)
        whole, _, fraction = value.partition(".")
        # Not through a float, which rounds numbers of more than 15 digits.
        value = whole if _DECIMAL.fullmatch(value) and not fraction.strip("0") else value
    number = _number(value)
    if not isinstance(number, float):
        return number
    if not number.is_integer():
        return Misfit.WRONG_TYPE
    return int(number) if abs(number) <= MAX_INTEGER else Misfit.OUT_OF_RANGE


def _number(value: object) -> float | Misfit:
    if isinstance(value, str):
        value = ascii_digits(value)
        if _DECIMAL.fullmatch(value) is None:
            return Misfit.WRONG_TYPE
        if len(value) > _LONGEST_NUMBER:
            return Misfit.OUT_OF_RANGE
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool):
        return Misfit.WRONG_TYPE
    if isinstance(value, int):
        return value if abs(value) <= MAX_INTEGER else Misfit.OUT_OF_RANGE
    if isinstance(value, float):
        return value if math.isfinite(value) else Misfit.OUT_OF_RANGE
    return Misfit.WRONG_TYPE


def _boolean(value: object) -> bool | Misfit:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _BOOLEANS.get(ascii_digits(value).lower(), Misfit.WRONG_TYPE)
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    return Misfit.WRONG_TYPE


def _date(value: object, formats: tuple[str, ...]) -> str | Misfit:
    read = read_time(value, formats)
    if read is None:
        return Misfit.WRONG_TYPE
    if read.year > MAX_YEAR:
        return Misfit.OUT_OF_RANGE
    return iso_millis(read) if isinstance(read, datetime) else read.isoformat()


def _array(value: object, shape: Shape) -> list[bool | int | float | str] | Misfit:
    if isinstance(value, str) and shape.separator:
        # A blank piece ("red;blue;") is no answer.
        pieces = map(trimmed, value.split(shape.separator))
        elements: list[object] = [piece for piece in pieces if piece]
    elif isinstance(value, list):
        elements = value
    else:
        elements = [value]
    if not elements:
        return Misfit.BLANK
    fitted: dict[bool | int | float | str, None] = {}
    for element in elements:
        one = _item(element, shape)
        if isinstance(one, Misfit):
            return one
        fitted[one] = None
        if len(fitted) > MAX_ARRAY_ELEMENTS:
            return Misfit.TOO_MANY
    if len(compact_json(list(fitted))) > MAX_ARRAY_BYTES:
        return Misfit.TOO_LONG
    return list(fitted)


def _item(element: object, shape: Shape) -> float | str | Misfit:
    match shape.items:
        case ValueType.INTEGER:
            return _integer(element)
        case ValueType.NUMBER:
            return _number(element)
        case ValueType.STRING:
            # Braze turns single strings into dates, but not strings in an array.
            return _string(element, shape._replace(dates_are_text=True))
