"""Which names a body may give to attributes: an Iterate question, or a sign-up at Quikly."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.mapping.profile_fields import STANDARD_FIELDS
from braze_bridge.mapping.texts import bare_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    NamesOverCap = Callable[[Collection[str], datetime], AbstractSet[str]]
    """Takes the names that a body gives, and its arrival. Returns those that are over the cap on
    new names a day."""

NEW_A_DAY: Final = 500
"""New names of one partner. It is twice the answers of the longest survey, so the first responses
of a new stack fit."""

_WORDS: Final = re.compile(
    r"(?:consent(?:ement|imento|imiento|s|ed)?|einwilligung|opt(?:ed)?(?:in|out)|subscri(?:be|bed|"
    r"ber|ption)s?|un(?=subscri)|permissions?|newsletters?|gdpr|dsgvo|ccpa|donot|accept(?:s|ed)?"
    r"|marketing|emails?|mails?|sms|text|phone|mobile|calls?|push|whatsapp|contact|track(?:ing)?"
    r"|privacy|data|cookies?|ads|sell|share|personali[sz]ation|profiling|terms|double|global|has"
    r"|have|is|of|on|to|for|the|and|at|date|time|status|state|given|granted)+"
)
_CONSENT: Final = re.compile(
    r"consent|einwilligung|opt(?:ed)?(?:in|out)|subscri|permission|newsletter|gdpr|dsgvo|ccpa"
    r"|donot|accept"
)
_LONGEST: Final = 64
"""Characters. A longer name is a sentence."""


def means_consent(name: str) -> bool:
    """Check whether a name says that a person agreed to be contacted, or did not.

    It does if it is made of such words only: ``marketing_consent``, ``SMS opt-in``. A sentence
    ("Do you consent?") is not.
    """
    if len(name) > _LONGEST:
        return False
    letters = re.sub(r"[\W\d_]+", "", unicodedata.normalize("NFKC", name).casefold())
    # Most names fail at their first letter.
    return _WORDS.fullmatch(letters) is not None and _CONSENT.search(letters) is not None


class NameGuard(NamedTuple):
    """Names that no body may give to an attribute, as the files configure them.

    Attributes:
        taken: Names of other partners' files, and those that the partner's own file protects.
        allowed: Names that the file allows although they mean consent.
        new_a_day: Most names a day that the stack has never seen.
        only: The only names that a body may use, besides Braze's own fields; ``None``: any.
    """

    taken: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    new_a_day: int = NEW_A_DAY
    only: frozenset[str] | None = None

    def objection(self, name: str) -> str | None:
        """Say why no body may use this name; ``None`` if it may.

        Args:
            name: As it looks (:func:`braze_bridge.mapping.texts.plain_name`).
        """
        bare = bare_name(name)
        if bare in self.taken:
            return "belongs to another partner's file, or is protected"
        if means_consent(bare) and bare not in self.allowed:
            return "means consent or a subscription"
        if self.only is not None and bare not in self.only | STANDARD_FIELDS.keys():
            return "is not listed"
        return None


ANY_NAME: Final = NameGuard()


def none_over_cap(_names: Collection[str], _now: datetime) -> AbstractSet[str]:
    """Count nothing: for a preview."""
    return frozenset()
