"""Tables that several partners' files have: the person, attributes, the custom event."""

from __future__ import annotations

import contextlib
import json
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from braze_bridge.mapping import profile_fields
from braze_bridge.mapping.attributes import ValueRule
from braze_bridge.mapping.identifiers import IdentifierKind, alias_fits
from braze_bridge.mapping.instants import read_time
from braze_bridge.mapping.people import NO_MORE, PersonRule
from braze_bridge.mapping.profile_fields import STANDARD_FIELDS, StandardField
from braze_bridge.mapping.texts import one_form
from braze_bridge.mapping.values import ItemType, Misfit, Shape, ValueType
from braze_bridge.partner_config.rules import EventRule
from braze_bridge.partner_config.tables import toml

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from braze_bridge.mapping.people import Placeholders

_FOUND_OR_MADE = frozenset({IdentifierKind.EXTERNAL_ID, IdentifierKind.EMAIL, IdentifierKind.PHONE})
"""Under each of these Braze finds the person, or makes a profile."""

_NO_TYPE = f"is missing: one of {', '.join(ValueType)}"
_ONLY_FOR = {"items": ValueType.ARRAY, "separator": ValueType.ARRAY, "formats": ValueType.DATE}


def _following(order: Sequence[IdentifierKind], kind: IdentifierKind) -> Sequence[IdentifierKind]:
    return order[order.index(kind) :] if kind in order else ()


def _format(spelling: str) -> str:
    """Refuse a format if a date that is written so is not read back as the same date."""
    day = date(2021, 12, 1)
    with contextlib.suppress(ValueError):
        read = read_time(day.strftime(spelling), (spelling,))
        if (read.date() if isinstance(read, datetime) else read) == day:
            return spelling
    raise ValueError(f"{json.dumps(spelling)} is no date: such as %m/%d/%Y")


_TEXTS = toml.texts("must be a list of texts in quotes", lambda t: all(map(str.strip, t or [""])))
Formats = Annotated[tuple[Annotated[str, AfterValidator(_format)], ...], BeforeValidator(_TEXTS)]
Kinds = Annotated[tuple[IdentifierKind, ...], PlainValidator(toml.some_of(tuple(IdentifierKind)))]
Label = Annotated[toml.Text, AfterValidator(toml.must(alias_fits, "is longer than Braze takes"))]
_quoted = toml.must(lambda value: not isinstance(value, date | time), "must be written in quotes")
Quoted = Annotated[Any, BeforeValidator(_quoted)]
Separator = Annotated[str, Field(min_length=1)]


class PersonTable(toml.Table):
    """``person``: the order, the paths of each kind of identifier, the label of aliases."""

    order: Kinds | None = None
    external_id: toml.Paths | None = None
    braze_id: toml.Paths | None = None
    user_alias: toml.Paths | None = None
    email: toml.Paths | None = None
    phone: toml.Paths | None = None
    alias_label: Label | None = None
    write_email: bool = False

    def rule(
        self, *, create_profiles: bool = True, placeholders: Placeholders = NO_MORE
    ) -> PersonRule:
        """Return the rule."""
        found = {kind: getattr(self, kind) for kind in IdentifierKind}
        paths = {kind: each for kind, each in found.items() if each is not None}
        return PersonRule(
            self.order or (),
            paths,
            self.alias_label,
            create_profiles,
            self.write_email,
            placeholders,
        )

    def problems_whole(self) -> toml.Problems:
        """Yield what is missing or contradicts itself after inheritance."""
        order, paths, *_ = self.rule()
        if not order:
            yield ('needs order, such as ["external_id", "email", "phone"]',)
        for kind in order:
            if kind not in paths:
                yield (f"order names {kind}, but there is no {kind} = [paths]",)
        for kind, found in paths.items():
            if found and order and kind not in order:
                yield (f"{kind} has paths but is not in order, so nothing reads it",)
        if IdentifierKind.USER_ALIAS in order and not self.has("alias_label"):
            yield ("user_alias needs alias_label",)
        for kind in _FOUND_OR_MADE & set(_following(order, IdentifierKind.BRAZE_ID)):
            words = "Braze drops what has a braze_id that it does not know"
            yield (f"order must name {kind} before braze_id: {words}",)
        if self.write_email and not paths.get(IdentifierKind.EMAIL):
            yield ("write_email needs email = [paths]",)


class RespondentTable(PersonTable):
    """``person`` of a body that a respondent fills: who vouches for the identifiers."""

    trust: Literal["any", "signed"] = "any"
    signature: toml.Paths = ()

    def rule(
        self, *, create_profiles: bool = True, placeholders: Placeholders = NO_MORE
    ) -> PersonRule:
        """Return the rule."""
        rule = super().rule(create_profiles=create_profiles, placeholders=placeholders)
        return rule._replace(signature=self.signature if self.trust == "signed" else ())

    def problems_whole(self) -> toml.Problems:
        """Yield what is missing or contradicts itself after inheritance."""
        yield from super().problems_whole()
        if self.trust == "signed" and not self.signature:
            yield ('trust = "signed" needs signature = [paths]',)
        if self.trust == "any" and self.write_email:
            yield ('write_email needs trust = "signed": anyone could change anyone\'s address',)

    def address_problems(self, attributes: Collection[str]) -> toml.Problems:
        """Yield each address that a body could write into a profile that it only names."""
        named = set(self.order or ()) - {IdentifierKind.EMAIL, IdentifierKind.PHONE}
        if named and self.trust == "any" and IdentifierKind.EMAIL in attributes:
            names = ", ".join(sorted(named))
            words = f"changes the address of anyone whom a body names by {names}; needs trust"
            yield (f'{words} = "signed" in person',)


