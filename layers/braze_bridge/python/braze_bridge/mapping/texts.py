"""Texts as people type and systems send them: one form, without spaces around it."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

INVISIBLE: Final = (
    r"\u00ad\u034f\u061c\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Characters without a shape, as in a regular expression: soft hyphens, zero-width spaces, marks of
direction. Pages and spreadsheets leave them around a copied text. They are format characters, and
what Unicode ignores when it shows a text
(https://www.unicode.org/reports/tr44/, Default_Ignorable_Code_Point)."""

BLANK: Final = r"\s\u2800"
"""Characters that look like a space, as in a regular expression. U+2800 is the braille pattern
without dots: Unicode calls it a symbol, and it shows nothing."""

_JOINERS: Final = r"\u200c\u200d\ufe0e\ufe0f"
"""They choose the shape of emoji and of joined scripts."""

_NOT_SHOWN: Final = re.compile(rf"(?![{_JOINERS}])[{INVISIBLE}]")
_JOINER: Final = re.compile(f"[{_JOINERS}]")
_LOST_JOINER: Final = re.compile(rf"(?<![^\x00-\x7f])[{_JOINERS}](?![^\x00-\x7f])")
_SPACE: Final = re.compile(f"[{BLANK}]")
_CONTROLS: Final = frozenset({"Cc", "Cf"})
_AROUND: Final = re.compile(rf"\A[{BLANK}{INVISIBLE}]+|[{BLANK}{INVISIBLE}]+\Z")
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


def plain_name(text: str) -> str:
    """Return an attribute's name as it looks: with plain spaces, without what nobody sees, in NFC.

    Joiners beside a letter or sign outside ASCII stay: without them an emoji is another one.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    spaced = _NOT_SHOWN.sub("", _SPACE.sub(" ", text))
    shown = "".join(
        each
        for each in spaced
        if unicodedata.category(each) not in _CONTROLS or _JOINER.fullmatch(each)
    )
    return unicodedata.normalize("NFC", _LOST_JOINER.sub("", shown)).strip()


def bare_name(name: str) -> str:
    """Return a name as it is compared with others: also without joiners."""
    return name if name.isascii() else unicodedata.normalize("NFC", _JOINER.sub("", name))


def ascii_digits(text: str) -> str:
    """Write the decimal digits of any script, and the signs of a number, in ASCII."""
    if text.isascii():
        return text
    decimals = (unicodedata.decimal(each, None) for each in text)
    pairs = zip(text, decimals, strict=True)
    return "".join(each if digit is None else str(digit) for each, digit in pairs).translate(_SIGNS)
