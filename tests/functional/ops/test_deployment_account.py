"""What `make deploy` reads of CloudFormation's and API Gateway's answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.stub import Stubber

from ops.deployment.account import AccountError, AwsAccount, DeployedStack
from tests.functional.ops.conftest import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK = "bridge"
NO_STACK = f"Stack with id {STACK} does not exist"


class Stubbed:
    """An account whose services give prepared answers."""

    def __init__(self) -> None:
        formation = boto3.client("cloudformation", region_name=REGION)
        gateway = boto3.client("apigateway", region_name=REGION)
        self.formation = Stubber(formation)
        self.gateway = Stubber(gateway)
        self.account = AwsAccount(formation, gateway)


@pytest.fixture
def stubbed(aws: None) -> Iterator[Stubbed]:
    made = Stubbed()
    with made.formation, made.gateway:
        yield made


@pytest.mark.parametrize("answer", [{}, {"cloudwatchRoleArn": ""}], ids=["no field", "empty"])
def test_an_account_may_have_no_logging_role(stubbed: Stubbed, answer: dict[str, str]) -> None:
    """As a new account."""
    stubbed.gateway.add_response("get_account", answer)

    assert stubbed.account.logging_role() is None


def test_a_refused_question_names_the_call(stubbed: Stubbed) -> None:
    """The deployer's rights are what is missing."""
    stubbed.gateway.add_client_error("get_account", "AccessDeniedException")

    with pytest.raises(AccountError, match="apigateway get-account: AccessDeniedException"):
        stubbed.account.logging_role()


def test_a_stack_is_known_by_its_status_and_its_own_role(stubbed: Stubbed) -> None:
    """A resource without a physical id was never made."""
    now = datetime(2026, 11, 28, tzinfo=UTC)
    found = {"StackName": STACK, "CreationTime": now, "StackStatus": "CREATE_COMPLETE"}
    common = {
        "ResourceType": "AWS::IAM::Role",
        "Timestamp": now,
        "ResourceStatus": "CREATE_COMPLETE",
    }
    resources = [
        {**common, "LogicalResourceId": "Other"},
        {**common, "LogicalResourceId": "ApiLoggingRole", "PhysicalResourceId": "its-role"},
    ]
    stubbed.formation.add_response("describe_stacks", {"Stacks": [found]})
    stubbed.formation.add_response("describe_stack_resources", {"StackResources": resources})

    assert stubbed.account.stack(STACK) == DeployedStack("CREATE_COMPLETE", "its-role")


def test_a_first_deployment_finds_no_stack(stubbed: Stubbed) -> None:
    """CloudFormation has no error code for it."""
    for call in ("describe_stacks", "list_change_sets"):
        stubbed.formation.add_client_error(call, "ValidationError", NO_STACK)

    assert stubbed.account.stack(STACK) == DeployedStack()
    assert stubbed.account.waiting_change_sets(STACK) == frozenset()


def test_another_validation_error_is_an_error(stubbed: Stubbed) -> None:
    """It must not look like a first deployment."""
    for call in ("describe_stacks", "list_change_sets"):
        stubbed.formation.add_client_error(call, "ValidationError", "Rate exceeded")

    with pytest.raises(AccountError):
        stubbed.account.stack(STACK)
    with pytest.raises(AccountError):
        stubbed.account.waiting_change_sets(STACK)


def test_only_sam_s_change_sets_that_wait_are_found_on_every_page(stubbed: Stubbed) -> None:
    """Those of other tools, and executed ones, say nothing about this deployment."""
    pages = (
        [("samcli-deploy1", "AVAILABLE"), ("by-hand", "AVAILABLE")],
        [("samcli-deploy2", "EXECUTE_COMPLETE"), ("samcli-deploy3", "AVAILABLE")],
    )
    for token, page in zip(({"NextToken": "2"}, {}), pages, strict=True):
        listed = [
            {"ChangeSetId": f"id-of-{name}", "ChangeSetName": name, "ExecutionStatus": status}
            for name, status in page
        ]
        stubbed.formation.add_response("list_change_sets", {"Summaries": listed, **token})

    assert stubbed.account.waiting_change_sets(STACK) == {
        "id-of-samcli-deploy1",
        "id-of-samcli-deploy3",
    }
