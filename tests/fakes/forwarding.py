"""The ports of the forward function, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from braze_bridge.jobs.forward import ForwardMessage
from braze_bridge.jobs.queue import QueueUnavailableError
from quikly_forward.sent_calls import MEMORY, Lease, SentCallsUnavailableError
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from braze_bridge.quikly import QuiklyCall, QuiklyError


def forward_message(number: int = 1, **changes: Any) -> ForwardMessage:
    """A call; each number is another person."""
    given: dict[str, Any] = {
        "forward_id": f"quikly-webhook:spring:claim-{number}:joined",
        "q_scope": "spring",
        "event": "joined",
        "email": f"person-{number}@example.com",
        "received_at": NOON,
        "correlation_id": f"call-{number}",
    }
    return ForwardMessage.model_validate(given | changes)


class InMemoryForwardQueue:
    """A :class:`braze_bridge.jobs.forward.ForwardQueue`.

    Attributes:
        messages: What it took, in order.
        refusing: While true, it takes nothing.
    """

    def __init__(self) -> None:
        self.messages: list[ForwardMessage] = []
        self.refusing = False

    def send(self, message: ForwardMessage) -> None:
        """See :meth:`braze_bridge.jobs.forward.ForwardQueue.send`."""
        if self.refusing:
            raise QueueUnavailableError("refusing")
        self.messages.append(message)


class ScriptedQuikly:
    """A :class:`braze_bridge.quikly.QuiklyApi` that answers by script, then takes every call.

    Attributes:
        script: The errors of the next calls; ``None`` is a success.
        calls: Every call, taken or not.
        deadlines: Of each, in seconds of ``time.monotonic()``.
    """

    def __init__(self, *script: QuiklyError | None) -> None:
        self.script = list(script)
        self.calls: list[QuiklyCall] = []
        self.deadlines: list[float] = []

    def send(self, call: QuiklyCall, deadline: float) -> None:
        """See :meth:`braze_bridge.quikly.QuiklyApi.send`."""
        self.calls.append(call)
        self.deadlines.append(deadline)
        failure = self.script.pop(0) if self.script else None
        if failure is not None:
            raise failure


class InMemorySentCalls:
    """:class:`quikly_forward.sent_calls.SentCalls` of one process.

    Attributes:
        rows: By forward id: until when it is leased (``None``: sent), and when it expires.
        failing: Names of methods that raise.
    """

    def __init__(self) -> None:
        self.rows: dict[str, tuple[datetime | None, datetime]] = {}
        self.failing: set[str] = set()

    def take_lease(self, forward_id: str, now: datetime, duration: timedelta) -> Lease:
        """See :meth:`quikly_forward.sent_calls.SentCalls.take_lease`."""
        self._answer("take_lease")
        known = self.rows.get(forward_id)
        if known is not None and known[1] > now:
            leased_until, _ = known
            if leased_until is None:
                return Lease.SENT
            if leased_until > now:
                return Lease.BUSY
        self.rows[forward_id] = (now + duration, now + MEMORY)
        return Lease.GRANTED

    def mark_sent(self, forward_id: str, now: datetime) -> None:
        """See :meth:`quikly_forward.sent_calls.SentCalls.mark_sent`."""
        self._answer("mark_sent")
        self.rows[forward_id] = (None, now + MEMORY)

    def release(self, forward_id: str, now: datetime) -> None:
        """See :meth:`quikly_forward.sent_calls.SentCalls.release`."""
        self._answer("release")
        self.rows[forward_id] = (now, self.rows[forward_id][1])

    def _answer(self, method: str) -> None:
        if method in self.failing:
            raise SentCallsUnavailableError("failing")
