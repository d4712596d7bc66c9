"""The gate that Lambdas share: few small items, changed by compare-and-swap.

A Lambda reads at the start of each batch, and again between requests once what it read is half a
second old: together with the time a closing takes to be written, no request starts later than one
second after the answer that closed the gate.
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
    exhausted,
    latest,
    probed,
    room,
    shut,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from braze_bridge.braze.limits import EndpointFamily
    from braze_bridge.braze.rate_limits import RateLimit
    from braze_bridge.clock import Clock

ALL: Final = "all"
"""Name of the item that closes every family."""

FRESH: Final = timedelta(seconds=0.5)
"""How old a reading may be where a request is about to start."""

UNREADABLE_SECONDS: Final = 5.0
"""For how long a gate that could not be read counts as closed. Jobs go back rather than being sent
into a limit that others know of; without its table there is no ledger either."""

PROBE_SECONDS: Final = 30.0
"""How long the others stay away from a probe that is not answered: over connecting, reading and
what comes before the request."""

WRITE_TRIES: Final = 10
"""Each lost try means that somebody else's change went in."""

SHORTEST_PACE: Final = timedelta(milliseconds=50)


class StoredGate(NamedTuple):
    """An item as it was read; revision ``None`` where there is none yet."""

    state: GateState
    revision: bytes | None


MISSING: Final = StoredGate(OPEN, None)


class GateStoreUnavailableError(Exception):
    """The items could not be read, or it is not sure that one was written."""


class GateStore(Protocol):
    """Where the items are."""

    def read(self, names: Sequence[str]) -> Mapping[str, StoredGate]:
        """Read items, consistently; a name without an item is left out.

        Raises:
            GateStoreUnavailableError: Not all could be read.
        """
        ...

    def write(self, name: str, state: GateState, expected: bytes | None, revision: bytes) -> bool:
        """Write an item if its revision is still the expected one (``None``: no item).

        Returns:
            Whether it was written.

        Raises:
            GateStoreUnavailableError: Perhaps it was, perhaps not.
        """
        ...


class SharedGate:
    """A :class:`Gate` over a :class:`GateStore`, one per execution environment.

    Args:
        store: Where the items are.
        clock: The Lambda's.
        lambdas: How many Lambdas may call Braze at the same time.
        token: Random bytes of the asked length.
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

    # -- asking ------------------------------------------------------------------------------

    def admit(self, family: EndpointFamily) -> Admission:
        """See :meth:`Gate.admit`. One consistent read."""
        with self._lock:
            self._probes.clear()  # of an earlier batch, whose probe came to nothing
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
                        return self._closed(family, now) or self._soon(name, now)
                    is_probe = True
            return Admission(is_probe=True) if is_probe else ADMITTED

    def closed_until(self, family: EndpointFamily) -> datetime | None:
        """See :meth:`Gate.closed_until`. Reads where half a second has passed."""
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
            return False  # one request at a time, until one succeeded
        now = self._clock.now().timestamp()
        most = room(self._limits.get(family.value), now, self._lambdas)
        return most is None or in_flight < most

    def show(self, families: Sequence[EndpointFamily]) -> dict[str, GateState]:
        """Every item there is, as it stands in the store, for people.

        Raises:
            GateStoreUnavailableError: It cannot be read.
        """
        names = [ALL, *(family.value for family in families)]
        return {name: stored.state for name, stored in self._store.read(names).items()}

    # -- telling -----------------------------------------------------------------------------

    def answered(self, family: EndpointFamily, rate_limit: RateLimit | None) -> None:
        """See :meth:`Gate.answered`. Writes only what changes something."""
        with self._lock:
            now = self._clock.now()
            for name in (ALL, family.value):
                if name in self._probes:
                    self._end_probe(name, now)
            if rate_limit is None:
                return
            known = latest(self._limits.get(family.value), rate_limit, now.timestamp())
            self._limits[family.value] = known
            reset_at = exhausted(known, now.timestamp(), self._lambdas)
            if reset_at is not None:
                until = datetime.fromtimestamp(reset_at, UTC)
                self._close(family.value, max(until, now + SHORTEST_PACE), PACED, now)

    def give_back(self) -> None:
        """See :meth:`Gate.give_back`. Where the store fails, it runs out."""
        with self._lock:
            now = self._clock.now()
            for name, revision in self._probes.items():
                state = replace(self._known[name].state, closed_until=now, is_probing=False)
                given = self._token(12)
                with suppress(GateStoreUnavailableError):
                    if self._store.write(name, state, revision, given):
                        self._remember(name, StoredGate(state, given), now)
            self._probes.clear()

    def close(self, family: EndpointFamily | None, until: datetime, reason: str) -> None:
        """See :meth:`Gate.close`.

        It holds here at once. Where the store does not take it, it is written again at each later
        look; meanwhile other Lambdas learn from their own answers.
        """
        with self._lock:
            self._close(ALL if family is None else family.value, until, reason, self._clock.now())

    def open(self, family: EndpointFamily | None) -> None:
        """Open a gate by a person's decision; the Lambdas see it within half a second.

        Args:
            family: Which; the item for all families where ``None``. A family is only open when both
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

    # -- within ------------------------------------------------------------------------------

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
        """The longest closing, if there is one; our own probe is no closing to us."""
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
            written = self._change(name, now, lambda state: shut(state, until, reason, now))
        except GateStoreUnavailableError:
            written = False
        if written:
            self._unwritten.pop(name, None)
            return
        known = self._unwritten.get(name)
        if known is None or known[0] < until:
            self._unwritten[name] = (until, reason)

    def _take_probe(self, name: str, now: datetime) -> bool:
        """One conditional write; who loses it stays away."""
        known = self._known[name]
        revision = self._token(12)
        state = probed(known.state, now, PROBE_SECONDS)
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

    def _soon(self, name: str, now: datetime) -> Admission:
        """For who lost the probe to somebody whose answer is already there."""
        return Admission(now + timedelta(seconds=1), self._known[name].state.reason)

    def _end_probe(self, name: str, now: datetime) -> None:
        try:
            opened = self._token(12)
            if self._store.write(name, OPEN, self._probes[name], opened):
                self._remember(name, StoredGate(OPEN, opened), now)
            else:
                del self._read_at[name]  # somebody closed or opened it: look again
        except GateStoreUnavailableError:
            return  # it is still ours: the next success tells again
        del self._probes[name]

    def _remember(self, name: str, stored: StoredGate, now: datetime) -> None:
        self._known[name] = stored
        self._read_at[name] = now

    def _change(self, name: str, now: datetime, change: Callable[[GateState], GateState]) -> bool:
        """Change an item by a rule; begins with what was last read, if that was just now.

        Returns:
            Whether the item is as the rule wants it. Not after too many lost tries.

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
