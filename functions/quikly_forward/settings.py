"""Environment variables of the forward function."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from braze_bridge.settings import _Settings


class ForwardSettings(_Settings):
    """Settings of the forward function.

    Attributes:
        quikly_api_url: Quikly's address; empty if no activation is forwarded.
        allow_loopback_quikly: Only the local stack sets it.
        quikly_api_secret: Name of the secret with Quikly's key.
        claims_table: Holds the sent calls, too.
        queue_retention_seconds: Of the forward queue; an older call than three quarters is parked.
        function_timeout_seconds: After which Lambda ends this function; a lease outlives it.
    """

    quikly_api_url: str = ""
    allow_loopback_quikly: bool = False
    quikly_api_secret: str
    claims_table: str
    forward_queue_url: str
    rejected_table: str
    queue_retention_seconds: Annotated[int, Field(ge=60, le=1_209_600)]
    function_timeout_seconds: Annotated[int, Field(ge=1, le=900)]
