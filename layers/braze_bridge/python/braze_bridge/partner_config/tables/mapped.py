"""Tables that several partners' files have: the door, the person, attributes, the custom event."""

from __future__ import annotations

import contextlib
import json
from datetime import date, time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from braze_bridge.braze.limits import MAX_STRING_CHARS
from braze_bridge.mapping.attributes import ValueRule
from braze_bridge.mapping.identifiers import alias_fits
from braze_bridge.mapping.instants import read_date
from braze_bridge.mapping.people import IdentifierKind, PersonRule
from braze_bridge.mapping.profile_fields import (
    STANDARD_FIELDS,
    StandardField,
    attribute_name_problem,
    property_name_problem,
)
from braze_bridge.mapping.values import ItemType, Misfit, Shape, ValueType
from braze_bridge.partner_config.rules import DoorConfig, EventRule
from braze_bridge.partner_config.tables import toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


_ONLY_FOR = {"items": ValueType.ARRAY, "separator": ValueType.ARRAY, "formats": ValueType.DATE}


def _alias_label(label: str) -> str:
    if not alias_fits(label):
        raise toml.wrong("is longer than Braze takes")
    return label


def _formats(value: object) -> object:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and texts and all(isinstance(t, str) and t.strip() for t in texts):
        return tuple(texts)
    raise toml.wrong("must be a list of texts in quotes")


def _format(spelling: str) -> str:
    """Refuse a format if a date that is written so is not read back as the same date."""
    day = date(2021, 12, 1)
    with contextlib.suppress(ValueError):
        if read_date(day.strftime(spelling), (spelling,)) == day:
            return spelling
    raise toml.wrong(f"{json.dumps(spelling)} is no date: such as %m/%d/%Y")


def _quoted(value: object) -> object:
    if isinstance(value, date | time):
        raise toml.wrong("must be written in quotes")
    return value


class DoorTable(toml.Table):
    """``[door]``."""

    allow_query_token: bool | None = None


class File(toml.PartnerFile):
    """A file with a door."""

    door: DoorTable | None = None

    def door_config(self) -> DoorConfig:
        """Return the door's switches."""
        return DoorConfig(bool(self.door and self.door.allow_query_token))


class PersonTable(toml.Table):
    """``person``: the order, the paths of each kind of identifier, the label of aliases."""

    order: (
        Annotated[tuple[IdentifierKind, ...], PlainValidator(toml.some_of(tuple(IdentifierKind)))]
        | None
    ) = None
    external_id: toml.Paths | None = None
    braze_id: toml.Paths | None = None
    user_alias: toml.Paths | None = None
    email: toml.Paths | None = None
    phone: toml.Paths | None = None
    alias_label: Annotated[toml.Text, AfterValidator(_alias_label)] | None = None

    def rule(self, *, create_profiles: bool | None) -> PersonRule:
        """Return the rule; profiles may be created unless the file says false."""
        paths = {kind: getattr(self, kind) for kind in IdentifierKind}
        return PersonRule(
            self.order or (),
            {kind: found for kind, found in paths.items() if found is not None},
            self.alias_label,
            create_profiles is not False,
        )


def person_problems(person: PersonTable | None) -> toml.Problems:
    """Yield what is missing or contradicts itself in a person, after inheritance."""
    person = person or PersonTable()
    order, paths, _, _ = person.rule(create_profiles=True)
    if not order:
        yield 'needs order, such as ["external_id", "email", "phone"]', "person"
    for kind in order:
        if kind not in paths:
            yield f"order names {kind}, but there is no {kind} = [paths]", "person"
    for kind, found in paths.items():
        if found and order and kind not in order:
            yield f"{kind} has paths but is not in order, so nothing reads it", "person"
    if IdentifierKind.USER_ALIAS in order and not person.has("alias_label"):
        yield "user_alias needs alias_label", "person"


