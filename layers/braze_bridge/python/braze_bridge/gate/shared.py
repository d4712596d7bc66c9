"""The gate that all Lambdas share: a few small items, changed by compare-and-swap.

A Lambda reads at the start of each batch, and between requests when its reading is half a second
old. A closing also takes time to be written. So no request starts later than one second after the
answer that closed the gate.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from braze_bridge.gate.port import ADMITTED, Admission
from braze_bridge.gate.rules import (
    OPEN,
    PACED,
    UNREADABLE,
    GateState,
    close_gate,
    end_series,
    latest,
    most_in_flight,
    note_success,
    open_gate,
    paced_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from braze_bridge.braze.limits import EndpointFamily
    from braze_bridge.braze.rate_limits import RateLimit
    from braze_bridge.clock import Clock

ALL: Final = "all"
"""Name of the item that closes all families."""

FRESH: Final = timedelta(seconds=0.5)
"""The maximum age of a reading when a request starts."""

UNREADABLE_SECONDS: Final = 5.0
"""An unreadable gate is closed for this time: another Lambda may know of a limit. Without the table
there is no ledger either."""

WRITE_TRIES: Final = 10
"""Each failed try means that another Lambda's change was written."""

SHORTEST_PACE: Final = timedelta(milliseconds=50)


class StoredGate(NamedTuple):
    """An item as read; its revision is ``None`` if there is none yet."""

    state: GateState
    revision: bytes | None


MISSING: Final = StoredGate(OPEN, None)


class GateStoreUnavailableError(Exception):
    """The items could not be read, or a write is uncertain."""


class GateStore(Protocol):
    """Holds the items."""

    def read(self, names: Sequence[str]) -> Mapping[str, StoredGate]:
        """Read items consistently. A name without an item is left out.

        Raises:
            GateStoreUnavailableError: Not all could be read.
        """
        ...

    def write(self, name: str, state: GateState, expected: bytes | None, revision: bytes) -> bool:
        """Write an item if its revision is still the expected one (``None``: no item).

        Returns:
            Whether it was written.

        Raises:
            GateStoreUnavailableError: It may or may not be written.
        """
        ...


