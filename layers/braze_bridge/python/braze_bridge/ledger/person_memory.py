"""What the ledger remembers of one person: the rules, and the bytes of the item. Pure.

People, jobs and attributes are stored as keyed hashes, so no name can be read back. One person is
one item of at most :data:`MAX_MEMORY_BYTES`. A person who needs more is refused: a dropped job
would count its events twice, and a dropped time would let a late answer overwrite a newer one.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from enum import Enum
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is an exception and reads as one
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.ledger.port import ERASURE, JobProgress, PersonState, update_only

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.port import PersonKey

RETENTION_SECONDS: Final = 30 * 86_400
"""30 days: longer than a queue, a DLQ or a vendor's retries keep a job. Attribute times stay while
something is recorded for the person at least every 30 days."""

MAX_MEMORY_BYTES: Final = 350_000
"""DynamoDB allows 400 KB an item, names included (docs.aws.amazon.com/amazondynamodb, developer
guide, ServiceQuotas). This is about 29,000 jobs, or 21,000 attributes, of one person in 30 days.
The rest is for what two Lambdas record at the same time after a lost lease."""

SHORTEST_WAIT: Final = 1.0
FIRST_WAIT: Final = 2.0
"""Seconds after which to ask again for a person who was leased a moment ago."""

OWNER_BYTES: Final = 12
_VERSION: Final = 1
_NO_OWNER: Final = bytes(OWNER_BYTES)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_HEAD: Final = Struct(f"<B{OWNER_BYTES}sqIIIII")
"""Version, lease owner and end (µs since 1970; 0 without a lease), counts of the sections."""
_ID: Final = Struct("<Q")
_JOB: Final = Struct("<QI")
"""Short job id, epoch seconds of when it was recorded."""
_NAME: Final = Struct("<Qq")
_PROGRESS: Final = Struct("<QIHH")
"""Short job id, epoch seconds, attempts, bytes of the bitmap of settled events that follows."""

_MOST_ATTEMPTS: Final = 2**16 - 1
_NAMES_CACHED: Final = 10_000

_JOB_BYTES: Final = _JOB.size + _ID.size + _PROGRESS.size + 1
"""The most that a job of one event adds: in a lease, then in progress or delivered."""


class UnreadableMemoryError(Exception):
    """The bytes have an unknown version or are damaged: the person cannot be leased."""


class Fingerprints:
    """Keyed hashes of people, jobs and attribute names.

    Keyed, since identifiers are guessable: a reader of the table could try e-mail addresses
    against a plain hash. The key is not in the table. With another key the ledger is empty.

    Args:
        key: A secret of at most 64 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._person = hashlib.blake2b(key=key, digest_size=16, person=b"person")
        self._job = hashlib.blake2b(key=key, digest_size=8, person=b"job")
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
        digest.update(_bytes(text))
        return digest.hexdigest()

    def job(self, job_id: str) -> int:
        """Hash to 64 bits, which is unique among the jobs of one person."""
        digest = self._job.copy()
        digest.update(_bytes(job_id))
        return int.from_bytes(digest.digest(), "little")

    def names(self, attributes: Iterable[str]) -> list[int]:
        """Hash to 64 bits each. Cached, since names repeat."""
        known = self._names
        return [known.get(each) or self._new_name(each) for each in attributes]

    def _new_name(self, attribute: str) -> int:
        digest = self._name.copy()
        digest.update(_bytes(attribute))
        short = int.from_bytes(digest.digest(), "little")
        if len(self._names) < _NAMES_CACHED:
            self._names[attribute] = short
        return short


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Lease(NamedTuple):
    """One Lambda's right to send for a person.

    Attributes:
        owner: Random bytes of one lease request.
        until: µs since 1970.
        jobs: Short ids of the jobs it was taken for.
    """

    owner: bytes
    until: int
    jobs: tuple[int, ...]


class StoredProgress(NamedTuple):
    """Progress of a job, as stored.

    Attributes:
        at: Epoch seconds of the last update.
        settled: Bitmap of the settled events' positions, least significant bit first.
    """

    at: int
    attempts: int
    settled: bytes


