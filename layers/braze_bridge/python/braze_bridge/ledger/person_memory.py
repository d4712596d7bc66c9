"""What the ledger remembers of one person: the rules, and the bytes of the item. Pure.

People, jobs, events and attributes are stored as keyed hashes, so no name can be read back. One
person is one item of at most :data:`MAX_MEMORY_BYTES`. A person who needs more is refused: a
dropped job would count its events twice, and a dropped time would let a late answer overwrite a
newer one.

Times are integers: microseconds since 1970 (`µs`), or epoch seconds where that is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from struct import Struct, pack
from struct import error as StructError  # noqa: N812 - it is an exception and reads as one
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.ledger.port import ERASURE, PersonState, update_only
from braze_bridge.ledger.version_1 import decode_version_1

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.fingerprints import Fingerprints
    from braze_bridge.ledger.port import Moment, PersonKey

RETENTION_SECONDS: Final = 30 * 86_400
"""30 days: longer than a queue, a DLQ or a vendor's retries keep a job. Attribute times stay while
something is recorded for the person at least every 30 days."""

MAX_MEMORY_BYTES: Final = 350_000
"""DynamoDB allows 400 KB an item, names included (docs.aws.amazon.com/amazondynamodb, developer
guide, ServiceQuotas). This is about 29,000 jobs or events, or 14,000 attributes, of one person in
30 days. The rest is for what two Lambdas record at the same time after a lost lease."""

SHORTEST_WAIT: Final = 1.0
FIRST_WAIT: Final = 2.0
"""Seconds after which to ask again for a person who was leased a moment ago."""

OWNER_BYTES: Final = 12
_VERSION: Final = 3
_NO_OWNER: Final = bytes(OWNER_BYTES)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_LEASE: Final = Struct(f"<B{OWNER_BYTES}sq?I")
"""Version, lease owner and end, whether the person exists, number of marks of the lease."""
_HEAD: Final = Struct(f"{_LEASE.format}5I")
"""The same, and the counts of newest, delivered, counted, doubtful, attempts. Then come all
their hashes, and all values. Version 2 had no second time of an attribute."""
_NAME_BYTES: Final = 24
_MARK_BYTES: Final = 34
"""The most that a job, an event or an object adds: leased (8), settled or doubtful (12), tried
(14)."""

_MOST_ATTEMPTS: Final = 2**16 - 1


class UnreadableMemoryError(Exception):
    """The bytes have an unknown version or are damaged: the person cannot be leased."""


class PersonMemory(NamedTuple):
    """Everything stored of a person, by hashes. Its dicts are replaced, never changed.

    Attributes:
        owner: Random bytes of the lease request that holds the person; zeros without a lease.
        until: The lease's end, µs.
        marks: Of the events and objects that the lease was taken for.
        newest: Attribute name to the :data:`Moment` of its value, both times in µs.
        delivered: Job to the epoch second it was recorded.
        counted: Event or object to the epoch second it was recorded.
        doubtful: Event or object to the epoch second until which it may have been sent. Earlier
            code added jobs: all their events and objects are doubtful.
        attempts: Job to the epoch second of the last record, and the failed sends.
        exists: As :attr:`PersonState.exists`.
    """

    owner: bytes
    until: int
    marks: tuple[int, ...]
    newest: dict[int, tuple[int, int]]
    delivered: dict[int, int]
    counted: dict[int, int]
    doubtful: dict[int, int]
    attempts: dict[int, tuple[int, int]]
    exists: bool


BLANK: Final = PersonMemory(_NO_OWNER, 0, (), {}, {}, {}, {}, {}, exists=False)
BLANK_DATA: Final = _HEAD.pack(_VERSION, _NO_OWNER, 0, False, 0, 0, 0, 0, 0, 0)  # noqa: FBT003
_UNKNOWN: Final = PersonState()


@dataclass(slots=True, eq=False)
class Person:
    """A person whose lease some jobs need.

    Attributes:
        id: Of the item.
        jobs: Each once.
        marks: Job id to the hashes of that id and of the job's events and objects.
        memory: As last read or written.
        data: The same, encoded.
        revision: Of the item then; ``None`` if there was none.
        owner: Of the lease that was asked for; zeros before that.
    """

    id: str
    key: PersonKey
    jobs: list[DeliveryJob]
    marks: dict[str, tuple[int, ...]]
    memory: PersonMemory = BLANK
    data: bytes = BLANK_DATA
    revision: bytes | None = None
    owner: bytes = _NO_OWNER


# -- bytes -------------------------------------------------------------------------------------


@lru_cache(maxsize=2_000)
def _form(version: int, marks: int, newest: int, *others: int) -> Struct:
    hashes, moments, times = marks + newest + sum(others), newest * (version - 1), sum(others)
    return Struct(f"{_HEAD.format}{hashes}Q{moments}q{times}I{others[-1]}H")


def encode_for(person: Person, memory: PersonMemory) -> bytes:
    """Encode what the person's memory becomes. A lease changes only the beginning."""
    if memory[3:8] == person.memory[3:8] and person.data[0] == _VERSION:
        marks = memory.marks
        head = _LEASE.pack(_VERSION, memory.owner, memory.until, memory.exists, len(marks))
        counts = person.data[_LEASE.size : _HEAD.size]
        rest = person.data[_HEAD.size + 8 * len(person.memory.marks) :]
        return head + counts + pack(f"<{len(marks)}Q", *marks) + rest
    return encode(memory)