class ValueTable(toml.Table):
    """One attribute or property: ``from``, the type and its options."""

    base: ClassVar[ValueRule | None] = None
    """Holds for what is left out; without it, ``from`` and ``type`` are needed."""

    paths: toml.Paths | None = Field(None, alias="from")
    type: Annotated[ValueType, Field(strict=False)] | None = None
    items: ItemType | None = None
    separator: Annotated[str, Field(min_length=1)] | None = None
    trim: bool | None = None
    formats: (
        Annotated[tuple[Annotated[str, AfterValidator(_format)], ...], BeforeValidator(_formats)]
        | None
    ) = None
    on_mismatch: Literal["skip", "reject"] | None = None
    default: Annotated[Any, BeforeValidator(_quoted)] = None

    def _kind(self) -> ValueType | None:
        return self.base.shape.type if self.base and not self.has("type") else self.type

    def _problems(self) -> toml.Problems:
        if self.paths == () or not (self.base or self.has("paths")):
            yield "must name at least one path", "from"
        if not (self.base or self.has("type")):
            yield f"is missing: one of {', '.join(ValueType)}", "type"
        for key, only in _ONLY_FOR.items():
            if self.has(key) and self._kind() not in {None, only}:
                yield f'is for type = "{only}" only', key
        if self.default is not None and self.has("on_mismatch"):
            yield "and default exclude each other", "on_mismatch"

    def problems_as(self, name: str, standard: StandardField | None) -> toml.Problems:
        """Yield what is wrong with a table under this name, which may be a field of Braze's own."""
        rule, kind = self.rule(name, standard), self._kind()
        if standard is not None and kind not in {None, standard.type}:
            yield f'must be "{standard.type}": {name} is a field of Braze\'s own', "type"
        if rule is not None and self.default is not None:
            default = rule.convert(self.default)
            if isinstance(default, Misfit):
                yield f"does not itself fit the type ({default})", "default"

    def rule(self, name: str, standard: StandardField | None) -> ValueRule | None:
        """Return the rule under this name, or ``None`` if the table is faulty."""
        kind, separator, trim = self._kind(), self.separator or "", self.trim
        paths = self.base.paths if self.base and not self.has("paths") else self.paths
        if kind is None or paths is None:
            return None
        if self.base is not None:
            separator = separator or self.base.shape.separator
            # Spaces around a number, a date or a choice never mean anything.
            trim = kind is not ValueType.STRING if trim is None else trim
        items, formats = self.items or ValueType.STRING, self.formats or ()
        most = MAX_STRING_CHARS if standard is None else standard.max_chars
        is_standard = standard is not None
        shape = Shape(kind, items, separator, bool(trim), most, formats, is_standard)
        rule = ValueRule(name, paths, shape, self.on_mismatch or "skip", standard=standard)
        default = None if self.default is None else rule.convert(self.default)
        return rule if isinstance(default, Misfit) else rule._replace(default=default)


ValueTables = dict[str, Annotated[ValueTable | Literal[False] | None, toml.OrFalse]]
"""By the name at Braze, with the spaces that the file has around it."""


class EventTable(toml.Table):
    """``event``."""

    name: toml.Name | None = None
    properties: ValueTables | None = None

    def _problems(self) -> toml.Problems:
        yield from toml.at(
            _value_problems(self.properties, property_name_problem, {}), "properties"
        )


class MappedTable(toml.Table):
    """What a response leaves on the profile: attributes and a custom event."""

    attributes: ValueTables | None = None
    event: Annotated[EventTable | Literal[False] | None, toml.OrFalse] = None

    def _problems(self) -> toml.Problems:
        problems = _value_problems(self.attributes, attribute_name_problem, STANDARD_FIELDS)
        yield from toml.at(problems, "attributes")

    def problems_over(self, base: MappedTable) -> toml.Problems:
        """Yield what is wrong after inheritance, if this table causes it."""
        yield from toml.at(taken_away_problems(self.attributes, base.attributes), "attributes")
        if self.event:
            inherited = base.event or EventTable()
            problems = taken_away_problems(self.event.properties, inherited.properties)
            yield from toml.at(problems, "event", "properties")
            if not self.event.over(inherited).has("name"):
                yield "needs a name", "event"

    def leaves_nothing(self) -> bool:
        """Whether neither an attribute nor an event remains, after inheritance."""
        kept = any(table is not False for table in (self.attributes or {}).values())
        return not kept and not self.event

    def attribute_rules(self) -> tuple[ValueRule, ...]:
        """Return the rules of the attributes that are not taken away."""
        return _rules(self.attributes, STANDARD_FIELDS)

    def event_rule(self) -> EventRule | None:
        """Return the event's rule, if there is an event."""
        if not self.event or self.event.name is None:
            return None
        return EventRule(self.event.name, _rules(self.event.properties, {}))


def taken_away_problems(
    own: Mapping[str, object] | None, base: Iterable[str] | None
) -> toml.Problems:
    """Yield each ``false`` that takes nothing away: most likely a misspelt name."""
    known = [name.strip() for name in base or ()]
    for written, value in (own or {}).items():
        if value is False and written.strip() not in known:
            near = toml.did_you_mean(written.strip(), known)
            yield f"= false takes nothing away{near}", written


def _value_problems(
    tables: ValueTables | None,
    name_problem: Callable[[str], str | None],
    standard: Mapping[str, StandardField],
) -> toml.Problems:
    seen = set()
    for written, table in (tables or {}).items():
        # Braze strips spaces around names, so two that differ only there are one.
        name = written.strip()
        if name in seen:
            yield "is the same name twice: Braze strips the spaces around it", written
        elif problem := name_problem(name):
            yield problem, written
        seen.add(name)
        if table:
            yield from toml.at(table.problems_as(name, standard.get(name)), written)


def _rules(
    tables: ValueTables | None, standard: Mapping[str, StandardField]
) -> tuple[ValueRule, ...]:
    named = {written.strip(): table for written, table in (tables or {}).items() if table}
    made = (table.rule(name, standard.get(name)) for name, table in named.items())
    return tuple(rule for rule in made if rule is not None)
