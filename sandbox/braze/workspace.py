"""The workspace: all state of the stand-in, and writes that show only later (reference §1.10)."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from pydantic import JsonValue

from sandbox.braze.custom_attributes import CustomAttributes
from sandbox.braze.exchange import Call
from sandbox.braze.faults import FaultPlan
from sandbox.braze.limits import DOCUMENTED, FAMILIES, Bound, FixedWindows, Limit, Standing
from sandbox.braze.profiles import Drop, Event, Identifier, Profile, ProfileStore
from sandbox.braze.settings import Settings, limits_by_family
from sandbox.braze.subscriptions import SubscriptionBook

Clock = Callable[[], float]
"""Epoch seconds, now."""
Write = Callable[[float], None]
"""A write; it is given the time at which it is applied."""


@dataclass(slots=True)
class LoggedRequest:
    """One row of the request log.

    Attributes:
        n: Its number, from 1.
        at: When it came, epoch seconds.
        method: The HTTP method.
        path: Without the query.
        status: 0 while, or if, no answer was sent.
        objects: How many objects a track call carried.
        ms: How long the answer, or the reset in its place, took; None before that.
        met_fault: Whether it was one of those a fault was meant for.
        people: The identifiers it names.
        refused: Those of them whose objects the answer's `errors` name.
        applied: The profiles it wrote to so far.
    """

    n: int
    at: float
    method: str
    path: str
    status: int = 0
    objects: int = 0
    ms: float | None = None
    met_fault: bool = False
    people: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    applied: list[Profile] = field(default_factory=list, repr=False)

    def public(self) -> dict[str, JsonValue]:
        """Return the row as `/_sandbox/requests` shows it (design §6)."""
        return {
            "n": self.n,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "objects": self.objects,
        }


@dataclass(frozen=True, slots=True)
class Message:
    """One message that Braze would send.

    Attributes:
        n: The request that asked for it.
        at: When that came, epoch seconds.
        path: That request's path.
        what: The campaign, the Canvas, or the channels of a message without one.
        recipients: The identifiers, each once; empty for a whole audience.
        unknown: Those of them without a profile. Braze sends them nothing.
        dispatch_id: As in the answer.
    """

    n: int
    at: float
    path: str
    what: str
    recipients: tuple[str, ...]
    unknown: tuple[str, ...]
    dispatch_id: str


@dataclass(slots=True)
class QuiklyCall:
    """One call meant for Quikly's API, with its body as text."""

    n: int
    at: float
    path: str
    status: int
    body: str


@dataclass(slots=True)
class QuiklyDesk:
    """The stand-in for Quikly's API: its key, and who called."""

    key: str
    calls: list[QuiklyCall] = field(default_factory=list)


