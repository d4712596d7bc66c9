"""The ledger that all Lambdas share, in memory: the real rules over a dict."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from braze_bridge.ledger.port import CALL_SECONDS, Leases, PersonState
from braze_bridge.ledger.shared import CONFLICT, SharedLedger, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from braze_bridge.clock import Clock
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.port import PersonKey
    from braze_bridge.ledger.shared import Writes

LEASE_SECONDS = 65.0


class InMemoryMemoryStore:
    """A :class:`braze_bridge.ledger.shared.MemoryStore`, for any number of threads.

    Attributes:
        items: By id.
        calls: ``read`` or ``write`` of each call, with the number of items.
        before: Called with ``read`` or ``write`` before each call, to let other Lambdas act.
        fails: Returns the error code of an item, or ``None``; an item with a code is left alone.
        loses: The same for a write that is done, but whose answer is lost.
    """

    def __init__(self) -> None:
        self.items: dict[str, Stored] = {}
        self.calls: list[tuple[str, int]] = []
        self.before: Callable[[str], None] = lambda _: None
        self.fails: Callable[[str, str], str | None] = lambda *_: None
        self.loses: Callable[[str], str | None] = lambda _: None
        self._lock = Lock()

    def read(
        self, ids: Sequence[str], seconds_left: Callable[[], float] = lambda: CALL_SECONDS
    ) -> tuple[dict[str, Stored], dict[str, str]]:
        """See :meth:`braze_bridge.ledger.shared.MemoryStore.read`."""
        self.before("read")
        with self._lock:
            self.calls.append(("read", len(ids)))
            failed = {id_: code for id_ in ids if (code := self.fails("read", id_))}
            found = {id_: self.items[id_] for id_ in ids if id_ in self.items and id_ not in failed}
        return found, failed

    def write(
        self,
        writes: Writes,
        revision: bytes,
        expires_at: int,
        seconds_left: Callable[[], float] = lambda: CALL_SECONDS,
    ) -> dict[str, str]:
        """See :meth:`braze_bridge.ledger.shared.MemoryStore.write`."""
        self.before("write")
        refused: dict[str, str] = {}
        with self._lock:
            self.calls.append(("write", len(writes)))
            for id_, (expected, data) in writes.items():
                code = self.fails("write", id_)
                if code is None and not self.may_replace(id_, expected):
                    code = CONFLICT
                if code is None:
                    self.items[id_] = Stored(revision, data, expires_at)
                    code = self.loses(id_)
                if code is not None:
                    refused[id_] = code
        return refused

    def may_replace(self, id_: str, expected: bytes | None) -> bool:
        """Check a write's condition."""
        stored = self.items.get(id_)
        return (None if stored is None else stored.revision) == expected


class CarelessMemoryStore(InMemoryMemoryStore):
    """The negative control: it ignores conditions."""

    def may_replace(self, id_: str, expected: bytes | None) -> bool:
        return True


class InMemoryLedger(SharedLedger):
    """A ledger of one simulated Lambda; Lambdas with the same store share what they know.

    Attributes:
        store: Holds the memories; tests set its faults.
    """

    def __init__(
        self,
        clock: Clock,
        store: InMemoryMemoryStore | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.store = InMemoryMemoryStore() if store is None else store
        super().__init__(
            self.store,
            clock,
            lambda: b"the key of tests",
            lease_seconds,
            pause=lambda _: None,
            jitter=lambda: 0.5,
        )
        self._seconds = lease_seconds

    def seen_by(self, clock: Clock) -> InMemoryLedger:
        """Return the same ledger for a Lambda with another clock."""
        return InMemoryLedger(clock, self.store, self._seconds)


class NoLedger:
    """A :class:`Ledger` that knows nothing: no person is busy, no job is a duplicate.

    Attributes:
        attempts: Of every job.
    """

    def __init__(self) -> None:
        self.attempts = 0

    def lease(self, jobs: Sequence[DeliveryJob]) -> Leases:
        """Lease everyone."""
        attempts: dict[PersonKey, dict[str, int]] = {}
        for job in jobs:
            attempts.setdefault(job.user.key, {})[job.job_id] = self.attempts
        states = {key: PersonState(attempts=known) for key, known in attempts.items()}
        return Leases(states=states, busy={})

    def record(
        self,
        leases: Leases,
        updates: Mapping[PersonKey, PersonState],
        seconds_left: Callable[[], float] = lambda: CALL_SECONDS,
    ) -> frozenset[PersonKey]:
        """Forget the updates."""
        return frozenset()
