"""What the ledger remembers of one person: the rules, and the bytes of the item. Pure.

People, jobs, events and attributes are stored as keyed hashes, so no name can be read back. One
person is one item of at most :data:`MAX_MEMORY_BYTES`. A person who needs more is refused: a
dropped job would count its events twice, and a dropped time would let a late answer overwrite a
newer one.

Times are integers: microseconds since 1970 (`µs`), or epoch seconds where that is enough.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is an exception and reads as one
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.ledger.port import ERASURE, PersonState, update_only
from braze_bridge.ledger.version_1 import decode_version_1, event_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.port import PersonKey

RETENTION_SECONDS: Final = 30 * 86_400
"""30 days: longer than a queue, a DLQ or a vendor's retries keep a job. Attribute times stay while
something is recorded for the person at least every 30 days."""

MAX_MEMORY_BYTES: Final = 350_000
"""DynamoDB allows 400 KB an item, names included (docs.aws.amazon.com/amazondynamodb, developer
guide, ServiceQuotas). This is about 29,000 jobs or events, or 21,000 attributes, of one person in
30 days. The rest is for what two Lambdas record at the same time after a lost lease."""

SHORTEST_WAIT: Final = 1.0
FIRST_WAIT: Final = 2.0
"""Seconds after which to ask again for a person who was leased a moment ago."""

OWNER_BYTES: Final = 12
_VERSION: Final = 2
_NO_OWNER: Final = bytes(OWNER_BYTES)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_HEAD: Final = Struct(f"<B{OWNER_BYTES}sq?6I")
"""Version, lease owner and end, whether the person exists, counts of: marks of the lease,
newest, delivered, counted, interrupted, attempts. Then come all their hashes, and all values."""
_NAME_BYTES: Final = 16
_MARK_BYTES: Final = 34
"""The most that a job, an event or an object adds: leased (8), interrupted (12), tried (14)."""

_MOST_ATTEMPTS: Final = 2**16 - 1
_NAMES_CACHED: Final = 10_000
_POSITION: Final = re.compile(r"(.*)#(0|[1-9][0-9]{0,5})", re.DOTALL)


class UnreadableMemoryError(Exception):
    """The bytes have an unknown version or are damaged: the person cannot be leased."""


class Fingerprints:
    """Keyed hashes of people, and 64-bit ones of jobs, events and attribute names.

    Keyed, since identifiers are guessable: a reader of the table could try e-mail addresses
    against a plain hash. The key is not in the table. With another key the ledger is empty. 64 bits
    are unique among what is stored of one person.

    Args:
        key: A secret of at most 64 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._person = hashlib.blake2b(key=key, digest_size=16, person=b"person")
        self._job = hashlib.blake2b(key=key, digest_size=8, person=b"job")
        self._once = hashlib.blake2b(key=key, digest_size=8, person=b"once")
        self._name = hashlib.blake2b(key=key, digest_size=8, person=b"attribute")
        self._names: dict[str, int] = {}

    def person(self, key: PersonKey) -> str:
        """Hash to 32 hexadecimal digits: at 128 bits no two people share an item."""
        digest = self._person.copy()
        # An alias has three parts. Their lengths keep ("a", "bc") and ("ab", "c") apart.
        text = (
            f"{key[0]}:{key[1]}"
            if len(key) == 2  # noqa: PLR2004 - a kind and a value
            else "".join([f"{len(part)}:{part}" for part in key])
        )
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def job(self, job_id: str) -> int:
        """Hash a job's id."""
        return _short(self._job, job_id)

    def once(self, once_id: str) -> int:
        """Hash an id of :attr:`DeliveryJob.once_ids`.

        Those that end with a position follow the hash of their job's id: so the positions that
        version 1 kept of a job are found, though nothing but the job's hash was stored.
        """
        if once_id[-1:].isdecimal() and (parts := _POSITION.fullmatch(once_id)):
            return event_of(_short(self._job, parts[1]), int(parts[2]))
        return _short(self._once, once_id)

    def names(self, attributes: Iterable[str]) -> list[int]:
        """Hash names of attributes. Cached, since they repeat."""
        known = self._names
        return [known.get(each) or self._new_name(each) for each in attributes]

    def _new_name(self, attribute: str) -> int:
        short = _short(self._name, attribute)
        if len(self._names) < _NAMES_CACHED:
            self._names[attribute] = short
        return short


