"""Make the rejected records of a delivery batch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from braze_bridge.jobs.envelope import split_job
from braze_bridge.jobs.rejected import MAX_PAYLOAD_BYTES, RejectedRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from braze_bridge.handlers import SqsMessage
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.reasons import Reason

QUEUE_ROUTE: Final = "queue:delivery"
"""The route of a parked message that could not be read as a job."""

MAX_REASONS: Final = 50
"""Of one row, which must fit the table. An unreadable message may have thousands of reasons."""

MAX_BASE_ID_CHARS: Final = 200
"""Characters of a job's id kept in an id made from it; ids have at most 256."""


def message_records(
    message: SqsMessage, reasons: tuple[Reason, ...], now: datetime
) -> list[RejectedRecord]:
    """Make the rows of an unreadable message, in pieces if it is too long for one row."""
    body = message.body
    name = f"message:{hashlib.sha256(body.encode('utf-8', 'replace')).hexdigest()}"
    room = MAX_PAYLOAD_BYTES // 4  # a character has at most 4 bytes
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


def job_records(
    job: DeliveryJob, reasons: tuple[Reason, ...], now: datetime, suffix: str = ""
) -> list[RejectedRecord]:
    """Make the rows of a job, in parts if it is too long for one row.

    The payload keeps the job's id. A suffix makes another row beside the job's own.
    """
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


def rejected_part(job: DeliveryJob, rejected: Sequence[tuple[int | None, Reason]]) -> DeliveryJob:
    """Reduce a job to its rejected attributes (``None``) and events (by position)."""
    events = sorted({event for event, _ in rejected if event is not None})
    return job.model_copy(
        update={
            "attributes": job.attributes if any(event is None for event, _ in rejected) else {},
            "events": tuple(job.events[index] for index in events),
        }
    )


def unknown_part(job: DeliveryJob, events: Sequence[int]) -> DeliveryJob:
    """Reduce a job to events with an unknown outcome.

    Its id depends on the events, so that a later set does not replace this row.
    """
    digest = hashlib.sha256(f"{job.job_id} {list(events)}".encode()).hexdigest()[:12]
    return job.model_copy(
        update={
            "job_id": f"{job.job_id[:MAX_BASE_ID_CHARS]}~unknown-{digest}",
            "attributes": {},
            "events": tuple(job.events[index] for index in events),
        }
    )
