"""Texts as people type and systems send them: one form, without spaces around it."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

INVISIBLE: Final = r"\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
"""Characters without a shape, as in a regular expression: soft hyphens, zero-width spaces, marks of
direction. Pages and spreadsheets leave them around a copied text."""

_AROUND: Final = re.compile(rf"\A[\s{INVISIBLE}]+|[\s{INVISIBLE}]+\Z")
_SIGNS: Final = str.maketrans(
    {"\uff0b": "+", "\uff0d": "-", "\u2212": "-", "\uff0e": ".", "\u066b": "."}
)


def trimmed(text: str) -> str:
    """Remove what is around a text: spaces of any width, line ends, invisible characters."""
    text = text.strip()
    return text if text.isascii() else _AROUND.sub("", text)


def one_form(text: str) -> str:
    """Return a name or an id in its one form: trimmed, and composed (NFC).

    Unicode writes an accent within its letter or after it. Both look alike and are other texts.
    """
    text = trimmed(text)
    return text if text.isascii() else trimmed(unicodedata.normalize("NFC", text))


def ascii_digits(text: str) -> str:
    """Write the decimal digits of any script, and the signs of a number, in ASCII."""
    if text.isascii():
        return text
    decimals = (unicodedata.decimal(each, None) for each in text)
    pairs = zip(text, decimals, strict=True)
    return "".join(each if digit is None else str(digit) for each, digit in pairs).translate(_SIGNS)
