"""Delivery, broken on purpose: the campaign must find each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from braze_bridge.ledger.port import CALL_SECONDS, PersonState
from tests.fakes.gate import NoGate
from tests.fakes.ledger import NoLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from braze_bridge.braze.models import TrackResponse
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.port import Leases, Ledger, PersonKey
    from braze_delivery.delivery import Ports


def broken(ports: Ports, variant: str) -> Ports:
    """Break a part of delivery.

    Args:
        ports: As they should be.
        variant: Empty for nothing. ``late_requests_leave`` is the transport's.
    """
    match variant:
        case "ledger_off":
            return replace(ports, ledger=NoLedger())
        case "lease_off":
            return replace(ports, ledger=WithoutLeases(ports.ledger))
        case "gate_ignored":
            return replace(ports, gate=NoGate())
        case "wrong_index":
            return replace(ports, track=_one_too_far(ports.track))
        case "record_failure_ignored":
            return replace(ports, ledger=AlwaysRecorded(ports.ledger))
    return ports


def _one_too_far(track: Callable[..., TrackResponse]) -> Callable[..., TrackResponse]:
    """Blame the object after the one that Braze names."""

    def off_by_one(*args: Any, **kwargs: Any) -> TrackResponse:
        answer = track(*args, **kwargs)
        errors = tuple(
            replace(each, index=None if each.index is None else each.index + 1)
            for each in answer.errors
        )
        return replace(answer, errors=errors)

    return off_by_one


NOTHING = PersonState()


class WithoutLeases:
    """A ledger whose leases keep nobody away: a busy person is leased all the same."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def lease(self, jobs: Sequence[DeliveryJob]) -> Leases:
        """Lease, and give away what others hold."""
        leases = self._ledger.lease(jobs)
        stolen = dict.fromkeys(leases.busy, NOTHING)
        return replace(leases, states={**leases.states, **stolen}, busy={})

    def record(
        self,
        leases: Leases,
        updates: Mapping[PersonKey, PersonState],
        seconds_left: Callable[[], float] = lambda: CALL_SECONDS,
    ) -> frozenset[PersonKey]:
        """See :meth:`braze_bridge.ledger.port.Ledger.record`."""
        return self._ledger.record(leases, updates, seconds_left)


class AlwaysRecorded:
    """A ledger that says that everything is recorded."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def lease(self, jobs: Sequence[DeliveryJob]) -> Leases:
        """See :meth:`braze_bridge.ledger.port.Ledger.lease`."""
        return self._ledger.lease(jobs)

    def record(
        self,
        leases: Leases,
        updates: Mapping[PersonKey, PersonState],
        seconds_left: Callable[[], float] = lambda: CALL_SECONDS,
    ) -> frozenset[PersonKey]:
        """Record, and hide what failed."""
        self._ledger.record(leases, updates, seconds_left)
        return frozenset()
