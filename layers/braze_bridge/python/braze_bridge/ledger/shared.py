"""The ledger that all Lambdas share: leases and memories in a store, by compare-and-swap.

Every write names the revision it replaces, so it never overwrites a concurrent write: the second
writer reads again and merges. A lease only keeps two Lambdas from *sending* for the same person.
What is *recorded* stays right without it.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.ledger.person_memory import (
    BLANK,
    OWNER_BYTES,
    RETENTION_SECONDS,
    SHORTEST_WAIT,
    Fingerprints,
    LeaseRequest,
    Moment,
    NoLease,
    PersonMemory,
    UnreadableMemoryError,
    apply_update,
    decode,
    encode,
    state_for,
    try_lease,
)
from braze_bridge.ledger.port import CALL_SECONDS, Leases, LedgerUnavailableError, PersonState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from braze_bridge.clock import Clock
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.port import PersonKey

MAX_FAILED_ATTEMPTS: Final = 6
"""Attempts of one call while the store returns errors."""

MAX_CONFLICTS: Final = 30
"""Attempts of one call while others write first: more than there can be Lambdas at the same time
for the same people."""

ATTEMPT_SECONDS: Final = 5.0
"""No attempt starts later than this. What is not recorded may be sent twice, so recording gets as
much time as the invocation can spare."""

PAUSE: Final = 0.05
"""Seconds before the second attempt after an error of the store; doubles, with jitter."""

CONFLICT: Final = "conflict"
"""Another Lambda wrote the item first."""

UNREADABLE: Final = "unreadable_memory"


class Stored(NamedTuple):
    """An item as read.

    Attributes:
        revision: Of the last write; two different memories never share one.
        expires_at: Epoch seconds; the store may keep it longer.
    """

    revision: bytes
    data: bytes
    expires_at: int


class Write(NamedTuple):
    """An item to write if it still has the expected revision.

    Attributes:
        expected: The revision it replaces; ``None`` if there must be no item.
    """

    id: str
    expected: bytes | None
    revision: bytes
    data: bytes
    expires_at: int


class Reading(NamedTuple):
    """What a store found.

    Attributes:
        found: Id to item. An id in neither mapping has no item.
        failed: Id to the store's error code.
    """

    found: Mapping[str, Stored]
    failed: Mapping[str, str]


class MemoryStore(Protocol):
    """Items by id, with conditional writes. It reports each item's failure and never raises."""

    def read(
        self, ids: Sequence[str], seconds_left: Callable[[], float] = lambda: CALL_SECONDS
    ) -> Reading:
        """Read items, consistently, until no seconds are left."""
        ...

    def write(
        self, writes: Sequence[Write], seconds_left: Callable[[], float] = lambda: CALL_SECONDS
    ) -> Mapping[str, str]:
        """Write items, each independent of the others, until no seconds are left.

        Returns:
            Id to error code of each item that was not, or not surely, written;
            :data:`CONFLICT` if its condition did not hold.
        """
        ...


class _HeldLease(NamedTuple):
    """A lease of this Lambda, as :meth:`SharedLedger.record` needs it."""

    id: str
    owner: bytes
    memory: PersonMemory
    request: LeaseRequest


