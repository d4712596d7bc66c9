"""Links to the stand-in and the local stack."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandbox.guard import is_loopback


def _on_this_machine(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        raise ValueError("must be an http address of this machine")
    return url.rstrip("/")


LocalUrl = Annotated[str, AfterValidator(_on_this_machine)]


class LedgerLink(BaseModel):
    """The ledger's table in the local AWS engine, which holds the gates."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint_url: LocalUrl
    access_key_id: str
    secret_access_key: str = Field(repr=False)
    region: str
    table: str


class StackLink(BaseModel):
    """The stack that uses this stand-in as its Braze.

    Attributes:
        api_url: Samples are posted to its routes.
        tokens: By name, as in the stack's file. They stay in memory and are never shown.
        ledger: The gates' table, if the page shows them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_url: LocalUrl
    tokens: dict[str, str] = Field(repr=False)
    ledger: LedgerLink | None = None
