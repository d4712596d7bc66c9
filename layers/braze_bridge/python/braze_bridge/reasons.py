"""Reasons why something was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from pydantic import ValidationError


class Reason(BaseModel):
    """Why something was refused; it never quotes a value.

    Attributes:
        code: A stable word to count by, such as ``missing`` or ``braze_refused``.
        field: Where: a path in the body, or an attribute's or event's name.
        detail: A sentence for people; Braze's own text if Braze refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    field: str | None = None
    detail: str | None = None


def invalid_fields(error: ValidationError, whole: str) -> tuple[tuple[str, str], ...]:
    """List what pydantic refuses, without any value.

    Args:
        whole: Names the place of a mistake that is in no field.

    Returns:
        The place and the code of each mistake.
    """
    return tuple(
        (".".join(str(step) for step in item["loc"]) or whole, str(item["type"]))
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    )
