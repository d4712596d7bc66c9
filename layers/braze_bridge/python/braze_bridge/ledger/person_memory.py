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

from braze_bridge.ledger.port import PersonState, update_only

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
_VERSION: Final = 2
_NO_OWNER: Final = bytes(OWNER_BYTES)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_HEAD: Final = Struct(f"<B{OWNER_BYTES}sq?IIIIII")
"""Version, lease owner and end (µs since 1970; 0 without a lease), whether the person exists,
counts of the sections."""
_HEAD_1: Final = Struct(f"<B{OWNER_BYTES}sqIIIII")
"""Of version 1: without ``exists`` and without the section of counted ids."""
_ID: Final = Struct("<Q")
_TIME: Final = Struct("<QI")
"""Short id, epoch seconds."""
_NAME: Final = Struct("<Qq")
_ATTEMPTS: Final = Struct("<QIHH")
"""Short job id, epoch seconds, attempts, bytes of the bitmap of settled events that follows: only
version 1 made those."""

_MOST_ATTEMPTS: Final = 2**16 - 1
_NAMES_CACHED: Final = 10_000

_JOB_BYTES: Final = _ID.size + _TIME.size + _ATTEMPTS.size
"""The most that a job adds besides its events and objects: leased, interrupted, tried."""
_ONCE_BYTES: Final = _ID.size + 2 * _TIME.size
"""The most that an event or object adds: leased, interrupted, counted."""


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
        digest.update(_bytes(text))
        return digest.hexdigest()

    def job(self, job_id: str) -> int:
        """Hash to 64 bits, which is unique among the jobs of one person."""
        digest = self._job.copy()
        digest.update(_bytes(job_id))
        return int.from_bytes(digest.digest(), "little")

    def once(self, once_id: str) -> int:
        """Hash the id of an event or object to 64 bits."""
        digest = self._once.copy()
        digest.update(_bytes(once_id))
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
        marks: Of the jobs it was taken for, as :class:`LeaseRequest` has them.
    """

    owner: bytes
    until: int
    marks: tuple[int, ...]


class Attempts(NamedTuple):
    """The failed sends of a job.

    Attributes:
        at: Epoch seconds of the last update.
        settled: Bitmap of the settled events' positions, least significant bit first. Version 1
            wrote it; a lease of the job replaces it by counted ids.
    """

    at: int
    failed: int
    settled: bytes = b""


class PersonMemory(NamedTuple):
    """Everything stored of a person. Its dicts are replaced, never changed.

    Attributes:
        delivered: Short job id to the epoch second it was recorded.
        newest: Short attribute name to µs since 1970.
        counted: Short id of an event or object to the epoch second it was recorded.
        interrupted: Mark of a job to the epoch second until which it may have been sent.
        attempts: By short job id.
        exists: As :attr:`PersonState.exists`.
    """

    lease: Lease | None = None
    delivered: dict[int, int] = {}  # noqa: RUF012 - never changed
    newest: dict[int, int] = {}  # noqa: RUF012
    counted: dict[int, int] = {}  # noqa: RUF012
    interrupted: dict[int, int] = {}  # noqa: RUF012
    attempts: dict[int, Attempts] = {}  # noqa: RUF012
    exists: bool = False


BLANK: Final = PersonMemory()
_NO_ATTEMPTS: Final = Attempts(0, 0)
_UNKNOWN: Final = PersonState()


class LeaseRequest(NamedTuple):
    """The jobs for which one person is to be leased.

    Attributes:
        jobs: Each once.
        marks: Job id to its short id, followed by the short ids of its events that another job may
            share: both count as interrupted if one is.
    """

    person: PersonKey
    jobs: list[DeliveryJob]
    marks: dict[str, tuple[int, ...]]


class Moment(NamedTuple):
    """One instant in the two units used here."""

    seconds: int
    microseconds: int

    @staticmethod
    def of(instant: datetime) -> Moment:
        """Convert an aware instant."""
        microseconds = _microseconds(instant)
        return Moment(microseconds // 1_000_000, microseconds)


class NoLease(Enum):
    """Why a person is not leased, besides being busy."""

    ALL_DELIVERED = "every requested job is delivered"
    FULL = "the item has no room"


# -- bytes -------------------------------------------------------------------------------------


def encode(memory: PersonMemory) -> bytes:
    """Encode a memory as bytes, version 2."""
    lease, delivered, newest, counted, interrupted, attempts, exists = memory
    owner, until, marks = lease or (_NO_OWNER, 0, ())
    parts = [
        _HEAD.pack(
            _VERSION,
            owner,
            until,
            exists,
            len(marks),
            len(delivered),
            len(newest),
            len(counted),
            len(interrupted),
            len(attempts),
        )
    ]
    if marks:
        parts += map(_ID.pack, marks)
    if delivered:
        parts += map(_TIME.pack, delivered, delivered.values())
    if newest:
        parts += map(_NAME.pack, newest, newest.values())
    if counted:
        parts += map(_TIME.pack, counted, counted.values())
    if interrupted:
        parts += map(_TIME.pack, interrupted, interrupted.values())
    for job, (at, failed, settled) in attempts.items():
        parts.append(_ATTEMPTS.pack(job, at, failed, len(settled)) + settled)
    return b"".join(parts)


def decode(data: bytes) -> PersonMemory:
    """Decode what :func:`encode` wrote, in this version or in version 1.

    Raises:
        UnreadableMemoryError: A later version wrote it, or it is damaged.
    """
    try:
        exists, n_counted = False, 0
        if data[:1] == b"\x01":
            at = _HEAD_1.size
            _, owner, until, n_marks, n_delivered, n_newest, n_interrupted, n_attempts = (
                _HEAD_1.unpack_from(data)
            )
        else:
            at = _HEAD.size
            (
                version,
                owner,
                until,
                exists,
                n_marks,
                n_delivered,
                n_newest,
                n_counted,
                n_interrupted,
                n_attempts,
            ) = _HEAD.unpack_from(data)
            if version != _VERSION:
                raise UnreadableMemoryError(f"version {version}")
        ends = []
        for count, form in (
            (n_marks, _ID),
            (n_delivered, _TIME),
            (n_newest, _NAME),
            (n_counted, _TIME),
            (n_interrupted, _TIME),
        ):
            ends.append((at, at := at + count * form.size))
        if len(data) < at or (not n_attempts and len(data) != at):
            raise UnreadableMemoryError("its length is not what its head says")
        marks, delivered, newest, counted, interrupted = (data[a:b] for a, b in ends)
        lease = None
        if owner != _NO_OWNER:
            lease = Lease(owner, until, tuple([each for (each,) in _ID.iter_unpack(marks)]))
        return PersonMemory(
            lease,
            dict(_TIME.iter_unpack(delivered)),
            dict(_NAME.iter_unpack(newest)),
            dict(_TIME.iter_unpack(counted)),
            dict(_TIME.iter_unpack(interrupted)),
            _decode_attempts(data, at, n_attempts) if n_attempts else {},
            exists,
        )
    except StructError as error:
        raise UnreadableMemoryError(str(error)) from None


def _decode_attempts(data: bytes, start: int, count: int) -> dict[int, Attempts]:
    found = {}
    for _ in range(count):
        job, at, attempts, length = _ATTEMPTS.unpack_from(data, start)
        start += _ATTEMPTS.size
        found[job] = Attempts(at, attempts, data[start : start + length])
        start += length
    if start != len(data):
        raise UnreadableMemoryError("its length is not what its head says")
    return found


# -- rules -------------------------------------------------------------------------------------


def try_lease(
    memory: PersonMemory,
    request: LeaseRequest,
    owner: bytes,
    now: Moment,
    lease_length: int,
    fingerprints: Fingerprints,
) -> PersonMemory | float | NoLease:
    """Lease a person, unless another Lambda holds the lease.

    Args:
        memory: What is known.
        request: The jobs that need the person.
        owner: Of the new lease.
        now: This Lambda's time.
        lease_length: µs.
        fingerprints: Of the ledger.

    Returns:
        The memory to write; or, while another Lambda holds the person, the seconds after which to
        ask again; or why no lease is given.
    """
    delivered = memory.delivered
    wanted = [marks for marks in request.marks.values() if marks[0] not in delivered]
    if not wanted:
        return NoLease.ALL_DELIVERED
    lease = memory.lease
    if lease is not None:
        if lease.until > now.microseconds:
            return retry_after(lease.until - now.microseconds, lease_length)
        at = -(-lease.until // 1_000_000)
        memory = memory._replace(interrupted=_interrupted(memory, dict.fromkeys(lease.marks, at)))
    if memory.attempts:
        memory = _without_bitmaps(memory, request, fingerprints)
    marks = tuple([each for marks in wanted for each in marks])
    leased = memory._replace(lease=Lease(owner, now.microseconds + lease_length, marks))
    return leased if _fits(leased, request, now) else NoLease.FULL


def _interrupted(memory: PersonMemory, found: Mapping[int, int]) -> dict[int, int]:
    """Add interrupted marks; the later time counts."""
    interrupted = dict(memory.interrupted)
    for mark, at in found.items():
        if mark not in memory.delivered and mark not in memory.counted:
            interrupted[mark] = max(at, interrupted.get(mark, at))
    return interrupted


def _without_bitmaps(
    memory: PersonMemory, request: LeaseRequest, fingerprints: Fingerprints
) -> PersonMemory:
    """Replace the bitmaps that version 1 kept of the requested jobs by counted ids."""
    attempts, counted = dict(memory.attempts), dict(memory.counted)
    for job in request.jobs:
        short = request.marks[job.job_id][0]
        known = attempts.get(short)
        if known is not None and known.settled:
            bits = int.from_bytes(known.settled, "little")
            settled = [each for n, each in enumerate(job.once_ids) if bits >> n & 1]
            counted |= dict.fromkeys(map(fingerprints.once, settled), known.at)
            attempts[short] = Attempts(known.at, known.failed)
    return memory._replace(attempts=attempts, counted=counted)


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
    # The usual case is far below the limit.
    if (
        len(jobs) == 1
        and sum(map(len, (leased.delivered, leased.newest, leased.counted, leased.interrupted)))
        < 1_000  # noqa: PLR2004
        and not leased.attempts
        and len(jobs[0].attributes) + len(jobs[0].once_ids) < 1_000  # noqa: PLR2004
    ):
        return True
    size = len(encode(drop_expired(leased, now)))
    size += len({name for job in jobs for name in job.attributes}) * _NAME.size
    size += sum(_JOB_BYTES + _ONCE_BYTES * len(job.once_ids) for job in jobs)
    return size <= MAX_MEMORY_BYTES


def drop_expired(memory: PersonMemory, now: Moment) -> PersonMemory:
    """Drop what is older than 30 days. Times of attributes stay."""
    limit = now.seconds - RETENTION_SECONDS

    def young(times: dict[int, int]) -> dict[int, int]:
        if times and min(times.values()) <= limit:
            return {id_: at for id_, at in times.items() if at > limit}
        return times

    lease, delivered, newest, counted, interrupted, attempts, exists = memory
    if attempts:
        attempts = {job: each for job, each in attempts.items() if each.at > limit}
    return PersonMemory(
        lease, young(delivered), newest, young(counted), young(interrupted), attempts, exists
    )


def state_for(
    memory: PersonMemory, request: LeaseRequest, fingerprints: Fingerprints
) -> PersonState:
    """Translate a memory back, as far as the requested jobs' own names allow."""
    _, delivered, newest, counted, interrupted, attempts, exists = memory
    if not (any(memory[1:])):
        return _UNKNOWN
    marks = request.marks
    once_ids: frozenset[str] = frozenset()
    if counted:
        once_ids = frozenset(
            id_ for job in request.jobs for id_ in job.once_ids if fingerprints.once(id_) in counted
        )
    stopped = {
        job: max(interrupted[each] for each in each_marks if each in interrupted)
        for job, each_marks in marks.items()
        if not interrupted.keys().isdisjoint(each_marks)
    }
    return PersonState(
        frozenset([job for job, (short, *_) in marks.items() if short in delivered]),
        _times(newest, request, fingerprints) if newest else {},
        {job: attempts[each].failed for job, (each, *_) in marks.items() if each in attempts},
        once_ids,
        {job: _EPOCH + timedelta(seconds=at) for job, at in stopped.items()},
        exists,
    )