def _short(keyed: hashlib.blake2b, text: str) -> int:
    digest = keyed.copy()
    digest.update(text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "little")


class PersonMemory(NamedTuple):
    """Everything stored of a person, by hashes. Its dicts are replaced, never changed.

    Attributes:
        owner: Random bytes of the lease request that holds the person; zeros without a lease.
        until: The lease's end, µs.
        marks: Of the jobs that the lease was taken for.
        newest: Attribute name to µs.
        delivered: Job to the epoch second it was recorded.
        counted: Event or object to the epoch second it was recorded.
        interrupted: Mark to the epoch second until which it may have been sent.
        attempts: Job to the epoch second of the last record, and the failed sends.
        exists: As :attr:`PersonState.exists`.
    """

    owner: bytes
    until: int
    marks: tuple[int, ...]
    newest: dict[int, int]
    delivered: dict[int, int]
    counted: dict[int, int]
    interrupted: dict[int, int]
    attempts: dict[int, tuple[int, int]]
    exists: bool


BLANK: Final = PersonMemory(_NO_OWNER, 0, (), {}, {}, {}, {}, {}, exists=False)
_UNKNOWN: Final = PersonState()


@dataclass(slots=True, eq=False)
class Person:
    """A person whose lease some jobs need.

    Attributes:
        id: Of the item.
        jobs: Each once.
        marks: Job id to the hashes of that id and of the job's events and objects. If one of them
            may be at Braze, that is so for every job that has it.
        memory: As last read or written.
        revision: Of the item then; ``None`` if there was none.
    """

    id: str
    key: PersonKey
    jobs: list[DeliveryJob]
    marks: dict[str, tuple[int, ...]]
    memory: PersonMemory = BLANK
    revision: bytes | None = None


# -- bytes -------------------------------------------------------------------------------------


@lru_cache(maxsize=2_000)
def _form(
    marks: int, newest: int, delivered: int, counted: int, interrupted: int, attempts: int
) -> Struct:
    times = delivered + counted + interrupted + attempts
    return Struct(f"{_HEAD.format}{marks + newest + times}Q{newest}q{times}I{attempts}H")


def encode(memory: PersonMemory) -> bytes:
    """Encode a memory as bytes, version 2."""
    owner, until, marks, newest, delivered, counted, interrupted, attempts, exists = memory
    counts = len(marks), len(newest), len(delivered), len(counted), len(interrupted), len(attempts)
    head = _VERSION, owner, until, exists, *counts
    keys = *marks, *newest, *delivered, *counted, *interrupted, *attempts
    values = *newest.values(), *delivered.values(), *counted.values(), *interrupted.values()
    if attempts:
        at, failed = zip(*attempts.values(), strict=True)
        values = *values, *at, *failed
    return _form(*counts).pack(*head, *keys, *values)


