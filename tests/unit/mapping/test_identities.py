"""Ids of responses: spelled alike, and fit to be logged."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.mapping.identities import first_id, id_text, loggable
from braze_bridge.mapping.paths import compile_path
from tests.fakes.json_bodies import json_values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("r-1", "r-1"),
        (" r-1 ", "r-1"),
        (17, "17"),
        (1.5, "1.5"),
        ("", None),
        ("  ", None),
        (None, None),
        (True, None),
        (float("inf"), None),
        (10**4000, None),
        (["r"], None),
        ({"oid": "r"}, None),
    ],
)
def test_text_of_an_id(value: Any, text: str | None) -> None:
    """A number and the same number as text are one id; nothing else is one."""
    assert id_text(value) == text


def test_the_first_id_that_is_one() -> None:
    """Paths are tried in order, and what is no id is passed over."""
    paths = [compile_path(text) for text in ("a", "b", "c")]

    assert first_id(paths, {"a": {"x": 1}, "b": " 7 ", "c": "8"}) == "7"
    assert first_id(paths, {}) is None


@given(json_values())
def test_any_value_is_an_id_or_none(value: Any) -> None:
    """Whatever comes, it is a text that is not blank, or nothing."""
    text = id_text(value)

    assert text is None or text.strip() == text != ""


@given(st.text(min_size=1))
def test_a_loggable_id_is_plain_and_short(identity: str) -> None:
    """What is not plain is a hash, always the same."""
    shown = loggable(identity)

    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", shown)
    assert shown == loggable(identity)
