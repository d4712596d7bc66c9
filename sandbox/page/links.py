"""Links to the stand-in and the local stack."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandbox.braze.guard import is_loopback


def _on_this_machine(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        raise ValueError("must be an http address of this machine")
    return url.rstrip("/")


LocalUrl = Annotated[str, AfterValidator(_on_this_machine)]


class LedgerLink(BaseModel):
    """Where the gates' items are: the ledger's table in the local AWS engine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint_url: LocalUrl
    region: str
    table: str


class StackLink(BaseModel):
    """The stack whose Braze the stand-in plays.

    Attributes:
        api_url: Where samples are posted: routes follow it.
        tokens: By name, as in the stack's file. They stay in memory and are never shown.
        ledger: Where the gates are, if they shall be shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_url: LocalUrl
    tokens: dict[str, str] = Field(repr=False)
    ledger: LedgerLink | None = None
