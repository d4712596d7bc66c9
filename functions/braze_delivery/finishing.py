"""The last step of a batch: record what Braze took, and park what it can never take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from braze_bridge.aws.side_by_side import side_by_side
from braze_bridge.jobs.rejected import RejectedStoreUnavailableError, RowRefusedError
from braze_bridge.ledger.port import PersonState, update_only
from braze_bridge.reasons import Reason
from braze_delivery.parking import job_records, rejected_part, unknown_part

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.handlers import SqsMessage
    from braze_bridge.jobs.rejected import RejectedRecord, RejectedStore
    from braze_bridge.ledger.port import Leases, PersonKey
    from braze_delivery.batch import Batch
    from braze_delivery.entry import BatchEntry, Outcome

LONGEST_FINISH: Final = 5.5
"""Seconds for all of it, even if more are left. A store that hangs so long answers no more."""

RESERVE: Final = 0.5
"""Seconds of the invocation that are left to hide messages and to report."""

UNRECORDED_RETRY: Final = 60.0
"""Seconds after which an unrecorded job comes back. Its lease lasts about so long."""

_UNKNOWN_OUTCOME: Final = Reason(
    code="unknown_outcome", detail="the request timed out: Braze may have taken it"
)

_NO_UPDATE: Final = PersonState()

_STORED: Final = "stored"


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
    created = {entry.key for entry in leased if entry.job.user.may_create and entry.taken}
    for entry in leased:
        entry.person_exists = entry.person_exists or entry.key in created
        entry.outcome = _outcome(entry)
        entry.rows = _rows(batch, entry)
    parking = {entry.key for entry in leased if entry.rows}
    left = batch.seconds_left()
    longest = min(max(left - RESERVE, RESERVE), LONGEST_FINISH)

    def until(share: float) -> Callable[[], float]:
        return lambda: batch.seconds_left() - left + longest * share

    _record(batch, leases, leased, leases.states.keys() - parking, until(0.5))
    kept_leased = _park(batch, entries, until(0.75))
    if parking:
        _record(batch, leases, leased, parking - kept_leased, until(1))
    _retry_unrecorded(batch, leased, kept_leased)


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


def _park(
    batch: Batch, entries: Sequence[BatchEntry], seconds_left: Callable[[], float]
) -> set[PersonKey]:
    """Park all rows, side by side, until the first failure.

    Returns:
        The people whose events could not be parked. Nothing is recorded of them: the lease expires,
        and the job comes back with an unknown outcome.
    """
    waiting = [(rows, None, message) for message, rows in batch.unreadable]
    parking: list[tuple[list[RejectedRecord], BatchEntry | None, SqsMessage]] = [
        *waiting,
        *((each.rows, each, batch.messages[each.position]) for each in entries if each.rows),
    ]
    problems = side_by_side(
        lambda each: _store(batch.ports.rejected, each[0]),
        parking,
        batch.ports.tail,
        seconds_left,
        lambda problem: problem != _STORED and not isinstance(problem, RowRefusedError),
    )
    kept_leased: set[PersonKey] = set()
    for (rows, entry, message), problem in zip(parking, problems, strict=True):
        if problem == _STORED:
            batch.result.parked += [
                (row.correlation_id, row.id, row.reasons[0].code) for row in rows
            ]
            if entry is None:
                batch.result.rejected += 1
            else:
                entry.settled_events |= entry.unknown
                if not entry.unknown or not entry.open:
                    entry.outcome = "rejected"
            continue
        batch.hold_up(f"parking: {'not tried' if problem is None else problem}")
        if entry is None:
            batch.send_back(message, batch.growing(message))
        else:
            entry.outcome = "retried"
            entry.wait(batch.growing(message))
            if entry.unknown:
                kept_leased.add(entry.key)
    return kept_leased


def _store(
    store: RejectedStore, rows: Sequence[RejectedRecord]
) -> RejectedStoreUnavailableError | Literal["stored"]:
    """Store the rows of one message; return what failed, if anything."""
    try:
        for row in rows:
            store.park(row)
    except RejectedStoreUnavailableError as error:
        return error
    return _STORED


def _record(
    batch: Batch,
    leases: Leases,
    leased: Sequence[BatchEntry],
    people: Collection[PersonKey],
    seconds_left: Callable[[], float],
) -> None:
    """Record the jobs of these people, and end their leases.

    If that fails, the newest times of attributes are not remembered, and an older answer could win
    later. So the job comes back as an interrupted one: attributes are sent again, which is
    harmless, and its events follow ``on_unknown_outcome``. A job without attributes has no such
    times, so it is done.
    """
    updates = dict.fromkeys(people, _NO_UPDATE)
    for entry in leased:
        if entry.key in updates:
            updates[entry.key] = _updated(updates[entry.key], entry)
    _retry_unrecorded(batch, leased, batch.ports.ledger.record(leases, updates, seconds_left))


def _retry_unrecorded(
    batch: Batch, leased: Sequence[BatchEntry], people: Collection[PersonKey]
) -> None:
    batch.result.unrecorded += len(people)
    for entry in leased:
        if entry.key in people and entry.attributes_sent:
            entry.outcome = "retried"
            entry.wait(UNRECORDED_RETRY)


def _updated(known: PersonState, entry: BatchEntry) -> PersonState:
    """Add one job's outcome to the update of its person."""
    job = entry.job
    newest: Mapping[str, datetime] = known.newest
    exists = known.exists or (entry.taken and job.user.may_create)
    if entry.attributes_sent:
        names = job.attributes if entry.person_exists else map(update_only, job.attributes)
        sent = dict.fromkeys(names, job.occurred_at)
        newest = sent if not newest else _later_of(newest, sent)
    if entry.outcome != "retried":
        # Also a rejected job: its row is the only copy, and a vendor's resend is a duplicate.
        delivered = known.delivered | {job.job_id}
        return replace(known, delivered=delivered, newest=newest, exists=exists)
    return replace(
        known,
        newest=newest,
        attempts={**known.attempts, job.job_id: entry.attempts + entry.tried},
        counted=known.counted.union(job.once_ids[each] for each in entry.settled_events),
        exists=exists,
    )


def _later_of(
    known: Mapping[str, datetime], sent: Mapping[str, datetime]
) -> Mapping[str, datetime]:
    return {**known} | {
        name: at for name, at in sent.items() if name not in known or at > known[name]
    }
