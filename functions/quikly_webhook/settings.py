"""Environment variables of the webhook and its sweep."""

from __future__ import annotations

from pathlib import Path

from braze_bridge.settings import _Settings


class ClaimsSettings(_Settings):
    """Settings of the sweep of claims, and of the webhook.

    Attributes:
        claims_table: Holds activations' counters and people's claims.
        claims_secret: Name of the secret that keys people's hashes and seeds the draws.
        forward_queue_url: Takes the calls to Quikly's own API.
        partner_config_dir: Folder of ``quikly.toml``.
    """

    claims_table: str
    claims_secret: str
    delivery_queue_url: str
    forward_queue_url: str
    partner_config_dir: Path = Path("/opt/partner_config")


class WebhookSettings(ClaimsSettings):
    """Settings of the webhook that Braze campaigns call.

    Attributes:
        partner_secret: Name of the secret with the token that Braze sends.
    """

    partner_secret: str
