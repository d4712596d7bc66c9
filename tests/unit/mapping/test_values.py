"""Types are never guessed: what fits, what it becomes, and why the rest does not."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.braze.limits import MAX_ARRAY_BYTES, MAX_ARRAY_ELEMENTS, MAX_STRING_CHARS
from braze_bridge.mapping.values import (
    Misfit,
    Shape,
    ValueType,
    compact_json,
    fit,
    looks_like_date,
)
from tests.fakes.json_bodies import json_scalars, json_values

STRING = Shape(ValueType.STRING)
INTEGER = Shape(ValueType.INTEGER)
NUMBER = Shape(ValueType.NUMBER)
BOOLEAN = Shape(ValueType.BOOLEAN)
DATE = Shape(ValueType.DATE)
SPELLED = Shape(ValueType.DATE, formats=("%m/%d/%Y", "%B %d, %Y"))
STRINGS = Shape(ValueType.ARRAY)
INTEGERS = Shape(ValueType.ARRAY, items=ValueType.INTEGER)
NUMBERS = Shape(ValueType.ARRAY, items=ValueType.NUMBER)
SPLIT = Shape(ValueType.ARRAY, separator=";")
TRIMMED_SPLIT = Shape(ValueType.ARRAY, separator=";", trim=True)

WRONG = Misfit.WRONG_TYPE
RANGE = Misfit.OUT_OF_RANGE


def same(one: object, other: object) -> bool:
    """Equal, and of the same types all the way down: 1, 1.0 and True are three things here."""
    return one == other and repr(one) == repr(other)


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        (STRING, "007", "007"),
        (STRING, "+49 30 123", "+49 30 123"),
        (STRING, " as is ", " as is "),
        (STRING, "null", "null"),
        (STRING, "1.10", "1.10"),
        (STRING, True, "true"),
        (STRING, False, "false"),
        (STRING, 87, "87"),
        (STRING, 87.0, "87.0"),
        (STRING, 0.1, "0.1"),
        (STRING, 1e22, "1e+22"),
        (STRING, "ß" * 255, "ß" * 255),
        (STRING, "ß" * 256, Misfit.TOO_LONG),
        (STRING, "  ", Misfit.BLANK),
        (STRING, "2026-11-20", Misfit.LOOKS_LIKE_DATE),
        (STRING, "12/1/2021", Misfit.LOOKS_LIKE_DATE),
        (STRING, math.inf, RANGE),
        (STRING, 10**4000, RANGE),
        (STRING, 10**300, Misfit.TOO_LONG),
        (STRING, ["a"], WRONG),
        (STRING, {"a": 1}, WRONG),
        (STRING, None, WRONG),
        (Shape(ValueType.STRING, trim=True), "  Ada\n", "Ada"),
        (Shape(ValueType.STRING, trim=True), "  ", Misfit.BLANK),
        (Shape(ValueType.STRING, max_chars=1024), "x" * 1024, "x" * 1024),
        (Shape(ValueType.STRING, dates_are_text=True), "2026-11-20", "2026-11-20"),
        (INTEGER, 87, 87),
        (INTEGER, "87", 87),
        (INTEGER, "-87", -87),
        (INTEGER, "007", 7),
        (INTEGER, 87.0, 87),
        (INTEGER, "87.0", 87),
        (INTEGER, "9007199254740993.0", 9007199254740993),
        (INTEGER, 87.5, WRONG),
        (INTEGER, "87.5", WRONG),
        (INTEGER, "1e3", WRONG),
        (INTEGER, "1,000", WRONG),
        (INTEGER, " 87", 87),
        (INTEGER, "٨٧", 87),
        (INTEGER, "87\u00a0\n", 87),
        (INTEGER, "\uff0d\uff18\uff17", -87),
        (INTEGER, "8²", WRONG),
        (INTEGER, "8 7", WRONG),
        (INTEGER, "(87)", WRONG),
        (INTEGER, "", WRONG),
        (INTEGER, True, WRONG),
        (INTEGER, [87], WRONG),
        (INTEGER, 2**63 - 1, 2**63 - 1),
        (INTEGER, 2**63, RANGE),
        (INTEGER, 10**4000, RANGE),
        (INTEGER, "9" * 5000, RANGE),
        (INTEGER, 1e300, RANGE),
        (INTEGER, math.inf, RANGE),
        (Shape(ValueType.INTEGER, trim=True), " 87 ", 87),
        (NUMBER, 87, 87),
        (NUMBER, 87.5, 87.5),
        (NUMBER, "87.50", 87.5),
        (NUMBER, "-0.5", -0.5),
        (NUMBER, "87,5", WRONG),
        (NUMBER, "1.000,5", WRONG),
        (NUMBER, ".5", WRONG),
        (NUMBER, "5.", WRONG),
        (NUMBER, "NaN", WRONG),
        (NUMBER, "0x10", WRONG),
        (NUMBER, "1_000", WRONG),
        (NUMBER, False, WRONG),
        (NUMBER, math.inf, RANGE),
        (NUMBER, -math.inf, RANGE),
        (NUMBER, 10**30, RANGE),
        (NUMBER, "9" * 350 + ".5", RANGE),
        (BOOLEAN, True, True),
        (BOOLEAN, "no", False),
        (BOOLEAN, "Yes", True),
        (BOOLEAN, "F", False),
        (BOOLEAN, "ON", True),
        (BOOLEAN, "off", False),
        (BOOLEAN, 0, False),
        (BOOLEAN, 1, True),
        (BOOLEAN, 1.0, True),
        (BOOLEAN, 2, WRONG),
        (BOOLEAN, "maybe", WRONG),
        (BOOLEAN, "yes ", True),
        (BOOLEAN, [], WRONG),
        (Shape(ValueType.BOOLEAN, trim=True), "yes ", True),
        (DATE, "2026-11-20", "2026-11-20"),
        (DATE, "2026-11-20T08:15:30Z", "2026-11-20T08:15:30.000Z"),
        (DATE, "2026-11-20 09:15:30+01:00", "2026-11-20T08:15:30.000Z"),
        (DATE, "2026-11-20T08:15", "2026-11-20T08:15:00.000Z"),
        (DATE, "3000-12-31", "3000-12-31"),
        (DATE, "3001-01-01", RANGE),
        (DATE, "3000-12-31T23:30:00-01:00", RANGE),
        (DATE, "0000-01-01", WRONG),
        (DATE, "2026-02-30", WRONG),
        (DATE, "20.11.2026", WRONG),
        (DATE, "12/1/2021", WRONG),
        (DATE, "20261120", WRONG),
        (SPELLED, "12/1/2021", "2021-12-01"),
        (SPELLED, "December 1, 2021", "2021-12-01"),
        (SPELLED, "2021-12-01", "2021-12-01"),
        (SPELLED, "31/12/2021", WRONG),
        (SPELLED, "02/30/2021", WRONG),
        (SPELLED, "01/01/3001", RANGE),
        (DATE, 1795164000, "2026-11-20T08:40:00.000Z"),
        (DATE, "Fri, 20 Nov 2026 08:40:00 GMT ", "2026-11-20T08:40:00.000Z"),
        (DATE, "03/04/2026", WRONG),
        (DATE, True, WRONG),
        (STRINGS, ["b", "a", "b"], ["b", "a"]),
        (STRINGS, "a;b", ["a;b"]),
        (STRINGS, 7, ["7"]),
        (STRINGS, [7, True, "x"], ["7", "true", "x"]),
        (STRINGS, ["2026-11-20"], ["2026-11-20"]),
        (STRINGS, ["a", None], WRONG),
        (STRINGS, ["a", " "], Misfit.BLANK),
        (STRINGS, ["a", ["b"]], WRONG),
        (STRINGS, ["a", "x" * 256], Misfit.TOO_LONG),
        (STRINGS, {"a": 1}, WRONG),
        (STRINGS, [], Misfit.BLANK),
        (STRINGS, [str(n) for n in range(500)], [str(n) for n in range(500)]),
        (STRINGS, [str(n) for n in range(501)], Misfit.TOO_MANY),
        (STRINGS, [f"{n:03}" + "🎓" * 252 for n in range(100)], Misfit.TOO_LONG),
        (INTEGERS, ["1", 2, 3.0], [1, 2, 3]),
        (INTEGERS, [1, "two"], WRONG),
        (NUMBERS, [1, 1.0, 2.5], [1, 2.5]),
        (NUMBERS, [math.inf], RANGE),
        (SPLIT, "red;blue; red;", ["red", "blue"]),
        (SPLIT, ";;", Misfit.BLANK),
        (SPLIT, ["a;b"], ["a;b"]),
        (TRIMMED_SPLIT, " red ;blue; red ;", ["red", "blue"]),
        (Shape(ValueType.ARRAY, trim=True), [" a", "a "], ["a"]),
    ],
)
def test_value_fits_or_says_why(shape: Shape, value: object, expected: object) -> None:
    """Each value becomes the configured type exactly, or names why it does not fit."""
    assert same(fit(value, shape), expected)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20",
        "2026-1-2",
        " 2026-11-20 ",
        "2026-11-20T08:15:30",
        "2026-11-20T08:15:30Z",
        "2026-11-20T08:15:30.123+01:00",
        "2026-11-20T08:15:30:123Z",
        "2026-11-20 08:15:30",
        "20261120T081530Z",
        "11/20/2026",
        "1/2/2026",
        "12-1-2021",
        "12/1/2021",
        "31/12/2021",
        "Fri 11 20 08:15:30.+0100 2026",
        "Fri Nov 20 08:15:30 UTC 2026",
    ],
)
def test_braze_would_make_a_date_of_it(text: str) -> None:
    """Braze's documented formats, and those it converts besides, are recognised."""
    assert looks_like_date(text)