class SharedGate:
    """A :class:`Gate` over a :class:`GateStore`, one per execution environment.

    Args:
        store: Holds the items.
        clock: The Lambda's.
        lambdas: How many Lambdas may call Braze at the same time.
        token: Random bytes of the requested length.
    """

    def __init__(
        self,
        store: GateStore,
        clock: Clock,
        lambdas: int,
        *,
        token: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._store = store
        self._clock = clock
        self._lambdas = lambdas
        self._token = token
        self._lock = Lock()
        self._known: dict[str, tuple[StoredGate, datetime]] = {}  # with the time of the reading
        self._limits: dict[str, RateLimit] = {}
        self._unwritten: dict[str, GateState] = {}
        self._unreadable_until: datetime | None = None

    # -- before a request --------------------------------------------------------------------

    def admit(self, family: EndpointFamily) -> Admission:
        """See :meth:`Gate.admit`. One consistent read."""
        with self._lock:
            self._unreadable_until = None
            now = self._clock.now()
            self._read(family, now)
            return self._closed(family, now) or ADMITTED

    def closed_until(self, family: EndpointFamily) -> datetime | None:
        """See :meth:`Gate.closed_until`. Reads if the last reading is half a second old."""
        with self._lock:
            now = self._clock.now()
            self._refresh(family, now)
            closed = self._closed(family, now)
            return None if closed is None else closed.closed_until

    def may_start(self, family: EndpointFamily, in_flight: int) -> bool:
        """See :meth:`Gate.may_start`."""
        if self.closed_until(family) is not None:
            return False
        if in_flight == 0:
            return True
        now = self._clock.now()
        if any(self._state(name).needs_probe(now) for name in (ALL, family.value)):
            return False
        limit = self._limits.get(family.value)
        most = most_in_flight(limit, now.timestamp(), self._lambdas)
        return most is None or in_flight < most

    def last_success(self, family: EndpointFamily) -> datetime | None:
        """See :meth:`Gate.last_success`. Reads if the last reading is half a second old."""
        with self._lock:
            self._refresh(family, self._clock.now())
            return self._state(family.value).last_success

    def show(self, families: Sequence[EndpointFamily]) -> dict[str, GateState]:
        """Read all stored items, for operators.

        Raises:
            GateStoreUnavailableError: They cannot be read.
        """
        names = [ALL, *(family.value for family in families)]
        return {name: stored.state for name, stored in self._store.read(names).items()}

    def take_turn(self, family: EndpointFamily, until: datetime) -> bool:
        """See :meth:`Gate.take_turn`. One conditional write decides between the Lambdas."""
        taken = False

        def turn(state: GateState) -> GateState:
            nonlocal taken
            taken = not state.is_closed(now)
            return close_gate(state, until, PACED, now) if taken else state

        with self._lock:
            now = self._clock.now()
            try:
                return self._change(family.value, now, turn) and taken
            except GateStoreUnavailableError:
                return False

    # -- after an answer ---------------------------------------------------------------------

    def record_success(self, family: EndpointFamily, rate_limit: RateLimit | None) -> None:
        """See :meth:`Gate.record_success`. Writes only changes."""
        with self._lock:
            now = self._clock.now()
            for name, rule in ((ALL, end_series), (family.value, note_success)):
                state = self._state(name)
                if rule(state, now) is not state and not self._is_unreadable(now):
                    try:
                        self._change(name, now, partial(rule, now=now))
                    except GateStoreUnavailableError:  # a later success tries it again
                        self._wait_for_store(now)
            if rate_limit is None:
                return
            known = latest(self._limits.get(family.value), rate_limit, now.timestamp())
            self._limits[family.value] = known
            reset_at = paced_until(known, now.timestamp(), self._lambdas)
            if reset_at is not None:
                until = datetime.fromtimestamp(reset_at, UTC)
                self._close(family.value, max(until, now + SHORTEST_PACE), PACED, now)

    def close(self, family: EndpointFamily | None, until: datetime, reason: str) -> None:
        """See :meth:`Gate.close`.

        It is effective in this Lambda at once. If the store fails, each later reading tries the
        write again; meanwhile the other Lambdas depend on their own answers.
        """
        with self._lock:
            self._close(ALL if family is None else family.value, until, reason, self._clock.now())

    def open(self, family: EndpointFamily | None) -> None:
        """Open a gate for an operator; the Lambdas see it within half a second.

        Args:
            family: The endpoints; ``None`` for the item of all. A family is only open if both items
                are.

        Raises:
            GateStoreUnavailableError: It may still be closed.
        """
        name = ALL if family is None else family.value
        with self._lock:
            self._unwritten.pop(name, None)
            if not self._change(name, self._clock.now(), open_gate):
                raise GateStoreUnavailableError("others keep changing it")

    # -- internal ----------------------------------------------------------------------------

    def _read(self, family: EndpointFamily, now: datetime) -> None:
        if self._is_unreadable(now):
            return
        names = (ALL, family.value)
        for name in names:
            if name in self._unwritten:
                closing = self._unwritten.pop(name)
                if closing.closed_until is not None and closing.is_closed(now):
                    self._close(name, closing.closed_until, closing.reason, now)
        if self._is_unreadable(now):
            return
        try:
            found = self._store.read(names)
        except GateStoreUnavailableError:
            self._wait_for_store(now)
            return
        self._unreadable_until = None
        for name in names:
            self._known[name] = found.get(name, MISSING), now

    def _closed(self, family: EndpointFamily, now: datetime) -> Admission | None:
        """Find the longest closing."""
        closings: list[tuple[datetime, str, datetime]] = []
        if self._unreadable_until is not None and now < self._unreadable_until:
            closings.append((self._unreadable_until, UNREADABLE, now))
        for name in (ALL, family.value):
            closings += [
                (state.closed_until, state.reason, state.since or now)
                for state in (self._state(name), self._unwritten.get(name, OPEN))
                if state.closed_until is not None and state.is_closed(now)
            ]
        return Admission(*max(closings)) if closings else None

    def _close(self, name: str, until: datetime, reason: str, now: datetime) -> None:
        closing = partial(close_gate, until=until, reason=reason, now=now)
        written = False
        if not self._is_unreadable(now):
            try:
                written = self._change(name, now, closing)
            except GateStoreUnavailableError:
                self._wait_for_store(now)
        if written:
            self._unwritten.pop(name, None)
        else:
            self._unwritten[name] = closing(self._unwritten.get(name, OPEN))

    def _is_unreadable(self, now: datetime) -> bool:
        return self._unreadable_until is not None and now < self._unreadable_until

    def _wait_for_store(self, now: datetime) -> None:
        """Ask a failed store nothing for seconds: each call to one that hangs waits its timeout."""
        self._unreadable_until = now + timedelta(seconds=UNREADABLE_SECONDS)

    def _state(self, name: str) -> GateState:
        return self._known[name][0].state if name in self._known else OPEN

    def _refresh(self, family: EndpointFamily, now: datetime) -> None:
        if not (self._is_fresh(ALL, now) and self._is_fresh(family.value, now)):
            self._read(family, now)

    def _change(self, name: str, now: datetime, change: Callable[[GateState], GateState]) -> bool:
        """Change an item by a rule, starting from a fresh reading.

        Returns:
            Whether the item is as the rule wants it; false after too many failed tries.

        Raises:
            GateStoreUnavailableError: It could not be read or written.
        """
        stored = self._known[name][0] if self._is_fresh(name, now) else None
        for _ in range(WRITE_TRIES):
            if stored is None:
                stored = self._store.read([name]).get(name, MISSING)
            state = change(stored.state)
            if state is stored.state:
                self._known[name] = stored, now
                return True
            revision = self._token(12)
            if self._store.write(name, state, stored.revision, revision):
                self._known[name] = StoredGate(state, revision), now
                return True
            stored = None
        return False

    def _is_fresh(self, name: str, now: datetime) -> bool:
        return name in self._known and timedelta(0) <= now - self._known[name][1] < FRESH
