"""Rejected records made of a delivery batch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from braze_bridge.jobs.envelope import split_job
from braze_bridge.jobs.rejected import (
    MAX_PAYLOAD_BYTES,
    RejectedRecord,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.reasons import Reason

QUEUE_ROUTE: Final = "queue:delivery"
"""The route of a parked message that could not be read as a job."""

MAX_REASONS: Final = 50
"""Of one row: a message may break in thousands of places, and a row must fit the table."""


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message of the delivery queue."""

    message_id: str
    body: str
    receive_count: int = 1


def _unreadable(
    message: QueueMessage, reasons: tuple[Reason, ...], now: datetime
) -> list[RejectedRecord]:
    """The message as it is, cut into pieces where a row would be too long for the table."""
    body = message.body
    name = f"message:{hashlib.sha256(body.encode('utf-8', 'replace')).hexdigest()}"
    room = MAX_PAYLOAD_BYTES // 4  # no character has more bytes
    if len(body.encode("utf-8", "replace")) <= MAX_PAYLOAD_BYTES:
        pieces = {name: body}
    else:
        starts = range(0, len(body), room)
        pieces = {f"{name}/{n}": body[at : at + room] for n, at in enumerate(starts, start=1)}
    return [
        RejectedRecord(
            id=id_,
            kind="body",
            source="delivery",
            route=QUEUE_ROUTE,
            payload=piece,
            reasons=reasons[:MAX_REASONS],
            correlation_id=message.message_id,
            first_seen=now,
            last_seen=now,
        )
        for id_, piece in pieces.items()
    ]


def _only(job: DeliveryJob, refused: Sequence[tuple[int | None, Reason]]) -> DeliveryJob:
    """The job with nothing but what was refused of it."""
    events = sorted({event for event, _ in refused if event is not None})
    return job.model_copy(
        update={
            "attributes": job.attributes if any(event is None for event, _ in refused) else {},
            "events": tuple(job.events[index] for index in events),
        }
    )


def _records(
    job: DeliveryJob, reasons: tuple[Reason, ...], now: datetime, suffix: str = ""
) -> list[RejectedRecord]:
    """Rows for a job, in parts where it is too long for one; the payload keeps the job's own id."""
    return [
        RejectedRecord(
            id=f"{part.job_id}{suffix}",
            kind="objects",
            source=job.source,
            payload=part.to_json(),
            reasons=reasons[:MAX_REASONS],
            correlation_id=job.correlation_id,
            first_seen=now,
            last_seen=now,
        )
        for part in split_job(job, MAX_PAYLOAD_BYTES)
    ]
