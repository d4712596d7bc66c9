"""``[acquisition]`` of ``quikly.toml``: how people who sign up at Quikly enter Braze, per scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.partner_config import Table


class AcquisitionRule(NamedTuple):
    """One activation's acquisition.

    Attributes:
        q_scope: The activation.
    """

    q_scope: str


def read_acquisitions(root: Table) -> Mapping[str, AcquisitionRule]:
    """Read ``[acquisition."<q_scope>"]``.

    Args:
        root: The whole file.
    """
    table = root.table("acquisition")
    return {} if table is None else {scope: AcquisitionRule(scope) for scope in table.names()}