@pytest.mark.parametrize(
    "text",
    [
        "007",
        "2026",
        "20261120",
        "2026-13-45",
        "2026-00-10",
        "40/40/2021",
        "12.1.2021",
        "12/1-2021",
        "1/2",
        "1.10",
        "10:30",
        "+49 30 123",
        "2026-11-20 or so",
        "Friday",
        "２０２６-11-20",  # noqa: RUF001 - full-width digits on purpose
    ],
)
def test_text_that_is_no_date_stays_text(text: str) -> None:
    """What no documented format matches is a string like any other."""
    assert not looks_like_date(text)


def shapes() -> st.SearchStrategy[Shape]:
    return st.builds(
        Shape,
        type=st.sampled_from(ValueType),
        items=st.sampled_from([ValueType.STRING, ValueType.INTEGER, ValueType.NUMBER]),
        separator=st.sampled_from(["", ";", ","]),
        trim=st.booleans(),
        # Said here, since hypothesis now and then makes up what has a default.
        max_chars=st.just(MAX_STRING_CHARS),
        formats=st.just(()),
        dates_are_text=st.booleans(),
    )


PYTHON_TYPES: dict[ValueType, tuple[type, ...]] = {
    ValueType.STRING: (str,),
    ValueType.INTEGER: (int,),
    ValueType.NUMBER: (int, float),
    ValueType.BOOLEAN: (bool,),
    ValueType.DATE: (str,),
}


