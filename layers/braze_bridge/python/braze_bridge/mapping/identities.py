"""The identity of a response: what makes every resend of it the same job, fit to be logged."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Final

from braze_bridge.mapping.paths import hits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from braze_bridge.mapping.paths import Path

HASH_CHARS: Final = 32
"""Of a hash in a job's id: 128 bits, far more than the jobs there will ever be can collide in."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_NUMBER: Final = 10**300


def first_text(paths: Iterable[Path], body: object) -> str | None:
    """The first text or number found, as text.

    Args:
        paths: Tried in order.
        body: A parsed JSON value.
    """
    found = (id_text(hit.value) for hit in hits(paths, body))
    return next((text for text in found if text is not None), None)


def id_text(value: object) -> str | None:
    """An id as text, spelled alike: ``17`` and ``"17"`` are one id.

    Args:
        value: Any JSON value.

    Returns:
        ``None`` for a blank text, and for whatever is neither text nor number.
    """
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared first: isfinite() itself overflows on an integer of 4,000 digits.
    return str(value) if abs(value) < _LONGEST_NUMBER and math.isfinite(value) else None


def loggable(identity: str) -> str:
    """An id as it may stand in logs: plain as it is, hashed where it could be personal."""
    if _PLAIN.fullmatch(identity):
        return identity
    return f"h-{hashlib.sha256(identity.encode()).hexdigest()[:HASH_CHARS]}"
