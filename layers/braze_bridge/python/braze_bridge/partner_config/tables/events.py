"""``[events]`` of ``quikly.toml``.

A table for one event adds to the one for every event, and a table for one activation to the one for
all activations: name by name, and ``false`` takes one away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from braze_bridge.partner_config.quikly_events import ActivationEventRule, EventsConfig
from braze_bridge.partner_config.tables import mapped, toml

EventTables = dict[str, Annotated[mapped.MappedTable | Literal[False] | None, toml.OrFalse]]
"""By the event's name; ``False`` for one that is not wanted."""

Rules = Mapping[str, ActivationEventRule | None]
_NOTHING: Final = mapped.MappedTable()


class ScopeTable(toml.Table):
    """``[events.scope."<q_scope>"]``."""

    default: mapped.MappedTable | None = None
    on: EventTables | None = None


class EventsTable(toml.Table):
    """``[events]``."""

    event_id: toml.Paths | None = None
    occurred_at: toml.Paths | None = None
    create_profiles: bool | None = None
    any_scope: bool | None = None
    person: mapped.PersonTable | None = None
    default: mapped.MappedTable | None = None
    on: EventTables | None = None
    scope: dict[str, ScopeTable | None] | None = None

    def _problems(self) -> toml.Problems:
        yield from mapped.person_problems(self.person)
        default = self.default or _NOTHING
        yield from toml.at(default.problems_over(_NOTHING), "default")
        yield from _event_problems(self.on, {}, default)
        for q_scope, table in (self.scope or {}).items():
            if table is not None:
                own = table.default or _NOTHING
                yield from toml.at(own.problems_over(default), "scope", q_scope, "default")
                problems = _event_problems(table.on, _with_default(own, self.on), own.over(default))
                yield from toml.at(problems, "scope", q_scope)

    def config(self) -> EventsConfig:
        """Return the configuration of a section without problems."""
        default = self.default or _NOTHING
        return EventsConfig(
            event_id=self.event_id or (),
            occurred_at=self.occurred_at or (),
            person=(self.person or mapped.PersonTable()).rule(create_profiles=self.create_profiles),
            any_scope=bool(self.any_scope),
            rules=_rules(self.on or {}, default),
            scopes={
                q_scope: self._scope_rules(table, default)
                for q_scope, table in (self.scope or {}).items()
                if table is not None
            },
        )

    def _scope_rules(self, table: ScopeTable, default: mapped.MappedTable) -> Rules:
        own = table.default or _NOTHING
        inherited = _with_default(own, self.on)
        changed: EventTables = {
            event: patch.over(inherited.get(event) or _NOTHING) if patch else patch
            for event, patch in (table.on or {}).items()
        }
        return _rules({**inherited, **changed}, own.over(default))


def _with_default(own: mapped.MappedTable, events: EventTables | None) -> EventTables:
    """Lay an activation's table for every event over the file's tables for one event."""
    return {event: own.over(patch) if patch else patch for event, patch in (events or {}).items()}


def _event_problems(
    tables: EventTables | None, inherited: EventTables, default: mapped.MappedTable
) -> toml.Problems:
    for event, table in (tables or {}).items():
        if table:
            below = (inherited.get(event) or _NOTHING).over(default)
            yield from toml.at(table.problems_over(below), "on", event)
            if table.over(below).leaves_nothing():
                yield "has neither attributes nor an event; false ignores it", "on", event


def _rules(tables: EventTables, default: mapped.MappedTable) -> Rules:
    rules: dict[str, ActivationEventRule | None] = dict.fromkeys(tables)
    for event, table in tables.items():
        if table:
            whole = table.over(default)
            rules[event] = ActivationEventRule(whole.attribute_rules(), whole.event_rule())
    return rules
