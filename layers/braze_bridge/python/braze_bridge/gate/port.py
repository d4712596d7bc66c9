"""The Gate protocol: one shared answer to "may we call this family of Braze endpoints now?".

All Lambdas share :mod:`braze_bridge.gate.shared` over the table of
:mod:`braze_bridge.gate.dynamo`; the rules are in :mod:`braze_bridge.gate.rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.braze.limits import EndpointFamily
    from braze_bridge.braze.rate_limits import RateLimit


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer at the start of a batch.

    Attributes:
        closed_until: Nothing may be sent before; ``None`` where the gate is open.
        reason: Why it is closed.
        is_probe: It is open for this Lambda alone: send one small request, and go on only when it
            succeeded. The others wait.
    """

    closed_until: datetime | None = None
    reason: str = ""
    is_probe: bool = False


ADMITTED: Final = Admission()


class Gate(Protocol):
    """What every caller of Braze asks first, and tells what Braze answered.

    No method raises for a store that fails: a gate that cannot be read is closed for some seconds.
    """

    def admit(self, family: EndpointFamily) -> Admission:
        """Ask at the start of a batch; takes the probe where one is due."""
        ...

    def closed_until(self, family: EndpointFamily) -> datetime | None:
        """When the family may be called again, or ``None`` where it may be called now."""
        ...

    def may_start(self, family: EndpointFamily, in_flight: int) -> bool:
        """Whether one more request may start now: the gate is open and the limit leaves room.

        Meant to be asked before each request. With nothing in flight the answer is only false where
        :meth:`closed_until` says until when.

        Args:
            family: Which endpoints.
            in_flight: This Lambda's requests without an answer.
        """
        ...

    def answered(self, family: EndpointFamily, rate_limit: RateLimit | None) -> None:
        """Tell of a success: it ends a probe, and says how much of the limit is left.

        Args:
            family: Which endpoints.
            rate_limit: The answer's headers.
        """
        ...

    def give_back(self) -> None:
        """Let somebody else probe: this batch had nothing to send after all."""
        ...

    def close(self, family: EndpointFamily | None, until: datetime, reason: str) -> None:
        """Let nobody call the family (every family where ``None``) before ``until``.

        Args:
            family: Which endpoints.
            until: Aware; counted from Braze's answer, not from the start of the batch. A gate
                already closed for longer stays so.
            reason: A word for people: ``rate_limited``, ``key_refused``, ``permission_missing``,
                ``requests_refused``. For the last three the gate stays closed longer after each
                probe that failed, up to 15 minutes.
        """
        ...
