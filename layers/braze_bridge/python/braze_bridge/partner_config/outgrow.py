"""How an Outgrow response becomes a job, for each content and for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.mapping.attributes import ValueRule
    from braze_bridge.mapping.paths import Path
    from braze_bridge.mapping.people import PersonRule
    from braze_bridge.partner_config.rules import DoorConfig, EventRule


class OutgrowRule(NamedTuple):
    """How the responses to one content are read.

    Attributes:
        response_id: Paths to the response's own id.
        response_id_with_time: Paths to an id that names a response only together with its time.
        occurred_at: Paths to the time of the response.
        formats: How times are written that are not certain otherwise.
        consent: Paths to the field that must be true; empty: none must.
    """

    response_id: tuple[Path, ...]
    response_id_with_time: tuple[Path, ...]
    occurred_at: tuple[Path, ...]
    formats: tuple[str, ...]
    person: PersonRule
    consent: tuple[Path, ...]
    attributes: tuple[ValueRule, ...]
    event: EventRule | None


class OutgrowConfig(NamedTuple):
    """The whole file.

    Attributes:
        default: For every content that has no rule of its own.
        content: By content id, inheritance already applied.
    """

    door: DoorConfig
    default: OutgrowRule
    content: Mapping[str, OutgrowRule]

    def attribute_names(self) -> set[str]:
        """Return the names that responses may write, and those of the fields with the consent."""
        rules = (self.default, *self.content.values())
        consent = {path.text for rule in rules for path in rule.consent}
        return {
            *(each.name for rule in rules for each in rule.attributes),
            *(text.rpartition(".")[2].strip('"') for text in consent),
        }

    def rule_for(self, content_id: str | None) -> OutgrowRule:
        """Return the rule of a content, or the default if it has none or there is no id."""
        return self.default if content_id is None else self.content.get(content_id, self.default)
