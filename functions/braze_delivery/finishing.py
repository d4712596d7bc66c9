"""The last step of a batch: record what Braze took, and park what it can never take."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from braze_bridge.aws.side_by_side import in_background, side_by_side
from braze_bridge.jobs.rejected import RejectedStoreUnavailableError, RowRefusedError
from braze_bridge.ledger.port import PersonState, update_only
from braze_bridge.reasons import Reason
from braze_delivery.parking import job_records, rejected_part, unknown_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet
    from concurrent.futures import Future
    from datetime import datetime

    from braze_bridge.handlers import SqsMessage
    from braze_bridge.jobs.rejected import RejectedRecord, RejectedStore
    from braze_bridge.ledger.port import Moment, PersonKey
    from braze_delivery.batch import Batch
    from braze_delivery.entry import BatchEntry, Chunk, Outcome
    from braze_delivery.leasing import LeasedChunks

LONGEST_FINISH: Final = 5.5
"""Seconds for all of it, even if more are left. A store that hangs so long answers no more."""

RESERVE: Final = 0.5
"""Seconds of the invocation that are left to hide messages and to report."""

UNRECORDED_RETRY: Final = 60.0
"""Seconds after which an unrecorded job comes back. Its lease lasts about so long."""

_UNKNOWN_OUTCOME: Final = Reason(
    code="unknown_outcome", detail="the request timed out: Braze may have taken it"
)

_STORED: Final = "stored"


class Finisher:
    """Records and parks the outcomes of a batch.

    People without anything to park are recorded first, chunk by chunk, while other chunks are being
    sent. So a slow rejected table does not delay them. Every lease ends here, also of people
    without anything to send, or that the ledger gave no answer for.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._recording: list[
            tuple[Chunk, AbstractSet[PersonKey], Future[frozenset[PersonKey]]]
        ] = []

    def record_early(self, chunk: Chunk) -> None:
        """Record a settled chunk in the background."""
        left = self._batch.seconds_left()
        until = min(left - RESERVE, LONGEST_FINISH)
        self._begin(chunk, lambda: self._batch.seconds_left() - left + until)

    def finish(self, chunks: LeasedChunks, entries: Sequence[BatchEntry]) -> None:
        """Record and park the rest.

        Args:
            chunks: The people leased.
            entries: All jobs.
        """
        batch = self._batch
        left = batch.seconds_left()
        longest = min(max(left - RESERVE, RESERVE), LONGEST_FINISH)

        def until(share: float) -> Callable[[], float]:
            return lambda: batch.seconds_left() - left + longest * share

        chunks.give_back(left - longest * 0.25)
        for chunk in chunks.taken:
            if chunk.parking is None:
                self._begin(chunk, until(0.5))
            if chunk.leases.unanswered:
                self._record(chunk, chunk.leases.unanswered.keys(), until(0.5))
        self._end_recording(until(0.5))
        _park(batch, entries, until(0.75))
        for chunk in chunks.taken:
            if chunk.parking:
                self._record(chunk, chunk.parking, until(1))
        self._end_recording(until(1))
        for chunk in chunks.taken:
            for entry, first in chunk.repeats:
                entry.wait(first.delay)
                entry.outcome = "retried" if first.outcome == "retried" else "duplicate"

    def _begin(self, chunk: Chunk, seconds_left: Callable[[], float]) -> None:
        """Decide the outcomes of a chunk's jobs, and record the people without rows to park."""
        chunk.parking = parking = set()
        for key, entries in chunk.leased.items():
            if len(entries) > 1:
                created = any(each.taken and each.job.user.may_create for each in entries)
                for entry in entries:
                    entry.person_exists = entry.person_exists or created
            for entry in entries:
                entry.outcome = _outcome(entry)
                if entry.unknown or entry.refused:
                    entry.rows = _rows(self._batch, entry)
                    if entry.rows:
                        parking.add(key)
        self._record(chunk, chunk.leases.states.keys() - parking, seconds_left)

    def _record(
        self, chunk: Chunk, people: AbstractSet[PersonKey], seconds_left: Callable[[], float]
    ) -> None:
        """Begin to record the jobs of these people, which ends their leases."""
        now = self._batch.ports.clock.now()  # until when a request may have been sent
        updates = {key: _update(chunk.leased.get(key, ()), now) for key in people}
        for key in chunk.dropped.keys() & people:
            ids = updates[key].delivered | chunk.dropped[key]
            updates[key] = replace(updates[key], delivered=ids)
        record = partial(self._batch.ports.ledger.record, chunk.leases, updates, seconds_left)
        self._recording.append((chunk, people, in_background(self._batch.ports.tail, record)))

    def _end_recording(self, seconds_left: Callable[[], float]) -> None:
        recording, self._recording = self._recording, []
        fault: Exception | None = None
        for chunk, people, future in recording:
            unrecorded = people
            try:
                unrecorded = future.result(max(seconds_left(), 0.0) + RESERVE / 2)
            except TimeoutError:
                self._batch.hold_up("ledger: no answer in time", len(people))
            except Exception as error:  # noqa: BLE001 - the others must be recorded before
                fault = error
            self._retry_unrecorded(chunk, unrecorded)
        if fault is not None:
            raise fault

    def _retry_unrecorded(self, chunk: Chunk, people: AbstractSet[PersonKey]) -> None:
        """Let jobs come back whose newest times are not remembered: an older answer could win.

        Their attributes are sent again, which is harmless, and their events are in doubt: they
        follow ``on_unknown_outcome``. A job without attributes has no such times, so it is done.
        """
        people = people & chunk.leases.states.keys()
        self._batch.result.unrecorded += len(people)
        for key in people:
            for entry in chunk.leased.get(key, ()):
                if entry.attributes_sent:
                    entry.outcome = "retried"
                    entry.wait(UNRECORDED_RETRY)


