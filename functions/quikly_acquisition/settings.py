"""Environment variables of the acquisition functions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from braze_bridge.settings import _Settings


class AcquisitionSweepSettings(_Settings):
    """Settings of the acquisition sweep, and of the other two functions."""

    acquisition_table: str
    acquisition_queue_url: str


class AcquisitionApiSettings(AcquisitionSweepSettings):
    """Settings of the acquisition API.

    Attributes:
        partner_secret: Name of the secret with Quikly's ``current`` and ``previous`` token.
        partner_config_dir: Folder of ``quikly.toml``.
        ledger_secret: Name of the secret that keys the hashes of addresses.
        ledger_table: Holds the names of attributes that were ever used.
    """

    partner_secret: str
    partner_config_dir: Path = Path("/opt/partner_config")
    ledger_secret: str
    ledger_table: str


class AcquisitionWorkerSettings(AcquisitionSweepSettings):
    """Settings of the acquisition worker.

    Attributes:
        allow_loopback_braze: Only the local stack sets it; it applies to Quikly's address, too.
        delivery_queue_url: Takes events and attributes.
        send_concurrency: Most requests to Braze and Quikly at once, of one Lambda.
        acquisition_lambdas: Most workers that call Braze at the same time.
        function_timeout_seconds: After which Lambda ends this function.
        ledger_table: Holds the gate.
        quikly_api_url: Quikly's API; if empty, Quikly asks the status route instead.
        quikly_api_secret: Name of the secret with its key.
        profile_wait_seconds: Between creating a profile and subscribing it. Quikly's page says
            about two minutes (docs/partners/…/retargeting/quikly).
        on_unknown_outcome: See :class:`quikly_acquisition.workflow.WorkflowSettings`.
    """

    braze_instance: str
    braze_endpoint: str = ""
    allow_loopback_braze: bool = False
    braze_secret: str
    partner_config_dir: Path = Path("/opt/partner_config")
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
