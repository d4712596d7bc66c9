"""AWS's errors in plain words."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from ops.stack.errors import aws_errors


class OwnError(Exception):
    """The caller's."""


def said(error: Exception) -> str:
    with pytest.raises(OwnError) as own, aws_errors(OwnError):
        raise error
    return str(own.value)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NoCredentialsError(), "this machine has no AWS credentials (NoCredentialsError)"),
        (
            PartialCredentialsError(provider="env", cred_var="key"),
            "AWS credentials are incomplete (PartialCredentialsError)",
        ),
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
    """The failure's own name stays in it, so that people can search for it."""
    assert said(error) == says


def test_a_refusal_is_told_by_its_code_alone() -> None:
    """AWS's text may repeat what was sent."""
    error = ClientError({"Error": {"Code": "AccessDenied", "Message": "of ada"}}, "Scan")

    assert said(error) == "AccessDenied"
