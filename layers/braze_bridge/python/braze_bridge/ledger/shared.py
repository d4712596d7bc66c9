"""The ledger that Lambdas share: leases and memories kept by compare-and-swap in a store.

Every write names the revision it replaces, so nothing written meanwhile is ever overwritten: who
comes second reads again and merges. A lease is therefore no lock that must be trusted. It keeps two
Lambdas from *sending* for the same person; what is *known* stays right without it.
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
    Asked,
    Fingerprints,
    Moment,
    PersonMemory,
    Refused,
    UnreadableMemoryError,
    claimed,
    decode,
    encode,
    settled,
    state_for,
)
from braze_bridge.ledger.port import Claims, LedgerUnavailableError, PersonState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from braze_bridge.clock import Clock
    from braze_bridge.ledger.port import Claimant, PersonKey

TRIES: Final = 6
"""How often a store in trouble is asked."""

RACES: Final = 30
"""How often one call may find that others wrote first: more than there can be Lambdas at once for
the same people."""

CLAIM_SECONDS: Final = 5.0
RECORD_SECONDS: Final = 5.0
"""No further try starts after these. Recording is worth as much patience as there is: what is not
recorded may be sent twice."""

PAUSE: Final = 0.05
"""Seconds before the second try after an error of the store; doubles, with jitter."""

CONFLICT: Final = "conflict"
"""Somebody else wrote the item first."""

UNREADABLE: Final = "unreadable_memory"


class Stored(NamedTuple):
    """An item as it was read.

    Attributes:
        revision: Of the write that made it; no two writes of different memories share one.
        expires_at: Epoch seconds; the store may keep it longer.
    """

    revision: bytes
    data: bytes
    expires_at: int


class Write(NamedTuple):
    """An item to be written if nobody wrote it meanwhile.

    Attributes:
        expected: The revision it replaces, ``None`` where there must be no item.
    """

    id: str
    expected: bytes | None
    revision: bytes
    data: bytes
    expires_at: int


class Reading(NamedTuple):
    """What a store found.

    Attributes:
        found: Id to item; an id in neither has no item.
        failed: Id to the store's error code.
    """

    found: Mapping[str, Stored]
    failed: Mapping[str, str]


class MemoryStore(Protocol):
    """Items by id, with conditional writes. It reports failures item by item and never raises."""

    def read(self, ids: Sequence[str]) -> Reading:
        """Read items, consistently."""
        ...

    def write(self, writes: Sequence[Write]) -> Mapping[str, str]:
        """Write items, each for itself.

        Returns:
            Id to error code of each item that was not, or not surely, written:
            :data:`CONFLICT` where its condition did not hold.
        """
        ...


class _Held(NamedTuple):
    """A lease of ours, as :meth:`SharedLedger.record` needs it."""

    id: str
    owner: bytes
    memory: PersonMemory


class SharedLedger:
    """A :class:`braze_bridge.ledger.port.Ledger` over a :class:`MemoryStore`.

    It holds no state of its own between calls but the fingerprint cache; any number of threads may
    use it.

    Args:
        store: Where the memories are.
        clock: The Lambda's.
        key: Gives the secret of the fingerprints; called once, on first use. May raise
            :class:`SecretUnavailableError`.
        lease_seconds: As :func:`braze_bridge.ledger.port.lease_length` says.
        token: Random bytes of the asked length.
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
        self._lease = round(lease_seconds * 1_000_000)
        self._token = token
        self._monotonic = monotonic
        self._pause = pause
        self._jitter = jitter

    def claim(self, claimants: Sequence[Claimant]) -> Claims:
        """See :meth:`braze_bridge.ledger.port.Ledger.claim`."""
        claim = _Claim(claimants, self._prints(), self._token(OWNER_BYTES), self._lease)
        tries = self._tries(CLAIM_SECONDS)
        while claim.open and tries.more(claim.troubles.values()):
            reading = self._store.read(list(claim.open))
            writes = claim.look(reading, Moment.of(self._clock.now()))
            claim.written(self._store.write(writes) if writes else {})
        return claim.answer(self._jitter)

    def record(
        self, claims: Claims, learnt: Mapping[PersonKey, PersonState]
    ) -> frozenset[PersonKey]:
        """See :meth:`braze_bridge.ledger.port.Ledger.record`."""
        if not learnt:
            return frozenset()
        record = _Record(claims, learnt, self._prints(), self._token(OWNER_BYTES))
        tries = self._tries(RECORD_SECONDS)
        is_first = True
        while record.open and tries.more(record.troubles.values()):
            # At first what we wrote ourselves is taken to stand, as it mostly does.
            reading = None if is_first else self._store.read(list(record.open))
            is_first = False
            writes = record.look(reading, Moment.of(self._clock.now()))
            record.written(writes, self._store.write(writes) if writes else {})
        return frozenset(each.person for each in record.open.values())

    def _tries(self, seconds: float) -> _Tries:
        return _Tries(seconds, self._monotonic, self._pause, self._jitter)

    def _prints(self) -> Fingerprints:
        if self._fingerprints is None:
            try:
                self._fingerprints = Fingerprints(self._key())
            except SecretUnavailableError as error:
                raise LedgerUnavailableError(str(error)) from None
        return self._fingerprints