_NO_STORED_PROGRESS: Final = StoredProgress(0, 0, b"")


class PersonMemory(NamedTuple):
    """Everything stored of a person. Its dicts are replaced, never changed.

    Attributes:
        delivered: Short job id to the epoch second it was recorded.
        newest: Short attribute name to µs since 1970.
        interrupted: Short job id to the epoch second its expired lease was found.
        progress: By short job id.
    """

    lease: Lease | None
    delivered: dict[int, int]
    newest: dict[int, int]
    interrupted: dict[int, int]
    progress: dict[int, StoredProgress]


BLANK: Final = PersonMemory(None, {}, {}, {}, {})
_UNKNOWN: Final = PersonState()


class LeaseRequest(NamedTuple):
    """The jobs for which one person is to be leased.

    Attributes:
        jobs: Each once.
        short_ids: Job id to its 64-bit hash.
    """

    person: PersonKey
    jobs: list[DeliveryJob]
    short_ids: dict[str, int]


class Moment(NamedTuple):
    """One instant in the two units used here."""

    seconds: int
    microseconds: int

    @staticmethod
    def of(instant: datetime) -> Moment:
        """Convert an aware instant."""
        microseconds = (instant - _EPOCH) // _MICROSECOND
        return Moment(microseconds // 1_000_000, microseconds)


class NoLease(Enum):
    """Why a person is not leased, besides being busy."""

    ALL_DELIVERED = "every requested job is delivered"
    FULL = "the item has no room"


# -- bytes -------------------------------------------------------------------------------------


def encode(memory: PersonMemory) -> bytes:
    """Encode a memory as bytes, version 1."""
    lease, delivered, newest, interrupted, progress = memory
    owner, until, leased = lease or (_NO_OWNER, 0, ())
    parts = [
        _HEAD.pack(
            _VERSION,
            owner,
            until,
            len(leased),
            len(delivered),
            len(newest),
            len(interrupted),
            len(progress),
        )
    ]
    if leased:
        parts += map(_ID.pack, leased)
    if delivered:
        parts += map(_JOB.pack, delivered, delivered.values())
    if newest:
        parts += map(_NAME.pack, newest, newest.values())
    if interrupted:
        parts += map(_JOB.pack, interrupted, interrupted.values())
    for job, (at, attempts, settled) in progress.items():
        parts.append(_PROGRESS.pack(job, at, attempts, len(settled)) + settled)
    return b"".join(parts)


def decode(data: bytes) -> PersonMemory:
    """Decode what :func:`encode` wrote.

    Raises:
        UnreadableMemoryError: A later version wrote it, or it is damaged.
    """
    try:
        version, owner, until, leased, delivered, newest, interrupted, progress = _HEAD.unpack_from(
            data
        )
        if version != _VERSION:
            raise UnreadableMemoryError(f"version {version}")
        jobs_at = _HEAD.size + leased * _ID.size
        names_at = jobs_at + delivered * _JOB.size
        interrupted_at = names_at + newest * _NAME.size
        progress_at = interrupted_at + interrupted * _JOB.size
        if len(data) < progress_at or (not progress and len(data) != progress_at):
            raise UnreadableMemoryError("its length is not what its head says")
        lease = None
        if owner != _NO_OWNER:
            ids = tuple([each for (each,) in _ID.iter_unpack(data[_HEAD.size : jobs_at])])
            lease = Lease(owner, until, ids)
        return PersonMemory(
            lease,
            dict(_JOB.iter_unpack(data[jobs_at:names_at])) if delivered else {},
            dict(_NAME.iter_unpack(data[names_at:interrupted_at])) if newest else {},
            dict(_JOB.iter_unpack(data[interrupted_at:progress_at])) if interrupted else {},
            _decode_progress(data, progress_at, progress) if progress else {},
        )
    except StructError as error:
        raise UnreadableMemoryError(str(error)) from None


def _decode_progress(data: bytes, start: int, count: int) -> dict[int, StoredProgress]:
    found = {}
    for _ in range(count):
        job, at, attempts, length = _PROGRESS.unpack_from(data, start)
        start += _PROGRESS.size
        found[job] = StoredProgress(at, attempts, data[start : start + length])
        start += length
    if start != len(data):
        raise UnreadableMemoryError("its length is not what its head says")
    return found


def _bitmap(positions: Iterable[int]) -> bytes:
    bits = bytearray()
    for position in positions:
        where, bit = divmod(position, 8)
        if where >= len(bits):
            bits.extend(bytes(where + 1 - len(bits)))
        bits[where] |= 1 << bit
    return bytes(bits)


def _positions(bitmap: bytes) -> frozenset[int]:
    return frozenset(
        where * 8 + bit for where, byte in enumerate(bitmap) for bit in range(8) if byte >> bit & 1
    )


def _union(first: bytes, second: bytes) -> bytes:
    merged = int.from_bytes(first, "little") | int.from_bytes(second, "little")
    return merged.to_bytes(max(len(first), len(second)), "little")


# -- rules -------------------------------------------------------------------------------------


def try_lease(
    memory: PersonMemory, request: LeaseRequest, owner: bytes, now: Moment, lease_length: int
) -> PersonMemory | float | NoLease:
    """Lease a person, unless another Lambda holds the lease.

    Args:
        memory: What is known.
        request: The jobs that need the person.
        owner: Of the new lease.
        now: This Lambda's time.
        lease_length: µs.

    Returns:
        The memory to write; or, while another Lambda holds the person, the seconds after which to
        ask again; or why no lease is given.
    """
    delivered = memory.delivered
    wanted = tuple([short for short in request.short_ids.values() if short not in delivered])
    if not wanted:
        return NoLease.ALL_DELIVERED
    interrupted = memory.interrupted
    lease = memory.lease
    if lease is not None:
        if lease.until > now.microseconds:
            return retry_after(lease.until - now.microseconds, lease_length)
        found = {job: now.seconds for job in lease.jobs if job not in delivered}
        interrupted = {**interrupted, **found}  # the latest time counts for the 30 days
    leased = PersonMemory(
        Lease(owner, now.microseconds + lease_length, wanted),
        delivered,
        memory.newest,
        interrupted,
        memory.progress,
    )
    return leased if _fits(leased, request, now) else NoLease.FULL


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


def _fits(leased: PersonMemory, request: LeaseRequest, now: Moment) -> bool:
    """Check that the item has room for everything that may be recorded for the jobs."""
    jobs = request.jobs
    _, delivered, newest, interrupted, progress = leased
    # The usual case: a thousand small entries and one ordinary job are far below the limit.
    if (
        len(jobs) == 1
        and len(delivered) + len(newest) + len(interrupted) < 1_000  # noqa: PLR2004
        and not progress
        and len(jobs[0].attributes) + len(jobs[0].events) < 1_000  # noqa: PLR2004
    ):
        return True
    size = len(encode(drop_expired(leased, now)))
    names = {name for job in jobs for name in job.attributes}
    size += len(names) * _NAME.size
    size += sum(_JOB_BYTES + len(job.events) // 8 for job in jobs)
    return size <= MAX_MEMORY_BYTES


def drop_expired(memory: PersonMemory, now: Moment) -> PersonMemory:
    """Drop jobs and progress older than 30 days."""
    limit = now.seconds - RETENTION_SECONDS
    delivered, interrupted, progress = memory.delivered, memory.interrupted, memory.progress
    if delivered and min(delivered.values()) <= limit:
        delivered = {job: at for job, at in delivered.items() if at > limit}
    if interrupted and min(interrupted.values()) <= limit:
        interrupted = {job: at for job, at in interrupted.items() if at > limit}
    if progress:
        progress = {job: each for job, each in progress.items() if each.at > limit}
    return PersonMemory(memory.lease, delivered, memory.newest, interrupted, progress)


def state_for(
    memory: PersonMemory, request: LeaseRequest, fingerprints: Fingerprints
) -> PersonState:
    """Translate a memory back, as far as the requested jobs' own names allow."""
    _, delivered, newest, interrupted, progress = memory
    if not (delivered or newest or interrupted or progress):
        return _UNKNOWN
    short_ids = request.short_ids
    times: dict[str, datetime] = {}
    if newest:
        at = instant = None
        for job in request.jobs:
            names = list(job.attributes)
            if not job.user.may_create:
                names += map(update_only, job.attributes)
            for name, each in zip(names, fingerprints.names(names), strict=True):
                found = newest.get(each)
                if found is None:
                    continue
                if found != at:
                    at, instant = found, _EPOCH + timedelta(microseconds=found)
                if instant is not None:
                    times[name] = instant
    return PersonState(
        frozenset([job for job, each in short_ids.items() if each in delivered]),
        times,
        {
            job: JobProgress(progress[each].attempts, _positions(progress[each].settled))
            for job, each in short_ids.items()
            if each in progress
        }
        if progress
        else {},
        frozenset([job for job, each in short_ids.items() if each in interrupted])
        if interrupted
        else frozenset(),
        _erasure(newest, fingerprints),
    )


def _erasure(newest: Mapping[int, int], fingerprints: Fingerprints) -> datetime | None:
    """Read what :mod:`braze_bridge.ledger.erasure` wrote."""
    at = newest.get(*fingerprints.names([ERASURE]))
    return None if at is None else _EPOCH + timedelta(microseconds=at)


def apply_update(
    memory: PersonMemory,
    update: PersonState,
    owner: bytes,
    now: Moment,
    fingerprints: Fingerprints,
) -> PersonMemory:
    """Add an update, and end the lease if the owner still holds it.

    The update is idempotent and commutes with others, so it is right after a lost lease or a lost
    answer too.

    Args:
        memory: What is known now, perhaps with another Lambda's lease.
        update: As :meth:`braze_bridge.ledger.port.Ledger.record` takes it.
        owner: Of the lease that the update was made under.
        now: The time of recording.
        fingerprints: Of the ledger.
    """
    lease, delivered, newest, interrupted, progress = memory
    if lease is not None and lease.owner == owner:
        lease = None
    if update.newest:
        newest = _newest(newest, update.newest, fingerprints)
    if update.delivered:
        done = {fingerprints.job(job): now.seconds for job in update.delivered}
        delivered = {**delivered, **done}
        if interrupted:
            interrupted = {job: at for job, at in interrupted.items() if job not in done}
        if progress:
            progress = {job: each for job, each in progress.items() if job not in done}
    if update.progress:
        gained = {fingerprints.job(job): each for job, each in update.progress.items()}
        left = {job: each for job, each in gained.items() if job not in delivered}
        progress = {**progress, **_progressed(progress, left, now)}
    return drop_expired(PersonMemory(lease, delivered, newest, interrupted, progress), now)


def _newest(
    known: Mapping[int, int], sent: Mapping[str, datetime], fingerprints: Fingerprints
) -> dict[int, int]:
    newest = dict(known)
    instant = None
    at = 0
    for short, time in zip(fingerprints.names(sent), sent.values(), strict=True):
        if time is not instant:  # a job's attributes share one time
            instant, at = time, (time - _EPOCH) // _MICROSECOND
        before = newest.get(short)
        if before is None or before < at:
            newest[short] = at
    return newest


def _progressed(
    known: Mapping[int, StoredProgress], gained: Mapping[int, JobProgress], now: Moment
) -> dict[int, StoredProgress]:
    progressed = {}
    for job, each in gained.items():
        before = known.get(job, _NO_STORED_PROGRESS)
        attempts = min(max(each.attempts, before.attempts), _MOST_ATTEMPTS)
        settled_events = _union(before.settled, _bitmap(each.settled_events))
        progressed[job] = StoredProgress(now.seconds, attempts, settled_events)
    return progressed
