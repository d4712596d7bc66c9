"""``[events]`` of ``quikly.toml``: what Quikly's activation events become at Braze."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from braze_bridge.partner_config import Table


class EventsConfig(NamedTuple):
    """The part of the file about activation events."""


def read_events(root: Table) -> EventsConfig:
    """Read ``[events]``.

    Args:
        root: The whole file.
    """
    root.table("events")
    return EventsConfig()
