"""All that ``quikly.toml`` says: acquisitions, activations, and what activation events become."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from braze_bridge.mapping.names import ANY_NAME, NameGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule
    from braze_bridge.partner_config.quikly_activations import ActivationRule
    from braze_bridge.partner_config.quikly_events import EventsConfig
    from braze_bridge.partner_config.rules import DoorConfig


class QuiklyConfig(NamedTuple):
    """The whole file; acquisitions and activations by ``q_scope``.

    Attributes:
        placeholders: What is no identifier besides the usual placeholders, in lower case.
        names: Names of attributes that no sign-up may write.
    """

    door: DoorConfig
    acquisitions: Mapping[str, AcquisitionRule]
    activations: Mapping[str, ActivationRule]
    events: EventsConfig
    placeholders: frozenset[str] = frozenset()
    names: NameGuard = ANY_NAME

    def attribute_names(self) -> set[str]:
        """Return the names that claims, events and sign-ups may write."""
        events = [self.events.rules, *self.events.scopes.values()]
        marks = [rule.participation_attribute for rule in self.acquisitions.values()]
        return {
            *(name for rule in self.activations.values() for name in rule.profile.attributes),
            *(
                each.name
                for rules in events
                for rule in rules.values()
                if rule is not None
                for each in rule.attributes
            ),
            *(mark.name for mark in marks if mark is not None),
        }
