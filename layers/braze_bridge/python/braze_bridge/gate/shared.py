"""The gate that all Lambdas share: a few small items, changed by compare-and-swap.

A Lambda reads at the start of each batch, and between requests when its reading is half a second
old. A closing also takes time to be written. So no request starts later than one second after the
answer that closed the gate.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from braze_bridge.gate.port import ADMITTED, Admission
from braze_bridge.gate.rules import (
    OPEN,
    PACED,
    UNREADABLE,
    GateState,
    close_gate,
    latest,
    most_in_flight,
    paced_until,
    start_probe,
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

PROBE_SECONDS: Final = 30.0
"""The other Lambdas wait so long for a probe without an answer: longer than to prepare, connect and
read."""

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
        self._read_at: dict[str, datetime] = {}
        self._known: dict[str, StoredGate] = {}
        self._limits: dict[str, RateLimit] = {}
        self._unwritten: dict[str, tuple[datetime, str]] = {}
        self._unreadable_until: datetime | None = None
        self._probes: dict[str, bytes] = {}

    # -- before a request --------------------------------------------------------------------

    def admit(self, family: EndpointFamily) -> Admission:
        """See :meth:`Gate.admit`. One consistent read."""
        with self._lock:
            self._probes.clear()  # an unfinished probe of an earlier batch
            self._unreadable_until = None
            now = self._clock.now()
            self._read(family, now)
            closed = self._closed(family, now)
            if closed is not None:
                return closed
            is_probe = False
            for name in (ALL, family.value):
                if self._known[name].state.needs_probe(now):
                    if not self._take_probe(name, now):
                        # The winner's answer may already be there: ask again soon.
                        soon = Admission(now + timedelta(seconds=1), self._known[name].state.reason)
                        return self._closed(family, now) or soon
                    is_probe = True
            return Admission(is_probe=True) if is_probe else ADMITTED

    def closed_until(self, family: EndpointFamily) -> datetime | None:
        """See :meth:`Gate.closed_until`. Reads if the last reading is half a second old."""
        with self._lock:
            now = self._clock.now()
            if not (self._is_fresh(ALL, now) and self._is_fresh(family.value, now)):
                self._read(family, now)
            closed = self._closed(family, now)
            return None if closed is None else closed.closed_until

    def may_start(self, family: EndpointFamily, in_flight: int) -> bool:
        """See :meth:`Gate.may_start`."""
        if self.closed_until(family) is not None:
            return False
        if in_flight == 0:
            return True
        if self._probes:
            return False  # one request at a time until one succeeds
        now = self._clock.now().timestamp()
        most = most_in_flight(self._limits.get(family.value), now, self._lambdas)
        return most is None or in_flight < most

    def show(self, families: Sequence[EndpointFamily]) -> dict[str, GateState]:
        """Read all stored items, for operators.

        Raises:
            GateStoreUnavailableError: They cannot be read.
        """
        names = [ALL, *(family.value for family in families)]
        return {name: stored.state for name, stored in self._store.read(names).items()}

    # -- after an answer ---------------------------------------------------------------------

    def record_success(self, family: EndpointFamily, rate_limit: RateLimit | None) -> None:
        """See :meth:`Gate.record_success`. Writes only changes."""
        with self._lock:
            now = self._clock.now()
            for name in (ALL, family.value):
                if name in self._probes:
                    self._end_probe(name, now)
            if rate_limit is None:
                return
            known = latest(self._limits.get(family.value), rate_limit, now.timestamp())
            self._limits[family.value] = known
            reset_at = paced_until(known, now.timestamp(), self._lambdas)
            if reset_at is not None:
                until = datetime.fromtimestamp(reset_at, UTC)
                self._close(family.value, max(until, now + SHORTEST_PACE), PACED, now)

    def release_probe(self) -> None:
        """See :meth:`Gate.release_probe`. If the store fails, the probe expires."""
        with self._lock:
            now = self._clock.now()
            for name, revision in self._probes.items():
                state = replace(self._known[name].state, closed_until=now, is_probing=False)
                released = self._token(12)
                with suppress(GateStoreUnavailableError):
                    if self._store.write(name, state, revision, released):
                        self._remember(name, StoredGate(state, released), now)
            self._probes.clear()

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
            self._probes.pop(name, None)
            if not self._change(name, self._clock.now(), lambda _: OPEN):
                raise GateStoreUnavailableError("others keep changing it")

    # -- internal ----------------------------------------------------------------------------

    def _read(self, family: EndpointFamily, now: datetime) -> None:
        if self._unreadable_until is not None and now < self._unreadable_until:
            return
        names = (ALL, family.value)
        for name in names:
            if name in self._unwritten:
                until, reason = self._unwritten.pop(name)
                if until > now:
                    self._close(name, until, reason, now)
        try:
            found = self._store.read(names)
        except GateStoreUnavailableError:
            self._unreadable_until = now + timedelta(seconds=UNREADABLE_SECONDS)
            return
        self._unreadable_until = None
        for name in names:
            self._remember(name, found.get(name, MISSING), now)

    def _closed(self, family: EndpointFamily, now: datetime) -> Admission | None:
        """Find the longest closing. This Lambda's own probe does not close its gate."""
        closings: list[tuple[datetime, str]] = []
        if self._unreadable_until is not None and now < self._unreadable_until:
            closings.append((self._unreadable_until, UNREADABLE))
        for name in (ALL, family.value):
            stored = self._known.get(name, MISSING)
            until = stored.state.closed_until
            mine = stored.state.is_probing and self._probes.get(name) == stored.revision
            if until is not None and now < until and not mine:
                closings.append((until, stored.state.reason))
            if name in self._unwritten and now < self._unwritten[name][0]:
                closings.append(self._unwritten[name])
        if not closings:
            return None
        until, reason = max(closings)
        return Admission(until, reason)

    def _close(self, name: str, until: datetime, reason: str, now: datetime) -> None:
        self._probes.pop(name, None)
        try:
            written = self._change(name, now, lambda state: close_gate(state, until, reason, now))
        except GateStoreUnavailableError:
            written = False
        if written:
            self._unwritten.pop(name, None)
            return
        known = self._unwritten.get(name)
        if known is None or known[0] < until:
            self._unwritten[name] = (until, reason)

    def _take_probe(self, name: str, now: datetime) -> bool:
        """Take the probe by one conditional write. A Lambda whose write fails waits."""
        known = self._known[name]
        revision = self._token(12)
        state = start_probe(known.state, now, PROBE_SECONDS)
        try:
            if not self._store.write(name, state, known.revision, revision):
                self._remember(name, self._store.read([name]).get(name, MISSING), now)
                return False
        except GateStoreUnavailableError:
            self._unreadable_until = now + timedelta(seconds=UNREADABLE_SECONDS)
            return False
        self._remember(name, StoredGate(state, revision), now)
        self._probes[name] = revision
        return True

    def _end_probe(self, name: str, now: datetime) -> None:
        try:
            opened = self._token(12)
            if self._store.write(name, OPEN, self._probes[name], opened):
                self._remember(name, StoredGate(OPEN, opened), now)
            else:
                del self._read_at[name]  # another Lambda closed or opened it: read again
        except GateStoreUnavailableError:
            return  # the probe is still ours, and the next success ends it
        del self._probes[name]

    def _remember(self, name: str, stored: StoredGate, now: datetime) -> None:
        self._known[name] = stored
        self._read_at[name] = now

    def _change(self, name: str, now: datetime, change: Callable[[GateState], GateState]) -> bool:
        """Change an item by a rule, starting from a fresh reading.

        Returns:
            Whether the item is as the rule wants it; false after too many failed tries.

        Raises:
            GateStoreUnavailableError: It could not be read or written.
        """
        stored = self._known.get(name) if self._is_fresh(name, now) else None
        for _ in range(WRITE_TRIES):
            if stored is None:
                stored = self._store.read([name]).get(name, MISSING)
            state = change(stored.state)
            if state is stored.state:
                self._remember(name, stored, now)
                return True
            revision = self._token(12)
            if self._store.write(name, state, stored.revision, revision):
                self._remember(name, StoredGate(state, revision), now)
                return True
            stored = None
        return False

    def _is_fresh(self, name: str, now: datetime) -> bool:
        read_at = self._read_at.get(name)
        return read_at is not None and timedelta(0) <= now - read_at < FRESH
