"""Which faults happen when: each at random, and in spells in which nearly every call has it."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

REQUEST_FAULTS: Final[Mapping[str, float]] = {
    "refused": 0.01,  # no connection
    "stalled_dns": 0.01,  # the look-up takes longer than the invocation may
    "reset_before": 0.01,  # after the request is sent, before Braze has it
    "reset_after": 0.015,
    "slow": 0.01,  # the answer comes after the read timeout
    "dripping": 0.01,  # each byte in time, the whole too late
    "status_500": 0.01,
    "status_500_after": 0.005,  # Braze took it
    "status_503": 0.01,
    "status_504_after": 0.005,
    "html": 0.005,  # 200 with a page; nothing was taken
    "html_after": 0.005,
    "empty_success": 0.003,  # 201 with {}
    "undercounted": 0.01,  # all taken, the counts are too small
    "dropped": 0.01,  # some not taken, only the counts say so
    "too_large": 0.003,  # 413 of several objects
    "limited": 0.006,
    "key_refused": 0.0,
    "permission_missing": 0.0,
}
"""Fault to its share of requests, besides the spells."""

TABLE_FAULTS: Final[Mapping[str, float]] = {
    "throttled": 0.004,
    "hanging": 0.002,
    "failing": 0.002,
    "lost_answer": 0.004,
    "partly": 0.01,  # unprocessed keys, or single statements that fail
}

REJECTED_FAULTS: Final[Mapping[str, float]] = {
    "unavailable": 0.02,
    "hanging": 0.0,
    "refusing": 0.01,
}

QUEUE_FAULTS: Final[Mapping[str, float]] = {"failing": 0.01, "hanging": 0.0}

SPELLS: Final[Mapping[tuple[str, str], tuple[float, float]]] = {
    ("request", "refused"): (60, 1.0),
    ("request", "stalled_dns"): (40, 0.8),
    ("request", "reset_after"): (40, 0.5),
    ("request", "slow"): (90, 0.8),
    ("request", "dripping"): (60, 0.5),
    ("request", "status_500"): (60, 0.9),
    ("request", "status_503"): (300, 1.0),
    ("request", "undercounted"): (30, 0.5),
    ("request", "dropped"): (30, 0.5),
    ("request", "html"): (40, 0.8),
    ("request", "limited"): (30, 0.5),
    ("request", "key_refused"): (200, 1.0),
    ("request", "permission_missing"): (200, 1.0),
    ("table", "throttled"): (90, 0.75),
    ("table", "hanging"): (60, 0.7),
    ("table", "lost_answer"): (30, 0.4),
    ("table", "partly"): (60, 0.8),
    ("rejected", "unavailable"): (120, 1.0),
    ("rejected", "hanging"): (90, 1.0),
    ("queue", "failing"): (60, 0.8),
    ("queue", "hanging"): (60, 0.8),
}
"""Where and which fault, to the spell's mean length in seconds and its share of the calls."""

SPELLS_OF_EACH: Final = 2

LONGEST_CLOSING: Final = 3_600.0
"""Seconds. A longer time is a mistake of a header."""


@dataclass(frozen=True)
class Spell:
    """A time in which a share of the calls has a fault."""

    begin: float
    end: float
    fault: str
    share: float


class Weather:
    """Draws the faults of a seed.

    Args:
        random: The seed's.
        begin: Epoch seconds of the first spell.
        end: After it nothing fails.
    """

    def __init__(self, random: Random, begin: float, end: float) -> None:
        self._random = random
        self._end = end
        self._spells: dict[str, list[Spell]] = {}
        self._base = {
            "request": REQUEST_FAULTS,
            "table": TABLE_FAULTS,
            "rejected": REJECTED_FAULTS,
            "queue": QUEUE_FAULTS,
        }
        for (where, fault), (mean, share) in SPELLS.items():
            for _ in range(SPELLS_OF_EACH):
                start = begin + random.random() * (end - begin)
                length = mean * (0.3 + random.random() * 1.4)
                self._spells.setdefault(where, []).append(
                    Spell(start, start + length, fault, share)
                )

    def draw(self, where: str, now: float) -> str:
        """Draw the fault of one call; the empty text is none."""
        if now >= self._end:
            return ""
        random = self._random
        for spell in self._spells[where]:
            if spell.begin <= now < spell.end and random.random() < spell.share:
                return spell.fault
        left = random.random()
        for fault, share in self._base[where].items():
            left -= share
            if left < 0:
                return fault
        return ""

    def happens(self, share: float, now: float) -> bool:
        """Draw whether something happens that is no fault of a call."""
        return now < self._end and self._random.random() < share

    def between(self, low: float, high: float) -> float:
        """Draw a number."""
        return low + self._random.random() * (high - low)

    def chosen(self, count: int, most: int) -> frozenset[int]:
        """Draw some of the first numbers."""
        return frozenset(
            self._random.sample(range(count), min(count, 1 + self._random.randrange(most)))
        )

    def limit_headers(self, now: float) -> tuple[dict[str, str], float]:
        """Draw a 429's dialect.

        Returns:
            Its headers, and until when nothing may be sent; one second if it names no time.
        """
        wait = self._random.choice((2, 10, 45, 90))
        limit = {"X-RateLimit-Limit": "3000", "X-RateLimit-Remaining": "0"}
        reset = "X-RateLimit-Reset"
        return self._random.choice(
            (
                (limit | {reset: str(int(now) + wait)}, float(int(now) + wait)),
                (limit | {reset: str(int(now + wait) * 1000)}, float(int(now + wait))),
                (limit | {reset: str(wait)}, now + wait),
                (limit | {reset: str(int(now))}, now + 1),
                (limit | {reset: "0"}, now + 1),
                (limit | {reset: str(int(now) - 30)}, now + 1),
                ({"Retry-After": str(wait)}, now + wait),
                ({"Retry-After": formatdate(now + wait, usegmt=True)}, float(int(now + wait))),
                ({"X-Ratelimit-Retry-After": str(wait)}, now + wait),
                ({"Retry-After": "500000"}, now + LONGEST_CLOSING),
                (limit | {reset: str(int(now) + 6 * 86_400)}, now + LONGEST_CLOSING),
                ({}, now + 1),
                ({"Retry-After": "soon", reset: "-1"}, now + 1),
            )
        )