class ValueTable(toml.Table):
    """One attribute or property: ``from``, the type and its options."""

    needed: ClassVar = {"paths": toml.NO_PATH, "type": _NO_TYPE}
    plain: ClassVar[ValueType | None] = None
    """The type of a table that names none."""

    paths: toml.SomePaths | None = Field(None, alias="from")
    type: Annotated[ValueType, Field(strict=False)] | None = None
    items: ItemType = ValueType.STRING
    separator: Separator = ""
    trim: bool = False
    formats: Formats = ()
    on_mismatch: Literal["skip", "reject"] = "skip"
    default: Quoted = None

    def kind(self) -> ValueType | None:
        """Return the type, or ``None`` if it is missing or faulty."""
        return self.type if self.has("type") else self.plain

    def _problems(self) -> toml.Problems:
        for key, only in _ONLY_FOR.items():
            if self.has(key) and self.kind() not in {None, only}:
                yield f'is for type = "{only}" only', key
        if self.default is not None and self.has("on_mismatch"):
            yield "and default exclude each other", "on_mismatch"

    def problems_as(self, name: str, standard: StandardField | None) -> toml.Problems:
        """Yield what is wrong with a table under this name, which may be a field of Braze's own."""
        if standard is not None and self.kind() not in {None, standard.type}:
            yield f'must be "{standard.type}": {name} is a field of Braze\'s own', "type"
        rule = self.rule(name, standard)
        if rule is not None and self.default is not None and rule.default is None:
            yield f"does not itself fit the type ({rule.convert(self.default)})", "default"

    def rule(self, name: str, standard: StandardField | None) -> ValueRule | None:
        """Return the rule under this name, or ``None`` if the table is faulty."""
        kind = self.kind()
        if kind is None or self.paths is None:
            return None
        shape = Shape(kind, self.items, self.separator, self.trim, formats=self.formats)
        if standard is not None:
            shape = shape._replace(max_chars=standard.max_chars, dates_are_text=True)
        rule = ValueRule(name, self.paths, shape, self.on_mismatch, standard=standard)
        default = None if self.default is None else rule.convert(self.default)
        return rule if isinstance(default, Misfit) else rule._replace(default=default)


ValueTables = dict[str, toml.OrFalse[ValueTable]]
"""By the name at Braze, with the spaces that the file has around it."""


class EventTable(toml.Table):
    """``event``."""

    name: toml.Name | None = None
    properties: ValueTables = Field(default_factory=dict)

    def _problems(self) -> toml.Problems:
        problems = _value_problems(self.properties, profile_fields.property_name_problem, {})
        yield from toml.at(problems, "properties")


class MappedTable(toml.Table):
    """What a response leaves on the profile: attributes and a custom event."""

    attributes: ValueTables = Field(default_factory=dict)
    event: toml.OrFalse[EventTable] = None

    def _problems(self) -> toml.Problems:
        name_problem = profile_fields.attribute_name_problem
        problems = _value_problems(self.attributes, name_problem, STANDARD_FIELDS)
        yield from toml.at(problems, "attributes")

    def problems_over(self, base: MappedTable) -> toml.Problems:
        """Yield what is wrong after inheritance, if this table causes it."""
        yield from self.taken_away_problems(base)
        if self.event and not self.event.over(base.event or EventTable()).has("name"):
            yield "needs a name", "event"

    def leaves_nothing(self) -> bool:
        """Whether neither an attribute nor an event remains, after inheritance."""
        return not self.event and all(table is False for table in self.attributes.values())

    def rules(self) -> tuple[tuple[ValueRule, ...], EventRule | None]:
        """Return the rules of what is not taken away: the attributes, and the event if any."""
        event = self.event or EventTable()
        rule = EventRule(event.name, _rules(event.properties, {})) if event.name else None
        return _rules(self.attributes, STANDARD_FIELDS), rule


def _value_problems(
    tables: ValueTables,
    name_problem: Callable[[str], str | None],
    standard: Mapping[str, StandardField],
) -> toml.Problems:
    yield from toml.same_twice(tables, "is the same name twice: Braze strips the spaces around it")
    for written, table in tables.items():
        name = one_form(written)
        if problem := name_problem(name):
            yield problem, written
        if table:
            yield from toml.at(table.problems_as(name, standard.get(name)), written)


def _rules(tables: ValueTables, standard: Mapping[str, StandardField]) -> tuple[ValueRule, ...]:
    named = {one_form(written): table for written, table in tables.items() if table}
    made = (table.rule(name, standard.get(name)) for name, table in named.items())
    return tuple(rule for rule in made if rule is not None)
