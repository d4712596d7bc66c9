"""The ledger: what was delivered for whom, and who is being worked on right now.

Here is the port and its absence. The real form, on DynamoDB, comes in its own issue; until then
nothing is claimed about duplicates or late answers that reach different batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from braze_bridge.jobs.envelope import DeliveryJob

PersonKey = tuple[str, ...]
"""An identifier's kind and value, as :attr:`braze_bridge.jobs.envelope.JobUser.key` gives it."""


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
    """What the ledger knows of a person.

    Attributes:
        delivered: Ids of the jobs lately settled.
        newest: Attribute name to the time of the newest value sent.
        progress: Job id to how far it came.
    """

    delivered: frozenset[str] = frozenset()
    newest: Mapping[str, datetime] = field(default_factory=dict)
    progress: Mapping[str, JobProgress] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claims:
    """The answer to a claim.

    Attributes:
        states: The people now leased to this Lambda, each with what is known.
        busy: The people who are not, each with the seconds after which to ask again.
    """

    states: Mapping[PersonKey, PersonState]
    busy: Mapping[PersonKey, float]


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

        Every person of ``claimants`` is either in the answer's ``states`` or in its ``busy``.

        Raises:
            LedgerUnavailableError: Nobody was leased.
        """
        ...

    def record(self, states: Mapping[PersonKey, PersonState]) -> None:
        """Add what was learnt to what is known, and end the leases of these people."""
        ...


class NoLedger:
    """A :class:`Ledger` that knows nothing: everybody is free, nothing is a duplicate.

    Attempts are SQS's receive count, since there is no better count.
    """

    def claim(self, claimants: Sequence[Claimant]) -> Claims:
        """Everybody, each with attempts as SQS counts them."""
        progress: dict[PersonKey, dict[str, JobProgress]] = {}
        for claimant in claimants:
            known = progress.setdefault(claimant.job.user.key, {})
            known[claimant.job.job_id] = JobProgress(attempts=max(claimant.receive_count - 1, 0))
        states = {key: PersonState(progress=known) for key, known in progress.items()}
        return Claims(states=states, busy={})

    def record(self, states: Mapping[PersonKey, PersonState]) -> None:
        """Forgotten."""
