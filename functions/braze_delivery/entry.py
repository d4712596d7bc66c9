"""The record of one job in a batch, and of the people that are leased together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from braze_bridge.ledger.port import Leases

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_bridge.ledger.port import Moment, PersonKey
    from braze_bridge.reasons import Reason
    from braze_delivery.reading import Job

Outcome = Literal["delivered", "duplicate", "rejected", "retried"]

NO_PARTS: Final[frozenset[int]] = frozenset()

_NO_LEASES: Final = Leases(states={}, busy={})


@dataclass(slots=True, eq=False)
class Chunk:
    """People that are leased and recorded together. A person's jobs are never in two chunks.

    Attributes:
        people: Their jobs.
        leases: Empty until the ledger answers.
        leased: The jobs to send, by person: those of a leased person, without duplicates.
        repeats: Further messages of a job, each with the first one.
        dropped: Ids of jobs of before their person's erasure, by person.
        parking: The people with rows to park; ``None`` until the outcomes are decided.
        unsettled: Objects that are made and not settled, and one until all are made.
    """

    people: dict[PersonKey, list[BatchEntry]]
    leases: Leases = _NO_LEASES
    leased: dict[PersonKey, list[BatchEntry]] = field(default_factory=dict)
    repeats: list[tuple[BatchEntry, BatchEntry]] = field(default_factory=list)
    dropped: dict[PersonKey, set[str]] = field(default_factory=dict)
    parking: set[PersonKey] | None = None
    unsettled: int = 1

    @property
    def entries(self) -> list[BatchEntry]:
        """All jobs."""
        return [entry for jobs in self.people.values() for entry in jobs]

    def let_go(self) -> None:
        """Forget the jobs, which point here: so no garbage collection is needed to free them."""
        self.people.clear()
        self.leased.clear()
        self.leases = _NO_LEASES


class BatchEntry(Struct, eq=False):
    """One job of a batch. The Braze objects made from it point to it.

    Its parts have numbers: ``None`` for its attributes, then from 0 its events and its objects, as
    in ``once_ids``.

    Attributes:
        position: Of its message in the batch.
        key: The job's person.
        chunk: The people that are leased with this one.
        attempts: Failed sends in earlier batches.
        settled: Events and objects that must not be sent again. The ledger's, and those that this
            batch adds.
        repeated: Events and objects that an earlier job of the batch brings, too.
        person_exists: At Braze, surely: the job may create the person, or Braze took something of
            a job that may.
        open: Its objects without an outcome, and one until all objects of its person are made. A
            job with something open goes back.
        tried: A send failed in this batch, which counts as an attempt.
        doubtful: Events and objects that may be at Braze. Next time they follow the policy.
        is_alone: An event is sent again that was in doubt, so nothing else is in its request.
        delay: Seconds until it comes back; 0 if nothing asks for a time.
        attributes_sent: Braze took its attributes.
        taken: Braze took something of it.
        replaced_by: Newer jobs of the person whose values are sent in place of its own.
        unknown: Events and objects to park, since they may be at Braze.
        refused: Parts that can never be sent.
        rows: To park.
        sent_at: When SQS took its message, if SQS says so.
        outcome: A job goes back unless something else is certain.
    """

    position: int
    job: Job
    key: PersonKey
    chunk: Chunk
    attempts: int = 0
    settled: frozenset[int] = NO_PARTS
    repeated: frozenset[int] = NO_PARTS
    person_exists: bool = False
    open: int = 1
    tried: bool = False
    doubtful: frozenset[int] = NO_PARTS
    is_alone: bool = False
    delay: float = 0.0
    attributes_sent: bool = False
    taken: bool = False
    replaced_by: tuple[BatchEntry, ...] = ()
    unknown: frozenset[int] = NO_PARTS
    refused: tuple[tuple[int | None, Reason], ...] = ()
    rows: tuple[RejectedRecord, ...] = ()
    outcome: Outcome = "retried"
    sent_at: datetime | None = None

    @property
    def waits_since(self) -> datetime:
        """When it came into the queue: SQS counts the retention from there, also of a replay."""
        return self.sent_at or self.job.received_at

    @property
    def moment(self) -> Moment:
        """Orders the values of a person's jobs."""
        return self.job.occurred_at, self.job.received_at

    def wait(self, seconds: float) -> None:
        """Come back no earlier than this."""
        self.delay = max(self.delay, seconds)

    def delivered(self, part: int | None) -> None:
        """Note that Braze took a part."""
        self.open -= 1
        self.taken = True
        if part is None:
            self.attributes_sent = True
        else:
            self.settled |= {part}

    def refuse(self, part: int | None, reason: Reason) -> None:
        """Note that a part can never be sent."""
        where = self.name_of(part)
        if reason.field is not None:
            where = f"{where}.{reason.field}"
        self.refused += ((part, reason.model_copy(update={"field": where})),)

    def name_of(self, part: int | None) -> str:
        """Name a part as its field in the job."""
        if part is None:
            return "attributes"
        events = len(self.job.events)
        return f"events.{part}" if part < events else f"objects.{part - events}"
