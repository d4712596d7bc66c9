"""Why an AWS call failed, in a word that holds nothing of what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError

CONDITION_FAILED: Final = "ConditionalCheckFailedException"


def cause_of(error: BotoCoreError | ClientError) -> str:
    """AWS's error code, or the name of the failure before any answer came."""
    if isinstance(error, ClientError):
        response = cast("dict[str, dict[str, str]]", error.response)
        return str(response["Error"].get("Code", "refused"))
    return type(error).__name__
