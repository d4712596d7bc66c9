"""The record of one job in a batch: all that happens to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_bridge.ledger.port import PersonKey
    from braze_bridge.reasons import Reason

Outcome = Literal["delivered", "duplicate", "rejected", "retried"]


@dataclass(slots=True, eq=False)
class BatchEntry:
    """One job of a batch. The Braze objects made from it point to it.

    Attributes:
        position: Of its message in the batch.
        key: The job's person.
        attempts: Failed sends in earlier batches.
        settled_events: Positions of the events that must not be sent again. The ledger's, and those
            that this batch adds.
        person_exists: At Braze, surely: the job may create the person, or Braze took something of
            a job that may.
        open: Its objects without an outcome, and one until all objects of the batch are made. A job
            with something open goes back.
        tried: A send failed in this batch, which counts as an attempt.
        delay: Seconds until it comes back; 0 if nothing asks for a time.
        attributes_sent: Braze took its attributes.
        taken: Braze took something of it.
        unknown: Positions of events to park, since they may be at Braze.
        refused: Parts that can never be sent: the event's position, or ``None`` for the attributes.
        rows: To park.
        outcome: A job goes back unless something else is certain.
    """

    position: int
    job: DeliveryJob
    key: PersonKey
    attempts: int = 0
    settled_events: frozenset[int] = frozenset()
    person_exists: bool = False
    open: int = 1
    tried: bool = False
    delay: float = 0.0
    attributes_sent: bool = False
    taken: bool = False
    unknown: set[int] = field(default_factory=set)
    refused: list[tuple[int | None, Reason]] = field(default_factory=list)
    rows: list[RejectedRecord] = field(default_factory=list)
    outcome: Outcome = "retried"

    def wait(self, seconds: float) -> None:
        """Come back no earlier than this."""
        self.delay = max(self.delay, seconds)

    def delivered(self, event: int | None) -> None:
        """Note that Braze took an event, or the attributes (``None``)."""
        self.open -= 1
        self.taken = True
        if event is None:
            self.attributes_sent = True
        else:
            self.settled_events |= {event}

    def refuse(self, event: int | None, reason: Reason) -> None:
        """Note that an event, or the attributes (``None``), can never be sent."""
        where = "attributes" if event is None else f"events.{event}"
        if reason.field is not None:
            where = f"{where}.{reason.field}"
        self.refused.append((event, reason.model_copy(update={"field": where})))