class _Claim:
    """One claim on its way.

    Attributes:
        open: Id to the jobs of each person without an answer yet.
        troubles: Id to what went wrong in the last try.
    """

    def __init__(
        self,
        claimants: Sequence[Claimant],
        fingerprints: Fingerprints,
        owner: bytes,
        lease_length: int,
    ) -> None:
        self.open = _asked(claimants, fingerprints)
        self.troubles: dict[str, str] = {}
        self._fingerprints = fingerprints
        self._owner = owner
        self._lease_length = lease_length
        self._trying: dict[str, PersonMemory] = {}
        self._states: dict[PersonKey, PersonState] = {}
        self._busy: dict[PersonKey, float] = {}
        self._full: set[PersonKey] = set()
        self._leases: dict[PersonKey, object] = {}

    def look(self, reading: Reading, now: Moment) -> list[Write]:
        """Judge what was read, and say what must be written for the leases."""
        found, failed = reading
        owner = self._owner
        expires_at = now.seconds + RETENTION_SECONDS
        self.troubles = dict(failed)
        self._trying = {}
        writes = []
        for id_, asked in list(self.open.items()):
            if id_ in failed:
                continue
            stored = found.get(id_)
            try:
                memory = _memory(stored, now)
            except UnreadableMemoryError:
                self.troubles[id_] = UNREADABLE
                continue
            if memory.lease is not None and memory.lease.owner == owner:
                self._trying[id_] = memory  # written before; only the answer was lost
                continue
            verdict = claimed(memory, asked, owner, now, self._lease_length)
            if isinstance(verdict, PersonMemory):
                expected = None if stored is None else stored.revision
                writes.append(Write(id_, expected, owner, encode(verdict), expires_at))
                self._trying[id_] = verdict
            else:
                self._not_leased(id_, memory, verdict)
        return writes

    def _not_leased(self, id_: str, memory: PersonMemory, verdict: float | Refused) -> None:
        asked = self.open.pop(id_)
        if verdict is Refused.KNOWN:
            self._states[asked.person] = state_for(memory, asked, self._fingerprints)
        elif verdict is Refused.FULL:
            self._full.add(asked.person)
        else:
            self._busy[asked.person] = verdict

    def written(self, refused: Mapping[str, str]) -> None:
        """Take in how the writes went; who was refused stays open."""
        self.troubles.update(refused)
        fingerprints, owner = self._fingerprints, self._owner
        for id_, memory in self._trying.items():
            if id_ not in refused:
                asked = self.open.pop(id_)
                self._states[asked.person] = state_for(memory, asked, fingerprints)
                self._leases[asked.person] = _Held(id_, owner, memory)

    def answer(self, jitter: Callable[[], float]) -> Claims:
        """What came of it; whoever is still open is busy.

        Raises:
            LedgerUnavailableError: Nobody got any answer.
        """
        if self.open and not (self._states or self._busy or self._full):
            raise LedgerUnavailableError(", ".join(sorted(set(self.troubles.values()))))
        counts: dict[str, int] = {}
        for id_, asked in self.open.items():
            self._busy[asked.person] = SHORTEST_WAIT + jitter()
            code = self.troubles.get(id_, CONFLICT)
            counts[code] = counts.get(code, 0) + 1
        return Claims(self._states, self._busy, frozenset(self._full), self._leases, counts)


