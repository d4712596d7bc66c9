"""The ledger: what was delivered for whom, and who is being worked on right now.

This is the port. The form that all Lambdas share is
:mod:`braze_bridge.ledger.shared`, on a table :mod:`braze_bridge.ledger.dynamo`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from braze_bridge.jobs.envelope import DeliveryJob

PersonKey = tuple[str, ...]
"""An identifier's kind and value, as :attr:`braze_bridge.jobs.envelope.JobUser.key` gives it."""

LEASE_MARGIN: Final = 5.0
"""Seconds: more than the clocks of two Lambdas differ, and than a Lambda takes to die."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job came that is not settled yet.

    Attributes:
        attempts: How often it was sent in vain.
        settled_events: Positions of its events that need not be sent again.
    """

    attempts: int = 0
    settled_events: frozenset[int] = frozenset()


NO_PROGRESS = JobProgress()


@dataclass(frozen=True, slots=True)
class PersonState:
    """What the ledger knows of a person, as far as the jobs that asked are concerned.

    Attributes:
        delivered: Ids of the jobs lately settled.
        newest: Attribute name to the time of the newest value sent.
        progress: Job id to how far it came.
        interrupted: Ids of the jobs that somebody had claimed and never recorded: what their
            events came to is unknown. A job stays here until it is delivered.
    """

    delivered: frozenset[str] = frozenset()
    newest: Mapping[str, datetime] = field(default_factory=dict)
    progress: Mapping[str, JobProgress] = field(default_factory=dict)
    interrupted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Claims:
    """The answer to a claim: every person asked about is in exactly one of the first three.

    Attributes:
        states: The people now leased to this Lambda, each with what is known; and those of whom
            every job asked about is delivered already, who need no lease.
        busy: The people who are not, each with the seconds after which to ask again.
        full: The people of whom more jobs or attributes are remembered than the ledger holds for
            one: nothing may be sent for them, and waiting does not soon help.
        leases: For :meth:`Ledger.record`; nobody else's concern.
        troubles: Error code of the store to how many people it kept out of ``states``.
    """

    states: Mapping[PersonKey, PersonState]
    busy: Mapping[PersonKey, float]
    full: frozenset[PersonKey] = frozenset()
    leases: Mapping[PersonKey, object] = field(default_factory=dict, repr=False)
    troubles: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claimant:
    """A job that asks for its person.

    Attributes:
        job: The job.
        receive_count: How often SQS handed it out.
    """

    job: DeliveryJob
    receive_count: int


class LedgerUnavailableError(Exception):
    """The ledger did not answer: nothing may be sent for the people asked about."""


class Ledger(Protocol):
    """Claims before a send, records after it."""

    def claim(self, claimants: Sequence[Claimant]) -> Claims:
        """Lease the people the jobs are about.

        Raises:
            LedgerUnavailableError: Nothing could be learnt about anybody.
        """
        ...

    def record(
        self, claims: Claims, learnt: Mapping[PersonKey, PersonState]
    ) -> frozenset[PersonKey]:
        """Add what was learnt to what is known, and end the leases of the people in ``learnt``.

        It may be called several times for one claim, each time with other people.

        Args:
            claims: The answer that the people were claimed by.
            learnt: Jobs now delivered, newest times, progress of jobs that are not settled
                (totals, not additions). What is already known is never lost or set back by it,
                also where the lease was lost meanwhile. ``interrupted`` is not looked at.

        Returns:
            The people for whom nothing (surely) was recorded. Their leases run out, and their
            jobs are ``interrupted`` then. Never raises for a store that fails.
        """
        ...


def lease_length(function_timeout: float, visibility_timeout: float) -> float:
    """How long a lease must be: longer than its holder can live, shorter than its messages hide.

    Args:
        function_timeout: Seconds after which Lambda ends the holder.
        visibility_timeout: Seconds after which SQS hands a dead holder's messages out again.

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
