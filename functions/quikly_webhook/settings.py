"""Environment variables of the webhook and its sweep."""

from __future__ import annotations

from pathlib import Path

from braze_bridge.settings import _Settings


class ClaimsSettings(_Settings):
    """What the sweep of claims needs to know, and the webhook, too.

    Attributes:
        claims_table: Holds activations' counters and people's claims.
        claims_secret: Name of the secret that keys people's hashes in it and seeds the draws.
        forward_queue_url: Takes the calls that go on to Quikly's own API.
        partner_config_dir: Folder that holds ``quikly.toml``.
    """

    claims_table: str
    claims_secret: str
    delivery_queue_url: str
    forward_queue_url: str
    partner_config_dir: Path = Path("/opt/partner_config")


class WebhookSettings(ClaimsSettings):
    """What the webhook that Braze campaigns call needs to know.

    Attributes:
        partner_secret: Name of the secret with the token that Braze sends.
    """

    partner_secret: str
