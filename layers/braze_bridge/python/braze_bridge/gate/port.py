"""The Gate protocol: whether a family of Braze endpoints may be called now.

All Lambdas share :mod:`braze_bridge.gate.shared` over the table of
:mod:`braze_bridge.gate.dynamo`. The rules are in :mod:`braze_bridge.gate.rules`.
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
        closed_until: Nothing may be sent before; ``None`` if the gate is open.
        reason: Why it is closed.
        since: Start of the closing, or of its series; set if ``closed_until`` is.
    """

    closed_until: datetime | None = None
    reason: str = ""
    since: datetime | None = None


ADMITTED: Final = Admission()


class Gate(Protocol):
    """Every caller of Braze asks it before a request and reports the answer after it.

    No method raises if the store fails: an unreadable gate is closed for some seconds.
    """

    def admit(self, family: EndpointFamily) -> Admission:
        """Ask at the start of a batch."""
        ...

    def closed_until(self, family: EndpointFamily) -> datetime | None:
        """Return when the family may be called again; ``None`` if it may be called now."""
        ...

    def may_start(self, family: EndpointFamily, in_flight: int) -> bool:
        """Check before each request that the gate is open and the limit leaves room.

        After a closing of a minute or more, requests go one at a time until one succeeds.
        With nothing in flight it is false only if :meth:`closed_until` gives a time.

        Args:
            family: The endpoints.
            in_flight: This Lambda's requests without an answer.
        """
        ...

    def take_turn(self, family: EndpointFamily, until: datetime) -> bool:
        """Close an open gate, so that only the caller uses the family until then.

        Returns:
            Whether the caller may use it. False if another Lambda was first, or if the store fails.
        """
        ...

    def record_success(self, family: EndpointFamily, rate_limit: RateLimit | None) -> None:
        """Report a success: it ends a series of closings and tells what is left of the limit.

        Args:
            family: The endpoints.
            rate_limit: From the answer's headers.
        """
        ...

    def last_success(self, family: EndpointFamily) -> datetime | None:
        """Return the last success of any Lambda, up to a minute too early; ``None`` if unknown."""
        ...

    def close(self, family: EndpointFamily | None, until: datetime, reason: str) -> None:
        """Close the gate.

        Args:
            family: The endpoints; ``None`` for all.
            until: Aware; counted from Braze's answer, not from the start of the batch. A longer
                closing stays. It is cut to 61 minutes. A refusal right after a closing lengthens
                it to the double of the last one, up to 15 minutes.
            reason: ``rate_limited``, ``key_refused``, ``permission_missing`` or
                ``requests_refused``.
        """
        ...
