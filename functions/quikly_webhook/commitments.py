"""Publish the commitments of activations decided by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from braze_bridge.partner_config.quikly_activations import Mode
from quikly_webhook.draws import commitment_to, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from braze_bridge.partner_config.quikly_activations import ActivationRule


def publish_commitments(
    commit: Callable[[str, str, datetime], object],
    activations: Mapping[str, ActivationRule],
    secret: Callable[[], bytes],
    now: datetime,
) -> None:
    """Publish the commitment of each activation that chance decides, unless it has one.

    Args:
        commit: Keeps an activation's commitment, unless there is one.
        activations: By ``q_scope``.
        secret: The claims secret.
    """
    for q_scope, rule in activations.items():
        if rule.mode in {Mode.RANDOM, Mode.DRAW}:
            commit(q_scope, commitment_to(seed_of(secret(), q_scope)), now)
