"""``[activation]`` of ``quikly.toml``: who wins what when Braze calls the webhook, per scope.

The words are Quikly's own where it has one: tiers have a quantity and an upper response time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import gcd
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.braze.limits import MAX_INTEGER, MAX_STRING_CHARS
from braze_bridge.mapping.profile_fields import (
    STANDARD_FIELDS,
    attribute_name_problem,
    property_name_problem,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from braze_bridge.partner_config.toml_table import Table

_SCOPE: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
"""Scopes stand in job ids, row ids and logs."""

_TIER_NAME: Final = re.compile(r"[A-Za-z0-9._ -]{1,64}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_ODDS: Final = re.compile(r"([0-9]{1,12}) ?/ ?([0-9]{1,12})")
_MAX_TIERS: Final = 50
"""Each tier has a counter in one row, which every winner rewrites."""

_MILLISECOND: Final = timedelta(milliseconds=1)

_LONGEST: Final = 10 * 366 * 86_400
"""Seconds: no activation lasts ten years."""


_YEARS: Final = range(2000, 2200)
"""Of openings and closings: a slip of the pen is not counted with, where years end."""


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
    """Quikly decides: the call goes on to its API."""


class Status(StrEnum):
    """What a call is answered."""

    AWARDED = "awarded"
    NO_AWARD = "no_award"
    NOT_OPEN = "not_open"
    CLOSED = "closed"
    ENTERED = "entered"
    FORWARDED = "forwarded"


class Fact(StrEnum):
    """What attributes and event properties can say of a claim."""

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
        quantity: How many there are; ``None``: no end of them.
        value: In minor units of the currency (cents).
        currency: ISO 4217.
        within: Speed: the upper response time; ``None`` for any.
        odds: Random: the probability of this tier.
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
        over: Linear: from the opening to the floor in this time.
        every: Steps: the value drops this often …
        drop: … by this much.
    """

    start: int
    floor: int
    currency: str
    over: timedelta | None = None
    every: timedelta | None = None
    drop: int = 0

    def value_at(self, elapsed: timedelta) -> int:
        """What is left.

        Args:
            elapsed: Since the opening; less than zero counts as zero, and below a millisecond
                nothing counts.

        Returns:
            Minor units, from ``start`` down to ``floor``. A straight fall is rounded up to the
            unit, in the person's favour; all of it is integer arithmetic.
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
        events: Names of custom events by what the call was answered.
        attributes: Names at Braze to the fact each holds; none are sent for ``not_open`` and
            ``closed``, which leave nothing but an event.
        properties: The same for the events' properties.
    """

    events: Mapping[Status, str] = MappingProxyType({})
    attributes: Mapping[str, Fact] = MappingProxyType({})
    properties: Mapping[str, Fact] = MappingProxyType({})