class _Learnt(NamedTuple):
    person: PersonKey
    held: _Held
    state: PersonState


class _Record:
    """One recording on its way; as :class:`_Claim`."""

    def __init__(
        self,
        claims: Claims,
        learnt: Mapping[PersonKey, PersonState],
        fingerprints: Fingerprints,
        revision: bytes,
    ) -> None:
        self.open: dict[str, _Learnt] = {}
        for person, state in learnt.items():
            held = claims.leases.get(person)
            if isinstance(held, _Held):
                self.open[held.id] = _Learnt(person, held, state)
        self.troubles: dict[str, str] = {}
        self._fingerprints = fingerprints
        self._revision = revision

    def look(self, reading: Reading | None, now: Moment) -> list[Write]:
        """Merge into what was read, or into what was held where nothing was read yet."""
        revision, fingerprints = self._revision, self._fingerprints
        self.troubles = {}
        expires_at = now.seconds + RETENTION_SECONDS
        writes = []
        for id_, (_, held, state) in list(self.open.items()):
            memory: PersonMemory | None = held.memory
            expected: bytes | None = held.owner
            if reading is not None:
                memory, expected = self._read(id_, reading, now)
            if memory is not None:
                after = settled(memory, state, held.owner, now, fingerprints)
                writes.append(Write(id_, expected, revision, encode(after), expires_at))
        return writes

    def _read(
        self, id_: str, reading: Reading, now: Moment
    ) -> tuple[PersonMemory | None, bytes | None]:
        """The memory to merge into, and its revision; no memory where there is nothing to do."""
        if id_ in reading.failed:
            self.troubles[id_] = reading.failed[id_]
            return None, None
        stored = reading.found.get(id_)
        if stored is not None and stored.revision == self._revision:
            del self.open[id_]  # written before; only the answer was lost
            return None, None
        try:
            return _memory(stored, now), None if stored is None else stored.revision
        except UnreadableMemoryError:
            self.troubles[id_] = UNREADABLE
            return None, None

    def written(self, writes: Sequence[Write], refused: Mapping[str, str]) -> None:
        """Take in how the writes went."""
        for write in writes:
            if write.id not in refused:
                del self.open[write.id]
        self.troubles.update(refused)


class _Tries:
    """Counts tries and time, and waits between tries where the store had trouble."""

    def __init__(
        self,
        seconds: float,
        monotonic: Callable[[], float],
        pause: Callable[[float], None],
        jitter: Callable[[], float],
    ) -> None:
        self._until = monotonic() + seconds
        self._monotonic = monotonic
        self._pause = pause
        self._jitter = jitter
        self._begun = False
        self._failures = 0
        self._races = 0

    def more(self, troubles: Iterable[str]) -> bool:
        """Whether another try may start; waits before it, unless somebody was merely faster."""
        troubled = [code for code in troubles if code != CONFLICT]
        if not self._begun:
            self._begun = True
            return True
        if not troubled:
            # Each lost race is somebody else's write that went in: that cannot go on for long.
            self._races += 1
            return self._races < RACES and self._monotonic() < self._until
        self._failures += 1
        pause = PAUSE * 2 ** (self._failures - 1) * (0.5 + self._jitter() / 2)
        if self._failures == TRIES or self._monotonic() + pause >= self._until:
            return False
        self._pause(pause)
        return self._monotonic() < self._until


def _asked(claimants: Sequence[Claimant], fingerprints: Fingerprints) -> dict[str, Asked]:
    """The jobs, grouped by their person's id in the store."""
    by_person: dict[PersonKey, Asked] = {}
    for claimant in claimants:
        job = claimant.job
        person = job.user.key
        asked = by_person.get(person)
        if asked is None:
            by_person[person] = Asked(person, [job], {job.job_id: fingerprints.job(job.job_id)})
        elif job.job_id not in asked.short:
            asked.jobs.append(job)
            asked.short[job.job_id] = fingerprints.job(job.job_id)
    return {fingerprints.person(person): asked for person, asked in by_person.items()}


def _memory(stored: Stored | None, now: Moment) -> PersonMemory:
    if stored is None or stored.expires_at <= now.seconds:
        return BLANK
    return decode(stored.data)
