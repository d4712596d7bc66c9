"""The first form of a person's memory. Tables hold it, so it stays readable. Pure.

It kept each hash beside its value. Of an unsettled job it kept the positions of the settled events,
as a bitmap, and no ids of events.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 - it is an exception and reads as one
from typing import Final

_HEAD: Final = Struct("<B12sq5I")
"""Version, lease owner and end, counts of the sections."""
_MARK: Final = Struct("<Q")
_TIME: Final = Struct("<QI")
_NAME: Final = Struct("<Qq")
_PROGRESS: Final = Struct("<QIHH")
"""Short job id, epoch seconds, attempts, bytes of the bitmap that follows."""

Fields = tuple[
    bytes,
    int,
    tuple[int, ...],
    dict[int, tuple[int, int]],
    dict[int, int],
    dict[int, int],
    dict[int, int],
    dict[int, tuple[int, int]],
]


def event_of(job: int, position: int) -> int:
    """Make the hash of an event that is known by its job's hash and its position."""
    return (job + 1 + position) & (2**64 - 1)


def decode_version_1(data: bytes) -> Fields:
    """Decode the fields of :class:`braze_bridge.ledger.person_memory.PersonMemory`, but ``exists``.

    Raises:
        struct.error: It is damaged.
    """
    _, owner, until, *counts, unsettled = _HEAD.unpack_from(data)
    at = _HEAD.size
    sections = []
    for count, form in zip(counts, (_MARK, _TIME, _NAME, _TIME), strict=True):
        end = at + count * form.size
        sections.append(form.iter_unpack(data[at:end]))
        at = end
    marks, delivered, newest, interrupted = sections
    attempts: dict[int, tuple[int, int]] = {}
    counted: dict[int, int] = {}
    for _ in range(unsettled):
        job, seconds, failed, length = _PROGRESS.unpack_from(data, at)
        at += _PROGRESS.size
        bits = int.from_bytes(data[at : at + length], "little")
        at += length
        attempts[job] = seconds, failed
        settled = [event_of(job, n) for n in range(bits.bit_length()) if bits >> n & 1]
        counted |= dict.fromkeys(settled, seconds)
    if at != len(data):
        raise StructError("its length is not what its head says")
    held = tuple([mark for (mark,) in marks])
    return (
        *(owner, until, held, {name: (time, time) for name, time in newest}, dict(delivered)),
        *(counted, dict(interrupted), attempts),
    )
