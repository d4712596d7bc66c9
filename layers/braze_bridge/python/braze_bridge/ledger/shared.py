"""The ledger that all Lambdas share: leases and memories in a store, by compare-and-swap.

Every write names the revision it replaces, so it never overwrites a concurrent write: the second
writer reads again and merges. A lease only keeps two Lambdas from *sending* for the same person.
What is *recorded* stays right without it.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.ledger.fingerprints import Fingerprints
from braze_bridge.ledger.person_memory import (
    BLANK,
    BLANK_DATA,
    OWNER_BYTES,
    RETENTION_SECONDS,
    SHORTEST_WAIT,
    Person,
    PersonMemory,
    UnreadableMemoryError,
    apply_update,
    decode,
    encode_for,
    microseconds,
    state_for,
    try_lease,
)
from braze_bridge.ledger.port import CALL_SECONDS, Leases, LedgerUnavailableError, PersonState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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


Writes = dict[str, tuple[bytes | None, bytes]]
"""Id to the revision that is replaced (``None`` if there must be no item) and the new data."""


class MemoryStore(Protocol):
    """Items by id, with conditional writes. It reports each item's failure and never raises."""

    def read(
        self, ids: Sequence[str], seconds_left: Callable[[], float]
    ) -> tuple[dict[str, Stored], dict[str, str]]:
        """Read items, consistently, until no seconds are left.

        Returns:
            Id to item, and id to error code. An id in neither has no item.
        """
        ...

    def write(
        self, writes: Writes, revision: bytes, expires_at: int, seconds_left: Callable[[], float]
    ) -> dict[str, str]:
        """Write items, each independent of the others, until no seconds are left.

        Args:
            revision: Of all of them.
            expires_at: Likewise, epoch seconds.

        Returns:
            Id to error code of each item that was not, or not surely, written;
            :data:`CONFLICT` if its condition did not hold.
        """
        ...


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
        prints = self._prints()
        owner = self._token(OWNER_BYTES)
        people = _people(jobs, prints)
        states: dict[PersonKey, PersonState] = {}
        busy: dict[PersonKey, float] = {}
        full: set[PersonKey] = set()

        def take(person: Person, now: int) -> PersonMemory | None:
            if person.memory.owner == owner:
                return None  # written before; only the answer was lost
            decision = try_lease(person, owner, now, self._lease_length)
            if isinstance(decision, PersonMemory):
                person.owner = owner
                return decision
            if decision == "delivered":
                states[person.key] = state_for(person, prints)
            elif decision == "full":
                full.add(person.key)
            else:
                busy[person.key] = decision
            return None

        open_ = {person.id: person for person in people}
        errors = self._write_all(open_, take, owner, lambda: CALL_SECONDS, read_first=True)
        held: dict[PersonKey, object] = {}
        for person in people:
            if person.memory.owner == owner:
                states[person.key] = state_for(person, prints)
                held[person.key] = person
        codes = Counter(errors.get(id_, CONFLICT) for id_ in open_)
        unanswered = {
            person.key: person if person.owner == owner else None for person in open_.values()
        }
        busy |= {key: SHORTEST_WAIT + self._jitter() for key in unanswered}
        return Leases(states, busy, frozenset(full), held, codes, unanswered)

    def record(
        self,
        leases: Leases,
        updates: Mapping[PersonKey, PersonState],
        seconds_left: Callable[[], float] = lambda: CALL_SECONDS,
    ) -> frozenset[PersonKey]:
        """See :meth:`braze_bridge.ledger.port.Ledger.record`."""
        prints = self._prints()
        revision = self._token(OWNER_BYTES)
        known = {**leases.unanswered, **leases.held}
        people = [each for key in updates if isinstance(each := known.get(key), Person)]

        def add(person: Person, now: int) -> PersonMemory | None:
            if person.revision == revision:
                return None  # written before; only the answer was lost
            return apply_update(person, updates[person.key], person.owner, now, prints)

        open_ = {person.id: person for person in people}
        # The first attempt assumes that the memory is still what we know: mostly true. Of a lease
        # without an answer it is the memory before. If this write comes first, that lease fails.
        self._write_all(open_, add, revision, seconds_left, read_first=False)
        return frozenset(person.key for person in open_.values())

    def _write_all(
        self,
        open_: dict[str, Person],
        decide: Callable[[Person, int], PersonMemory | None],
        revision: bytes,
        seconds_left: Callable[[], float],
        *,
        read_first: bool,
    ) -> dict[str, str]:
        """Decide on each person and write the result, until all are done or the attempts end.

        Args:
            open_: By id. Those that are done are removed.
            decide: Returns what to write, or ``None`` if the person is done.
            revision: Of the writes.
            seconds_left: Until it must return.
            read_first: Otherwise the first attempt relies on the people's memories as they are.

        Returns:
            Id to error code of the last attempt.
        """
        errors: dict[str, str] = {}
        attempts = self._attempts(errors)
        while open_ and seconds_left() > 0 and next(attempts, False):
            errors.clear()
            if read_first:
                errors |= self._read(open_, seconds_left)
            read_first = True
            now = microseconds(self._clock.now())
            writes: Writes = {}
            memories: dict[str, PersonMemory] = {}
            for id_, person in list(open_.items()):
                if id_ in errors:
                    continue
                memory = decide(person, now)
                if memory is None:
                    del open_[id_]
                else:
                    memories[id_] = memory
                    writes[id_] = person.revision, encode_for(person, memory)
            if writes:
                expires_at = now // 1_000_000 + RETENTION_SECONDS
                failed = self._store.write(writes, revision, expires_at, seconds_left)
                for id_, memory in memories.items():
                    if id_ not in failed:
                        person = open_.pop(id_)
                        person.memory, person.revision = memory, revision
                        person.data = writes[id_][1]
                errors |= failed
        return errors

    def _attempts(self, errors: Mapping[str, str]) -> Iterator[bool]:
        """Yield before each attempt. After an error of the store, wait; after a mere conflict, not.

        Args:
            errors: Of the last attempt.
        """
        until = self._monotonic() + ATTEMPT_SECONDS
        failures = conflicts = 0
        while failures < MAX_FAILED_ATTEMPTS and conflicts < MAX_CONFLICTS:
            yield True
            if all(code == CONFLICT for code in errors.values()):
                conflicts += 1  # each is another Lambda's successful write, so there are few
            else:
                pause = PAUSE * 2**failures * (0.5 + self._jitter() / 2)
                failures += 1
                if failures == MAX_FAILED_ATTEMPTS or self._monotonic() + pause >= until:
                    return
                self._pause(pause)
            if self._monotonic() >= until:
                return

    def _read(
        self, people: Mapping[str, Person], seconds_left: Callable[[], float]
    ) -> dict[str, str]:
        found, errors = self._store.read(list(people), seconds_left)
        seconds = self._clock.now().timestamp()
        for id_, person in people.items():
            person.memory, person.data, person.revision = BLANK, BLANK_DATA, None
            stored = found.get(id_)
            if stored is None:
                continue
            person.revision = stored.revision
            if stored.expires_at > seconds:
                try:
                    person.memory, person.data = decode(stored.data), stored.data
                except UnreadableMemoryError:
                    errors[id_] = UNREADABLE
        return errors

    def _prints(self) -> Fingerprints:
        if self._fingerprints is None:
            try:
                self._fingerprints = Fingerprints(self._key())
            except SecretUnavailableError as error:
                raise LedgerUnavailableError(str(error)) from None
        return self._fingerprints


def _people(jobs: Iterable[DeliveryJob], fingerprints: Fingerprints) -> list[Person]:
    """Group the jobs by person."""
    people: dict[PersonKey, Person] = {}
    for job in jobs:
        key, job_id = job.user.key, job.job_id
        person = people.get(key)
        if person is None:
            person = people[key] = Person(fingerprints.person(key), key, [], {})
        if job_id not in person.marks:
            person.jobs.append(job)
            once_ids = job.once_ids if job.events or job.objects else ()
            person.marks[job_id] = (fingerprints.job(job_id), *map(fingerprints.once, once_ids))
    return list(people.values())
