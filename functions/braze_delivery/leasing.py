"""The second step of a batch: lease its people, chunk by chunk."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from concurrent.futures import CancelledError
from contextlib import suppress
from itertools import accumulate, islice
from math import ceil
from typing import TYPE_CHECKING, Final, cast

from braze_bridge.aws.side_by_side import in_background
from braze_bridge.ledger.port import LedgerUnavailableError
from braze_bridge.reasons import Reason
from braze_delivery.batch import DEADLINE_MARGIN, SHORT_RETRY
from braze_delivery.entry import Chunk
from braze_delivery.look_ups import verify
from braze_delivery.parking import job_records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.port import Leases, PersonKey, PersonState
    from braze_delivery.batch import Batch
    from braze_delivery.entry import BatchEntry

CHUNK_PEOPLE: Final = 225
"""At most so many people are leased and recorded in one call. By the simulation 150 to 300 are
alike (docs/decisions.md); with fewer the calls cost more than their overlap saves."""

PERSON_JOBS: Final = 300
PERSON_PARTS: Final = 4_000
"""So many jobs of a person, and so many jobs, attributes, events and objects together, are in a
batch at most. They fit the person's item: a part needs 34 of its 350,000 bytes."""

CHUNKS_AHEAD: Final = 3
"""Chunks whose leases are asked for at a time."""

_PERSON_FULL: Final = Reason(
    code="person_full", detail="more is remembered of this person than the ledger holds for one"
)


def chunks_of(batch: Batch, entries: Sequence[BatchEntry]) -> list[Chunk]:
    """Group the jobs by person, in chunks of about the same size.

    Of a person with very many jobs the first ones are taken. The others come back soon.
    """
    people: dict[PersonKey, list[BatchEntry]] = {}
    for entry in entries:
        people.setdefault(entry.key, []).append(entry)
    for key, jobs in people.items():
        if len(jobs) > 1:
            people[key] = _first(batch, jobs)
    if not people:
        return []
    size = ceil(len(people) / ceil(len(people) / CHUNK_PEOPLE))
    left = iter(people.items())
    chunks = []
    while part := dict(islice(left, size)):
        chunk = Chunk(part)
        for entry in chunk.entries:
            entry.chunk = chunk
        chunks.append(chunk)
    return chunks


def _first(batch: Batch, jobs: list[BatchEntry]) -> list[BatchEntry]:
    """Return the first jobs of a person; the others wait."""
    sizes = [
        1 + len(each.attributes) + len(each.events) + len(each.objects)
        for each in (entry.job for entry in jobs)
    ]
    most = max(bisect_right(list(accumulate(sizes)), PERSON_PARTS), 1)
    most = min(most, PERSON_JOBS)
    left = jobs[most:]
    if left:
        batch.hold_up("many jobs of a person", len(left))
    for entry in left:
        entry.wait(batch.growing(batch.messages[entry.position]))
    return jobs[:most]


class LeasedChunks:
    """Leases the chunks, in order and some ahead, while others are sent.

    Attributes:
        taken: The chunks with an answer of the ledger.
    """

    def __init__(self, batch: Batch, chunks: Sequence[Chunk]) -> None:
        self.taken: list[Chunk] = []
        self._batch = batch
        self._left = iter(chunks)
        self._ahead: deque[tuple[Chunk, Future[Leases]]] = deque()
        self._late: list[Future[Leases]] = []

    def next(self) -> Chunk | None:
        """Wait for the leases of the next chunk; ``None`` if there is no other chunk."""
        for chunk in islice(self._left, CHUNKS_AHEAD - len(self._ahead)):
            self._ahead.append((chunk, self._lease(chunk)))
        return self._take(DEADLINE_MARGIN) if self._ahead else None

    def give_back(self, reserve: float) -> None:
        """Wait for leases that are not needed, or came too late, so that they end.

        A lease that expires puts all its events in doubt, although nothing of them was sent.

        Args:
            reserve: Seconds of the invocation that must be left.
        """
        while self._ahead:
            self._take(reserve)
        for future in self._late:
            with suppress(TimeoutError, CancelledError, LedgerUnavailableError):
                leases = future.result(max(self._batch.seconds_left() - reserve, 0.0))
                self.taken.append(Chunk({}, leases))

    def _lease(self, chunk: Chunk) -> Future[Leases]:
        # The ledger reads only what a plain job and a whole one have in common.
        jobs = cast("Sequence[DeliveryJob]", [entry.job for entry in chunk.entries])
        ledger = self._batch.ports.ledger
        return in_background(self._batch.ports.tail, lambda: ledger.lease(jobs))

    def _take(self, reserve: float) -> Chunk:
        batch = self._batch
        chunk, future = self._ahead.popleft()
        problem = "no answer in time"
        try:
            chunk.leases = future.result(max(batch.seconds_left() - reserve, 0.0))
        except LedgerUnavailableError as error:
            problem = str(error)
        except TimeoutError:
            future.cancel()
            self._late.append(future)
        else:
            self.taken.append(chunk)
            _take_over(batch, chunk)
            return chunk
        for entry in chunk.entries:
            entry.wait(batch.growing(batch.messages[entry.position]))
        batch.hold_up(f"ledger: {problem}", len(chunk.entries))
        return chunk


