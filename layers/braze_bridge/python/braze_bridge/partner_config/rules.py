"""Reading ``<partner>.toml``: typed rules, or every problem at once with the key it stands under.

What partners share is here: the reader, the door's switches, persons, attributes, events. What one
partner's file holds besides is in its own module (``outgrow_config.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

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
from braze_bridge.mapping.values import Misfit, Shape, ValueType

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.mapping.paths import Path
from braze_bridge.partner_config.toml_table import Table, _did_you_mean

_ITEM_TYPES: Final = (ValueType.STRING, ValueType.INTEGER, ValueType.NUMBER)


ValuePatch = Mapping[str, ValueRule | Literal[False] | None]
"""Rules by the name at Braze: ``False`` takes an inherited one away, ``None`` is a faulty one, its
problems noted."""


class DoorConfig(NamedTuple):
    """The door's switches.

    Attributes:
        allow_query_token: Whether the token may come as ``?token=``.
    """

    allow_query_token: bool = False


class PersonPatch(NamedTuple):
    """What a table says about persons; what it leaves out is inherited.

    Attributes:
        paths: Of the kinds it names; an empty tuple turns a kind off.
    """

    order: tuple[IdentifierKind, ...] | None = None
    paths: Mapping[IdentifierKind, tuple[Path, ...]] = MappingProxyType({})
    alias_label: str | None = None

    def over(self, base: PersonPatch) -> PersonPatch:
        """This one's word where it has one, else the base's."""
        return PersonPatch(
            order=base.order if self.order is None else self.order,
            paths={**base.paths, **self.paths},
            alias_label=base.alias_label if self.alias_label is None else self.alias_label,
        )

    def rule(self, *, may_create: bool) -> PersonRule:
        """The rule, of a patch that is complete."""
        return PersonRule(self.order or (), self.paths, self.alias_label, may_create)


class EventRule(NamedTuple):
    """A custom event for every response.

    Attributes:
        name: At Braze.
    """

    name: str
    properties: tuple[ValueRule, ...] = ()


class EventPatch(NamedTuple):
    """What a table says about the event; what it leaves out is inherited.

    Attributes:
        properties: By name.
    """

    name: str | None = None
    properties: ValuePatch = MappingProxyType({})

    def over(self, base: EventPatch | None) -> EventPatch:
        """This one's word where it has one, else the base's."""
        if base is None:
            return self
        return EventPatch(
            name=base.name if self.name is None else self.name,
            properties={**base.properties, **self.properties},
        )

    def rule(self) -> EventRule | None:
        """The event, if it has a name."""
        return None if self.name is None else EventRule(self.name, present(self.properties))


def present(rules: ValuePatch) -> tuple[ValueRule, ...]:
    """The rules that were not taken away."""
    return tuple(rule for rule in rules.values() if isinstance(rule, ValueRule))


def read_door(root: Table) -> DoorConfig:
    """Read ``[door]``."""
    table = root.table("door")
    if table is None:
        return DoorConfig()
    allow = table.flag("allow_query_token")
    table.finish()
    return DoorConfig(allow_query_token=bool(allow))


def read_person(parent: Table) -> PersonPatch | None:
    """Read ``person``: order, the paths of each kind of identifier, the label of aliases."""
    table = parent.table("person")
    if table is None:
        return None
    order = table.choices("order", tuple(kind.value for kind in IdentifierKind))
    paths = {
        kind: found for kind in IdentifierKind if (found := table.paths(kind.value)) is not None
    }
    label = table.text("alias_label")
    if label is not None and not alias_fits(label):
        table.problem("alias_label", "is longer than Braze takes")
    table.finish()
    return PersonPatch(
        order=None if order is None else tuple(IdentifierKind(word) for word in order),
        paths=paths,
        alias_label=label,
    )


def check_person(patch: PersonPatch, table: Table) -> None:
    """Note what is missing in, or contradicts, a patch after inheritance.

    Args:
        patch: Complete.
        table: The table to name.
    """
    order = patch.order or ()
    if not order:
        table.problem("person", 'needs order, such as ["external_id", "email", "phone"]')
    for kind in order:
        if kind not in patch.paths:
            table.problem("person", f"order names {kind}, but there is no {kind} = [paths]")
    for kind, paths in patch.paths.items():
        if paths and order and kind not in order:
            table.problem("person", f"{kind} has paths but is not in order, so nothing reads it")
    if IdentifierKind.USER_ALIAS in order and patch.alias_label is None:
        table.problem("person", "user_alias needs alias_label")


def read_attributes(parent: Table) -> ValuePatch:
    """Read ``attributes``: by name, ``false`` for one to be taken away."""
    return _read_values(parent, "attributes", attribute_name_problem, STANDARD_FIELDS)


def read_event(parent: Table) -> EventPatch | Literal[False] | None:
    """Read ``event``: ``False`` where it is turned off, ``None`` where it is not mentioned."""
    if parent.value("event") is False:
        return False
    table = parent.table("event")
    if table is None:
        return None
    name = table.text("name")
    if name is not None and len(name.strip()) > MAX_STRING_CHARS:
        table.problem("name", f"is longer than {MAX_STRING_CHARS} characters")
    properties = _read_values(table, "properties", property_name_problem, {})
    table.finish()
    return EventPatch(None if name is None else name.strip(), properties)


def check_taken_away(patch: ValuePatch, base: ValuePatch, table: Table, key: str) -> None:
    """Note each ``false`` that takes nothing away: most likely a misspelt name.

    Args:
        patch: What the table says.
        base: What it inherits.
        table: The table to name.
        key: Where in it the patch stands: ``attributes``, or ``properties``.
    """
    inner = table.table(key)
    for name, rule in patch.items():
        if rule is False and name not in base and inner is not None:
            inner.problem(name, f"= false takes nothing away{_did_you_mean(name, tuple(base))}")


def _read_values(
    parent: Table,
    key: str,
    name_problem: Callable[[str], str | None],
    standard: Mapping[str, StandardField],
) -> ValuePatch:
    table = parent.table(key)
    rules: dict[str, ValueRule | Literal[False] | None] = {}
    if table is None:
        return rules
    for written in table.names():
        # Braze strips spaces around names, so two that differ only there are one.
        name = written.strip()
        if name in rules:
            table.problem(written, "is the same name twice: Braze strips the spaces around it")
        elif (wrong := name_problem(name)) is not None:
            table.problem(written, wrong)
        if table.value(written) is False:
            rules[name] = False
        elif (entry := table.table(written)) is not None:
            rules[name] = read_value(name, entry, standard.get(name))
    return rules


def read_value(
    name: str,
    table: Table,
    standard: StandardField | None,
    base: ValueRule | None = None,
) -> ValueRule | None:
    """Read one rule: ``from``, the type and its options, ``on_mismatch`` or ``default``.

    Args:
        name: At Braze.
        table: The rule's; finished by this.
        standard: Braze's own field of that name, if it is one.
        base: Says what is meant where ``from``, ``type``, ``separator`` or ``trim`` is left out;
            without it, the first two must be there.
    """
    paths = table.paths("from")
    if base is not None and not table.has("from"):
        paths = base.paths
    elif not paths and (paths is not None or not table.has("from")):
        table.problem("from", "must name at least one path")
    shape = _read_shape(name, table, standard, None if base is None else base.shape)
    mismatch = table.choice("on_mismatch", ("skip", "reject"))
    default = table.value("default")
    if default is not None and table.has("on_mismatch"):
        table.problem("on_mismatch", "and default exclude each other")
    table.finish()
    if paths is None or shape is None or (base is None and not paths):
        return None
    on_misfit: Literal["skip", "reject"] = "reject" if mismatch == "reject" else "skip"
    rule = ValueRule(name, paths, shape, on_misfit, standard=standard)
    if default is None:
        return rule
    if isinstance(default, date | time):
        table.problem("default", "must be written in quotes")
        return None
    fitted = rule.convert(default)
    if isinstance(fitted, Misfit):
        table.problem("default", f"does not itself fit the type ({fitted})")
        return None
    return ValueRule(name, paths, shape, on_misfit, fitted, standard)


def _read_shape(
    name: str, table: Table, standard: StandardField | None, base: Shape | None
) -> Shape | None:
    word = table.choice("type", tuple(ValueType))
    items = table.choice("items", _ITEM_TYPES)
    separator = table.text("separator", blank=True)
    trim = table.flag("trim")
    formats = table.texts("formats") or ()
    if base is not None and not table.has("type"):
        word = base.type
    elif not table.has("type"):
        table.problem("type", f"is missing: one of {', '.join(ValueType)}")
    if word is None:
        return None
    kind = ValueType(word)
    _check_options(table, kind, formats)
    if standard is not None and kind is not standard.type:
        table.problem("type", f'must be "{standard.type}": {name} is a field of Braze\'s own')
    if base is not None:
        separator = base.separator if separator is None else separator
        # Spaces around a number, a date or a choice never mean anything.
        trim = kind is not ValueType.STRING if trim is None else trim
    return Shape(
        type=kind,
        items=next((item for item in _ITEM_TYPES if item == items), ValueType.STRING),
        separator=separator or "",
        trim=bool(trim),
        max_chars=MAX_STRING_CHARS if standard is None else standard.max_chars,
        formats=formats,
        dates_are_text=standard is not None,
    )


def _check_options(table: Table, kind: ValueType, formats: tuple[str, ...]) -> None:
    """Note each option that the type does not have."""
    for key, only in (
        ("items", ValueType.ARRAY),
        ("separator", ValueType.ARRAY),
        ("formats", ValueType.DATE),
    ):
        if table.has(key) and kind is not only:
            table.problem(key, f'is for type = "{only}" only')
    for spelling in formats:
        if not _is_date_format(spelling):
            table.problem("formats", f"{json.dumps(spelling)} is no date: such as %m/%d/%Y")


def _is_date_format(spelling: str) -> bool:
    """Whether a date written so is read back as the same date."""
    day = date(2021, 12, 1)
    try:
        written = day.strftime(spelling)
    except ValueError:
        return False
    return read_date(written, (spelling,)) == day
