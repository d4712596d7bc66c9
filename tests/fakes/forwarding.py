"""The ports of telling Quikly, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from braze_bridge.jobs.forward import ForwardMessage
from braze_bridge.jobs.queue import QueueUnavailableError
from quikly_forward.told_calls import MEMORY, ToldCallsUnavailableError, Turn
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from braze_bridge.quikly import QuiklyCall, QuiklyError


def forward_message(number: int = 1, **changes: Any) -> ForwardMessage:
    """A call of a person of their own."""
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
        script: What the next calls are met with; ``None`` is a success.
        told: Every call it was given, taken or not.
    """

    def __init__(self, *script: QuiklyError | None) -> None:
        self.script = list(script)
        self.told: list[QuiklyCall] = []

    def tell(self, call: QuiklyCall) -> None:
        """See :meth:`braze_bridge.quikly.QuiklyApi.tell`."""
        self.told.append(call)
        failure = self.script.pop(0) if self.script else None
        if failure is not None:
            raise failure


class InMemoryToldCalls:
    """:class:`quikly_forward.told_calls.ToldCalls` of one process.

    Attributes:
        rows: By forward id: until when it is leased (``None``: done with), and when it goes.
        failing: Names of methods that do not answer.
    """

    def __init__(self) -> None:
        self.rows: dict[str, tuple[datetime | None, datetime]] = {}
        self.failing: set[str] = set()

    def take_turn(self, forward_id: str, now: datetime, lease: timedelta) -> Turn:
        """See :meth:`quikly_forward.told_calls.ToldCalls.take_turn`."""
        self._answer("take_turn")
        known = self.rows.get(forward_id)
        if known is not None and known[1] > now:
            leased_until, _ = known
            if leased_until is None:
                return Turn.TOLD
            if leased_until > now:
                return Turn.BUSY
        self.rows[forward_id] = (now + lease, now + MEMORY)
        return Turn.OURS

    def keep(self, forward_id: str, now: datetime) -> None:
        """See :meth:`quikly_forward.told_calls.ToldCalls.keep`."""
        self._answer("keep")
        self.rows[forward_id] = (None, now + MEMORY)

    def give_back(self, forward_id: str, now: datetime) -> None:
        """See :meth:`quikly_forward.told_calls.ToldCalls.give_back`."""
        self._answer("give_back")
        self.rows[forward_id] = (now, self.rows[forward_id][1])

    def _answer(self, method: str) -> None:
        if method in self.failing:
            raise ToldCallsUnavailableError("failing")
