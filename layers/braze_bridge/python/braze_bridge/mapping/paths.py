"""JMESPath expressions that find a value in a body: tried in order, the first hit counts.

``null``, a missing key, a blank string and an empty array or object are no hit. An unanswered
question looks like one of them, and must not erase what the profile holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from braze_bridge.mapping.texts import trimmed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jmespath.parser import ParsedResult

_FAILURES_ON_A_BODY: Final = (
    JMESPathError,
    # jmespath's functions raise Python's own errors: contains('a', `1`), ceil(to_number('1e400')).
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)


class PathError(ValueError):
    """The text is no usable JMESPath expression; the message says why."""


class Path(NamedTuple):
    """A compiled expression.

    Attributes:
        text: As configured; safe to log and to answer.
    """

    text: str
    expression: ParsedResult

    def find(self, body: object) -> object | None:
        """Return what the expression finds in a parsed JSON body, or ``None`` if it is no answer.

        An expression that fails on this body (a function gets the wrong type) finds nothing.
        """
        try:
            found: object = self.expression.search(body)
        except _FAILURES_ON_A_BODY:
            return None
        return None if is_blank(found) else found


class Hit(NamedTuple):
    """A value and the path that found it."""

    path: Path
    value: object


def is_blank(value: object) -> bool:
    """Check whether a JSON value is no answer: null, a blank string, an empty array or object."""
    if isinstance(value, str):
        return not trimmed(value)
    return value is None or value in ([], {})


def compile_path(text: str) -> Path:
    """Compile a JMESPath expression such as ``answers[?key=='age'].value | [0]``.

    Raises:
        PathError: It does not compile, or calls an unknown function, or gives a function the wrong
            number of arguments. JMESPath itself finds the last two only when it reads a body.
    """
    try:
        expression = jmespath.compile(text)
    except JMESPathError as error:
        raise PathError(
            f"not a JMESPath expression ({type(error).__name__}); a key with spaces or signs needs "
            f"double quotes inside the text: '\"Your age?\"'"
        ) from None
    _check_functions(expression.parsed)
    if expression.parsed["type"] == "expref":
        raise PathError("an expression that begins with & is only an argument of a function")
    return Path(text, expression)


def hits(paths: Iterable[Path], body: object) -> Iterator[Hit]:
    """Yield each answer that the paths find, in order."""
    for path in paths:
        value = path.find(body)
        if value is not None:
            yield Hit(path, value)


def first_hit(paths: Iterable[Path], body: object) -> Hit | None:
    """Return the first answer that the paths find."""
    return next(hits(paths, body), None)


def _check_functions(node: Any) -> None:  # noqa: ANN401 - jmespath's syntax tree is untyped
    if not isinstance(node, dict):
        return
    if node["type"] == "function_expression":
        _check_call(node["value"], len(node["children"]))
    for child in node["children"]:
        _check_functions(child)


def _check_call(name: str, given: int) -> None:
    known = Functions.FUNCTION_TABLE
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}()?" if near else ""
        raise PathError(f"JMESPath has no function {name}(){hint}")
    signature = known[name]["signature"]
    variadic = bool(signature) and bool(signature[-1].get("variadic"))
    if given < len(signature) or (given > len(signature) and not variadic):
        raise PathError(f"{name}() takes {len(signature)} argument(s), not {given}")