def decode(data: bytes) -> PersonMemory:
    """Decode what :func:`encode` wrote, in this version or in version 1.

    Raises:
        UnreadableMemoryError: A later version wrote it, or it is damaged.
    """
    version = data[0] if data else 0
    try:
        if version == 1:
            return PersonMemory(*decode_version_1(data), exists=False)
        if version != _VERSION:
            raise UnreadableMemoryError(f"version {version}")
        _, owner, until, exists, *counts = _HEAD.unpack_from(data)
        fields = _form(*counts).unpack(data)
    except StructError as error:
        raise UnreadableMemoryError(str(error)) from None
    at = 4 + len(counts)
    marks = fields[at : at + counts[0]]
    at += counts[0]
    total = sum(counts) - counts[0]
    sections = []
    for count in counts[1:]:
        values_at = at + total
        keys, values = fields[at : at + count], fields[values_at : values_at + count]
        sections.append(dict(zip(keys, values, strict=True)) if count else {})
        at += count
    newest, delivered, counted, interrupted, tried = sections
    failed = fields[at + total :]
    attempts = {job: (seconds, n) for (job, seconds), n in zip(tried.items(), failed, strict=True)}
    return PersonMemory(
        owner, until, marks, newest, delivered, counted, interrupted, attempts, exists
    )


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
    _, until, lost, newest, delivered, counted, interrupted, attempts, exists = person.memory
    marks: list[int] = []
    for each in person.marks.values():
        if each[0] not in delivered:
            marks += each
    if not marks:
        return "delivered"
    if until > now:
        return retry_after(until - now, lease_length)
    if lost:
        late = [(lost, _seconds_after(until))]
        interrupted = _interrupted(interrupted, late, delivered, counted)
    end = now + lease_length
    leased = PersonMemory(
        owner, end, tuple(marks), newest, delivered, counted, interrupted, attempts, exists
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
    if size(leased) + new <= MAX_MEMORY_BYTES:
        return True
    names = {name for job in person.jobs for name in job.attributes}
    repeated = sum(len(job.attributes) for job in person.jobs) - len(names)
    new -= repeated * _NAME_BYTES
    return size(drop_expired(leased, now)) + new <= MAX_MEMORY_BYTES


def size(memory: PersonMemory) -> int:
    """Compute the length of the encoded memory."""
    _, _, marks, newest, delivered, counted, interrupted, attempts, _ = memory
    times = len(delivered) + len(counted) + len(interrupted) + len(attempts)
    return _HEAD.size + len(marks) * 8 + len(newest) * 16 + times * 12 + len(attempts) * 2


def drop_expired(memory: PersonMemory, now: int) -> PersonMemory:
    """Drop what is older than 30 days. Times of attributes stay."""
    owner, until, marks, newest, delivered, counted, interrupted, attempts, exists = memory
    if not (delivered or counted or interrupted or attempts):
        return memory
    limit = now // 1_000_000 - RETENTION_SECONDS
    return PersonMemory(
        owner,
        until,
        marks,
        newest,
        _young(delivered, limit),
        _young(counted, limit),
        _young(interrupted, limit),
        attempts and {job: each for job, each in attempts.items() if each[0] > limit},
        exists,
    )


def _young(times: dict[int, int], limit: int) -> dict[int, int]:
    if times and min(times.values()) <= limit:
        return {each: at for each, at in times.items() if at > limit}
    return times


def state_for(person: Person, fingerprints: Fingerprints) -> PersonState:
    """Translate a memory back, as far as the requested jobs' own names allow."""
    _, _, _, newest, delivered, counted, interrupted, attempts, exists = person.memory
    if not (delivered or newest or counted or interrupted or attempts or exists):
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
        {
            job: _EPOCH + timedelta(seconds=max(interrupted.get(mark, 0) for mark in each))
            for job, each in open_.items()
            if not interrupted.keys().isdisjoint(each)
        }
        if interrupted
        else {},
        exists,
        _erasure(newest, fingerprints) if newest else None,
    )


def _times(
    newest: Mapping[int, int], jobs: Iterable[DeliveryJob], fingerprints: Fingerprints
) -> dict[str, datetime]:
    times: dict[str, datetime] = {}
    at, instant = 0, _EPOCH  # a job's attributes share one time
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
                    at, instant = found, _EPOCH + timedelta(microseconds=found)
                times[name] = instant
    return times


def _erasure(newest: Mapping[int, int], fingerprints: Fingerprints) -> datetime | None:
    """Read what :mod:`braze_bridge.ledger.erasure` wrote."""
    at = newest.get(*fingerprints.names([ERASURE]))
    return None if at is None else _EPOCH + timedelta(microseconds=at)


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
    held_by, until, marks, newest, delivered, counted, interrupted, attempts, exists = memory
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
    if interrupted or update.interrupted:
        lost = [
            (person.marks[job], _seconds_after(microseconds(at)))
            for job, at in update.interrupted.items()
        ]
        interrupted = _interrupted(interrupted, lost, delivered, counted)
    exists = exists or update.exists
    return PersonMemory(
        held_by, until, marks, newest, delivered, counted, interrupted, attempts, exists
    )


def _newest(
    known: Mapping[int, int], sent: Mapping[str, datetime], fingerprints: Fingerprints
) -> dict[int, int]:
    newest = dict(known)
    instant, at = _EPOCH, 0
    for short, time in zip(fingerprints.names(sent), sent.values(), strict=True):
        if time is not instant:  # a job's attributes share one time
            instant, at = time, microseconds(time)
        if short not in newest or newest[short] < at:
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


def _interrupted(
    known: Mapping[int, int],
    lost: Iterable[tuple[tuple[int, ...], int]],
    delivered: Container[int],
    counted: Container[int],
) -> dict[int, int]:
    """Add marks with the time until which they may have been sent; drop what is settled."""
    interrupted = dict(known)
    for marks, at in lost:
        for mark in marks:
            interrupted[mark] = max(at, interrupted.get(mark, at))
    return {
        mark: at
        for mark, at in interrupted.items()
        if mark not in delivered and mark not in counted
    }
