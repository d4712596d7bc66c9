"""All that ``quikly.toml`` says: acquisitions, activations, and what activation events become."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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
    """

    door: DoorConfig
    acquisitions: Mapping[str, AcquisitionRule]
    activations: Mapping[str, ActivationRule]
    events: EventsConfig
    placeholders: frozenset[str] = frozenset()
