"""The policy of the role that deploys allows what CloudFormation does for every resource type.

The permissions of a type are those of its handlers in AWS's resource schemas, which cfn-lint ships.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any, Final

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from ops.deployment.account import LOGGING_ROLE
from tests.infra.template import ROOT, default_template, template_with_every_part

POLICY: Final = json.loads((ROOT / "ops" / "deployment" / "deployer_policy.json").read_text())
SIZE_LIMIT: Final = 6144
"""Characters of a managed policy without white space (IAM quotas)."""

AT: Final = "eu-west-1:123456789012"
NAME: Final = "braze-bridge-dev"
EVERYTHING: Final = template_with_every_part()
TYPES: Final = sorted({each["Type"] for each in EVERYTHING.plain["Resources"].values()})

ARNS: Final = {
    "apigateway": ["arn:aws:apigateway:eu-west-1::/account"],
    "cloudformation": [f"arn:aws:cloudformation:{AT}:stack/{NAME}/x"],
    "cloudwatch": [
        f"arn:aws:cloudwatch:{AT}:alarm:{NAME}-X",
        f"arn:aws:cloudwatch::123456789012:dashboard/{NAME}",
    ],
    "codedeploy": [f"arn:aws:codedeploy:{AT}:application:{NAME}-X"],
    "dynamodb": [f"arn:aws:dynamodb:{AT}:table/{NAME}-X"],
    "events": [f"arn:aws:events:{AT}:rule/{NAME}-X"],
    "iam": [f"arn:aws:iam::123456789012:role/{NAME}-X"],
    "lambda": [f"arn:aws:lambda:{AT}:function:{NAME}-X", f"arn:aws:lambda:{AT}:layer:{NAME}-X"],
    "logs": [f"arn:aws:logs:{AT}:log-group:/{NAME}/x"],
    "s3": ["arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-x"],
    "secretsmanager": [f"arn:aws:secretsmanager:{AT}:secret:{NAME}/braze-abcdef"],
    "sns": [f"arn:aws:sns:{AT}:{NAME}-X"],
    "sqs": [f"arn:aws:sqs:{AT}:{NAME}-X"],
}
"""By service: names that CloudFormation or the template gives."""

UNUSED: Final = {
    "kms:*": "no key of the account's own",
    "kinesis:*": "no streams",
    "dynamodb:*KinesisStreamingDestination": "no streams",
    "dynamodb:*Import*": "tables begin empty",
    "s3:GetObjectMetadata": "as above",
    "dynamodb:*Replica": "one region",
    "dynamodb:*Item": "rows are copied to replicas only",
    "dynamodb:Scan": "as above",
    "dynamodb:Query": "as above",
    "logs:*LogStream*": "the import's log",
    "logs:PutLogEvents": "as above",
    "secretsmanager:*Region*": "one region",
    "ec2:*": "no VPC",
    "elasticfilesystem:*": "no file systems",
    "s3files:*": "no file systems",
    "lambda:PassCapacityProvider": "Lambda's own capacity",
    "logs:*KmsKey": "no key of the account's own",
    "logs:*LogDelivery": "logs stay in CloudWatch",
    "logs:*ResourcePolicy": "as above",
    "logs:PutBearerTokenAuthentication": "as above",
    "logs:PutLogGroupDeletionProtection": "a log group ends with its stack",
    "firehose:*": "as above",
    "s3:REST.PUT.OBJECT": "as above",
    "codedeploy:RegisterOnPremisesInstance": "Lambda only",
    "iam:CreateServiceLinkedRole": "of DynamoDB: replicas only",
    "amplify:*": "the web ACL is API Gateway's",
    "apprunner:*": "as above",
    "appsync:*": "as above",
    "bedrock-agentcore:*": "as above",
    "cognito-idp:*": "as above",
    "ec2:*Verified*": "as above",
    "elasticloadbalancing:*": "as above",
    "wafv2:*PermissionPolicy": "as above",
}
"""Permissions of handlers for what the template does not use, with the reason."""


def permissions(kind: str) -> set[str]:
    """Return what CloudFormation may call for a resource type, without what is unused."""
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
    called = {
        each
        for name in ("create", "update", "delete")
        for each in handlers.get(name, {}).get("permissions", [])
    }
    return {each for each in called if not any(fnmatchcase(each, name) for name in UNUSED)}


def is_allowed(action: str) -> bool:
    service = action.partition(":")[0]
    return any(
        fnmatchcase(action, allowed) and fnmatchcase(arn, resource)
        for statement in POLICY["Statement"]
        for allowed in listed(statement["Action"])
        for resource in listed(statement["Resource"])
        for arn in ARNS.get(service, ["*"])
    )


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


@pytest.mark.parametrize("kind", TYPES)
def test_the_deployer_may_make_change_and_delete(kind: str) -> None:
    """Every resource type of the whole template."""
    assert [each for each in sorted(permissions(kind)) if not is_allowed(each)] == []


@pytest.mark.parametrize(
    "action",
    [
        *("apigateway:GET", "cloudformation:DescribeStacks", "cloudformation:ListChangeSets"),
        *("cloudformation:SetStackPolicy", "cloudformation:DeleteStack", "s3:CreateBucket"),
        *("secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"),
    ],
)
def test_the_deployer_may_do_what_make_deploy_does_itself(action: str) -> None:
    """Look into the account, upload, protect the stack, set the key, post the test answer."""
    assert is_allowed(action)


@pytest.mark.parametrize(
    "action",
    [
        *("dynamodb:Scan", "dynamodb:GetItem", "sqs:ReceiveMessage", "sqs:PurgeQueue"),
        *("iam:CreateUser", "iam:CreatePolicy", "ec2:RunInstances", "kms:Decrypt"),
    ],
)
def test_the_deployer_may_not(action: str) -> None:
    """Read what people answered, or reach beyond the stack."""
    assert not is_allowed(action)


def test_another_stack_s_roles_are_not_the_deployer_s() -> None:
    """Every right on roles is for names that begin with the stack's."""
    for statement in POLICY["Statement"]:
        if any(each.startswith("iam:") for each in listed(statement["Action"])):
            for resource in listed(statement["Resource"]):
                name = resource.removeprefix("arn:aws:iam::*:role/")
                assert re.fullmatch(r"braze-bridge\*|aws-service-role/.+", name)


def test_the_policy_fits_into_a_managed_policy() -> None:
    """IAM counts the characters without white space."""
    assert len(re.sub(r"\s", "", json.dumps(POLICY))) <= SIZE_LIMIT


def test_the_logging_role_is_found_by_its_logical_id() -> None:
    """`make deploy` compares it with the account's role."""
    assert default_template().plain["Resources"][LOGGING_ROLE]["Type"] == "AWS::IAM::Role"
