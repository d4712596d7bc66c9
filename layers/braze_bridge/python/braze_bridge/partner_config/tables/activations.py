"""``[activation]`` and ``[activation_profile]`` of ``quikly.toml``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, Field, PlainValidator

from braze_bridge.braze.limits import MAX_STRING_CHARS
from braze_bridge.mapping import profile_fields
from braze_bridge.mapping.texts import one_form
from braze_bridge.partner_config import quikly_activations as rules
from braze_bridge.partner_config.tables import toml

SCOPE: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
"""Scopes are part of job ids, row ids and logs."""

_TIER_NAME: Final = re.compile(r"[A-Za-z0-9._ -]{1,64}")
_ODDS: Final = re.compile(r"([0-9]{1,12}) ?/ ?([0-9]{1,12})")
_MAX_TIERS: Final = 50
"""Each tier has a counter in one row, which every winner rewrites."""

_BY_ORDER: Final = {rules.Mode.FIRST, rules.Mode.RANK, rules.Mode.DECAY}
_EVENTS_WORDS: Final = 'must list the events to accept, each once, such as ["signed-in"]'
_LONGEST: Final = 10 * 366 * 86_400
"""Seconds: no activation lasts ten years."""

_YEARS: Final = range(2000, 2200)
"""Of openings and closings. A typing mistake must not lead to where Python's years end."""


def _each_once(texts: list[str]) -> bool:
    return 0 < len(texts) == len({text for text in texts if text and text == one_form(text)})


def _moment(value: object, also: str = "") -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        example = "must be a time with its zone, such as 2026-11-27T09:00:00+01:00, unquoted"
        raise ValueError(f"{example}{also}")
    if value.year not in _YEARS:
        raise ValueError(f"must be from {_YEARS[0]} to {_YEARS[-1]}")
    return value.astimezone(UTC)


def _opening(value: object) -> datetime | None:
    return None if value == "stack" else _moment(value, ', or "stack"')


def _seconds(value: object) -> timedelta:
    return timedelta(seconds=toml.whole(1, _LONGEST)(value))


def _odds(text: str) -> rules.Odds:
    match = _ODDS.fullmatch(text.strip())
    wins, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < wins <= of:
        raise ValueError('must be a fraction over 0 and up to 1, such as "1/20"')
    return rules.Odds(*Fraction(wins, of).as_integer_ratio())


def _attribute_problem(name: str) -> str | None:
    if name in profile_fields.STANDARD_FIELDS:
        return "is a field of Braze's own, which no award belongs into"
    return profile_fields.attribute_name_problem(name)


_NAME_PROBLEMS: Final = {
    "attributes": _attribute_problem,
    "properties": profile_fields.property_name_problem,
}
_EVENTS = toml.texts(_EVENTS_WORDS, _each_once, alone=False)
Events = Annotated[tuple[str, ...], PlainValidator(_EVENTS)]
Seconds = Annotated[timedelta, PlainValidator(_seconds)]
Answer = toml.OrFalse[toml.Name]
Facts = dict[str, toml.OrFalse[Annotated[rules.Fact, Field(strict=False)]]]


class TierTable(toml.Table):
    """``tiers.<name>``, or ``consolation``."""

    incentive: Annotated[toml.Text, Field(max_length=MAX_STRING_CHARS)] | None = None
    quantity: toml.Count | None = None
    value: toml.Count | None = None
    currency: toml.Currency | None = None
    within_seconds: Seconds | None = None
    odds: Annotated[toml.Text, AfterValidator(_odds)] | None = None

    def _problems(self) -> toml.Problems:
        if self.value is not None and not self.has("currency"):
            yield "is missing: value is in its minor units (cents)", "currency"
        if not self.has("value") and self.has("currency"):
            yield "is missing: what is the currency of?", "value"

    def problems_in(self, mode: rules.Mode) -> toml.Problems:
        """Yield what contradicts the mode."""
        for key, only in (("within_seconds", rules.Mode.SPEED), ("odds", rules.Mode.RANDOM)):
            if self.has(key) and mode is not only:
                yield f"belongs to mode {only}", key
        if mode is rules.Mode.DECAY and self.has("value"):
            yield "comes from decay", "value"
        if mode is rules.Mode.RANDOM and not self.has("odds"):
            yield 'is missing: such as "1/20"', "odds"
        if mode is rules.Mode.DRAW and self.quantity is None:
            yield "is missing: how many does the draw find?", "quantity"

    def problems_after(self, name: str, before: TierTable, mode: rules.Mode) -> toml.Problems:
        """Yield why this tier gets nothing because of the one before it."""
        if mode is rules.Mode.SPEED:
            if before.within_seconds is None:
                yield (f"overlaps {name}, which has no within_seconds and takes all",)
            elif (self.within_seconds or timedelta.max) <= before.within_seconds:
                yield f"overlaps {name}: it must be longer than that", "within_seconds"
        elif mode in _BY_ORDER and before.quantity is None:
            yield (f"overlaps {name}, which has no quantity and takes all",)


