"""Codes of countries and languages by their English names, from Unicode's CLDR (Babel).

The first name pays for the import of Babel (0.1 s), not each cold start: most senders send codes.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAG: Final = re.compile(r"([a-z]{2})(?:-[a-z]{4})?-(?:[a-z]{2}|[0-9]{3})")
_SIGNS: Final = str.maketrans({"\u2019": "'", "&": " and "})
_COMMON: Final = {
    "burma": "MM",
    "czech republic": "CZ",
    "great britain": "GB",
    "hong kong": "HK",
    "ivory coast": "CI",
    "macao": "MO",
    "myanmar": "MM",
    "turkey": "TR",
    "united states of america": "US",
}
"""Common names that CLDR spells in another way."""


def country_code(name: str) -> str | None:
    """Return the ISO 3166-1 code of a country's English name, or of its code of three letters."""
    return _countries().get(_plain(name))


def language_code(name: str) -> str | None:
    """Return the ISO 639-1 code of a language's English name, or of a tag such as ``de-AT``."""
    plain = _plain(name)
    tag = _TAG.fullmatch(plain.replace("_", "-"))
    return tag[1] if tag else _languages().get(plain)


@functools.cache
def _countries() -> Mapping[str, str]:
    from babel.core import Locale, get_global

    # An alias of several codes is a country that is divided today.
    aliases = get_global("territory_aliases").items()
    by_alias = {_plain(alias): codes[0] for alias, codes in aliases if len(codes) == 1}
    return {**by_alias, **_by_name(Locale("en").territories), **_COMMON}


@functools.cache
def _languages() -> Mapping[str, str]:
    from babel.core import Locale

    return _by_name(Locale("en").languages)


def _by_name(names: Mapping[str, str]) -> Mapping[str, str]:
    return {_plain(name): code for code, name in names.items() if len(code) == 2}  # noqa: PLR2004 - of ISO's codes


def _plain(name: str) -> str:
    """Return a name as it is compared: without case, accents and a leading "the"."""
    letters = unicodedata.normalize("NFKD", name.translate(_SIGNS))
    bare = "".join(each for each in letters if not unicodedata.combining(each))
    return " ".join(bare.casefold().split()).removeprefix("the ")
