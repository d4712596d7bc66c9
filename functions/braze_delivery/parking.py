"""Make the rejected records of a delivery batch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from braze_bridge.jobs.envelope import split_job
from braze_bridge.jobs.rejected import MAX_PAYLOAD_BYTES, RejectedRecord
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from braze_bridge.handlers import SqsMessage
    from braze_bridge.jobs.envelope import DeliveryJob

QUEUE_ROUTE: Final = "queue:delivery"
"""The route of a parked message that could not be read as a job."""

MAX_REASONS: Final = 50
"""Of one row, which must fit the table. An unreadable message may have thousands of reasons."""

MAX_BASE_ID_CHARS: Final = 200
"""Characters of a job's id kept in an id made from it; ids have at most 256."""


MAX_REASON_CHARS: Final = 300
"""Of a field's name and of a detail in a row, for the same cause. A job's names have no limit."""


def message_records(
    message: SqsMessage, reasons: tuple[Reason, ...], now: datetime
) -> list[RejectedRecord]:
    """Make the rows of an unreadable message, in pieces if it is too long for one row."""
    digest = hashlib.sha256(message.body.encode("utf-8", "replace")).hexdigest()
    pieces = _pieces(f"message:{digest}", message.body)
    return _rows(pieces, "delivery", message.message_id, reasons, now)


def job_records(
    job: DeliveryJob, reasons: tuple[Reason, ...], now: datetime, suffix: str = ""
) -> list[RejectedRecord]:
    """Make the rows of a job, in parts if it is too long for one row.

    The payload keeps the job's id. A suffix makes another row beside the job's own. One attribute
    that is too long for a row is kept as pieces of text.
    """
    rows = []
    for part in split_job(job, MAX_PAYLOAD_BYTES):
        pieces = _pieces(f"{part.job_id}{suffix}", part.to_json())
        is_whole = len(pieces) == 1
        rows += _rows(pieces, job.source, job.correlation_id, reasons, now, is_job=is_whole)
    return rows


def _rows(
    pieces: Mapping[str, str],
    source: str,
    correlation_id: str,
    reasons: Sequence[Reason],
    now: datetime,
    *,
    is_job: bool = False,
) -> list[RejectedRecord]:
    short = tuple(
        Reason(
            code=each.code,
            field=each.field and each.field[:MAX_REASON_CHARS],
            detail=each.detail and each.detail[:MAX_REASON_CHARS],
        )
        for each in reasons[:MAX_REASONS]
    )
    return [
        RejectedRecord(
            id=id_,
            kind="objects" if is_job else "body",
            source=source,
            route=None if is_job else QUEUE_ROUTE,
            payload=piece,
            reasons=short,
            correlation_id=correlation_id,
            first_seen=now,
            last_seen=now,
        )
        for id_, piece in pieces.items()
    ]


def _pieces(name: str, text: str) -> dict[str, str]:
    """Cut a text that is too long for one row; return the pieces by the ids of their rows."""
    if len(text.encode("utf-8", "replace")) <= MAX_PAYLOAD_BYTES:
        return {name: text}
    room = MAX_PAYLOAD_BYTES // 4  # a character has at most 4 bytes
    starts = range(0, len(text), room)
    return {f"{name}/{n}": text[at : at + room] for n, at in enumerate(starts, start=1)}


def rejected_part(job: DeliveryJob, rejected: Sequence[tuple[int | None, Reason]]) -> DeliveryJob:
    """Reduce a job to its rejected attributes (``None``), events and objects (by number)."""
    return job.part(
        [part for part, _ in rejected if part is not None],
        attributes=any(part is None for part, _ in rejected),
    )


def unknown_part(job: DeliveryJob, parts: Sequence[int]) -> DeliveryJob:
    """Reduce a job to events and objects with an unknown outcome.

    Its id depends on the parts, so that a later set does not replace this row.
    """
    digest = hashlib.sha256(f"{job.job_id} {list(parts)}".encode()).hexdigest()[:12]
    job_id = f"{job.job_id[:MAX_BASE_ID_CHARS]}~unknown-{digest}"
    return job.part(parts, attributes=False).model_copy(update={"job_id": job_id})
