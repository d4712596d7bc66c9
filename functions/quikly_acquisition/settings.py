"""Environment variables of the acquisition functions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from braze_bridge.settings import _Settings


class AcquisitionApiSettings(_Settings):
    """What Quikly's acquisition API needs to know.

    Attributes:
        partner_secret: Name of the secret with Quikly's ``current`` and ``previous`` token.
        partner_config_dir: Folder that holds ``quikly.toml``.
        acquisition_table: Holds the acquisitions.
        acquisition_queue_url: Takes a message for each step that is due.
        ledger_secret: Name of the secret that keys the hashes under which people are known.
    """

    partner_secret: str
    partner_config_dir: Path = Path("/opt/partner_config")
    acquisition_table: str
    acquisition_queue_url: str
    ledger_secret: str


class AcquisitionWorkerSettings(_Settings):
    """What the acquisition worker needs to know.

    Attributes:
        braze_endpoint: As for delivery.
        allow_loopback_braze: Only the local stack sets it; it holds for Quikly's address, too.
        delivery_queue_url: Takes what goes by way of delivery: events and attributes.
        send_concurrency: Requests to Braze and Quikly at once, of one Lambda.
        acquisition_lambdas: How many workers may call Braze at the same time.
        function_timeout_seconds: After which Lambda ends this function.
        ledger_table: Holds the gate.
        ledger_secret: As for the API.
        quikly_api_url: Where Quikly is told; empty: Quikly asks the status route instead.
        quikly_api_secret: Name of the secret with the key for it.
        profile_wait_seconds: Between creating a profile and subscribing it. Quikly's page says
            about two minutes (docs/partners/…/retargeting/quikly).
        on_unknown_outcome: What becomes of a credit whose answer was lost.
    """

    braze_instance: str
    braze_endpoint: str = ""
    allow_loopback_braze: bool = False
    braze_secret: str
    partner_config_dir: Path = Path("/opt/partner_config")
    acquisition_table: str
    acquisition_queue_url: str
    delivery_queue_url: str
    send_concurrency: Annotated[int, Field(ge=1, le=256)] = 20
    acquisition_lambdas: Annotated[int, Field(ge=1, le=1000)] = 2
    function_timeout_seconds: Annotated[int, Field(ge=1, le=900)]
    ledger_table: str
    ledger_secret: str
    quikly_api_url: str = ""
    quikly_api_secret: str
    profile_wait_seconds: Annotated[int, Field(ge=0, le=900)] = 120
    on_unknown_outcome: Literal["resend", "park"] = "resend"


class AcquisitionSweepSettings(_Settings):
    """What the acquisition sweep needs to know.

    Attributes:
        acquisition_table: As for the API.
        acquisition_queue_url: As for the API.
    """

    acquisition_table: str
    acquisition_queue_url: str
