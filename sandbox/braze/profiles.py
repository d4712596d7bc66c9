"""Profiles and the store that finds them by each kind of identifier (reference §1.3, §2)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Literal, NamedTuple

from sandbox.braze.exchange import JsonObject

IdentifierKind = Literal["external_id", "user_alias", "braze_id", "email", "phone"]
SubscriptionState = Literal["Subscribed", "Unsubscribed"]

MAX_EVENT_NAMES = 20_000
"""A profile with more distinct event or product names is blocked as spam (reference §1.5)."""


class Identifier(NamedTuple):
    """How an object names its user; `label` is an alias's and otherwise empty."""

    kind: IdentifierKind
    value: str
    label: str = ""


class Origin(NamedTuple):
    """Where a value came from: the request's number in the log, and when it came."""

    n: int
    at: float


class Event(NamedTuple):
    """A custom event as it was taken; `time` in UTC, never later than it came."""

    name: str
    time: datetime
    properties: JsonObject
    origin: Origin


@dataclass(slots=True)
class Tally:
    """How often a custom event or a product was seen, and when first and last."""

    first: datetime
    last: datetime
    count: int

    def add(self, time: datetime, count: int) -> None:
        """Count some more."""
        self.count += count
        self.first = min(self.first, time)
        self.last = max(self.last, time)

    def absorb(self, other: "Tally") -> None:
        """Add what another profile counted under the same name."""
        self.count += other.count
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)


@dataclass(slots=True)
class Membership:
    """A profile's state in one subscription group.

    Attributes:
        state: What `/subscription/status/get` answers.
        pending_until: Until when a double opt-in waits to be confirmed, epoch seconds.
        prompted_at: When the last opt-in prompt was sent, epoch seconds.
    """

    state: SubscriptionState
    pending_until: float | None = None
    prompted_at: float | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Something Braze would have lost in silence.

    Attributes:
        n: The request it came with.
        path: That request's path.
        input_array: `attributes`, `events`, `purchases`, or the array of the other endpoints.
        index: Its place in that array.
        field: The attribute, event or property; None when the whole object was dropped.
        reason: Why, in words.
    """

    n: int
    path: str
    input_array: str
    index: int
    field: str | None
    reason: str


@dataclass(slots=True, eq=False)
class Profile:
    """One user profile.

    Attributes:
        deprecated_ids: External ids from before a rename. They still find the profile.
        standard: Standard fields by their export name, e-mail and phone included.
        custom: Custom attributes as exported.
        tallies: Custom events by name.
        purchases: Products by `product_id`.
        origins: Of what each standard field and custom attribute holds now, by its export name.
    """

    braze_id: str
    created_at: float
    random_bucket: int
    updated: int
    updated_at: float
    external_id: str | None = None
    deprecated_ids: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)
    standard: JsonObject = field(default_factory=dict)
    custom: JsonObject = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)
    purchases: dict[str, Tally] = field(default_factory=dict)
    total_revenue: float = 0.0
    memberships: dict[str, Membership] = field(default_factory=dict)
    dropped: list[Drop] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)

    @property
    def email(self) -> str | None:
        """The e-mail address, if the profile has one."""
        value = self.standard.get("email")
        return value if isinstance(value, str) else None

    @property
    def phone(self) -> str | None:
        """The phone number in E.164, if the profile has one."""
        value = self.standard.get("phone")
        return value if isinstance(value, str) else None

    @property
    def is_blocked(self) -> bool:
        """Whether Braze would refuse this profile's external id as spam."""
        return len(self.tallies) > MAX_EVENT_NAMES or len(self.purchases) > MAX_EVENT_NAMES


