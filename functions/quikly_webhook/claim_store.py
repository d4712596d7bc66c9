"""The ClaimStore protocol and its outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from quikly_webhook.claim_records import ClaimRecord, Counters


class ClaimConflictError(Exception):
    """Another call wrote the same row at the same time: nothing was written; try again."""


class ClaimsUnavailableError(Exception):
    """The table did not answer as expected. A repeated call learns whether it was written."""


class Take(NamedTuple):
    """One award to count.

    Attributes:
        quantity: Most of this tier; ``None``: no such limit.
        total: Most of all tiers together; ``None``: no such limit.
        after: The last position given; the claim takes the next one together with the award.
    """

    tier: str
    quantity: int | None
    total: int | None
    after: int | None = None


class Enter(NamedTuple):
    """An entry to count, unless the entries are closed."""


class Recorded(NamedTuple):
    """The claim is stored, and its award or entry is counted."""


class Existing(NamedTuple):
    """The person has a claim; nothing was written."""

    claim: ClaimRecord


class Exhausted(NamedTuple):
    """The tier or the total is exhausted; nothing was written."""

    counters: Counters


class Overtaken(NamedTuple):
    """Another claim took the position; nothing was written.

    Attributes:
        last: The last position given.
    """

    last: int


class EntriesClosed(NamedTuple):
    """The draw has begun; nothing was written."""


Outcome = Recorded | Existing | Exhausted | Overtaken | EntriesClosed


class ClaimStore(Protocol):
    """The store of claims.

    Every method may raise :class:`ClaimConflictError` or :class:`ClaimsUnavailableError`.
    """

    def stack_exists_since(self) -> datetime:
        """Return when the stack's table was made."""
        ...

    def find(self, q_scope: str, claimant: str) -> ClaimRecord | None:
        """Read a person's claim, consistently."""
        ...

    def last_rank(self, q_scope: str) -> int:
        """Read the last position given, consistently; 0: none."""
        ...

    def next_rank(self, q_scope: str) -> int:
        """Take a position that no other claim gets, from 1."""
        ...

    def record(self, claim: ClaimRecord, counted: Take | Enter | None) -> Outcome:
        """Store a claim and count its award or entry: both or neither."""
        ...

    def commit(self, q_scope: str, commitment: str, now: datetime) -> str:
        """Publish a commitment, unless there is one; returns the published one."""
        ...
