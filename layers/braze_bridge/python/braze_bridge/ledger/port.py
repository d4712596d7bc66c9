"""The Ledger protocol: which jobs of a person are delivered, and which Lambda holds the person.

All Lambdas share :mod:`braze_bridge.ledger.shared` over the table of
:mod:`braze_bridge.ledger.dynamo`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from braze_bridge.jobs.envelope import DeliveryJob

PersonKey = tuple[str, ...]
"""An identifier's kind and value, as :attr:`braze_bridge.jobs.envelope.JobUser.key` gives it."""

CALL_SECONDS: Final = 10.0
"""No single call to the store is waited for longer."""

LEASE_MARGIN: Final = 5.0
"""Seconds: more than two Lambdas' clocks differ, and more than a Lambda takes to stop."""

Moment = tuple[datetime, datetime]
"""When an answer occurred, and when it was received. The later of two moments has the newer value:
of two answers with the same vendor's time, the one that was received later."""

ERASURE: Final = ""
"""The time of an erasure is stored beside the newest times, under this name. No attribute has it
(:mod:`braze_bridge.jobs.envelope` refuses blank names)."""


def update_only(attribute: str) -> str:
    """Name the time of a value whose job may not create the person.

    Braze drops such a value if there is no such person. So it makes no older value stale whose job
    may create the person.
    """
    return f"\0{attribute}"


@dataclass(frozen=True, slots=True)
class PersonState:
    """What the ledger knows of a person, limited to the requested jobs.

    Attributes:
        delivered: Ids of the jobs settled in the last 30 days.
        newest: Attribute name, or :func:`update_only` of it, to the moment of the newest value
            sent.
        attempts: Job id to its failed sends so far.
        counted: Ids of events and objects, as :attr:`DeliveryJob.once_ids` gives them, that must
            not be sent again: they are delivered or parked. Of a delivered job only the ids that
            another job may share are kept; its own id is enough for the others.
        doubtful: Ids of events and objects that may or may not be at Braze, with the time until
            which they may have been sent: Braze's answer was lost, or a lease expired unrecorded,
            also one for another job that has them. They stay here until they are in ``counted``.
        exists: Braze took something of a job that may create the person.
        erased: When an operator erased the person: jobs received until then are dropped.
    """

    delivered: frozenset[str] = frozenset()
    newest: Mapping[str, Moment] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    doubtful: Mapping[str, datetime] = field(default_factory=dict)
    exists: bool = False
    erased: datetime | None = None

    def is_erased(self, received_at: datetime) -> bool:
        """Check whether a job that was received then came before its person was erased.

        It would make the deleted profile again. What arrives later is new.
        """
        return self.erased is not None and received_at <= self.erased


@dataclass(frozen=True, slots=True)
class Leases:
    """The answer to a lease request. Each person is in exactly one of the first three.

    Attributes:
        states: The people this Lambda may send for. Most are leased now; those whose requested jobs
            are all delivered need no lease.
        busy: The people it may not send for, with the seconds after which to ask again.
        full: The people whose jobs and attributes do not fit the item of one person. Nothing may be
            sent for them, and waiting does not help soon.
        held: The leases. Only :meth:`Ledger.record` reads them.
        store_errors: The store's error code to the number of people it kept out of ``states``.
        unanswered: Those people. They are in ``busy``, too. Some may be leased all the same, since
            only the answer was lost: :meth:`Ledger.record` ends their leases.
    """

    states: Mapping[PersonKey, PersonState]
    busy: Mapping[PersonKey, float]
    full: frozenset[PersonKey] = frozenset()
    held: Mapping[PersonKey, object] = field(default_factory=dict, repr=False)
    store_errors: Mapping[str, int] = field(default_factory=dict)
    unanswered: Mapping[PersonKey, object] = field(default_factory=dict, repr=False)


class LedgerUnavailableError(Exception):
    """The ledger has no key: nothing may be sent for the requested people."""


class Ledger(Protocol):
    """Leases people before a send and records the outcome after it."""

    def lease(self, jobs: Sequence[DeliveryJob]) -> Leases:
        """Lease the people that the jobs are about.

        Raises:
            LedgerUnavailableError: See there. A failing store raises nothing.
        """
        ...

    def record(
        self,
        leases: Leases,
        updates: Mapping[PersonKey, PersonState],
        seconds_left: Callable[[], float] = lambda: CALL_SECONDS,
    ) -> frozenset[PersonKey]:
        """Add updates to what is known, and end the leases of the people in ``updates``.

        It may be called several times for one answer, each time with other people.

        Args:
            leases: The answer of :meth:`lease`.
            updates: What is new; ``attempts`` are totals, not increments. They never remove or set
                back what is known, even if the lease was lost meanwhile.
            seconds_left: Until it must return.

        Returns:
            The people whose updates were not, or not surely, written. Their leases expire, and
            the events and objects of their jobs are ``doubtful`` then. A failing store raises
            nothing.
        """
        ...


def lease_length(function_timeout: float, visibility_timeout: float) -> float:
    """Compute a lease that ends after its holder and before its messages are visible again.

    Args:
        function_timeout: Seconds after which Lambda ends the holder.
        visibility_timeout: Seconds after which SQS hands out a crashed holder's messages again.

    Raises:
        ValueError: No length fits between the two.
    """
    length = function_timeout + LEASE_MARGIN
    if length + LEASE_MARGIN > visibility_timeout:
        raise ValueError(
            f"no lease fits between a function timeout of {function_timeout} s"
            f" and a visibility timeout of {visibility_timeout} s"
        )
    return length
