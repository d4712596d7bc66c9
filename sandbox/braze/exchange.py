"""One HTTP call and one answer, as the endpoints see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import from_json

JsonObject = dict[str, JsonValue]

MAX_BODY_BYTES = 4_000_000
"""Braze says "4 MB" for every endpoint; we chose the smaller reading."""


class ForcedError(BaseModel):
    """An object that a fault makes invalid, named the way Braze names it in `errors`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_array: Literal["attributes", "events", "purchases"]
    index: Annotated[int, Field(ge=0)]
    type: str = "a fault of the sandbox"


@dataclass(frozen=True)
class Call:
    """One request, read whole.

    Attributes:
        n: Its number in the request log, from 1.
        at: When it came, in epoch seconds.
        method: The HTTP method, upper case.
        path: The path without the query.
        headers: Headers by lower-case name.
        query: Query parameters in order, decoded.
        body: The body, at most `MAX_BODY_BYTES`.
        oversize: Whether the body was longer and is therefore not here.
        forced_errors: Objects a fault makes invalid.
    """

    n: int
    at: float
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    oversize: bool = False
    forced_errors: tuple[ForcedError, ...] = ()

    @cached_property
    def json(self) -> JsonValue:
        """The body, parsed once.

        Raises:
            ValueError: It is not JSON: broken UTF-8, NaN, lone surrogates, integers of more than
                4,300 digits and nesting deeper than 200 included.
        """
        parsed: JsonValue = from_json(self.body, allow_inf_nan=False)
        return parsed


@dataclass(slots=True)
class Answer:
    """One response: JSON when `json` is there, else `text` as HTML."""

    status: int
    json: JsonObject | None = None
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def refusal(message: str, status: int = 400) -> Answer:
    """Make a fatal error with Braze's usual body, `{"message": …}`."""
    return Answer(status, {"message": message})


def page(status: int, phrase: str) -> Answer:
    """Make a refusal without a documented body: HTML, as the NGINX before Braze would send it.

    The bodies of 403, 413, 415 and 429 are undocumented; a body that is not JSON is the
    hardest case for a client.
    """
    return Answer(status, text=f"<html><head><title>{status} {phrase}</title></head></html>")