def _times(
    newest: Mapping[int, int], request: LeaseRequest, fingerprints: Fingerprints
) -> dict[str, datetime]:
    times: dict[str, datetime] = {}
    at = instant = None
    for job in request.jobs:
        names = list(job.attributes)
        for item in job.objects:
            # An operator must not follow a newer plain value.
            names += item.object if item.array == "attributes" else ()
        if not job.user.may_create:
            names += [update_only(name) for name in names]
        for name, each in zip(names, fingerprints.names(names), strict=True):
            found = newest.get(each)
            if found is None:
                continue
            if found != at:
                at, instant = found, _EPOCH + timedelta(microseconds=found)
            if instant is not None:
                times[name] = instant
    return times


def apply_update(
    memory: PersonMemory,
    update: PersonState,
    request: LeaseRequest,
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
        request: Of the lease that the update was made under.
        owner: Of that lease.
        now: The time of recording.
        fingerprints: Of the ledger.
    """
    memory = drop_expired(memory, now)
    lease, delivered, newest, counted, interrupted, attempts, exists = memory
    if lease is not None and lease.owner == owner:
        lease = None

    def marks(job: str) -> tuple[int, ...]:
        return request.marks.get(job) or (fingerprints.job(job),)

    if update.newest:
        newest = _newest(newest, update.newest, fingerprints)
    if update.counted:
        counted = {**counted, **dict.fromkeys(map(fingerprints.once, update.counted), now.seconds)}
    if update.delivered:
        done = {marks(job)[0]: now.seconds for job in update.delivered}
        delivered = {**delivered, **done}
        if attempts:
            attempts = {job: each for job, each in attempts.items() if job not in done}
    if update.attempts:
        tried = {marks(job)[0]: failed for job, failed in update.attempts.items()}
        tried = {job: failed for job, failed in tried.items() if job not in delivered}
        attempts = {**attempts, **_attempts(attempts, tried, now)}
    memory = PersonMemory(lease, delivered, newest, counted, {}, attempts, exists or update.exists)
    if interrupted or update.interrupted:
        found = [
            {mark: -(-_microseconds(at) // 1_000_000) for mark in marks(job)}
            for job, at in update.interrupted.items()
        ]
        for each in (interrupted, *found):
            memory = memory._replace(interrupted=_interrupted(memory, each))
        memory = drop_expired(memory, now)
    return memory


def _attempts(
    known: Mapping[int, Attempts], tried: Mapping[int, int], now: Moment
) -> dict[int, Attempts]:
    attempts = {}
    for job, failed in tried.items():
        before = known.get(job, _NO_ATTEMPTS)
        most = min(max(failed, before.failed), _MOST_ATTEMPTS)
        attempts[job] = Attempts(now.seconds, most, before.settled)
    return attempts


def _newest(
    known: Mapping[int, int], sent: Mapping[str, datetime], fingerprints: Fingerprints
) -> dict[int, int]:
    newest = dict(known)
    instant = None
    at = 0
    for short, time in zip(fingerprints.names(sent), sent.values(), strict=True):
        if time is not instant:  # a job's attributes share one time
            instant, at = time, _microseconds(time)
        before = newest.get(short)
        if before is None or before < at:
            newest[short] = at
    return newest


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND
