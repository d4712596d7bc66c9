"""A reason why something was refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Reason(BaseModel):
    """Why something was refused, never quoting the value that was.

    Attributes:
        code: A stable word to count by, such as ``missing`` or ``braze_refused``.
        field: Where: a path in the body, or an attribute's or event's name.
        detail: A sentence for people; Braze's own text where Braze refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    field: str | None = None
    detail: str | None = None