class ActivationRule(NamedTuple):
    """One activation.

    Attributes:
        q_scope: Its name at Quikly.
        events: Which the webhook takes.
        opens_at: ``None``: since the stack exists.
        closes_at: ``None``: never by the clock.
        closes_after: From the opening; instead of ``closes_at``.
        tiers: The best first.
        total: Most awards of all tiers together; ``None``: only the tiers' own quantities count.
        consolation: What those get who win nothing.
        create_profiles: Whether somebody Braze does not know becomes a profile.
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
        """When it opens.

        Args:
            stack_exists_since: Asked only where the configuration says "stack".
        """
        return stack_exists_since() if self.opens_at is None else self.opens_at

    def closing(self, opening: datetime) -> datetime | None:
        """When it closes, if the clock closes it."""
        return self.closes_at if self.closes_after is None else opening + self.closes_after

    def tier(self, name: str) -> Tier | None:
        """The tier or consolation of that name."""
        known = (*self.tiers, self.consolation) if self.consolation else self.tiers
        return next((tier for tier in known if tier.name == name), None)


def read_activations(root: Table) -> Mapping[str, ActivationRule]:
    """Read ``[activation."<q_scope>"]``, and ``[activation_profile]``, which they share.

    Args:
        root: The whole file.
    """
    shared = _read_profile(root, "activation_profile", ProfileRule())
    table = root.table("activation")
    rules: dict[str, ActivationRule] = {}
    for scope in () if table is None else table.names():
        inner = table.table(scope) if table is not None else None
        if inner is None:
            continue
        if not _SCOPE.fullmatch(scope):
            inner.problem(None, "is no usable q_scope: at most 100 letters, digits, dots, - and _")
        rule = _read_activation(scope, inner, shared)
        if rule is not None:
            rules[scope] = rule
    return rules


def _read_activation(scope: str, table: Table, shared: ProfileRule) -> ActivationRule | None:
    word = table.choice("mode", tuple(Mode))
    if not table.has("mode"):
        table.problem("mode", f"is missing: one of {', '.join(Mode)}")
    events = _read_events(table)
    opens_at, closes_at, closes_after = _read_times(table)
    total = _whole(table, "total", least=0)
    tiers = _read_tiers(table)
    consolation = (
        _read_tier("consolation", inner) if (inner := table.table("consolation")) else None
    )
    decay = _read_decay(table)
    create = table.flag("create_profiles")
    rule = ActivationRule(
        q_scope=scope,
        mode=Mode(word or Mode.FIRST),
        events=events,
        opens_at=opens_at,
        closes_at=closes_at,
        closes_after=closes_after,
        tiers=tiers,
        total=total,
        consolation=consolation,
        decay=decay,
        profile=_read_profile(table, "profile", shared),
        create_profiles=create is not False,
    )
    if word is not None:
        _check_mode(rule, table)
    table.finish()
    return None if word is None else rule


def _read_events(table: Table) -> tuple[str, ...]:
    value = table.value("events")
    if (
        isinstance(value, list)
        and value
        and all(isinstance(word, str) and word.strip() == word and word for word in value)
        and len(set(value)) == len(value)
    ):
        return tuple(value)
    table.problem("events", 'must list the events to accept, each once, such as ["signed-in"]')
    return ()


def _read_times(table: Table) -> tuple[datetime | None, datetime | None, timedelta | None]:
    opens_at = None if table.value("opens_at") == "stack" else _moment(table, "opens_at")
    if not table.has("opens_at"):
        table.problem("opens_at", 'is missing: a time with its zone, or "stack"')
    closes_at = _moment(table, "closes_at")
    after = _whole(table, "closes_after_seconds", least=1, most=_LONGEST)
    if closes_at is not None and after is not None:
        table.problem("closes_after_seconds", "and closes_at exclude each other")
    if opens_at is not None and closes_at is not None and closes_at <= opens_at:
        table.problem("closes_at", "is not after opens_at")
    return opens_at, closes_at, None if after is None else timedelta(seconds=after)


def _moment(table: Table, key: str) -> datetime | None:
    value = table.value(key)
    if value is None:
        return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        if value.year in _YEARS:
            return value.astimezone(UTC)
        table.problem(key, f"must be from {_YEARS[0]} to {_YEARS[-1]}")
        return None
    stack = ', or "stack"' if key == "opens_at" else ""
    table.problem(
        key, f"must be a time with its zone, such as 2026-11-27T09:00:00+01:00, unquoted{stack}"
    )
    return None


def _read_tiers(table: Table) -> tuple[Tier, ...]:
    inner = table.table("tiers")
    if inner is None:
        return ()
    read = []
    for name in inner.names():
        one = inner.table(name)
        if one is None:
            continue
        if not _TIER_NAME.fullmatch(name):
            one.problem(
                None, "is no usable name: at most 64 letters, digits, spaces, dots, - and _"
            )
        read.append(_read_tier(name, one))
    if len(read) > _MAX_TIERS:
        table.problem("tiers", f"are more than {_MAX_TIERS}")
    return tuple(read)


def _read_tier(name: str, table: Table) -> Tier:
    incentive = table.text("incentive")
    if incentive is not None and len(incentive) > MAX_STRING_CHARS:
        table.problem("incentive", f"is longer than {MAX_STRING_CHARS} characters")
    value = _whole(table, "value", least=0)
    currency = _currency(table)
    if value is not None and not table.has("currency"):
        table.problem("currency", "is missing: value is in its minor units (cents)")
    if not table.has("value") and table.has("currency"):
        table.problem("value", "is missing: what is the currency of?")
    within = _whole(table, "within_seconds", least=1, most=_LONGEST)
    tier = Tier(
        name=name,
        incentive=incentive,
        quantity=_whole(table, "quantity", least=0),
        value=value,
        currency=currency,
        within=None if within is None else timedelta(seconds=within),
        odds=_odds(table),
    )
    table.finish()
    return tier


def _odds(table: Table) -> Odds | None:
    text = table.text("odds")
    if text is None:
        return None
    match = _ODDS.fullmatch(text.strip())
    wins, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < wins <= of:
        table.problem("odds", 'must be a fraction over 0 and up to 1, such as "1/20"')
        return None
    common = gcd(wins, of)
    return Odds(wins // common, of // common)


def _read_decay(table: Table) -> Decay | None:
    inner = table.table("decay")
    if inner is None:
        return None
    start = _whole(inner, "start", least=0)
    floor = _whole(inner, "floor", least=0)
    currency = _currency(inner)
    over = _whole(inner, "over_seconds", least=1, most=_LONGEST)
    every = _whole(inner, "every_seconds", least=1, most=_LONGEST)
    drop = _whole(inner, "drop", least=1)
    for key in ("start", "floor", "currency"):
        if not inner.has(key):
            inner.problem(key, "is missing")
    if inner.has("over_seconds") == (inner.has("every_seconds") or inner.has("drop")):
        inner.problem(None, "needs over_seconds (a straight fall), or every_seconds and drop")
    elif inner.has("every_seconds") != inner.has("drop"):
        inner.problem("every_seconds", "and drop belong together")
    if start is not None and floor is not None and floor > start:
        inner.problem("floor", f"is above start ({start})")
    inner.finish()
    if start is None or floor is None or currency is None:
        return None
    return Decay(
        start,
        floor,
        currency,
        None if over is None else timedelta(seconds=over),
        None if every is None else timedelta(seconds=every),
        drop or 0,
    )


def _currency(table: Table) -> str | None:
    text = table.text("currency")
    if text is not None and not _CURRENCY.fullmatch(text):
        table.problem("currency", "must be three capital letters, such as EUR")
        return None
    return text


def _whole(table: Table, key: str, *, least: int, most: int = MAX_INTEGER) -> int | None:
    value = table.value(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        limit = f" and at most {most}" if most != MAX_INTEGER else ""
        table.problem(key, f"must be a whole number, at least {least}{limit}")
        return None
    return value


def _read_profile(parent: Table, key: str, base: ProfileRule) -> ProfileRule:
    table = parent.table(key)
    if table is None:
        return base
    events = dict(base.events)
    inner = table.table("events")
    if inner is not None:
        for status in Status:
            if inner.value(status) is False:
                events.pop(status, None)
            elif (name := inner.text(status)) is not None:
                events[status] = name.strip()
                if len(name.strip()) > MAX_STRING_CHARS:
                    inner.problem(status, f"is longer than {MAX_STRING_CHARS} characters")
        inner.finish()
    rule = ProfileRule(
        events,
        _read_facts(table, "attributes", base.attributes, _attribute_problem),
        _read_facts(table, "properties", base.properties, property_name_problem),
    )
    table.finish()
    return rule


def _read_facts(
    parent: Table,
    key: str,
    base: Mapping[str, Fact],
    name_problem: Callable[[str], str | None],
) -> Mapping[str, Fact]:
    table = parent.table(key)
    if table is None:
        return base
    facts = dict(base)
    for name in table.names():
        if wrong := name_problem(name) if name.strip() == name else "has spaces around it":
            table.problem(name, wrong)
        if table.value(name) is False:
            if facts.pop(name, None) is None:
                table.problem(name, "= false takes nothing away")
        elif (word := table.choice(name, tuple(Fact))) is not None:
            facts[name] = Fact(word)
    return facts


def _attribute_problem(name: str) -> str | None:
    if name in STANDARD_FIELDS:
        return "is a field of Braze's own, which no award belongs into"
    return attribute_name_problem(name)


def _check_mode(rule: ActivationRule, table: Table) -> None:
    """Note what contradicts the mode, under the key to change."""
    if rule.mode is Mode.FORWARD:
        for key in ("tiers", "consolation", "total"):
            if table.has(key):
                table.problem(key, "has no place where Quikly decides (mode forward)")
    elif table.value("tiers") in (None, {}):
        table.problem("tiers", "is missing: at least one, such as [activation.….tiers.reward]")
    if (rule.mode is Mode.DECAY) != table.has("decay"):
        table.problem("decay", "belongs to mode decay, and is needed there")
    tiers = table.table("tiers") if rule.tiers else None
    if tiers is not None:
        _check_tiers(rule, tiers)
    consolation = table.table("consolation") if rule.consolation else None
    if consolation is not None:
        _check_consolation(rule, consolation)


def _check_consolation(rule: ActivationRule, table: Table) -> None:
    for key in ("quantity", "within_seconds", "odds"):
        if table.has(key):
            table.problem(key, "has no place in a consolation: everybody else gets it")
    if any(tier.name == "consolation" for tier in rule.tiers):
        table.problem(None, "is also the name of a tier")


def _check_tiers(rule: ActivationRule, tiers: Table) -> None:
    before: Tier | None = None
    for tier in rule.tiers:
        table = tiers.table(tier.name)
        if table is None:
            continue
        for key, mode in (("within_seconds", Mode.SPEED), ("odds", Mode.RANDOM)):
            if table.has(key) and rule.mode is not mode:
                table.problem(key, f"belongs to mode {mode}")
        if rule.mode is Mode.DECAY and table.has("value"):
            table.problem("value", "comes from decay")
        if rule.mode is Mode.RANDOM and not table.has("odds"):
            table.problem("odds", 'is missing: such as "1/20"')
        if rule.mode is Mode.DRAW and tier.quantity is None:
            table.problem("quantity", "is missing: how many does the draw find?")
        if before is not None:
            _check_after(before, tier, rule.mode, table)
        before = tier
    odds = [tier.odds for tier in rule.tiers if tier.odds is not None]
    if sum(each.wins * _others(odds, index) for index, each in enumerate(odds)) > _others(odds):
        tiers.problem(None, "overlap: their odds come to more than 1")


def _others(odds: list[Odds], index: int | None = None) -> int:
    """The product of all denominators but one: sums fractions without rounding."""
    product = 1
    for number, each in enumerate(odds):
        product *= 1 if number == index else each.of
    return product


def _check_after(before: Tier, tier: Tier, mode: Mode, table: Table) -> None:
    """Note a tier that the one before it leaves nothing for."""
    if mode is Mode.SPEED:
        if before.within is None:
            table.problem(
                None, f"overlaps {before.name}, which has no within_seconds and takes all"
            )
        elif tier.within is not None and tier.within <= before.within:
            table.problem("within_seconds", f"overlaps {before.name}: it must be longer than that")
    elif mode in {Mode.FIRST, Mode.RANK, Mode.DECAY} and before.quantity is None:
        table.problem(None, f"overlaps {before.name}, which has no quantity and takes all")
