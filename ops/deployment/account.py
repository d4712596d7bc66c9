"""What `make deploy` asks and changes in the AWS account, beside SAM's own calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import boto3
from botocore.exceptions import ClientError

from braze_bridge.aws.clients import bounded_config
from ops.stack.errors import CommandError, aws_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import Self

    from types_boto3_apigateway import APIGatewayClient
    from types_boto3_cloudformation import CloudFormationClient

LOGGING_ROLE: Final = "ApiLoggingRole"
"""Logical id of the template's role for API Gateway's logs."""

STACK_POLICY: Final = Path(__file__).parents[2] / "templates" / "stack-policy.json"
"""An update fails before it changes a key that must never change, or replaces a table.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/protect-stack-resources.html
"""

_SAM_CHANGE_SETS: Final = "samcli-deploy"
_DELETE_POLL_SECONDS: Final = 5
_DELETE_POLLS: Final = 120


class AccountError(CommandError):
    """AWS refused a question or did not answer. The text says which."""


class DeployedStack(NamedTuple):
    """What CloudFormation knows of a stack.

    Attributes:
        status: CloudFormation's; ``None`` if there is no stack.
        logging_role: Name of the stack's own role for API Gateway's logs, if it has one.
    """

    status: str | None = None
    logging_role: str | None = None


class Account(Protocol):
    """The account and region of a deployment. Every method raises :class:`AccountError`."""

    def logging_role(self) -> str | None:
        """Return the ARN of the role that API Gateway writes logs with, in this account."""
        ...

    def stack(self, name: str) -> DeployedStack:
        """Look up a stack."""
        ...

    def waiting_change_sets(self, name: str) -> frozenset[str]:
        """Return ids of SAM's change sets of a stack that are ready and were not executed."""
        ...

    def delete(self, name: str) -> None:
        """Delete a stack, and wait until it is gone."""
        ...

    def protect(self, name: str) -> None:
        """Set the stack policy."""
        ...


class AwsAccount:
    """See :class:`Account`."""

    def __init__(self, formation: CloudFormationClient, gateway: APIGatewayClient) -> None:
        self._formation = formation
        self._gateway = gateway

    @classmethod
    def of(cls, region: str | None, profile: str | None) -> Self:
        """Open an account; ``None`` is the default region or profile of the AWS settings."""
        with _asking("the account"):
            session = boto3.Session(region_name=region, profile_name=profile)
            return cls(
                session.client("cloudformation", config=bounded_config()),
                session.client("apigateway", config=bounded_config()),
            )

    def logging_role(self) -> str | None:
        """See :class:`Account`."""
        with _asking("apigateway get-account"):
            return self._gateway.get_account().get("cloudwatchRoleArn") or None

    def stack(self, name: str) -> DeployedStack:
        """See :class:`Account`."""
        with _asking("cloudformation describe-stacks"):
            try:
                (found,) = self._formation.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if _is_unknown(error):
                    return DeployedStack()
                raise
            resources = self._formation.describe_stack_resources(StackName=name)["StackResources"]
        ids = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in resources
            if "PhysicalResourceId" in each
        }
        return DeployedStack(found["StackStatus"], ids.get(LOGGING_ROLE))

    def waiting_change_sets(self, name: str) -> frozenset[str]:
        """See :class:`Account`."""
        with _asking("cloudformation list-change-sets"):
            try:
                return frozenset(self._waiting(name))
            except ClientError as error:
                if _is_unknown(error):
                    return frozenset()
                raise

    def _waiting(self, name: str) -> Iterator[str]:
        for page in self._formation.get_paginator("list_change_sets").paginate(StackName=name):
            for each in page["Summaries"]:
                is_sams = each.get("ChangeSetName", "").startswith(_SAM_CHANGE_SETS)
                if is_sams and each.get("ExecutionStatus") == "AVAILABLE":
                    yield each["ChangeSetId"]

    def delete(self, name: str) -> None:
        """See :class:`Account`."""
        with _asking("cloudformation delete-stack"):
            self._formation.delete_stack(StackName=name)
            self._formation.get_waiter("stack_delete_complete").wait(
                StackName=name,
                WaiterConfig={"Delay": _DELETE_POLL_SECONDS, "MaxAttempts": _DELETE_POLLS},
            )

    def protect(self, name: str) -> None:
        """See :class:`Account`."""
        with _asking("cloudformation set-stack-policy"):
            policy = STACK_POLICY.read_text()
            self._formation.set_stack_policy(StackName=name, StackPolicyBody=policy)


def _asking(what: str) -> AbstractContextManager[None]:
    return aws_errors(lambda cause: AccountError(f"{what}: {cause}"))


def _is_unknown(error: ClientError) -> bool:
    """Whether CloudFormation says that the stack does not exist: it has no code of its own."""
    cause = error.response["Error"]
    return cause["Code"] == "ValidationError" and "does not exist" in cause["Message"]