class ProfileStore:
    """All profiles of the workspace, found by any identifier."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._updates = 0
        self._by_braze_id: dict[str, Profile] = {}
        self._by_external_id: dict[str, Profile] = {}
        self._by_alias: dict[tuple[str, str], Profile] = {}
        self._by_address: dict[tuple[str, str], dict[str, Profile]] = {}
        self._email_states: dict[str, tuple[str, Origin]] = {}

    def __len__(self) -> int:
        return len(self._by_braze_id)

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._by_braze_id.values())

    def create(self, now: float) -> Profile:
        """Make an empty profile, not findable by anything but its new `braze_id`."""
        self._updates += 1
        braze_id = f"{int(now) & 0xFFFFFFFF:08x}{self._random.getrandbits(64):016x}"
        profile = Profile(braze_id, now, int(self._random.random() * 10_000), self._updates, now)
        self._by_braze_id[braze_id] = profile
        return profile

    def touch(self, profile: Profile, now: float) -> None:
        """Make a profile the most recently updated one."""
        self._updates += 1
        profile.updated = self._updates
        profile.updated_at = now

    def find(self, identifier: Identifier) -> Profile | None:
        """Find the one profile an object means.

        Several profiles may share an e-mail or phone. It then means the most recently updated
        profile with an external id, else the most recently updated one.
        """
        kind, value, label = identifier
        if kind == "external_id":
            return self._by_external_id.get(value)
        if kind == "user_alias":
            return self._by_alias.get((label, value))
        if kind == "braze_id":
            return self._by_braze_id.get(value)
        sharing = self._by_address.get((kind, value))
        if not sharing:
            return None
        return max(sharing.values(), key=lambda p: (p.external_id is not None, p.updated))

    def sharing(self, kind: IdentifierKind, value: str) -> list[Profile]:
        """List the profiles an identifier fits, oldest first: several for an e-mail or a phone."""
        if kind in {"email", "phone"}:
            return list(self._by_address.get((kind, value), {}).values())
        profile = self.find(Identifier(kind, value))
        return [] if profile is None else [profile]

    def set_external_id(self, profile: Profile, external_id: str) -> None:
        """Identify a profile that had no external id."""
        profile.external_id = external_id
        self._by_external_id[external_id] = profile

    def rename_external_id(self, profile: Profile, new: str) -> None:
        """Give an identified profile another external id; the old one is deprecated."""
        if profile.external_id is not None:
            profile.deprecated_ids += (profile.external_id,)
        self.set_external_id(profile, new)

    def forget_external_id(self, profile: Profile, deprecated: str) -> None:
        """Take a deprecated external id away: it finds no profile any more."""
        profile.deprecated_ids = tuple(
            each for each in profile.deprecated_ids if each != deprecated
        )
        del self._by_external_id[deprecated]

    def add_alias(self, profile: Profile, label: str, name: str) -> None:
        """Give a profile an alias that is not taken."""
        profile.aliases[label] = name
        self._by_alias[label, name] = profile

    def rename_alias(self, profile: Profile, label: str, new: str) -> None:
        """Give a profile's alias another name that is not taken."""
        del self._by_alias[label, profile.aliases[label]]
        self.add_alias(profile, label, new)

    def has_alias(self, label: str, name: str) -> bool:
        """Check whether the pair is taken: it is unique in the workspace."""
        return (label, name) in self._by_alias

    def set_address(self, profile: Profile, kind: Literal["email", "phone"], value: str) -> None:
        """Set a profile's e-mail or phone and keep the look-up right."""
        if profile.standard.get(kind) == value:
            return
        self.remove_address(profile, kind)
        profile.standard[kind] = value
        self._by_address.setdefault((kind, value), {})[profile.braze_id] = profile
        if kind == "email" and value in self._email_states:
            self.set_email_state(profile, *self._email_states.pop(value))

    def set_email_state(self, profile: Profile, state: str, origin: Origin) -> None:
        """Set a profile's global e-mail subscription state."""
        if profile.standard.get("email_subscribe") != state:
            profile.standard["email_subscribe"] = state
            profile.origins["email_subscribe"] = origin

    def keep_email_state(self, email: str, state: str, origin: Origin) -> None:
        """Keep the state of an address without a profile for the first profile that gets it."""
        self._email_states[email] = (state, origin)

    def remove_address(self, profile: Profile, kind: Literal["email", "phone"]) -> None:
        """Take a profile's e-mail or phone away."""
        old = profile.standard.pop(kind, None)
        if not isinstance(old, str):
            return
        sharing = self._by_address[kind, old]
        del sharing[profile.braze_id]
        if not sharing:
            del self._by_address[kind, old]

    def remove(self, profile: Profile) -> None:
        """Delete a profile for good."""
        del self._by_braze_id[profile.braze_id]
        if profile.external_id is not None:
            del self._by_external_id[profile.external_id]
        for deprecated in profile.deprecated_ids:
            del self._by_external_id[deprecated]
        for label, name in profile.aliases.items():
            del self._by_alias[label, name]
        self.remove_address(profile, "email")
        self.remove_address(profile, "phone")
