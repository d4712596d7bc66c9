"""JMESPath expressions as places in a body."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from braze_bridge.mapping.paths import PathError, compile_path, first_hit, hits
from tests.fakes.json_bodies import json_values

BODY = {
    "score": 0,
    "agreed": False,
    "blank": " \t\u00a0",
    "nothing": None,
    "empty": [],
    "hollow": {},
    "lead": {"email": "ada@example.com"},
    "Your age?": 41,
    "answers": [{"key": "a", "value": 1}, {"key": "b", "value": 2}],
    "text": "abc",
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("score", 0),
        ("agreed", False),
        ("lead.email", "ada@example.com"),
        ('"Your age?"', 41),
        ("answers[?key=='b'].value | [0]", 2),
        ("answers[*].value", [1, 2]),
        ("missing", None),
        ("score.deeper", None),
        ("blank", None),
        ("nothing", None),
        ("empty", None),
        ("hollow", None),
        ("answers[?key=='c'].value", None),
        # These fail on this body, each in jmespath's or Python's own way.
        ("length(score)", None),
        ("contains(text, score)", None),
        ("ceil(to_number('1e400'))", None),
        ("floor(to_number('nan'))", None),
        ("sort(answers)", None),
        ("answers[::0]", None),
    ],
)
def test_path_finds_an_answer_or_nothing(text: str, found: Any) -> None:
    """A path finds what stands there; null, blank, empty and failing expressions are nothing."""
    assert compile_path(text).find(BODY) == found


def test_first_hit_wins() -> None:
    """Of several paths the first that holds an answer counts, even if the answer is 0 or false."""
    paths = [compile_path(text) for text in ("missing", "blank", "score", "agreed")]

    hit = first_hit(paths, BODY)

    assert hit is not None
    assert (hit.path.text, hit.value) == ("score", 0)
    assert [hit.value for hit in hits(paths, BODY)] == [0, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a JMESPath expression"),
        ("lead.", "not a JMESPath expression"),
        ("Your age?", "double quotes"),
        ("größe", "double quotes"),
        ("lenght(a)", "did you mean length()"),
        ("a || nope(b)", "no function nope()"),
        ("length(a, b)", "takes 1 argument(s), not 2"),
        ("not_null()", "takes 1 argument(s), not 0"),
        ("&a", "only an argument"),
    ],
)
def test_useless_expression_is_refused_when_compiled(text: str, words: str) -> None:
    """What could never find anything is refused with the reason, not silently without answers."""
    with pytest.raises(PathError) as raised:
        compile_path(text)

    assert words in str(raised.value)


def test_variadic_functions_take_more_arguments() -> None:
    """not_null() and merge() may have any number of arguments from one on."""
    assert compile_path("not_null(nothing, missing, score)").find(BODY) == 0


@given(body=json_values())
def test_no_body_breaks_a_path(body: Any) -> None:
    """Whatever the body, a path finds something or nothing and never fails."""
    for text in ("a.b", "a[0]", "a[*].b", "sum(a)", "join(', ', keys(@))", "sort_by(a, &b)", "@"):
        compile_path(text).find(body)
