"""Environment variables of the delivery function."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Json

from braze_bridge.settings import _Settings


class DeliverySettings(_Settings):
    """Settings of delivery.

    Attributes:
        braze_endpoint: Overrides the instance's REST endpoint unless empty.
        allow_loopback_braze: Only the local stack sets it.
        send_concurrency: Maximum parallel requests of one Lambda to Braze.
        on_unknown_outcome: For events of a request that timed out. They may be at Braze already,
            and Braze does not de-duplicate them. ``verify`` looks them up before.
        on_unverified: For events of which a look-up cannot tell.
        verify_lag_seconds: Before a look-up. The local stack waits less.
        queue_retention_seconds: Of the delivery queue; a job older than three quarters is parked.
        queue_visibility_seconds: Of the delivery queue; a lease ends earlier.
        function_timeout_seconds: After it Lambda ends this function; a lease ends later.
        ledger_table: Holds the ledger and the gate.
        ledger_secret: Name of the secret that keys the ledger's fingerprints.
        delivery_lambdas: How many Lambdas may call Braze at the same time.
        job_senders: Role id of each function that sends jobs to the sources that it may send.
        operator_ids: Ids of the roles and users that may replay jobs, with commas between; empty if
            every identity that IAM lets send may.
    """

    braze_instance: str
    braze_endpoint: str = ""
    allow_loopback_braze: bool = False
    braze_secret: str
    delivery_queue_url: str
    rejected_table: str
    send_concurrency: Annotated[int, Field(ge=1, le=256)] = 20
    on_unknown_outcome: Literal["verify", "resend", "park"] = "verify"
    on_unverified: Literal["resend", "park"] = "resend"
    verify_lag_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    queue_retention_seconds: Annotated[int, Field(ge=60, le=1_209_600)]
    queue_visibility_seconds: Annotated[int, Field(ge=1, le=43_200)]
    function_timeout_seconds: Annotated[int, Field(ge=1, le=900)]
    ledger_table: str
    ledger_secret: str
    delivery_lambdas: Annotated[int, Field(ge=1, le=1000)] = 10
    job_senders: Json[dict[str, frozenset[str]]]
    operator_ids: str = ""