class SharedLedger:
    """A :class:`braze_bridge.ledger.port.Ledger` over a :class:`MemoryStore`. Thread-safe.

    Between calls it keeps only the cache of fingerprints.

    Args:
        store: Holds the memories.
        clock: The Lambda's.
        key: Gives the secret of the fingerprints; called once, on first use. May raise
            :class:`SecretUnavailableError`.
        lease_seconds: As :func:`braze_bridge.ledger.port.lease_length` computes it.
        token: Random bytes of the requested length.
        monotonic: Seconds.
        pause: Waits so many seconds.
        jitter: Random numbers in [0, 1).
    """

    def __init__(
        self,
        store: MemoryStore,
        clock: Clock,
        key: Callable[[], bytes],
        lease_seconds: float,
        *,
        token: Callable[[int], bytes] = os.urandom,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._clock = clock
        self._key = key
        self._fingerprints: Fingerprints | None = None
        self._lease_length = round(lease_seconds * 1_000_000)
        self._token = token
        self._monotonic = monotonic
        self._pause = pause
        self._jitter = jitter

    def lease(self, jobs: Sequence[DeliveryJob]) -> Leases:
        """See :meth:`braze_bridge.ledger.port.Ledger.lease`."""
        call = _LeaseCall(jobs, self._prints(), self._token(OWNER_BYTES), self._lease_length)
        attempts = self._attempts()
        while call.open and attempts.may_start(call.errors.values()):
            reading = self._store.read(list(call.open))
            writes = call.plan_writes(reading, Moment.of(self._clock.now()))
            call.apply_results(self._store.write(writes) if writes else {})
        return call.answer(self._jitter)

    def record(
        self,
        leases: Leases,
        updates: Mapping[PersonKey, PersonState],
        seconds_left: Callable[[], float] = lambda: CALL_SECONDS,
    ) -> frozenset[PersonKey]:
        """See :meth:`braze_bridge.ledger.port.Ledger.record`."""
        if not updates:
            return frozenset()
        call = _RecordCall(leases, updates, self._prints(), self._token(OWNER_BYTES))
        attempts = self._attempts()
        is_first = True
        while call.open and seconds_left() > 0 and attempts.may_start(call.errors.values()):
            # The first attempt assumes that our own lease is still the last write: mostly true.
            reading = None if is_first else self._store.read(list(call.open), seconds_left)
            is_first = False
            writes = call.plan_writes(reading, Moment.of(self._clock.now()))
            failed = self._store.write(writes, seconds_left) if writes else {}
            call.apply_results(writes, failed)
        return frozenset(each.person for each in call.open.values())

    def _attempts(self) -> _Attempts:
        return _Attempts(self._monotonic, self._pause, self._jitter)

    def _prints(self) -> Fingerprints:
        if self._fingerprints is None:
            try:
                self._fingerprints = Fingerprints(self._key())
            except SecretUnavailableError as error:
                raise LedgerUnavailableError(str(error)) from None
        return self._fingerprints


class _LeaseCall:
    """The state of one call of :meth:`SharedLedger.lease`.

    Attributes:
        open: Id to the request of each person without an answer yet.
        errors: Id to what failed in the last attempt.
    """

    def __init__(
        self,
        jobs: Sequence[DeliveryJob],
        fingerprints: Fingerprints,
        owner: bytes,
        lease_length: int,
    ) -> None:
        self.open = _requests(jobs, fingerprints)
        self.errors: dict[str, str] = {}
        self._fingerprints = fingerprints
        self._owner = owner
        self._lease_length = lease_length
        self._writing: dict[str, PersonMemory] = {}
        self._states: dict[PersonKey, PersonState] = {}
        self._busy: dict[PersonKey, float] = {}
        self._full: set[PersonKey] = set()
        self._held: dict[PersonKey, object] = {}

    def plan_writes(self, reading: Reading, now: Moment) -> list[Write]:
        """Decide for each person read, and return the leases to write."""
        found, failed = reading
        owner = self._owner
        expires_at = now.seconds + RETENTION_SECONDS
        self.errors = dict(failed)
        self._writing = {}
        writes = []
        for id_, request in list(self.open.items()):
            if id_ in failed:
                continue
            stored = found.get(id_)
            try:
                memory = _memory(stored, now)
            except UnreadableMemoryError:
                self.errors[id_] = UNREADABLE
                continue
            if memory.lease is not None and memory.lease.owner == owner:
                self._writing[id_] = memory  # written before; only the answer was lost
                continue
            decision = try_lease(
                memory, request, owner, now, self._lease_length, self._fingerprints
            )
            if isinstance(decision, PersonMemory):
                expected = None if stored is None else stored.revision
                writes.append(Write(id_, expected, owner, encode(decision), expires_at))
                self._writing[id_] = decision
            else:
                self._answer_without_lease(id_, memory, decision)
        return writes

    def _answer_without_lease(
        self, id_: str, memory: PersonMemory, decision: float | NoLease
    ) -> None:
        request = self.open.pop(id_)
        if decision is NoLease.ALL_DELIVERED:
            self._states[request.person] = state_for(memory, request, self._fingerprints)
        elif decision is NoLease.FULL:
            self._full.add(request.person)
        else:
            self._busy[request.person] = decision

    def apply_results(self, failed: Mapping[str, str]) -> None:
        """Keep the leases that were written; failed ones stay open."""
        self.errors.update(failed)
        for id_, memory in self._writing.items():
            if id_ not in failed:
                request = self.open.pop(id_)
                self._states[request.person] = state_for(memory, request, self._fingerprints)
                self._held[request.person] = _HeldLease(id_, self._owner, memory, request)

    def answer(self, jitter: Callable[[], float]) -> Leases:
        """Build the answer; a person still open is busy.

        Raises:
            LedgerUnavailableError: No person got an answer.
        """
        if self.open and not (self._states or self._busy or self._full):
            raise LedgerUnavailableError(", ".join(sorted(set(self.errors.values()))))
        counts: dict[str, int] = {}
        for id_, request in self.open.items():
            self._busy[request.person] = SHORTEST_WAIT + jitter()
            code = self.errors.get(id_, CONFLICT)
            counts[code] = counts.get(code, 0) + 1
        unanswered = frozenset(request.person for request in self.open.values())
        full = frozenset(self._full)
        return Leases(self._states, self._busy, full, self._held, counts, unanswered)


class _Update(NamedTuple):
    person: PersonKey
    held: _HeldLease
    state: PersonState


class _RecordCall:
    """The state of one call of :meth:`SharedLedger.record`, like :class:`_LeaseCall`."""

    def __init__(
        self,
        leases: Leases,
        updates: Mapping[PersonKey, PersonState],
        fingerprints: Fingerprints,
        revision: bytes,
    ) -> None:
        self.open: dict[str, _Update] = {}
        for person, state in updates.items():
            held = leases.held.get(person)
            if isinstance(held, _HeldLease):
                self.open[held.id] = _Update(person, held, state)
        self.errors: dict[str, str] = {}
        self._fingerprints = fingerprints
        self._revision = revision

    def plan_writes(self, reading: Reading | None, now: Moment) -> list[Write]:
        """Merge the updates into what was read, or into what was leased if nothing was read yet."""
        self.errors = {}
        expires_at = now.seconds + RETENTION_SECONDS
        writes = []
        for id_, (_, held, state) in list(self.open.items()):
            memory: PersonMemory | None = held.memory
            expected: bytes | None = held.owner
            if reading is not None:
                memory, expected = self._read(id_, reading, now)
            if memory is not None:
                after = apply_update(
                    memory, state, held.request, held.owner, now, self._fingerprints
                )
                writes.append(Write(id_, expected, self._revision, encode(after), expires_at))
        return writes

    def _read(
        self, id_: str, reading: Reading, now: Moment
    ) -> tuple[PersonMemory | None, bytes | None]:
        """Find the memory to merge into, and its revision; no memory if nothing is to be done."""
        if id_ in reading.failed:
            self.errors[id_] = reading.failed[id_]
            return None, None
        stored = reading.found.get(id_)
        if stored is not None and stored.revision == self._revision:
            del self.open[id_]  # written before; only the answer was lost
            return None, None
        try:
            return _memory(stored, now), None if stored is None else stored.revision
        except UnreadableMemoryError:
            self.errors[id_] = UNREADABLE
            return None, None

    def apply_results(self, writes: Sequence[Write], failed: Mapping[str, str]) -> None:
        """Close the updates that were written."""
        for write in writes:
            if write.id not in failed:
                del self.open[write.id]
        self.errors.update(failed)


class _Attempts:
    """Limits the attempts of one call, and waits between them after an error of the store."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        pause: Callable[[float], None],
        jitter: Callable[[], float],
    ) -> None:
        self._until = monotonic() + ATTEMPT_SECONDS
        self._monotonic = monotonic
        self._pause = pause
        self._jitter = jitter
        self._is_first = True
        self._failures = 0
        self._conflicts = 0

    def may_start(self, errors: Iterable[str]) -> bool:
        """Decide whether another attempt may start; after a mere conflict it starts at once."""
        if self._is_first:
            self._is_first = False
            return True
        if all(code == CONFLICT for code in errors):
            # Each conflict is another Lambda's successful write, so there are few.
            self._conflicts += 1
            return self._conflicts < MAX_CONFLICTS and self._monotonic() < self._until
        self._failures += 1
        pause = PAUSE * 2 ** (self._failures - 1) * (0.5 + self._jitter() / 2)
        if self._failures == MAX_FAILED_ATTEMPTS or self._monotonic() + pause >= self._until:
            return False
        self._pause(pause)
        return self._monotonic() < self._until


def _requests(jobs: Sequence[DeliveryJob], fingerprints: Fingerprints) -> dict[str, LeaseRequest]:
    """Group the jobs by their person's id in the store."""
    by_person: dict[PersonKey, LeaseRequest] = {}
    for job in jobs:
        person = job.user.key
        request = by_person.get(person)
        if request is None:
            request = by_person[person] = LeaseRequest(person, [], {})
        if job.job_id not in request.marks:
            request.jobs.append(job)
            request.marks[job.job_id] = (fingerprints.job(job.job_id),)
    return {fingerprints.person(person): request for person, request in by_person.items()}


def _memory(stored: Stored | None, now: Moment) -> PersonMemory:
    if stored is None or stored.expires_at <= now.seconds:
        return BLANK
    return decode(stored.data)
