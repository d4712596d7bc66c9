"""Chance that can be checked: seeds, commitments, instant wins and draws. Pure.

The rules, so that anybody can recompute an outcome with HMAC and SHA-256 alone:

- *Seed* of an activation: HMAC-SHA-256 of ``seed:<q_scope>`` under the stack's claims secret. Its
  *commitment*, published before the opening, is the SHA-256 of the seed.
- *Claimant*: 32 hexadecimal digits, a keyed hash of scope and e-mail address; the key stays secret,
  so a published list of entries tells nothing about people.
- *Lot* of a claimant: HMAC-SHA-256 of the claimant under the seed, read as an integer under 2^256.
- *Instant win*: tiers take their odds, in order, as stretches from 0; the lot falls into one or
  behind them all. Compared as exact fractions: no ``hash % n``, hence no modulo bias, and an error
  under 2^-255.
- *Draw*: the entries in the order of their lots; the first tier's quantity goes to the first, and
  so on. The hash of the entries (sorted, one a line, each line ended) is published with their
  number before the seed is.
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
    """Under which a person is known in one activation.

    Args:
        secret: The stack's claims secret.
        q_scope: The activation: nobody can be followed from one to another.
        email: Trimmed and in lower case; however Unicode writes it, it is one person.
        event: Where each event is a claim of its own.

    Returns:
        32 hexadecimal digits.
    """
    text = f"claimant:{q_scope}\n{one_spelling(email)}\n{event}"
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:_CLAIMANT_DIGITS]


def seed_of(secret: bytes, q_scope: str) -> bytes:
    """An activation's seed, 32 bytes.

    Args:
        secret: The stack's claims secret: it must not change while an activation lasts.
        q_scope: The activation.
    """
    return hmac.new(secret, f"seed:{q_scope}".encode(), hashlib.sha256).digest()


def commitment_to(seed: bytes) -> str:
    """What is published of a seed before it is used: its SHA-256, in hex."""
    return hashlib.sha256(seed).hexdigest()


def lot_of(seed: bytes, claimant: str) -> int:
    """A claimant's lot: evenly spread from 0 to 2^256 - 1."""
    return int.from_bytes(hmac.new(seed, claimant.encode(), hashlib.sha256).digest(), "big")


def tier_of_lot(tiers: Iterable[Tier], lot: int) -> Tier | None:
    """The tier that a lot falls into.

    Args:
        tiers: In order; those without odds take nothing.
        lot: Of :func:`lot_of`.
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
    """The SHA-256, in hex, of the entries: sorted, one a line, each line ended."""
    return hashlib.sha256("".join(f"{entry}\n" for entry in sorted(entries)).encode()).hexdigest()


class Prize(NamedTuple):
    """So many of one tier.

    Attributes:
        tier: Its name.
    """

    tier: str
    quantity: int


def drawn(seed: bytes, entries: Iterable[str], prizes: Sequence[Prize]) -> Mapping[str, str]:
    """Who wins what.

    Args:
        seed: The activation's.
        entries: Claimants, each once, in any order.
        prizes: The best first.

    Returns:
        The tier's name by winner, the best first.
    """
    order = sorted(entries, key=lambda entry: (lot_of(seed, entry), entry))
    tiers = (prize.tier for prize in prizes for _ in range(prize.quantity))
    return dict(zip(order, tiers, strict=False))


def capped(prizes: Iterable[Prize], total: int | None) -> tuple[Prize, ...]:
    """The prizes that a total leaves, the best first.

    Args:
        prizes: The best first.
        total: Most awards together; ``None``: no such limit.
    """
    kept = []
    left = total
    for prize in prizes:
        quantity = prize.quantity if left is None else min(prize.quantity, left)
        left = None if left is None else left - quantity
        kept.append(Prize(prize.tier, quantity))
    return tuple(kept)
