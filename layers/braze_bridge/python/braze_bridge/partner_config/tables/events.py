"""``[events]`` of ``quikly.toml``.

A table for one event adds to the one for every event, and a table for one activation to the one for
all activations: name by name, and ``false`` takes one away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import Field

from braze_bridge.partner_config.quikly_events import ActivationEventRule, EventsConfig
from braze_bridge.partner_config.tables import mapped, toml

if TYPE_CHECKING:
    from braze_bridge.mapping.people import Placeholders

Rules = dict[str, ActivationEventRule | None]
EventTable = toml.OrFalse[mapped.MappedTable]
"""``False`` for an event that is not wanted."""

_NOTHING: Final = mapped.MappedTable()


class ScopeTable(toml.Table):
    """``[events.scope."<q_scope>"]``."""

    default: mapped.MappedTable = _NOTHING
    on: dict[str, EventTable] = Field(default_factory=dict)


class EventsTable(toml.Table):
    """``[events]``."""

    event_id: toml.Paths = ()
    occurred_at: toml.Paths = ()
    formats: mapped.Formats = Field((), alias="occurred_at_formats")
    create_profiles: bool = True
    any_scope: bool = False
    person: mapped.PersonTable = mapped.PersonTable()
    default: mapped.MappedTable = _NOTHING
    on: dict[str, EventTable] = Field(default_factory=dict)
    scope: toml.Section[ScopeTable] = Field(default_factory=dict)

    def _problems(self) -> toml.Problems:
        yield from toml.at(self.person.problems_whole(), "person")
        yield from toml.at(self.default.problems_over(_NOTHING), "default")
        for event, table in self.on.items():
            yield from toml.at(_event_problems(table, self.default), "on", event)
        for q_scope, scope in self.scope.items():
            problems = scope.default.problems_over(self.default)
            yield from toml.at(problems, "scope", q_scope, "default")
            for event, table in scope.on.items():
                below = self._under(scope, event).over(scope.default.over(self.default))
                yield from toml.at(_event_problems(table, below), "scope", q_scope, "on", event)

    def config(self, placeholders: Placeholders) -> EventsConfig:
        """Return the configuration of a section without problems."""
        person = self.person.rule(create_profiles=self.create_profiles, placeholders=placeholders)
        rules = self._rules(ScopeTable())
        scopes = {q_scope: self._rules(scope) for q_scope, scope in self.scope.items()}
        paths = (self.event_id, self.occurred_at, self.formats)
        return EventsConfig(*paths, person, self.any_scope, rules, scopes)

    def _under(self, scope: ScopeTable, event: str) -> mapped.MappedTable:
        """Lay an activation's table for every event over the file's table for one event."""
        return scope.default.over(self.on.get(event) or _NOTHING)

    def _rules(self, scope: ScopeTable) -> Rules:
        rules: Rules = {}
        for event, table in {**self.on, **scope.on}.items():
            own = (scope.on.get(event) or _NOTHING).over(self._under(scope, event))
            whole = own.over(scope.default.over(self.default))
            rules[event] = ActivationEventRule(*whole.rules()) if table else None
        return rules


def _event_problems(table: EventTable, below: mapped.MappedTable) -> toml.Problems:
    if table:
        yield from table.problems_over(below)
        if table.over(below).leaves_nothing():
            yield ("has neither attributes nor an event; false ignores it",)
