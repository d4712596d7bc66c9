"""Read JSON as senders write it: halves of surrogate pairs do not lose a body."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pydantic_core import from_json

REPLACEMENT: Final = "\ufffd"

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_ESCAPES: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    r"|\\u(?P<half>[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\."
)
_HALF: Final = re.compile("[\ud800-\udfff]")


class JsonText(NamedTuple):
    """A parsed body.

    Attributes:
        value: The JSON value, of any type; of duplicate keys the last counts.
        text: As it came, without a byte order mark and with the replacements.
        replaced: How many halves of surrogate pairs became U+FFFD.
    """

    value: object
    text: str = ""
    replaced: int = 0

    def __repr__(self) -> str:
        # A repr ends up in tracebacks and logs, where no body belongs.
        return f"JsonText({self.replaced} replaced)"


def read_json(raw: bytes) -> JsonText:
    """Parse a body; a byte order mark does not count.

    ``from_json`` limits nesting (about 200) and integers (4,300 digits), which Python's own parser
    does not. A form that cuts a text to a length may cut an emoji in half. JSON can write such a
    half, and no UTF-8 can.

    Raises:
        ValueError: It is not JSON: that includes NaN, broken UTF-8, and what is too deep or long.
    """
    raw = raw.removeprefix(_BYTE_ORDER_MARK)
    try:
        return JsonText(from_json(raw, allow_inf_nan=False), raw.decode())
    except ValueError:
        text, replaced = whole_text(raw.decode("utf-8", "surrogatepass"))
        if not replaced:
            raise
        return JsonText(from_json(text, allow_inf_nan=False), text, replaced)


def whole_text(text: str) -> tuple[str, int]:
    """Replace each half of a surrogate pair in a JSON text, as a character or as its escape.

    Returns:
        The text, and the number of replacements.
    """
    text, plain = _HALF.subn(REPLACEMENT, text)
    escaped = 0

    def whole(match: re.Match[str]) -> str:
        nonlocal escaped
        if match["half"] is None:
            return match[0]
        escaped += 1
        return REPLACEMENT

    return _ESCAPES.sub(whole, text), plain + escaped