def of_type(value: object, kind: ValueType) -> bool:
    """Exactly of the type: a bool is no int here."""
    return type(value) in PYTHON_TYPES[kind]


@given(value=st.one_of(json_values(), json_scalars()), shape=shapes())
def test_result_is_always_of_the_configured_type(value: Any, shape: Shape) -> None:
    """What fits is of exactly the configured type, within Braze's limits, and valid JSON."""
    result = fit(value, shape)

    if isinstance(result, Misfit):
        return
    json.dumps(result, allow_nan=False)
    elements = result if isinstance(result, list) else [result]
    assert isinstance(result, list) == (shape.type is ValueType.ARRAY)
    kind = shape.items if shape.type is ValueType.ARRAY else shape.type
    assert all(of_type(element, kind) for element in elements)
    assert all(len(text) <= MAX_STRING_CHARS for text in elements if isinstance(text, str))
    assert all(text.strip() for text in elements if isinstance(text, str))
    assert all(abs(n) < 2**63 for n in elements if type(n) is int)
    assert len(elements) <= MAX_ARRAY_ELEMENTS
    assert len(set(elements)) == len(elements)
    assert len(compact_json(elements)) <= MAX_ARRAY_BYTES


@given(value=st.one_of(json_values(), json_scalars()), shape=shapes())
def test_fitting_twice_changes_nothing(value: Any, shape: Shape) -> None:
    """A fitted value fits again, as it is."""
    once = fit(value, shape)

    if not isinstance(once, Misfit):
        assert same(fit(once, shape), once)


@given(st.lists(st.integers(0, 9).map(str), max_size=8))
def test_array_keeps_every_element_once_in_order(elements: list[str]) -> None:
    """An array loses repetitions only: order and elements stay."""
    result = fit(elements, STRINGS)

    assert result == (list(dict.fromkeys(elements)) or Misfit.BLANK)


@given(st.text(max_size=300).filter(str.strip))
def test_string_goes_through_unchanged_or_not_at_all(text: str) -> None:
    """No string is cut, trimmed or converted unless asked for."""
    assert fit(text, STRING) in (text, Misfit.TOO_LONG, Misfit.LOOKS_LIKE_DATE)