class Workspace:
    """One Braze workspace, from nothing.

    Args:
        random: Ids, shares of faults, and jitter.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        quikly_key: str,
        clock: Clock,
        random: Random,
    ) -> None:
        self.clock = clock
        self.random = random
        self.profiles = ProfileStore(random)
        self.custom_attributes = CustomAttributes()
        self.subscriptions = SubscriptionBook()
        self.faults = FaultPlan(random)
        self.dropped: list[Drop] = []
        self.requests: list[LoggedRequest] = []
        self.messages: list[Message] = []
        self.event_names: set[str] = set()
        self.quikly = QuiklyDesk(quikly_key)
        self._windows = FixedWindows()
        self._pending: list[tuple[float, int, Write]] = []
        self._writes = 0
        self._opt_in_events: dict[str, list[str]] = {}
        self._limits: dict[str, list[Limit]] = {}
        self._key_limits: dict[str, dict[str, list[Limit]]] = {}
        self.settings = settings
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """Put new settings in force."""
        self.settings = settings
        self.custom_attributes.force(settings.attribute_types)
        self._limits = limits_by_family(settings.limits)
        self._key_limits = {
            key: limits_by_family(limits) for key, limits in settings.key_limits.items()
        }
        self._opt_in_events = {}
        for group_id, group in settings.subscription_groups.items():
            if group.opt_in_event is not None:
                self._opt_in_events.setdefault(group.opt_in_event, []).append(group_id)

    # -- the log ---------------------------------------------------------------------------------

    def log(self, method: str, path: str) -> LoggedRequest:
        """Begin a row of the request log."""
        row = LoggedRequest(len(self.requests) + 1, self.clock(), method, path)
        self.requests.append(row)
        return row

    def drop(
        self,
        call: Call,
        place: tuple[str, int],
        name: str | None,
        reason: str,
        profile: Profile | None = None,
    ) -> None:
        """Note what Braze would have dropped silently.

        Args:
            place: The array and the index in it.
            name: The attribute, event or property; None for the whole object.
        """
        drop = Drop(call.n, call.path, *place, name, reason)
        self.dropped.append(drop)
        if profile is not None:
            profile.dropped.append(drop)

    # -- limits ----------------------------------------------------------------------------------

    def admit(self, path: str, key: str) -> Standing:
        """Count a request against every limit that holds for it."""
        family = FAMILIES[path]
        bounds = [
            *self._bounds(family),
            *(
                Bound(f"{family} {key}", limit, is_enforced=True)
                for limit in self._key_limits.get(key, {}).get(family, ())
            ),
        ] or [Bound(family, DOCUMENTED[family], is_enforced=False)]
        return self._windows.admit(bounds, self.clock())

    def _bounds(self, family: str) -> list[Bound]:
        return [Bound(family, limit, is_enforced=True) for limit in self._limits.get(family, ())]

    def standings(self) -> dict[str, list[tuple[Bound, Standing]]]:
        """Return what is left of each family's limits now, without limits of single keys."""
        now = self.clock()
        return {
            family: [(bound, self._windows.look(bound, now)) for bound in bounds]
            for family, documented in DOCUMENTED.items()
            for bounds in [self._bounds(family) or [Bound(family, documented, is_enforced=False)]]
        }

    # -- writes ----------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """How many writes do not show yet."""
        return len(self._pending)

    def write(self, apply: Write) -> None:
        """Apply a write, now or when the settings' delay is over.

        Args:
            apply: The write. With a delay, writes apply in the order they came; with jitter they
                may overtake each other, as Braze warns.
        """
        now = self.clock()
        delay = self.settings.read_delay_ms
        if self.settings.apply_jitter_ms:
            delay += self.random.uniform(0, self.settings.apply_jitter_ms)
        if not delay and not self._pending:
            apply(now)
            return
        self._writes += 1
        heapq.heappush(self._pending, (now + delay / 1000, self._writes, apply))
        self.settle()

    def settle(self) -> None:
        """Apply every write that is due."""
        now = self.clock()
        while self._pending and self._pending[0][0] <= now:
            due, _, apply = heapq.heappop(self._pending)
            apply(due)

    # -- users -----------------------------------------------------------------------------------

    def create(self, identifier: Identifier, now: float) -> Profile:
        """Make the profile an identifier names; never for a `braze_id`."""
        profile = self.profiles.create(now)
        kind, value, label = identifier
        if kind == "external_id":
            self.profiles.set_external_id(profile, value)
        elif kind == "user_alias":
            self.profiles.add_alias(profile, label, value)
        elif kind == "email":
            self.profiles.set_address(profile, "email", value)
        elif kind == "phone":
            self.profiles.set_address(profile, "phone", value)
        return profile

    def record(self, profile: Profile, event: Event, now: float) -> None:
        """Write an event onto a profile, and start the opt-in that a campaign ties to it."""
        profile.events.append(event)
        self.event_names.add(event.name)
        for group_id in self._opt_in_events.get(event.name, ()):
            group = self.settings.group(group_id)
            if group is not None:
                self.subscriptions.begin_double_opt_in(profile, group, now)


class Host(Protocol):
    """Holds the workspace and can make a fresh one."""

    workspace: Workspace

    def reset(self) -> Workspace:
        """Go back to the defaults, and return the workspace that was replaced."""


def count_objects(arrays: Sequence[object]) -> int:
    """Count the objects in the arrays of a track request; what is no array counts nothing."""
    return sum(len(array) for array in arrays if isinstance(array, list))
