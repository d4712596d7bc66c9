"""``[activation]`` of ``quikly.toml``: who wins what when Braze calls the webhook, per scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.partner_config import Table


class ActivationRule(NamedTuple):
    """One activation.

    Attributes:
        q_scope: The activation.
    """

    q_scope: str


def read_activations(root: Table) -> Mapping[str, ActivationRule]:
    """Read ``[activation."<q_scope>"]``.

    Args:
        root: The whole file.
    """
    table = root.table("activation")
    return {} if table is None else {scope: ActivationRule(scope) for scope in table.names()}
