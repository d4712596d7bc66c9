"""What Quikly's activation events become at Braze."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.mapping.attributes import ValueRule
    from braze_bridge.mapping.paths import Path
    from braze_bridge.mapping.people import PersonRule
    from braze_bridge.partner_config.rules import EventRule


class ActivationEventRule(NamedTuple):
    """What one kind of activation event becomes: attributes, a custom event, or both."""

    attributes: tuple[ValueRule, ...]
    event: EventRule | None


class EventsConfig(NamedTuple):
    """The part of the file about activation events.

    Attributes:
        event_id: Paths to the event's own id.
        occurred_at: Paths to its time.
        formats: How times are written that are not certain otherwise.
        any_scope: Whether activations that the file does not name are taken, too.
        rules: By the event's name, for activations without a table of their own; ``None`` for an
            event that is not wanted.
        scopes: The same by ``q_scope``, inheritance already applied.
    """

    event_id: tuple[Path, ...]
    occurred_at: tuple[Path, ...]
    formats: tuple[str, ...]
    person: PersonRule
    any_scope: bool
    rules: Mapping[str, ActivationEventRule | None]
    scopes: Mapping[str, Mapping[str, ActivationEventRule | None]]

    def rules_for(self, q_scope: str) -> Mapping[str, ActivationEventRule | None]:
        """Return the rules of an activation, by event."""
        return self.scopes.get(q_scope, self.rules)
