"""The gate: one shared answer to "may we call this family of Braze endpoints now?".

Here is the port and its absence. The form that all Lambdas share comes with the ledger's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.braze.limits import EndpointFamily


class Gate(Protocol):
    """What every caller of Braze asks first, and tells what Braze answered."""

    def closed_until(self, family: EndpointFamily) -> datetime | None:
        """When the family may be called again, or ``None`` where it may be called now."""
        ...

    def close(self, family: EndpointFamily | None, until: datetime, reason: str) -> None:
        """Let nobody call the family (every family where ``None``) before ``until``.

        Args:
            family: Which endpoints.
            until: Aware. A gate already closed for longer stays so.
            reason: A word for people: ``rate_limited``, ``key_refused``, ``permission_missing``,
                ``requests_refused``.
        """
        ...


class NoGate:
    """A :class:`Gate` that is always open: each batch learns from Braze's answers alone."""

    def closed_until(self, family: EndpointFamily) -> datetime | None:  # noqa: ARG002 - the port's
        """``None``."""
        return None

    def close(self, family: EndpointFamily | None, until: datetime, reason: str) -> None:
        """Forgotten: jobs that wait do so in SQS."""
