"""``[events]`` of ``quikly.toml``: what Quikly's activation events become at Braze.

What is said for one event adds to what is said for every event, and what is said for one
activation to what is said for all: name by name, and ``false`` takes one away.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.mapping.people import PersonRule
from braze_bridge.partner_config.rules import (
    EventPatch,
    PersonPatch,
    ValuePatch,
    check_person,
    check_taken_away,
    present,
    read_attributes,
    read_event,
    read_person,
)
from braze_bridge.partner_config.toml_table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.mapping.attributes import ValueRule
    from braze_bridge.mapping.paths import Path
    from braze_bridge.partner_config.rules import EventRule


class ActivationEventRule(NamedTuple):
    """What one kind of activation event becomes.

    Attributes:
        attributes: What goes into the profile.
        event: What goes out as a custom event, if any.
    """

    attributes: tuple[ValueRule, ...]
    event: EventRule | None


class EventsConfig(NamedTuple):
    """The part of the file about activation events.

    Attributes:
        event_id: Where the event's own id stands.
        occurred_at: Where its time stands.
        person: Whom it is about.
        any_scope: Whether activations that the file does not name are taken, too.
        rules: By the event's name, for activations without a table of their own; ``None`` for an
            event that is not wanted.
        scopes: The same by ``q_scope``, inheritance already applied.
    """

    event_id: tuple[Path, ...] = ()
    occurred_at: tuple[Path, ...] = ()
    person: PersonRule = PersonRule((), MappingProxyType({}))
    any_scope: bool = False
    rules: Mapping[str, ActivationEventRule | None] = MappingProxyType({})
    scopes: Mapping[str, Mapping[str, ActivationEventRule | None]] = MappingProxyType({})

    def rules_for(self, q_scope: str) -> Mapping[str, ActivationEventRule | None]:
        """The rules of an activation, by event."""
        return self.scopes.get(q_scope, self.rules)


class _Patch(NamedTuple):
    """What one table says about an event; what it leaves out is inherited."""

    attributes: ValuePatch = MappingProxyType({})
    event: EventPatch | Literal[False] | None = None

    def over(self, base: _Patch) -> _Patch:
        event = base.event if self.event is None else self.event
        if isinstance(self.event, EventPatch):
            event = self.event.over(base.event or None)
        return _Patch({**base.attributes, **self.attributes}, event)

    def rule(self) -> ActivationEventRule:
        return ActivationEventRule(
            attributes=present(self.attributes),
            event=self.event.rule() if isinstance(self.event, EventPatch) else None,
        )


_Patches = dict[str, "_Patch | Literal[False]"]

_NOTHING: Final = _Patch()


def read_events(root: Table) -> EventsConfig:
    """Read ``[events]``.

    Args:
        root: The whole file.
    """
    table = root.table("events")
    if table is None:
        return EventsConfig()
    event_id = table.paths("event_id")
    occurred_at = table.paths("occurred_at")
    create = table.flag("create_profiles")
    any_scope = table.flag("any_scope")
    person = read_person(table) or PersonPatch()
    check_person(person, table)
    default = _read_default(table, _NOTHING)
    patches = _read_on(table, default, {})
    scopes: dict[str, Mapping[str, ActivationEventRule | None]] = {}
    named = table.table("scope") or Table({}, "", [])
    for q_scope in named.names():
        own = named.table(q_scope)
        if own is not None:
            scopes[q_scope] = _read_scope(own, default, patches)
    table.finish()
    return EventsConfig(
        event_id=event_id or (),
        occurred_at=occurred_at or (),
        person=person.rule(may_create=create is not False),
        any_scope=bool(any_scope),
        rules=_rules(default, patches),
        scopes=scopes,
    )


def _read_scope(
    table: Table, default: _Patch, patches: _Patches
) -> Mapping[str, ActivationEventRule | None]:
    """One activation: its own word for every event comes after the file's for one event."""
    own = _read_default(table, default)
    named = {
        event: patch if patch is False else own.over(patch) for event, patch in patches.items()
    }
    changed = _read_on(table, own.over(default), named)
    table.finish()
    return _rules(own.over(default), {**named, **changed})


def _read_default(parent: Table, base: _Patch) -> _Patch:
    table = parent.table("default")
    if table is None:
        return _NOTHING
    patch = _read_patch(table, base)
    table.finish()
    return patch


def _read_on(parent: Table, default: _Patch, inherited: _Patches) -> _Patches:
    """Read ``on``: a table or ``false`` by event, each over what the event inherits."""
    table = parent.table("on")
    patches: _Patches = {}
    if table is None:
        return patches
    for event in table.names():
        if table.value(event) is False:
            patches[event] = False
        elif (inner := table.table(event)) is not None:
            known = inherited.get(event, _NOTHING)
            below = _NOTHING if known is False else known
            patch = _read_patch(inner, below.over(default))
            inner.finish()
            whole = patch.over(below.over(default))
            if not present(whole.attributes) and not isinstance(whole.event, EventPatch):
                inner.problem(None, "has neither attributes nor an event; false ignores it")
            patches[event] = patch.over(below)
    return patches


def _read_patch(table: Table, base: _Patch) -> _Patch:
    patch = _Patch(read_attributes(table), read_event(table))
    check_taken_away(patch.attributes, base.attributes, table, "attributes")
    if isinstance(patch.event, EventPatch):
        inherited = base.event.properties if isinstance(base.event, EventPatch) else {}
        inner = table.table("event")
        if inner is not None:
            check_taken_away(patch.event.properties, inherited, inner, "properties")
        whole = patch.over(base).event
        if isinstance(whole, EventPatch) and whole.name is None:
            table.problem("event", "needs a name")
    return patch


def _rules(default: _Patch, patches: _Patches) -> Mapping[str, ActivationEventRule | None]:
    return {
        event: None if patch is False else patch.over(default).rule()
        for event, patch in patches.items()
    }