def _outcome(entry: BatchEntry) -> Outcome:
    if entry.open:
        return "retried"
    if entry.replaced_by and not all(each.attributes_sent for each in entry.replaced_by):
        return "retried"
    return "rejected" if entry.refused or entry.unknown else "delivered"


def _rows(batch: Batch, entry: BatchEntry) -> tuple[RejectedRecord, ...]:
    """Make the rows of the job's unknown and refused parts."""
    rows: list[RejectedRecord] = []
    job = batch.full_job(entry)
    if entry.unknown:
        # Parked now even if the rest of the job is retried: they must not be sent again.
        parts = sorted(entry.unknown)
        reasons = tuple(
            _UNKNOWN_OUTCOME.model_copy(update={"field": entry.name_of(part)}) for part in parts
        )
        rows += job_records(unknown_part(job, parts), reasons, batch.now)
    if entry.refused and not entry.open:
        reasons = tuple(reason for _, reason in entry.refused)
        rows += job_records(rejected_part(job, entry.refused), reasons, batch.now)
    return tuple(rows)


def _park(batch: Batch, entries: Sequence[BatchEntry], seconds_left: Callable[[], float]) -> None:
    """Park all rows, side by side, until the first failure.

    Parts that could not be parked stay in doubt, and their job comes back.
    """
    parking: list[tuple[Sequence[RejectedRecord], BatchEntry | None, SqsMessage]] = [
        *((rows, None, message) for message, rows in batch.unreadable),
        *((each.rows, each, batch.messages[each.position]) for each in entries if each.rows),
    ]
    problems = side_by_side(
        lambda each: _store(batch.ports.rejected, each[0]),
        parking,
        batch.ports.tail,
        seconds_left,
        lambda problem: problem != _STORED and not isinstance(problem, RowRefusedError),
    )
    for (rows, entry, message), problem in zip(parking, problems, strict=True):
        if problem == _STORED:
            batch.result.parked += [
                (row.correlation_id, row.id, row.reasons[0].code) for row in rows
            ]
            if entry is None:
                batch.result.rejected += 1
            else:
                entry.settled |= entry.unknown
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
                _keep_in_doubt(entry)


def _keep_in_doubt(entry: BatchEntry) -> None:
    """Settle the unknown parts in no job of the person: their rows are not stored."""
    entry.doubtful |= entry.unknown
    ids = {entry.job.once_ids[part] for part in entry.unknown}
    for each in entry.chunk.leased[entry.key]:
        if each.settled:
            own = each.job.once_ids
            each.settled = frozenset(part for part in each.settled if own[part] not in ids)


def _store(
    store: RejectedStore, rows: Sequence[RejectedRecord]
) -> RejectedStoreUnavailableError | Literal["stored"]:
    """Store the rows of one message; return what failed, if anything."""
    try:
        for row in rows:
            store.park(row)
    except RejectedStoreUnavailableError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a bug of ours; people must still be recorded
        return RejectedStoreUnavailableError(f"failed: {type(error).__name__}")
    return _STORED


def _update(entries: Sequence[BatchEntry], now: datetime) -> PersonState:
    """Make the update of one person from the outcomes of the jobs."""
    delivered: set[str] = set()
    newest: dict[str, Moment] = {}
    attempts: dict[str, int] = {}
    counted: set[str] = set()
    doubtful: dict[str, datetime] = {}
    exists = False
    for entry in entries:
        job = entry.job
        exists = exists or (entry.taken and job.user.may_create)
        if entry.attributes_sent:
            _add_times(newest, entry)
        if entry.outcome != "retried":
            # Also a rejected job: its row is the only copy, and a vendor's resend is a duplicate.
            delivered.add(job.job_id)
        else:
            attempts[job.job_id] = entry.attempts + entry.tried
        if entry.settled or entry.doubtful:
            ids = job.once_ids
            doubtful |= {ids[part]: now for part in entry.doubtful}
            # The id of a done v1 job stands for its own. What Braze refused is not among them: it
            # keeps its id when it is replayed.
            if entry.outcome == "retried" or job.schema_version != 1:
                counted |= {ids[part] for part in entry.settled}
    return PersonState(frozenset(delivered), newest, attempts, frozenset(counted), doubtful, exists)


def _add_times(newest: dict[str, Moment], entry: BatchEntry) -> None:
    at = entry.moment
    names: Iterable[str] = entry.job.attributes
    if not entry.person_exists:
        names = map(update_only, names)
    sent = dict.fromkeys(names, at)
    if newest:
        sent = {name: max(newest.get(name, at), at) for name in sent}
    newest |= sent
