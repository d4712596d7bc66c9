"""The gate that all Lambdas share, in memory: the real rules over a dict."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from braze_bridge.gate.port import ADMITTED
from braze_bridge.gate.shared import GateStoreUnavailableError, SharedGate, StoredGate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.braze.limits import EndpointFamily
    from braze_bridge.braze.rate_limits import RateLimit
    from braze_bridge.clock import Clock
    from braze_bridge.gate.port import Admission
    from braze_bridge.gate.rules import GateState


class InMemoryGateStore:
    """A :class:`braze_bridge.gate.shared.GateStore`, for any number of threads.

    Attributes:
        items: By name.
        reads: Number of reads.
        writes: Number of successful writes.
        refusing: While true, each call fails.
        before: Called with ``read`` or ``write`` before each call, to let other Lambdas act.
    """

    def __init__(self) -> None:
        self.items: dict[str, StoredGate] = {}
        self.reads = 0
        self.writes = 0
        self.refusing = False
        self.before: Callable[[str], None] = lambda _: None
        self._lock = Lock()

    def read(self, names: Sequence[str]) -> Mapping[str, StoredGate]:
        """See :meth:`braze_bridge.gate.shared.GateStore.read`."""
        self.before("read")
        with self._lock:
            if self.refusing:
                raise GateStoreUnavailableError("refusing")
            self.reads += 1
            return {name: self.items[name] for name in names if name in self.items}

    def write(self, name: str, state: GateState, expected: bytes | None, revision: bytes) -> bool:
        """See :meth:`braze_bridge.gate.shared.GateStore.write`."""
        self.before("write")
        with self._lock:
            if self.refusing:
                raise GateStoreUnavailableError("refusing")
            if not self.may_replace(name, expected):
                return False
            self.writes += 1
            self.items[name] = StoredGate(state, revision)
            return True

    def may_replace(self, name: str, expected: bytes | None) -> bool:
        """Check the write's condition."""
        stored = self.items.get(name)
        return (None if stored is None else stored.revision) == expected


class CarelessGateStore(InMemoryGateStore):
    """The negative control: it ignores conditions."""

    def may_replace(self, name: str, expected: bytes | None) -> bool:
        return True


class InMemoryGate(SharedGate):
    """A gate of one simulated Lambda; Lambdas with the same store share it.

    Attributes:
        store: Holds the items; tests set its faults.
    """

    def __init__(
        self, clock: Clock, store: InMemoryGateStore | None = None, lambdas: int = 1
    ) -> None:
        self.store = InMemoryGateStore() if store is None else store
        self._many = lambdas
        super().__init__(self.store, clock, lambdas)

    def seen_by(self, clock: Clock) -> InMemoryGate:
        """Return the same gate for another Lambda."""
        return InMemoryGate(clock, self.store, self._many)


class NoGate:
    """A :class:`Gate` that is always open."""

    def admit(self, family: EndpointFamily) -> Admission:
        """Admit."""
        return ADMITTED

    def closed_until(self, family: EndpointFamily) -> datetime | None:
        """Never closed."""
        return None

    def may_start(self, family: EndpointFamily, in_flight: int) -> bool:
        """Allow."""
        return True

    def take_turn(self, family: EndpointFamily, until: datetime) -> bool:
        """Give every turn."""
        return True

    def record_success(self, family: EndpointFamily, rate_limit: RateLimit | None) -> None:
        """Ignore it."""

    def last_success(self, family: EndpointFamily) -> datetime | None:
        """None is known."""
        return None

    def close(self, family: EndpointFamily | None, until: datetime, reason: str) -> None:
        """Ignore it."""
