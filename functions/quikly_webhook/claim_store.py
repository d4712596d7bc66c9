"""The ClaimStore protocol and its outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from quikly_webhook.claim_records import (
        ClaimRecord,
        Counters,
    )


class ClaimConflictError(Exception):
    """Others wrote the same row at the same time: nothing happened; try again."""


class ClaimsUnavailableError(Exception):
    """The table did not answer as it should. The same call finds out whether it happened."""


class Take(NamedTuple):
    """One award to be counted.

    Attributes:
        quantity: Most of this tier; ``None``: no such limit.
        total: Most of all tiers together; ``None``: no such limit.
        after: The last position given; the claim's is the next, and goes with the award.
    """

    tier: str
    quantity: int | None
    total: int | None
    after: int | None = None


class Enter(NamedTuple):
    """An entry to be counted, unless the entries are closed."""


class Recorded(NamedTuple):
    """The claim is kept, and what goes with it is counted."""


class Existing(NamedTuple):
    """The person has a claim; nothing was written."""

    claim: ClaimRecord


class Exhausted(NamedTuple):
    """Tier or total is; nothing was written."""

    counters: Counters


class Overtaken(NamedTuple):
    """Somebody else has the position; nothing was written.

    Attributes:
        last: The last position given.
    """

    last: int


class EntriesClosed(NamedTuple):
    """The draw has begun; nothing was written."""


Outcome = Recorded | Existing | Exhausted | Overtaken | EntriesClosed


class ClaimStore(Protocol):
    """Where claims are kept.

    Every method raises :class:`ClaimConflictError` or :class:`ClaimsUnavailableError`.
    """

    def stack_exists_since(self) -> datetime:
        """When the stack's table was made."""
        ...

    def find(self, q_scope: str, claimant: str) -> ClaimRecord | None:
        """A person's claim, just written ones included."""
        ...

    def last_rank(self, q_scope: str) -> int:
        """The last position given, just given ones included; 0: none."""
        ...

    def next_rank(self, q_scope: str) -> int:
        """A position that nobody else gets, from 1."""
        ...

    def record(self, claim: ClaimRecord, counted: Take | Enter | None) -> Outcome:
        """Keep a claim and count what it takes: both or neither."""
        ...

    def commit(self, q_scope: str, commitment: str, now: datetime) -> str:
        """As :meth:`ops.activations.book.ActivationBook.commit`."""
        ...
