"""The claims table for people's commands: the port, and what is published of a draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ops.stack.errors import NOT_DONE, CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from quikly_webhook.claim_records import ClaimRecord, Counters
    from quikly_webhook.draws import Prize


class ActivationError(CommandError):
    """The request cannot be done now. The text is for people."""

    exit_code = NOT_DONE


class BookUnavailableError(CommandError):
    """The table did not answer as it should; the same request can be made again."""

    line = "{stack.name}: the claims cannot be read or written: {}"


class Closed(NamedTuple):
    """The entries of a draw, as published at its close.

    Attributes:
        entries_hash: Of :func:`quikly_webhook.draws.entries_hash`.
    """

    q_scope: str
    number: int
    entries_hash: str
    closed_at: datetime


class Drawn(NamedTuple):
    """A draw that was held.

    Attributes:
        seed: In hex; public now.
        prizes: As configured at the time of the draw.
    """

    closed: Closed
    seed: str
    prizes: tuple[Prize, ...]
    drawn_at: datetime


class ActivationBook(Protocol):
    """The claims table. Reads are consistent. Every method raises :class:`BookUnavailableError`."""

    def stack_exists_since(self) -> datetime:
        """Return the time when the stack's table was made."""
        ...

    def counters(self, q_scope: str) -> Counters:
        """Read an activation's counters and commitment."""
        ...

    def claims(self, q_scope: str) -> Iterator[ClaimRecord]:
        """Yield every claim of an activation, in no order."""
        ...

    def commit(self, q_scope: str, commitment: str, now: datetime) -> str:
        """Publish a commitment, unless there is one; return the one that counts."""
        ...

    def close_entries(self, q_scope: str, now: datetime) -> int:
        """Take no more entries from now on; return their number. Repeating it is harmless."""
        ...

    def closed(self, q_scope: str) -> Closed | Drawn | None:
        """Read what is published of a draw."""
        ...

    def keep_closed(self, closed: Closed) -> None:
        """Publish number and hash, unless they are published."""
        ...

    def keep_drawn(self, result: Drawn) -> Drawn:
        """Publish a draw, unless there is one; return the one that is kept."""
        ...

    def decide(self, claims: Iterable[ClaimRecord]) -> int:
        """Replace undecided entries by decided ones; return how many were written."""
        ...
