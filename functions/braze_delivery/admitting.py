"""The first step of a batch: read the messages, check their age, ask the gate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from braze_bridge.gate.rules import UNREADABLE, wait_behind_gate
from braze_bridge.jobs.envelope import LaterJobError, UnreadableJobError
from braze_bridge.reasons import Reason
from braze_delivery.entry import BatchEntry, Chunk
from braze_delivery.parking import job_records, message_records
from braze_delivery.reading import read_job
from braze_delivery.senders import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braze_bridge.gate.port import Admission
    from braze_bridge.handlers import SqsMessage
    from braze_delivery.batch import Batch

KEY_REASONS: Final = frozenset({"key_refused", "permission_missing"})
"""Closings that only a person with access to Braze can end."""

EXPIRED: Final = Reason(code="expired", detail="waited for most of the queue's retention")


def read_jobs(batch: Batch) -> list[BatchEntry]:
    """Read the messages. Those that are no job, or not their sender's, are to be parked."""
    entries = []
    no_chunk = Chunk({})
    for position, message in enumerate(batch.messages):
        try:
            job = read_job(message.body)
        except LaterJobError as error:
            _keep_later_job(batch, message, error.received_at)
        except UnreadableJobError as error:
            reasons = tuple(
                Reason(code="unreadable_job", field=where, detail=what)
                for where, what in error.reasons
            )
            batch.unreadable.append((message, message_records(message, reasons, batch.now)))
        else:
            entry = BatchEntry(position, job, job.user.key, no_chunk, sent_at=_sent_at(message))
            refusal = batch.ports.senders.refusal(job, message.sender_id)
            if refusal == UNKNOWN:
                _keep_later_job(batch, message, job.received_at, UNKNOWN)
                continue
            if refusal is not None:
                entry.rows = tuple(
                    job_records(batch.full_job(entry), (refusal,), batch.now, "~sender")
                )
            entries.append(entry)
    if entries:
        oldest = min(entry.waits_since for entry in entries)
        batch.result.oldest_wait = max((batch.now - oldest).total_seconds(), 0.0)
    return entries


def _keep_later_job(
    batch: Batch, message: SqsMessage, received_at: datetime | None, why: str = "later version"
) -> None:
    """Wait for newer code or settings, as in a canary or after a rollback. Only age parks it."""
    # The earlier time: newer code may write a time that this code misreads.
    times = [] if received_at is None else [received_at]
    sent_at = _sent_at(message)
    if sent_at is not None:
        times.append(sent_at)
    if times and min(times) < batch.oldest_kept:
        batch.unreadable.append((message, message_records(message, (EXPIRED,), batch.now)))
    else:
        batch.hold_up(why)
        batch.send_back(message, batch.growing(message))


def _sent_at(message: SqsMessage) -> datetime | None:
    return None if message.sent_at is None else datetime.fromtimestamp(message.sent_at, UTC)


def without_expired(batch: Batch, entries: Sequence[BatchEntry]) -> list[BatchEntry]:
    """Return the jobs that are young enough; the others are to be parked."""
    fresh = []
    limit = batch.oldest_kept
    for entry in entries:
        if entry.rows:
            continue  # refused when it was read
        if entry.waits_since < limit:
            entry.rows = tuple(
                job_records(batch.full_job(entry), (EXPIRED,), batch.now, "~expired")
            )
        else:
            fresh.append(entry)
    return fresh


def wait_for_gate(
    batch: Batch, entries: Sequence[BatchEntry], admission: Admission, until: datetime
) -> None:
    """Send all jobs back, in steps, so that a gate opened by hand releases them soon."""
    result = batch.result
    closed_for = max((until - batch.now).total_seconds(), 0.0)
    step = wait_behind_gate(admission.since or batch.now, until, batch.now)
    for entry in entries:
        entry.wait(step)
        if admission.reason == UNREADABLE:
            entry.wait(batch.growing(batch.messages[entry.position], step))
    batch.hold_up(admission.reason, len(entries))
    # Keeps the alarms on while jobs wait for the gate.
    result.oldest_wait += closed_for
    result.key_refused = int(admission.reason in KEY_REASONS)
    result.gate_closed = True
