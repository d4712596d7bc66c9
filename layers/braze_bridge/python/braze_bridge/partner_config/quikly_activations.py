"""Who wins what when Braze calls the webhook, per scope.

The words are Quikly's own if it has one: tiers have a quantity and an upper response time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MILLISECOND: Final = timedelta(milliseconds=1)


class Mode(StrEnum):
    """How an activation decides."""

    FIRST = "first"
    """The first X who act."""

    SPEED = "speed"
    """The tier by response time."""

    RANK = "rank"
    """The tier by position, from a counter."""

    DECAY = "decay"
    """A value that falls with time."""

    RANDOM = "random"
    """An instant win."""

    DRAW = "draw"
    """One draw at the close."""

    FORWARD = "forward"
    """Quikly decides: its API gets the call."""


class Status(StrEnum):
    """What the answer to a call says."""

    AWARDED = "awarded"
    NO_AWARD = "no_award"
    NOT_OPEN = "not_open"
    CLOSED = "closed"
    ENTERED = "entered"
    FORWARDED = "forwarded"


class Fact(StrEnum):
    """What attributes and event properties can say about a claim."""

    Q_SCOPE = "q_scope"
    EVENT = "event"
    STATUS = "status"
    TIER = "tier"
    INCENTIVE = "incentive"
    VALUE = "value"
    CURRENCY = "currency"
    RANK = "rank"
    RESPONSE_SECONDS = "response_seconds"
    CLAIMED_AT = "claimed_at"


class Odds(NamedTuple):
    """A probability as an exact fraction, in lowest terms."""

    wins: int
    of: int


class Tier(NamedTuple):
    """One kind of award; also the consolation.

    Attributes:
        incentive: What is won, in words for the profile.
        quantity: How many there are; ``None``: unlimited.
        value: In minor units of the currency (cents).
        currency: ISO 4217.
        within: Mode speed: the upper response time; ``None`` for any.
        odds: Mode random: the probability of this tier.
    """

    name: str
    incentive: str | None = None
    quantity: int | None = None
    value: int | None = None
    currency: str | None = None
    within: timedelta | None = None
    odds: Odds | None = None


class Decay(NamedTuple):
    """How a value falls, in minor units.

    Attributes:
        over: A straight fall, from the opening to the floor, takes this long.
        every: A fall in steps: the value drops this often, by ``drop``.
    """

    start: int
    floor: int
    currency: str
    over: timedelta | None = None
    every: timedelta | None = None
    drop: int = 0

    def value_at(self, elapsed: timedelta) -> int:
        """Return the value at a time, in whole minor units, from ``start`` down to ``floor``.

        A straight fall is rounded up to the unit, in the person's favour. Only integers are used.

        Args:
            elapsed: Since the opening, in whole milliseconds; less than zero counts as zero.
        """
        passed = max(elapsed // _MILLISECOND, 0)
        if self.over is not None:
            span = self.over // _MILLISECOND
            return self.start - (self.start - self.floor) * min(passed, span) // span
        if self.every is None:
            return self.start
        return max(self.start - self.drop * (passed // (self.every // _MILLISECOND)), self.floor)


class ProfileRule(NamedTuple):
    """What a claim leaves on the profile.

    Attributes:
        events: Names of custom events by the answer's status.
        attributes: Names at Braze and the fact each holds. None are sent for ``not_open`` and
            ``closed``, which leave only an event.
        properties: The same for the events' properties.
        write_email: Whether a person who is named by an external id also gets the e-mail address.
    """

    events: Mapping[Status, str] = MappingProxyType({})
    attributes: Mapping[str, Fact] = MappingProxyType({})
    properties: Mapping[str, Fact] = MappingProxyType({})
    write_email: bool = False


class ActivationRule(NamedTuple):
    """One activation.

    Attributes:
        q_scope: Its name at Quikly.
        events: Which events the webhook takes.
        opens_at: ``None``: since the stack exists.
        closes_at: ``None``: never by the clock.
        closes_after: From the opening; instead of ``closes_at``.
        tiers: The best first.
        total: Most awards of all tiers together; ``None``: only the tiers' own quantities count.
        consolation: What people get who win nothing.
        create_profiles: Whether a person unknown to Braze becomes a profile.
    """

    q_scope: str
    mode: Mode
    events: tuple[str, ...]
    opens_at: datetime | None
    closes_at: datetime | None = None
    closes_after: timedelta | None = None
    tiers: tuple[Tier, ...] = ()
    total: int | None = None
    consolation: Tier | None = None
    decay: Decay | None = None
    profile: ProfileRule = ProfileRule()
    create_profiles: bool = True

    def opening(self, stack_exists_since: Callable[[], datetime]) -> datetime:
        """Return when it opens.

        Args:
            stack_exists_since: Called only if the configuration says "stack".
        """
        return stack_exists_since() if self.opens_at is None else self.opens_at

    def closing(self, opening: datetime) -> datetime | None:
        """Return when it closes, or ``None`` if the clock does not close it."""
        return self.closes_at if self.closes_after is None else opening + self.closes_after

    def tier(self, name: str) -> Tier | None:
        """Return the tier or consolation of that name."""
        known = (*self.tiers, self.consolation) if self.consolation else self.tiers
        return next((tier for tier in known if tier.name == name), None)
