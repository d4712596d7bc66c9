"""The last step of a batch: record what Braze took, and park what it can never take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.jobs.rejected import RejectedStoreUnavailableError
from braze_bridge.ledger.port import JobProgress, PersonState
from braze_bridge.reasons import Reason
from braze_delivery.parking import job_records, rejected_part, unknown_part

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_bridge.ledger.port import Leases, PersonKey
    from braze_delivery.batch import Batch
    from braze_delivery.entry import BatchEntry, Outcome

SHORTEST_PARKING: Final = 1.0
"""Seconds. Parking does not start with less time."""

_UNKNOWN_OUTCOME: Final = Reason(
    code="unknown_outcome", detail="the request timed out: Braze may have taken it"
)

_NO_UPDATE: Final = PersonState()


def finish(
    batch: Batch, leases: Leases, leased: Sequence[BatchEntry], entries: Sequence[BatchEntry]
) -> None:
    """Record and park.

    People without parking are recorded first: a slow rejected table must not delay them. Every
    lease ends here, also of people without anything to send.

    Args:
        batch: Of the jobs.
        leases: Of their people.
        leased: The jobs that could be sent.
        entries: All jobs.
    """
    for entry in leased:
        entry.outcome = _outcome(entry)
        entry.rows = _rows(batch, entry)
    parking = {entry.key for entry in leased if entry.rows}
    _record(batch, leases, leased, leases.states.keys() - parking)
    kept_leased = _park(batch, entries)
    if parking:
        _record(batch, leases, leased, parking - kept_leased)


def _outcome(entry: BatchEntry) -> Outcome:
    if entry.open:
        return "retried"
    return "rejected" if entry.refused or entry.unknown else "delivered"


def _rows(batch: Batch, entry: BatchEntry) -> list[RejectedRecord]:
    """Make the rows of the job's unknown and refused parts."""
    rows: list[RejectedRecord] = []
    if entry.unknown:
        # Parked now even if the rest of the job is retried: they must not be sent again.
        events = sorted(entry.unknown)
        reasons = tuple(
            _UNKNOWN_OUTCOME.model_copy(update={"field": f"events.{index}"}) for index in events
        )
        rows += job_records(unknown_part(entry.job, events), reasons, batch.now)
    if entry.refused and not entry.open:
        reasons = tuple(reason for _, reason in entry.refused)
        rows += job_records(rejected_part(entry.job, entry.refused), reasons, batch.now)
    return rows


def _park(batch: Batch, entries: Sequence[BatchEntry]) -> set[PersonKey]:
    """Park all rows.

    Returns:
        The people whose events could not be parked. Nothing is recorded of them: the lease expires,
        and the job comes back with an unknown outcome.
    """
    kept_leased: set[PersonKey] = set()
    store = _Parking(batch)
    for message, rows in batch.unreadable:
        if store.takes(rows):
            batch.result.rejected += 1
        else:
            batch.send_back(message, batch.growing(message))
    for entry in entries:
        if not entry.rows:
            continue
        if store.takes(entry.rows):
            if not entry.open or not entry.unknown:
                entry.outcome = "rejected"
            entry.settled_events |= entry.unknown
        else:
            entry.outcome = "retried"
            entry.wait(batch.growing(batch.messages[entry.position]))
            if entry.unknown:
                kept_leased.add(entry.key)
    return kept_leased


class _Parking:
    """Stores rows until the first failure: a table that may hang gets no more time."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._fails = False

    def takes(self, rows: Sequence[RejectedRecord]) -> bool:
        """Store the rows of one message."""
        problem = "not tried"
        if not self._fails and self._batch.seconds_left() >= SHORTEST_PARKING:
            try:
                for row in rows:
                    self._batch.ports.rejected.park(row)
            except RejectedStoreUnavailableError as error:
                problem = str(error)
            else:
                self._batch.result.parked += [
                    (row.correlation_id, row.id, row.reasons[0].code) for row in rows
                ]
                return True
        self._fails = True
        self._batch.hold_up(f"parking: {problem}")
        return False


def _record(
    batch: Batch, leases: Leases, leased: Sequence[BatchEntry], people: Collection[PersonKey]
) -> None:
    """Record the jobs of these people, and end their leases."""
    updates = dict.fromkeys(people, _NO_UPDATE)
    for entry in leased:
        if entry.key in updates:
            updates[entry.key] = _updated(updates[entry.key], entry)
    batch.result.unrecorded += len(batch.ports.ledger.record(leases, updates))


def _updated(known: PersonState, entry: BatchEntry) -> PersonState:
    """Add one job's outcome to the update of its person."""
    job = entry.job
    newest: Mapping[str, datetime] = known.newest
    if entry.attributes_sent:
        sent = dict.fromkeys(job.attributes, job.occurred_at)
        newest = sent if not newest else _later_of(newest, sent)
    if entry.outcome != "retried":
        # Also a rejected job: its row is the only copy, and a vendor's resend is a duplicate.
        return PersonState(known.delivered | {job.job_id}, newest, known.progress)
    progress = JobProgress(entry.attempts + entry.tried, entry.settled_events)
    return PersonState(known.delivered, newest, {**known.progress, job.job_id: progress})


def _later_of(
    known: Mapping[str, datetime], sent: Mapping[str, datetime]
) -> Mapping[str, datetime]:
    return {**known} | {
        name: at for name, at in sent.items() if name not in known or at > known[name]
    }