def encode(memory: PersonMemory) -> bytes:
    """Encode a memory as bytes, version 3."""
    owner, until, marks, newest, delivered, counted, doubtful, attempts, exists = memory
    counts = len(marks), len(newest), len(delivered), len(counted), len(doubtful), len(attempts)
    at, failed = zip(*attempts.values(), strict=True) if attempts else ((), ())
    # fmt: off
    return _form(_VERSION, *counts).pack(
        _VERSION, owner, until, exists, *counts,
        *marks, *newest, *delivered, *counted, *doubtful, *attempts,
        *chain.from_iterable(newest.values()),
        *delivered.values(), *counted.values(), *doubtful.values(), *at, *failed,
    )
    # fmt: on


def decode(data: bytes) -> PersonMemory:
    """Decode what :func:`encode` wrote, in this version or an earlier one.

    Raises:
        UnreadableMemoryError: A later version wrote it, or it is damaged.
    """
    version = data[0] if data else 0
    try:
        if version == 1:
            return PersonMemory(*decode_version_1(data), exists=False)
        if version not in {2, _VERSION}:
            raise UnreadableMemoryError(f"version {version}")
        _, owner, until, exists, *counts = _HEAD.unpack_from(data)
        fields = _form(version, *counts).unpack(data)
    except StructError as error:
        raise UnreadableMemoryError(str(error)) from None
    marked, named, *others = counts
    first = 4 + len(counts)
    at, value = first + marked, first + sum(counts)
    # Of a row of version 2 the next answer of the same time is newer: nothing is received earlier.
    step = version - 1
    end = value + named * step
    moments = zip(fields[value:end:step], fields[value + step - 1 : end : step], strict=True)
    newest = dict(zip(fields[at : at + named], moments, strict=True)) if named else {}
    at, value = at + named, end
    sections: list[dict[int, int]] = []
    for count in others:
        if not count:
            sections.append({})
            continue
        hashes, values = fields[at : at + count], fields[value : value + count]
        sections.append(dict(zip(hashes, values, strict=True)))
        at, value = at + count, value + count
    delivered, counted, doubtful, tried = sections
    pairs = zip(tried.items(), fields[value:], strict=True) if tried else ()
    attempts = {job: (seconds, failed) for (job, seconds), failed in pairs}
    marks = fields[first : first + marked]
    return PersonMemory(owner, until, marks, newest, delivered, counted, doubtful, attempts, exists)


# -- rules -------------------------------------------------------------------------------------


def microseconds(instant: datetime) -> int:
    """Convert an aware instant to µs."""
    return (instant - _EPOCH) // _MICROSECOND