class DecayTable(toml.Table):
    """``decay``."""

    needed: ClassVar = dict.fromkeys(("start", "floor", "currency"), "is missing")
    start: toml.Count | None = None
    floor: toml.Count | None = None
    currency: toml.Currency | None = None
    over_seconds: Seconds | None = None
    every_seconds: Seconds | None = None
    drop: Annotated[int, PlainValidator(toml.whole(1))] | None = 0

    def _problems(self) -> toml.Problems:
        if self.has("over_seconds") == (self.has("every_seconds") or self.has("drop")):
            yield ("needs over_seconds (a straight fall), or every_seconds and drop",)
        elif self.has("every_seconds") != self.has("drop"):
            yield "and drop belong together", "every_seconds"
        if self.start is not None and self.floor is not None and self.floor > self.start:
            yield f"is above start ({self.start})", "floor"


class AnswersTable(toml.Table):
    """``profile.events``: the name of a custom event for each :class:`Status`."""

    awarded: Answer = None
    no_award: Answer = None
    not_open: Answer = None
    closed: Answer = None
    entered: Answer = None
    forwarded: Answer = None


class ProfileTable(toml.Table):
    """``profile``, over the ``[activation_profile]`` that all activations share."""

    events: AnswersTable = AnswersTable()
    attributes: Facts = Field(default_factory=dict)
    properties: Facts = Field(default_factory=dict)
    write_email: bool = False

    def _problems(self) -> toml.Problems:
        for key, name_problem in _NAME_PROBLEMS.items():
            for name in getattr(self, key):
                blank = (
                    "has spaces around it, or is not composed (NFC)"
                    if one_form(name) != name
                    else None
                )
                if problem := blank or name_problem(name):
                    yield problem, key, name

    def rule(self) -> rules.ProfileRule:
        """Return the rule of a table that is complete."""
        return rules.ProfileRule(
            {rules.Status(status): name for status, name in self.events if name},
            {name: fact for name, fact in self.attributes.items() if fact},
            {name: fact for name, fact in self.properties.items() if fact},
            self.write_email,
        )


class ActivationTable(toml.Table):
    """``[activation."<q_scope>"]``."""

    needed: ClassVar = {
        "mode": f"is missing: one of {', '.join(rules.Mode)}",
        "events": _EVENTS_WORDS,
        "opens_at": 'is missing: a time with its zone, or "stack"',
    }
    mode: Annotated[rules.Mode, Field(strict=False)] | None = None
    events: Events = ()
    opens_at: Annotated[datetime, PlainValidator(_opening)] | None = None
    closes_at: Annotated[datetime, PlainValidator(_moment)] | None = None
    closes_after: Seconds | None = Field(None, alias="closes_after_seconds")
    tiers: toml.Section[TierTable] = Field(default_factory=dict)
    total: toml.Count | None = None
    consolation: TierTable | None = None
    decay: DecayTable | None = None
    profile: ProfileTable = ProfileTable()
    create_profiles: bool = True

    def _problems(self) -> toml.Problems:
        if self.closes_at is not None and self.closes_after is not None:
            yield "and closes_at exclude each other", "closes_after_seconds"
        if self.opens_at and self.closes_at and self.closes_at <= self.opens_at:
            yield "is not after opens_at", "closes_at"
        for name in self.tiers:
            if not _TIER_NAME.fullmatch(name):
                words = "is no usable name: at most 64 letters, digits, spaces, dots, - and _"
                yield words, "tiers", name
        if len(self.tiers) > _MAX_TIERS:
            yield f"are more than {_MAX_TIERS}", "tiers"
        if self.mode is not None:
            yield from self._mode_problems(self.mode)
            for name, tier in self.tiers.items():
                yield from toml.at(tier.problems_in(self.mode), "tiers", name)
            for before, (name, tier) in pairwise(self.tiers.items()):
                yield from toml.at(tier.problems_after(*before, self.mode), "tiers", name)
            if sum(Fraction(*tier.odds) for tier in self.tiers.values() if tier.odds) > 1:
                yield "overlap: their odds come to more than 1", "tiers"

    def _mode_problems(self, mode: rules.Mode) -> toml.Problems:
        for key in ("tiers", "consolation", "total"):
            if mode is rules.Mode.FORWARD and self.has(key):
                yield "has no place where Quikly decides (mode forward)", key
        if mode is not rules.Mode.FORWARD and not self.tiers:
            yield "is missing: at least one, such as [activation.….tiers.reward]", "tiers"
        if (mode is rules.Mode.DECAY) != self.has("decay"):
            yield "belongs to mode decay, and is needed there", "decay"
        if self.consolation is not None:
            for key in ("quantity", "within_seconds", "odds"):
                if self.consolation.has(key):
                    words = "has no place in a consolation: everybody else gets it"
                    yield words, "consolation", key
            if "consolation" in self.tiers:
                yield "is also the name of a tier", "consolation"

    def rule(self, scope: str, shared: ProfileTable) -> rules.ActivationRule:
        """Return the rule of a table without problems."""
        given: dict[str, Any] = dict(self)
        tiers = [rules.Tier(name, *dict(tier).values()) for name, tier in self.tiers.items()]
        given["tiers"] = tuple(tiers)
        if self.consolation is not None:
            given["consolation"] = rules.Tier("consolation", *dict(self.consolation).values())
        given["decay"] = self.decay and rules.Decay(*dict(self.decay).values())
        given["profile"] = self.profile.over(shared).rule()
        return rules.ActivationRule(scope, **given)
