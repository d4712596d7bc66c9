"""What the ledger keeps of an erased person: the time, and what was settled.

So neither a job that still waits in a queue nor a vendor's resend of a settled or dropped job
makes the deleted profile again. An answer that nobody processed before is new.
Only keyed hashes and times stay, for 30 days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from braze_bridge.ledger.person_memory import BLANK, microseconds
from braze_bridge.ledger.port import ERASURE

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.ledger.fingerprints import Fingerprints
    from braze_bridge.ledger.person_memory import PersonMemory


def erase(memory: PersonMemory, at: datetime, fingerprints: Fingerprints) -> PersonMemory:
    """Forget a person, except for the time of the erasure and what was settled."""
    (name,) = fingerprints.names([ERASURE])
    return _left(memory, {name: (microseconds(at), 0)})


def is_only_erased(memory: PersonMemory, fingerprints: Fingerprints) -> bool:
    """Check whether a memory holds no more than :func:`erase` leaves."""
    (name,) = fingerprints.names([ERASURE])
    return memory == _left(memory, {name: memory.newest.get(name, (0, 0))})


def _left(memory: PersonMemory, newest: dict[int, tuple[int, int]]) -> PersonMemory:
    return BLANK._replace(delivered=memory.delivered, counted=memory.counted, newest=newest)