def _seconds_after(at: int) -> int:
    """Round µs up to epoch seconds."""
    return -(-at // 1_000_000)


def try_lease(
    person: Person, owner: bytes, now: int, lease_length: int
) -> PersonMemory | float | Literal["delivered", "full"]:
    """Lease a person, unless another Lambda holds the lease.

    Args:
        person: With what is known.
        owner: Of the new lease.
        now: This Lambda's time, µs.
        lease_length: µs.

    Returns:
        The memory to write. Or, while another Lambda holds the person, the seconds after which to
        ask again. Or that every requested job is delivered, or that the item has no room.
    """
    _, until, lost, newest, delivered, counted, doubtful, attempts, exists = person.memory
    marks: list[int] = []
    is_open = False
    for each in person.marks.values():
        if each[0] not in delivered:
            is_open = True
            marks += each[1:]
    if not is_open:
        return "delivered"
    if until > now:
        return retry_after(until - now, lease_length)
    if lost:
        late = dict.fromkeys(lost, _seconds_after(until))
        doubtful = _doubtful(doubtful, late, delivered, counted)
    end = now + lease_length
    leased = PersonMemory(
        owner, end, tuple(marks), newest, delivered, counted, doubtful, attempts, exists
    )
    return leased if _fits(leased, person, now) else "full"


def retry_after(left: int, lease_length: int) -> float:
    """Compute when to ask again for a leased person.

    Most leases last for seconds, so the first retry comes soon. Then the pauses double, up to the
    end of the lease: by then its holder has crashed.

    Args:
        left: µs until the lease ends.
        lease_length: µs of a whole lease.

    Returns:
        Seconds, at least one.
    """
    age = (lease_length - left) / 1_000_000
    return max(min(max(age, FIRST_WAIT), left / 1_000_000), SHORTEST_WAIT)


def _fits(leased: PersonMemory, person: Person, now: int) -> bool:
    """Check that the item has room for everything that may be recorded for the jobs."""
    new = 0
    for job in person.jobs:
        new += len(job.attributes) * _NAME_BYTES + len(person.marks[job.job_id]) * _MARK_BYTES
    # The marks of a lost lease, 8 bytes each, become 12. So this is enough for nearly everybody.
    if 2 * len(person.data) + new <= MAX_MEMORY_BYTES:
        return True
    names = {name for job in person.jobs for name in job.attributes}
    repeated = sum(len(job.attributes) for job in person.jobs) - len(names)
    new -= repeated * _NAME_BYTES
    return size(drop_expired(leased, now)) + new <= MAX_MEMORY_BYTES


def size(memory: PersonMemory) -> int:
    """Compute the length of the encoded memory."""
    _, _, marks, newest, delivered, counted, doubtful, attempts, _ = memory
    times = len(delivered) + len(counted) + len(doubtful) + len(attempts)
    return _HEAD.size + len(marks) * 8 + len(newest) * _NAME_BYTES + times * 12 + len(attempts) * 2


def drop_expired(memory: PersonMemory, now: int) -> PersonMemory:
    """Drop what is older than 30 days. Times of attributes stay."""
    delivered, counted, doubtful, attempts = memory[4:8]
    if not (delivered or counted or doubtful or attempts):
        return memory
    limit = now // 1_000_000 - RETENTION_SECONDS
    return PersonMemory(
        *memory[:4],
        _young(delivered, limit),
        _young(counted, limit),
        _young(doubtful, limit),
        attempts and {job: each for job, each in attempts.items() if each[0] > limit},
        memory.exists,
    )


def _young(times: dict[int, int], limit: int) -> dict[int, int]:
    if times and min(times.values()) <= limit:
        return {each: at for each, at in times.items() if at > limit}
    return times


def state_for(person: Person, fingerprints: Fingerprints) -> PersonState:
    """Translate a memory back, as far as the requested jobs' own names allow."""
    _, _, _, newest, delivered, counted, doubtful, attempts, exists = person.memory
    if not (delivered or newest or counted or doubtful or attempts or exists):
        return _UNKNOWN
    marks = person.marks
    open_ = {job: each for job, each in marks.items() if each[0] not in delivered}
    return PersonState(
        frozenset(marks.keys() - open_.keys()),
        _times(newest, person.jobs, fingerprints) if newest else {},
        {job: attempts[each[0]][1] for job, each in open_.items() if each[0] in attempts},
        frozenset(
            once_id
            for job in person.jobs
            for once_id, mark in zip(job.once_ids, marks[job.job_id][1:], strict=True)
            if mark in counted
        )
        if counted
        else frozenset(),
        _doubts(doubtful, person, open_) if doubtful else {},
        exists,
        _erasure(newest, fingerprints) if newest else None,
    )


def _doubts(
    doubtful: Mapping[int, int], person: Person, open_: Mapping[str, tuple[int, ...]]
) -> dict[str, datetime]:
    """Find the doubtful events and objects of the open jobs."""
    doubts: dict[str, datetime] = {}
    for job in person.jobs:
        of_job, *marks = open_.get(job.job_id, (0,))
        for once_id, mark in zip(job.once_ids, marks, strict=False):
            at = max(doubtful.get(mark, 0), doubtful.get(of_job, 0))
            if at and mark not in person.memory.counted:
                doubts[once_id] = _EPOCH + timedelta(seconds=at)
    return doubts


def _times(
    newest: Mapping[int, tuple[int, int]], jobs: Iterable[DeliveryJob], fingerprints: Fingerprints
) -> dict[str, Moment]:
    times: dict[str, Moment] = {}
    at, moment = (0, 0), (_EPOCH, _EPOCH)  # a job's attributes share one moment
    for job in jobs:
        names = list(job.attributes)
        for item in job.objects:
            # An operator must not follow a newer plain value.
            names += item.object if item.array == "attributes" else ()
        if not job.user.may_create:
            names += [update_only(name) for name in names]
        for name, short in zip(names, fingerprints.names(names), strict=True):
            found = newest.get(short)
            if found is not None:
                if found != at:
                    occurred, received = at = found
                    moment = _instant(occurred), _instant(received)
                times[name] = moment
    return times


def _instant(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _erasure(newest: Mapping[int, tuple[int, int]], fingerprints: Fingerprints) -> datetime | None:
    """Read what :mod:`braze_bridge.ledger.erasure` wrote."""
    at = newest.get(*fingerprints.names([ERASURE]))
    return None if at is None else _instant(at[0])


def apply_update(
    person: Person, update: PersonState, owner: bytes, now: int, fingerprints: Fingerprints
) -> PersonMemory:
    """Add an update, and end the lease if the owner still holds it.

    The update is idempotent and commutes with others, so it is right after a lost lease or a lost
    answer too.

    Args:
        person: With what is known now, perhaps with another Lambda's lease.
        update: As :meth:`braze_bridge.ledger.port.Ledger.record` takes it. It is about jobs of the
            person.
        owner: Of the lease that the update was made under.
        now: The time of recording, µs.
        fingerprints: Of the ledger.
    """
    memory = drop_expired(person.memory, now)
    held_by, until, marks, newest, delivered, counted, doubtful, attempts, exists = memory
    if held_by == owner:
        held_by, until, marks = _NO_OWNER, 0, ()
    seconds = now // 1_000_000
    if update.delivered:
        delivered = dict(delivered)
        for job in update.delivered:
            delivered[person.marks[job][0]] = seconds
    if update.newest:
        newest = _newest(newest, update.newest, fingerprints)
    if update.counted:
        counted = {**counted, **dict.fromkeys(map(fingerprints.once, update.counted), seconds)}
    if attempts or update.attempts:
        tried = {person.marks[job][0]: failed for job, failed in update.attempts.items()}
        attempts = _attempts(attempts, tried, delivered, seconds)
    if doubtful or update.doubtful:
        lost = {
            fingerprints.once(once_id): _seconds_after(microseconds(at))
            for once_id, at in update.doubtful.items()
        }
        doubtful = _doubtful(doubtful, lost, delivered, counted)
    exists = exists or update.exists
    return PersonMemory(
        held_by, until, marks, newest, delivered, counted, doubtful, attempts, exists
    )


def _newest(
    known: Mapping[int, tuple[int, int]], sent: Mapping[str, Moment], fingerprints: Fingerprints
) -> dict[int, tuple[int, int]]:
    newest = dict(known)
    last: Moment | None = None
    at = (0, 0)
    for short, moment in zip(fingerprints.names(sent), sent.values(), strict=True):
        if moment is not last:  # a job's attributes share one moment
            last, at = moment, (microseconds(moment[0]), microseconds(moment[1]))
        if newest.get(short, at) <= at:
            newest[short] = at
    return newest


def _attempts(
    known: Mapping[int, tuple[int, int]],
    tried: Mapping[int, int],
    delivered: Container[int],
    seconds: int,
) -> dict[int, tuple[int, int]]:
    attempts = dict(known)
    for job, failed in tried.items():
        most = max(failed, known[job][1]) if job in known else failed
        attempts[job] = seconds, min(most, _MOST_ATTEMPTS)
    return {job: each for job, each in attempts.items() if job not in delivered}


def _doubtful(
    known: Mapping[int, int],
    lost: Mapping[int, int],
    delivered: Container[int],
    counted: Container[int],
) -> dict[int, int]:
    """Add marks with the time until which they may have been sent; drop what is settled."""
    doubtful = dict(known)
    for mark, at in lost.items():
        doubtful[mark] = max(at, doubtful.get(mark, at))
    return {
        mark: at for mark, at in doubtful.items() if mark not in delivered and mark not in counted
    }
