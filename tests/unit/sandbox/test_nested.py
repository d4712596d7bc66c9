"""Nested values (reference §1.5)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.braze.nested import DroppedError, check_nested, merge_objects

KEYS = st.text(alphabet="abc", min_size=1, max_size=2)
OBJECTS = st.recursive(
    st.dictionaries(KEYS, st.integers(0, 3), max_size=3),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(OBJECTS, OBJECTS)
def test_merging_again_changes_nothing(old: dict[str, Any], new: dict[str, Any]) -> None:
    """A merge sent twice is a merge sent once."""
    once = merge_objects(old, new)

    assert merge_objects(once, new) == once


@given(OBJECTS, OBJECTS)
def test_merging_keeps_both(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Every key of both is there, the new scalars win, and neither argument is changed."""
    before = repr((old, new))

    merged = merge_objects(old, new)

    assert merged.keys() == old.keys() | new.keys()
    assert all(merged[key] == value for key, value in new.items() if isinstance(value, int))
    assert repr((old, new)) == before


@given(OBJECTS)
def test_good_objects_pass(value: dict[str, Any]) -> None:
    """Plain keys and integers pass at any depth."""
    check_nested(value)


@given(OBJECTS, st.sampled_from([None, "x" * 256, 2**63, {"a b": 1}, {"$x": 1}, {"a.b": 1}]))
def test_one_bad_part_spoils_all(value: dict[str, Any], bad: Any) -> None:
    """A bad part at any depth drops the whole value."""
    value["deep"] = [{"inner": {"bad": bad}}]

    with pytest.raises(DroppedError):
        check_nested(value)


@pytest.mark.parametrize(("size", "fits"), [(100_000, True), (100_001, False)])
def test_100_kb(size: int, fits: bool) -> None:
    """100,000 bytes of JSON fit and one more does not."""
    texts: list[Any] = ["x" * 250] * 395
    missing = size - len(json.dumps({"a": [*texts, ""]}, separators=(",", ":")))
    value: dict[str, Any] = {"a": [*texts, "y" * missing]}

    if fits:
        check_nested(value)
    else:
        with pytest.raises(DroppedError, match="over 100 KB"):
            check_nested(value)
