"""The identity of a response, which makes every resend the same job; safe to log."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Final

from braze_bridge.mapping.identifiers import is_placeholder
from braze_bridge.mapping.paths import hits
from braze_bridge.mapping.texts import one_form

if TYPE_CHECKING:
    from collections.abc import Iterable

    from braze_bridge.mapping.paths import Path

HASH_CHARS: Final = 32
"""Length of a hash in a job's id: 128 bits, so two jobs never collide."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_NUMBER: Final = 10**300


def first_id(paths: Iterable[Path], body: object) -> str | None:
    """Return the first id that the paths find in a parsed JSON body, as text."""
    found = (id_text(hit.value) for hit in hits(paths, body))
    return next((text for text in found if text is not None), None)


def id_text(value: object) -> str | None:
    """Return an id as text: ``17`` and ``"17"`` are the same id.

    Returns:
        ``None`` for a value that is neither text nor number, and for a placeholder: the responses
        of two people with the id ``"undefined"`` would count as one.
    """
    text = name_text(value)
    return None if text is None or is_placeholder(text) else text


def first_name(paths: Iterable[Path], body: object) -> str | None:
    """Return the first name that the paths find in a parsed JSON body."""
    found = (name_text(hit.value) for hit in hits(paths, body))
    return next((text for text in found if text is not None), None)


def name_text(value: object) -> str | None:
    """Return a text or number as a name, in its one form; ``None`` if it is blank or neither."""
    if isinstance(value, str):
        return one_form(value) or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compare first: isfinite() overflows on an integer of 4,000 digits.
    return str(value) if abs(value) < _LONGEST_NUMBER and math.isfinite(value) else None


def loggable(identity: str) -> str:
    """Return an id that is safe to log: hashed if it could be personal."""
    if _PLAIN.fullmatch(identity):
        return identity
    return f"h-{hashlib.sha256(identity.encode()).hexdigest()[:HASH_CHARS]}"
