"""The ports of :mod:`ops.dead_letters.queue`, in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ops.dead_letters.queue import DeadLetter, DeadLettersUnavailableError, Outgoing
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class InMemoryDeadLetters:
    """A :class:`ops.dead_letters.queue.DeadLetterQueue`.

    Attributes:
        bodies: By message id, hidden ones too.
        hidden: Ids of received messages, until they are released or removed.
        keeping: While true, a removal fails.
        failing_after: Number of receives after which SQS fails.
    """

    def __init__(self, bodies: Iterable[str]) -> None:
        self.bodies = {f"m-{number:03}": body for number, body in enumerate(bodies)}
        self.hidden: set[str] = set()
        self.keeping = False
        self.failing_after: int | None = None
        self._receives = 0

    def receive(self, most: int, hidden_for: int) -> list[DeadLetter]:
        """See :meth:`ops.dead_letters.queue.DeadLetterQueue.receive`."""
        assert 1 <= most <= 10
        assert hidden_for > 0
        self._receives += 1
        if self.failing_after is not None and self._receives > self.failing_after:
            raise DeadLettersUnavailableError("failing")
        seen = [message_id for message_id in self.bodies if message_id not in self.hidden][:most]
        self.hidden |= set(seen)
        return [
            DeadLetter(
                message_id,
                self.bodies[message_id],
                f"receipt-{self._receives}-{message_id}",
                NOON - timedelta(days=5),
                1_001,
            )
            for message_id in seen
        ]

    def release(self, letters: Iterable[DeadLetter]) -> None:
        """See :meth:`ops.dead_letters.queue.DeadLetterQueue.release`."""
        self.hidden -= {letter.message_id for letter in letters}

    def remove(self, letters: Sequence[DeadLetter]) -> frozenset[str]:
        """See :meth:`ops.dead_letters.queue.DeadLetterQueue.remove`."""
        if self.keeping:
            return frozenset()
        for letter in letters:
            self.bodies.pop(letter.message_id, None)
            self.hidden.discard(letter.message_id)
        return frozenset(letter.message_id for letter in letters)


class InMemoryDeliverySender:
    """A :class:`ops.dead_letters.queue.DeliverySender`.

    Attributes:
        taken: The sent messages, in order.
        refused: A body with one of these texts is refused.
    """

    def __init__(self) -> None:
        self.taken: list[Outgoing] = []
        self.refused: tuple[str, ...] = ()

    def send(self, messages: Sequence[Outgoing]) -> frozenset[int]:
        """See :meth:`ops.dead_letters.queue.DeliverySender.send`."""
        assert len(messages) <= 10
        good = [
            position
            for position, message in enumerate(messages)
            if not any(text in message.body for text in self.refused)
        ]
        self.taken += [messages[position] for position in good]
        return frozenset(good)
