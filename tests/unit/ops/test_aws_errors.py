"""Why AWS could not be asked, in words."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from ops.stack.aws_errors import cause_of


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NoCredentialsError(), "this machine has no AWS credentials (NoCredentialsError)"),
        (NoRegionError(), "no AWS region is set: --region (NoRegionError)"),
        (
            ProfileNotFound(profile="work"),
            "AWS_PROFILE names no profile of this machine (ProfileNotFound)",
        ),
        (ConnectTimeoutError(endpoint_url="https://sqs.invalid"), "ConnectTimeoutError"),
    ],
)
def test_what_people_meet_before_the_first_call_is_a_sentence(
    error: BotoCoreError, says: str
) -> None:
    """The failure's own name stays in it, to be searched for."""
    assert cause_of(error) == says


def test_a_refusal_is_told_by_its_code_alone() -> None:
    """AWS's text may repeat what was sent."""
    error = ClientError({"Error": {"Code": "AccessDenied", "Message": "of ada"}}, "Scan")

    assert cause_of(error) == "AccessDenied"
