"""Environment variables of the delivery function."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from braze_bridge.settings import _Settings


class DeliverySettings(_Settings):
    """What delivery needs to know.

    Attributes:
        braze_endpoint: Overrides the instance's REST endpoint where not empty.
        allow_loopback_braze: Only the local stack sets it.
        send_concurrency: Requests to Braze at once, of one Lambda.
        on_unknown_outcome: What becomes of events whose request timed out: they may or may not be
            at Braze already, and Braze does not de-duplicate them.
        queue_retention_seconds: Of the delivery queue; a job older than three quarters is parked.
        queue_visibility_seconds: Of the delivery queue; a lease ends before it does.
        function_timeout_seconds: After which Lambda ends this function; a lease outlives it.
        ledger_table: Holds the ledger and the gate.
        ledger_secret: Name of the secret that keys the ledger's fingerprints.
        delivery_lambdas: How many Lambdas may call Braze at the same time.
    """

    braze_instance: str
    braze_endpoint: str = ""
    allow_loopback_braze: bool = False
    braze_secret: str
    delivery_queue_url: str
    rejected_table: str
    send_concurrency: Annotated[int, Field(ge=1, le=256)] = 20
    on_unknown_outcome: Literal["resend", "park"] = "resend"
    queue_retention_seconds: Annotated[int, Field(ge=60, le=1_209_600)]
    queue_visibility_seconds: Annotated[int, Field(ge=1, le=43_200)]
    function_timeout_seconds: Annotated[int, Field(ge=1, le=900)]
    ledger_table: str
    ledger_secret: str
    delivery_lambdas: Annotated[int, Field(ge=1, le=1000)] = 10
