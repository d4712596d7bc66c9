"""The first step of a batch: read the jobs, check their age, lease their people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from braze_bridge.gate.rules import UNREADABLE, wait_behind_gate
from braze_bridge.jobs.envelope import LaterJobError, UnreadableJobError, parse_job
from braze_bridge.ledger.port import NO_PROGRESS, Leases, LedgerUnavailableError
from braze_bridge.reasons import Reason
from braze_delivery.batch import SHORT_RETRY
from braze_delivery.entry import BatchEntry
from braze_delivery.parking import job_records, message_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braze_bridge.gate.port import Admission
    from braze_bridge.handlers import SqsMessage
    from braze_bridge.ledger.port import PersonKey, PersonState
    from braze_delivery.batch import Batch

RETENTION_SHARE: Final = 0.75
"""A job older than this share of the retention is parked: SQS deletes expired messages silently."""

KEY_REASONS: Final = frozenset({"key_refused", "permission_missing"})
"""Closings that only a person with access to Braze can end."""

EXPIRED: Final = Reason(code="expired", detail="waited for most of the queue's retention")

_PERSON_FULL: Final = Reason(
    code="person_full", detail="more is remembered of this person than the ledger holds for one"
)


def read_jobs(batch: Batch) -> list[BatchEntry]:
    """Read the messages. Those that are no job, or not their sender's, are to be parked."""
    entries = []
    for position, message in enumerate(batch.messages):
        try:
            job = parse_job(message.body)
        except LaterJobError as error:
            _keep_later_job(batch, message, error.received_at)
        except UnreadableJobError as error:
            reasons = tuple(
                Reason(code="unreadable_job", field=where, detail=what)
                for where, what in error.reasons
            )
            batch.unreadable.append((message, message_records(message, reasons, batch.now)))
        else:
            entry = BatchEntry(position, job, job.user.key)
            refusal = batch.ports.senders.refusal(job, message.sender_id)
            if refusal is not None:
                entry.rows = job_records(job, (refusal,), batch.now, "~sender")
            entries.append(entry)
    if entries:
        oldest = min(entry.job.received_at for entry in entries)
        batch.result.oldest_wait = max((batch.now - oldest).total_seconds(), 0.0)
    return entries


def _keep_later_job(batch: Batch, message: SqsMessage, received_at: datetime | None) -> None:
    """Wait for newer code, as during a canary or after a rollback. Only age parks the job."""
    sent_at = batch.now
    if message.sent_at is not None:
        sent_at = datetime.fromtimestamp(message.sent_at, UTC)
    if is_expired(batch, received_at or sent_at):
        batch.unreadable.append((message, message_records(message, (EXPIRED,), batch.now)))
    else:
        batch.hold_up("later version")
        batch.send_back(message, batch.growing(message))


def is_expired(batch: Batch, since: datetime) -> bool:
    """Check whether SQS could soon delete a message silently."""
    return since < batch.now - batch.ports.retention * RETENTION_SHARE


def without_expired(batch: Batch, entries: Sequence[BatchEntry]) -> list[BatchEntry]:
    """Return the jobs that are young enough; the others are to be parked."""
    fresh = []
    for entry in entries:
        if entry.rows:
            continue  # refused when it was read
        if is_expired(batch, entry.job.received_at):
            entry.rows = job_records(entry.job, (EXPIRED,), batch.now, "~expired")
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


def lease_people(batch: Batch, entries: Sequence[BatchEntry]) -> tuple[Leases, list[BatchEntry]]:
    """Lease the people of the jobs.

    Returns:
        The leases, and the jobs to send: of a leased person, and no duplicates.
    """
    try:
        leases = batch.ports.ledger.lease([entry.job for entry in entries])
    except LedgerUnavailableError as error:
        for entry in entries:
            entry.wait(batch.growing(batch.messages[entry.position]))
        batch.hold_up(f"ledger: {error}", len(entries))
        return Leases(states={}, busy={}), []
    for code, count in leases.store_errors.items():
        batch.hold_up(f"ledger: {code}", count)
    if leases.busy:
        batch.hold_up("busy", len(leases.busy))
    leased = []
    seen: set[tuple[PersonKey, str]] = set()
    for entry in entries:
        name = entry.key, entry.job.job_id
        state = leases.states.get(entry.key)
        if entry.key in leases.full:
            # A separate row: the job's own row may contain what Braze refused.
            entry.rows = job_records(entry.job, (_PERSON_FULL,), batch.now, "~full")
        elif state is None:
            seconds = leases.busy.get(entry.key, SHORT_RETRY)
            if entry.key in leases.unanswered:
                seconds = batch.growing(batch.messages[entry.position], seconds)
            entry.wait(seconds)
        elif state.is_erased(entry.job) or entry.job.job_id in state.delivered or name in seen:
            entry.outcome = "duplicate"
            batch.result.erased += state.is_erased(entry.job)
        else:
            seen.add(name)
            leased.append(entry)
            _continue_job(batch, entry, state)
    return leases, leased


def _continue_job(batch: Batch, entry: BatchEntry, state: PersonState) -> None:
    """Take over what the ledger knows of a job that was started before."""
    progress = state.progress.get(entry.job.job_id, NO_PROGRESS)
    entry.person_exists = entry.job.user.may_create or not state.newest.keys().isdisjoint(
        entry.job.attributes
    )
    entry.attempts = progress.attempts
    entry.settled_events = progress.settled_events
    if entry.job.job_id in state.interrupted and batch.ports.on_unknown_outcome == "park":
        # An earlier invocation crashed while it held this job. Do not send its events again.
        every = frozenset(range(len(entry.job.events)))
        entry.unknown = set(every - entry.settled_events)
        entry.settled_events = every
