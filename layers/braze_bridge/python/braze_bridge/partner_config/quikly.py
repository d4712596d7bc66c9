"""``quikly.toml``: acquisitions, activations, and what activation events become.

In the layer, since three functions read it. Each part has a module of its own, which reads and
checks its tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule, read_acquisitions
from braze_bridge.partner_config.quikly_activations import ActivationRule, read_activations
from braze_bridge.partner_config.quikly_events import EventsConfig, read_events
from braze_bridge.partner_config.rules import DoorConfig, read_door
from braze_bridge.partner_config.toml_table import Table, load_table

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

FILE_NAME: Final = "quikly.toml"


class QuiklyConfig(NamedTuple):
    """The whole file.

    Attributes:
        door: Of the routes that Quikly calls.
        acquisitions: By ``q_scope``.
        activations: By ``q_scope``.
        events: What Quikly's activation events become.
    """

    door: DoorConfig
    acquisitions: Mapping[str, AcquisitionRule]
    activations: Mapping[str, ActivationRule]
    events: EventsConfig


def load_quikly(directory: pathlib.Path) -> QuiklyConfig:
    """Read ``quikly.toml``.

    Args:
        directory: The folder that holds it.

    Raises:
        ConfigError: With every problem and its dotted key.
    """
    return load_table(directory / FILE_NAME, _read)


def _read(root: Table) -> QuiklyConfig:
    return QuiklyConfig(
        door=read_door(root),
        acquisitions=read_acquisitions(root),
        activations=read_activations(root),
        events=read_events(root),
    )