def _take_over(batch: Batch, chunk: Chunk) -> None:
    """Decide for each job whether it is sent."""
    leases = chunk.leases
    for code, count in leases.store_errors.items():
        batch.hold_up(f"ledger: {code}", count)
    if busy := len(leases.busy) - len(leases.unanswered):
        batch.hold_up("busy", busy)
    for key, entries in chunk.people.items():
        state = leases.states.get(key)
        if state is None:
            for entry in entries:
                _wait_for_person(batch, entry, leases)
            continue
        if fresh := _fresh(batch, entries, state):
            chunk.leased[key] = fresh
    verify(batch, chunk.leased, leases.states)


def _fresh(batch: Batch, entries: Sequence[BatchEntry], state: PersonState) -> list[BatchEntry]:
    """Return the jobs of a person that are to be sent: those that are no duplicates."""
    fresh: dict[str, BatchEntry] = {}
    for entry in entries:
        job_id, chunk = entry.job.job_id, entry.chunk
        if state.is_erased(entry.job.received_at):
            entry.outcome = "duplicate"
            batch.result.erased += 1
            # A vendor's resend of it arrives later and would make the profile again.
            chunk.dropped.setdefault(entry.key, set()).add(job_id)
        elif job_id in state.delivered:
            entry.outcome = "duplicate"
        elif job_id in fresh:
            chunk.repeats.append((entry, fresh[job_id]))
        else:
            fresh[job_id] = entry
            _continue_job(batch, entry, state)
    return list(fresh.values())


def _wait_for_person(batch: Batch, entry: BatchEntry, leases: Leases) -> None:
    if entry.key in leases.full:
        # A separate row: the job's own row may contain what Braze refused.
        entry.rows = tuple(job_records(batch.full_job(entry), (_PERSON_FULL,), batch.now, "~full"))
        return
    seconds = leases.busy.get(entry.key, SHORT_RETRY)
    if entry.key in leases.unanswered:
        seconds = batch.growing(batch.messages[entry.position])
    entry.wait(seconds)


def _continue_job(batch: Batch, entry: BatchEntry, state: PersonState) -> None:
    """Take over what the ledger knows of a job that was started before."""
    job = entry.job
    entry.person_exists = job.user.may_create or state.exists
    if state.attempts:
        entry.attempts = state.attempts.get(job.job_id, 0)
    if state.counted:
        entry.settled = frozenset(
            part for part, id_ in enumerate(job.once_ids) if id_ in state.counted
        )
    if state.doubtful:
        # An earlier invocation crashed while it held them, or Braze's answer was lost. Objects are
        # sent at most once; events follow the policy.
        first = 0 if batch.ports.on_unknown_outcome == "park" else len(job.events)
        entry.unknown = frozenset(
            part
            for part, id_ in enumerate(job.once_ids)
            if part >= first and id_ in state.doubtful and part not in entry.settled
        )
        entry.settled |= entry.unknown
