"""Why an AWS call failed, in a word that holds nothing of what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from botocore.exceptions import (
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.exceptions import BotoCoreError

_WORDS: Final[Mapping[type[BotoCoreError], str]] = {
    NoCredentialsError: "this machine has no AWS credentials (NoCredentialsError)",
    PartialCredentialsError: "AWS credentials are incomplete (PartialCredentialsError)",
    ProfileNotFound: "AWS_PROFILE names no profile of this machine (ProfileNotFound)",
    NoRegionError: "no AWS region is set: --region (NoRegionError)",
}
"""What people meet before the first call."""

CONDITION_FAILED: Final = "ConditionalCheckFailedException"


def cause_of(error: BotoCoreError | ClientError) -> str:
    """AWS's error code, or the name of the failure before any answer came."""
    if isinstance(error, ClientError):
        response = cast("dict[str, dict[str, str]]", error.response)
        return str(response["Error"].get("Code", "refused"))
    return _WORDS.get(type(error), type(error).__name__)
