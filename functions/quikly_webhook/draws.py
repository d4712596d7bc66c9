"""Seeds, commitments, instant wins and draws, whose outcomes can be verified: pure.

Anyone can recompute an outcome with HMAC and SHA-256:

- *Seed* of an activation: HMAC-SHA-256 of ``seed:<q_scope>`` under the stack's claims secret. Its
  *commitment*, published before the opening, is the SHA-256 of the seed.
- *Claimant*: 32 hexadecimal digits, a keyed hash of scope and e-mail address. The key stays secret,
  so a published list of entries reveals nothing about people.
- *Lot* of a claimant: HMAC-SHA-256 of the claimant under the seed, read as an integer under 2^256.
- *Instant win*: each tier takes its odds as an interval, in order, from 0. The lot is in one of the
  intervals or after them all. Compared as exact fractions: no ``hash % n``, hence no modulo bias,
  and an error under 2^-255.
- *Draw*: the entries in the order of their lots. The first ones win the first tier, up to its
  quantity, and so on. The number of entries and their hash (sorted, one a line, each line ended)
  are published before the seed.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.mapping.identifiers import one_spelling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from braze_bridge.partner_config.quikly_activations import Tier

_LOTS: Final = 2**256
_CLAIMANT_DIGITS: Final = 32


def claimant_of(secret: bytes, q_scope: str, email: str, event: str = "") -> str:
    """Return a person's hash in one activation, which differs from the hash in any other.

    Args:
        secret: The stack's claims secret.
        email: Trimmed and in lower case; each Unicode spelling is the same person.
        event: If each event is a claim of its own.

    Returns:
        32 hexadecimal digits.
    """
    text = f"claimant:{q_scope}\n{one_spelling(email)}\n{event}"
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:_CLAIMANT_DIGITS]


def seed_of(secret: bytes, q_scope: str) -> bytes:
    """Return an activation's seed, 32 bytes.

    Args:
        secret: The stack's claims secret: it must not change while an activation lasts.
    """
    return hmac.new(secret, f"seed:{q_scope}".encode(), hashlib.sha256).digest()


def commitment_to(seed: bytes) -> str:
    """Return a seed's SHA-256 in hex, to publish before the seed is used."""
    return hashlib.sha256(seed).hexdigest()


def lot_of(seed: bytes, claimant: str) -> int:
    """Return a claimant's lot: evenly spread from 0 to 2^256 - 1."""
    return int.from_bytes(hmac.new(seed, claimant.encode(), hashlib.sha256).digest(), "big")


def tier_of_lot(tiers: Iterable[Tier], lot: int) -> Tier | None:
    """Return the tier that a lot wins.

    Args:
        tiers: In order; one without odds is skipped.
    """
    upper, denominator = 0, 1
    for tier in tiers:
        if tier.odds is None:
            continue
        upper = upper * tier.odds.of + tier.odds.wins * denominator
        denominator *= tier.odds.of
        if lot * denominator < upper * _LOTS:
            return tier
    return None


def entries_hash(entries: Iterable[str]) -> str:
    """Return the SHA-256, in hex, of the entries: sorted, one a line, each line ended."""
    return hashlib.sha256("".join(f"{entry}\n" for entry in sorted(entries)).encode()).hexdigest()


class Prize(NamedTuple):
    """A tier's name and how many of it there are."""

    tier: str
    quantity: int


def drawn(seed: bytes, entries: Iterable[str], prizes: Sequence[Prize]) -> Mapping[str, str]:
    """Draw the winners.

    Args:
        entries: Claimants, each once, in any order.
        prizes: The best first.

    Returns:
        The tier's name by winner, the best first.
    """
    order = sorted(entries, key=lambda entry: (lot_of(seed, entry), entry))
    tiers = (prize.tier for prize in prizes for _ in range(prize.quantity))
    return dict(zip(order, tiers, strict=False))


def capped(prizes: Iterable[Prize], total: int | None) -> tuple[Prize, ...]:
    """Cut the prizes, the best first, to a total; ``None``: no limit."""
    kept = []
    left = total
    for prize in prizes:
        quantity = prize.quantity if left is None else min(prize.quantity, left)
        left = None if left is None else left - quantity
        kept.append(Prize(prize.tier, quantity))
    return tuple(kept)
