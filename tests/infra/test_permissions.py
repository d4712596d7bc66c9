"""Each function has the rights that it needs and no others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import iterate_responses.mapping
import outgrow_ingest.mapping
import quikly_acquisition.next_action
import quikly_events.mapping
import quikly_webhook.claim_jobs
from sandbox.stack.engine_actions import with_engine_actions
from tests.infra.template import Template

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHOUT_RESOURCE = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
"""Actions without resources in IAM."""

SECRET = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:bridge/"

ALLOWED: dict[str, dict[str, Any]] = {
    "OutgrowIngestRole": {
        "sqs:SendMessage": {"Fn::GetAtt": ["DeliveryQueue", "Arn"]},
        "dynamodb:UpdateItem": {"Fn::GetAtt": ["RejectedTable", "Arn"]},
        "secretsmanager:GetSecretValue": [
            f"{SECRET}partner/outgrow-??????",
            f"{SECRET}partner/outgrow-link-??????",
        ],
        "logs:CreateLogStream": {"Fn::GetAtt": ["OutgrowIngestLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["OutgrowIngestLogGroup", "Arn"]},
    },
    "IterateResponsesRole": {
        "sqs:SendMessage": {"Fn::GetAtt": ["DeliveryQueue", "Arn"]},
        "dynamodb:GetItem": {"Fn::GetAtt": ["LedgerTable", "Arn"]},
        "dynamodb:UpdateItem": [
            {"Fn::GetAtt": ["RejectedTable", "Arn"]},
            {"Fn::GetAtt": ["LedgerTable", "Arn"]},
        ],
        "secretsmanager:GetSecretValue": [
            f"{SECRET}partner/iterate-??????",
            f"{SECRET}partner/iterate-link-??????",
        ],
        "logs:CreateLogStream": {"Fn::GetAtt": ["IterateResponsesLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["IterateResponsesLogGroup", "Arn"]},
    },
    "QuiklyAcquisitionApiRole": {
        "dynamodb:PutItem": {"Fn::GetAtt": ["AcquisitionTable", "Arn"]},
        "dynamodb:UpdateItem": [
            {"Fn::GetAtt": ["AcquisitionTable", "Arn"]},
            {"Fn::GetAtt": ["LedgerTable", "Arn"]},
        ],
        "dynamodb:GetItem": [
            {"Fn::GetAtt": ["AcquisitionTable", "Arn"]},
            {"Fn::GetAtt": ["LedgerTable", "Arn"]},
        ],
        "sqs:SendMessage": {"Fn::GetAtt": ["AcquisitionQueue", "Arn"]},
        "secretsmanager:GetSecretValue": [
            f"{SECRET}partner/quikly-??????",
            f"{SECRET}ledger-??????",
        ],
        "logs:CreateLogStream": {"Fn::GetAtt": ["QuiklyAcquisitionApiLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["QuiklyAcquisitionApiLogGroup", "Arn"]},
    },
    "QuiklyAcquisitionWorkerRole": {
        "sqs:ReceiveMessage": {"Fn::GetAtt": ["AcquisitionQueue", "Arn"]},
        "sqs:DeleteMessage": {"Fn::GetAtt": ["AcquisitionQueue", "Arn"]},
        "sqs:GetQueueAttributes": {"Fn::GetAtt": ["AcquisitionQueue", "Arn"]},
        "sqs:SendMessage": [
            {"Fn::GetAtt": ["AcquisitionQueue", "Arn"]},
            {"Fn::GetAtt": ["DeliveryQueue", "Arn"]},
        ],
        "dynamodb:BatchGetItem": [
            {"Fn::GetAtt": ["AcquisitionTable", "Arn"]},
            {"Fn::GetAtt": ["LedgerTable", "Arn"]},
        ],
        "dynamodb:PutItem": [
            {"Fn::GetAtt": ["AcquisitionTable", "Arn"]},
            {"Fn::GetAtt": ["LedgerTable", "Arn"]},
        ],
        "dynamodb:DeleteItem": {"Fn::GetAtt": ["AcquisitionTable", "Arn"]},
        "secretsmanager:GetSecretValue": [
            f"{SECRET}braze-??????",
            f"{SECRET}quikly-api-??????",
            f"{SECRET}ledger-??????",
        ],
        "logs:CreateLogStream": {"Fn::GetAtt": ["QuiklyAcquisitionWorkerLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["QuiklyAcquisitionWorkerLogGroup", "Arn"]},
    },
    "QuiklyAcquisitionSweepRole": {
        "dynamodb:Query": "${AcquisitionTable.Arn}/index/by_due",
        "dynamodb:UpdateItem": {"Fn::GetAtt": ["AcquisitionTable", "Arn"]},
        "sqs:SendMessage": [
            {"Fn::GetAtt": ["AcquisitionQueue", "Arn"]},
            {"Fn::GetAtt": ["SweepDeadLetterQueue", "Arn"]},
        ],
        "logs:CreateLogStream": {"Fn::GetAtt": ["QuiklyAcquisitionSweepLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["QuiklyAcquisitionSweepLogGroup", "Arn"]},
    },
    "QuiklyWebhookRole": {
        "dynamodb:PutItem": {"Fn::GetAtt": ["ClaimsTable", "Arn"]},
        "dynamodb:UpdateItem": {"Fn::GetAtt": ["ClaimsTable", "Arn"]},
        "dynamodb:GetItem": {"Fn::GetAtt": ["ClaimsTable", "Arn"]},
        "dynamodb:DescribeTable": {"Fn::GetAtt": ["ClaimsTable", "Arn"]},
        "sqs:SendMessage": [
            {"Fn::GetAtt": ["DeliveryQueue", "Arn"]},
            {"Fn::GetAtt": ["ForwardQueue", "Arn"]},
        ],
        "secretsmanager:GetSecretValue": [
            f"{SECRET}partner/braze-webhook-??????",
            f"{SECRET}claims-??????",
        ],
        "logs:CreateLogStream": {"Fn::GetAtt": ["QuiklyWebhookLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["QuiklyWebhookLogGroup", "Arn"]},
    },
    "QuiklyWebhookSweepRole": {
        "dynamodb:Query": "${ClaimsTable.Arn}/index/by_due",
        "dynamodb:UpdateItem": {"Fn::GetAtt": ["ClaimsTable", "Arn"]},
        "sqs:SendMessage": [
            {"Fn::GetAtt": ["DeliveryQueue", "Arn"]},
            {"Fn::GetAtt": ["ForwardQueue", "Arn"]},
            {"Fn::GetAtt": ["SweepDeadLetterQueue", "Arn"]},
        ],
        "secretsmanager:GetSecretValue": f"{SECRET}claims-??????",
        "logs:CreateLogStream": {"Fn::GetAtt": ["QuiklyWebhookSweepLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["QuiklyWebhookSweepLogGroup", "Arn"]},
    },
    "QuiklyForwardRole": {
        "sqs:ReceiveMessage": {"Fn::GetAtt": ["ForwardQueue", "Arn"]},
        "sqs:DeleteMessage": {"Fn::GetAtt": ["ForwardQueue", "Arn"]},
        "sqs:ChangeMessageVisibility": {"Fn::GetAtt": ["ForwardQueue", "Arn"]},
        "sqs:GetQueueAttributes": {"Fn::GetAtt": ["ForwardQueue", "Arn"]},
        "dynamodb:UpdateItem": [
            {"Fn::GetAtt": ["ClaimsTable", "Arn"]},
            {"Fn::GetAtt": ["RejectedTable", "Arn"]},
        ],
        "secretsmanager:GetSecretValue": f"{SECRET}quikly-api-??????",
        "logs:CreateLogStream": {"Fn::GetAtt": ["QuiklyForwardLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["QuiklyForwardLogGroup", "Arn"]},
    },
    "QuiklyEventsRole": {
        "sqs:SendMessage": {"Fn::GetAtt": ["DeliveryQueue", "Arn"]},
        "dynamodb:UpdateItem": {"Fn::GetAtt": ["RejectedTable", "Arn"]},
        "secretsmanager:GetSecretValue": f"{SECRET}partner/quikly-??????",
        "logs:CreateLogStream": {"Fn::GetAtt": ["QuiklyEventsLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["QuiklyEventsLogGroup", "Arn"]},
    },
    "BrazeDeliveryRole": {
        "sqs:ReceiveMessage": {"Fn::GetAtt": ["DeliveryQueue", "Arn"]},
        "sqs:DeleteMessage": {"Fn::GetAtt": ["DeliveryQueue", "Arn"]},
        "sqs:ChangeMessageVisibility": {"Fn::GetAtt": ["DeliveryQueue", "Arn"]},
        "sqs:GetQueueAttributes": {"Fn::GetAtt": ["DeliveryQueue", "Arn"]},
        "dynamodb:UpdateItem": {"Fn::GetAtt": ["RejectedTable", "Arn"]},
        "dynamodb:BatchGetItem": {"Fn::GetAtt": ["LedgerTable", "Arn"]},
        "dynamodb:PartiQLInsert": {"Fn::GetAtt": ["LedgerTable", "Arn"]},
        "dynamodb:PartiQLUpdate": {"Fn::GetAtt": ["LedgerTable", "Arn"]},
        "dynamodb:PutItem": {"Fn::GetAtt": ["LedgerTable", "Arn"]},
        "secretsmanager:GetSecretValue": [f"{SECRET}braze-??????", f"{SECRET}ledger-??????"],
        "logs:CreateLogStream": {"Fn::GetAtt": ["BrazeDeliveryLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["BrazeDeliveryLogGroup", "Arn"]},
    },
}


OWN_ROWS: dict[str, dict[tuple[str, str], list[str]]] = {
    "OutgrowIngestRole": {("UpdateItem", "RejectedTable"): ["outgrow#*"]},
    "IterateResponsesRole": {
        ("UpdateItem", "RejectedTable"): ["iterate#*"],
        ("GetItem", "LedgerTable"): ["names:iterate"],
        ("UpdateItem", "LedgerTable"): ["names:iterate"],
    },
    "QuiklyEventsRole": {("UpdateItem", "RejectedTable"): ["quikly_events#*"]},
    "QuiklyAcquisitionApiRole": {
        ("PutItem", "AcquisitionTable"): ["a#*", "k#*", "p#*"],
        ("GetItem", "AcquisitionTable"): ["a#*", "k#*", "p#*"],
        ("UpdateItem", "AcquisitionTable"): ["who#*"],
        ("GetItem", "LedgerTable"): ["names:quikly"],
        ("UpdateItem", "LedgerTable"): ["names:quikly"],
    },
    "QuiklyAcquisitionWorkerRole": {
        ("BatchGetItem", "AcquisitionTable"): ["a#*", "known#*"],
        ("PutItem", "AcquisitionTable"): ["a#*", "known#*"],
        ("DeleteItem", "AcquisitionTable"): ["p#*"],
        ("BatchGetItem", "LedgerTable"): ["gate:*"],
        ("PutItem", "LedgerTable"): ["gate:*"],
    },
    "QuiklyAcquisitionSweepRole": {("UpdateItem", "AcquisitionTable"): ["a#*"]},
    "QuiklyWebhookRole": {
        ("PutItem", "ClaimsTable"): ["c#*"],
        ("UpdateItem", "ClaimsTable"): ["s#*", "r#*", "e#*"],
        ("GetItem", "ClaimsTable"): ["c#*", "s#*", "r#*"],
    },
    "QuiklyWebhookSweepRole": {("UpdateItem", "ClaimsTable"): ["c#*", "s#*"]},
    "QuiklyForwardRole": {
        ("UpdateItem", "ClaimsTable"): ["f#*"],
        ("UpdateItem", "RejectedTable"): ["quikly_webhook#*"],
    },
}
"""The rows that a role may touch, by action and table. Delivery parks for every source, and only it
writes people into the ledger."""

RETURNS_NOTHING = {"dynamodb:ReturnValues": "NONE"}
RETURNS_COUNTS = {("QuiklyWebhookRole", "UpdateItem"), ("QuiklyWebhookSweepRole", "UpdateItem")}
"""These read the counters and commitments that they write."""


def statements(template: Template, role: str) -> list[dict[str, Any]]:
    properties = template.properties(role)
    return [
        statement
        for policy in properties.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("role", sorted(ALLOWED))
def test_a_role_allows_exactly_what_is_listed_here(template: Template, role: str) -> None:
    """A wider role needs a change of this table, too."""
    granted: dict[str, list[Any]] = {}
    for statement in statements(template, role):
        for action in as_list(statement["Action"]):
            granted.setdefault(action, []).extend(as_list(statement["Resource"]))

    wanted = {action: as_list(on) for action, on in ALLOWED[role].items()}
    assert {action: unique(on) for action, on in granted.items()} == wanted


@pytest.mark.parametrize("role", sorted(ALLOWED))
def test_tracing_adds_only_the_right_to_write_traces(template: Template, role: str) -> None:
    """X-Ray has no resources, so the right is on `*`; without tracing no role has it."""
    traced = statements(Template(Tracing="true"), role)
    added = [each for each in traced if each not in statements(template, role)]

    assert [set(each["Action"]) for each in added] == [WITHOUT_RESOURCE]


def test_each_role_can_have_a_permissions_boundary(template: Template) -> None:
    """Some accounts refuse a role without one."""
    arn = "arn:aws:iam::123456789012:policy/boundary"
    bounded = Template(PermissionsBoundaryArn=arn, ManageApiLoggingRole="true", Canary="true")

    assert {"ApiLoggingRole", "CanaryRole"} < bounded.of_type("AWS::IAM::Role").keys()
    for role in bounded.of_type("AWS::IAM::Role"):
        assert bounded.properties(role)["PermissionsBoundary"] == arn
    for role in template.of_type("AWS::IAM::Role"):
        assert "PermissionsBoundary" not in template.properties(role)


def unique(resources: list[Any]) -> list[Any]:
    """Two statements may be about one resource, for different rows."""
    return [each for at, each in enumerate(resources) if each not in resources[:at]]


def row_statements(template: Template, role: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the action, the table and the conditions of each right on a table's rows."""
    for statement in statements(template, role):
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                service, _, name = action.partition(":")
                is_table = isinstance(resource, dict)  # an index is a text
                if service == "dynamodb" and is_table and name != "DescribeTable":
                    yield name, resource["Fn::GetAtt"][0], statement.get("Condition", {})


@pytest.mark.parametrize("role", sorted(ALLOWED.keys() - {"BrazeDeliveryRole"}))
def test_a_role_touches_only_its_own_rows(template: Template, role: str) -> None:
    """Outgrow's role cannot overwrite an Iterate body, nor the forwarder an award's counter."""
    found: dict[tuple[str, str], list[str]] = {}
    for action, table, conditions in row_statements(template, role):
        keys = conditions["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        found.setdefault((action, table), []).extend(as_list(keys))

    assert found == OWN_ROWS[role]


@pytest.mark.parametrize("role", sorted(ALLOWED))
def test_a_write_returns_no_item(template: Template, role: str) -> None:
    """`ReturnValues: ALL_OLD` would make each right to write a right to read."""
    for action, table, conditions in row_statements(template, role):
        is_read = action in {"GetItem", "BatchGetItem"}
        if not (is_read or (role, action) in RETURNS_COUNTS or table == "LedgerTable"):
            assert conditions["StringEqualsIfExists"] == RETURNS_NOTHING, (role, action)


def test_the_sources_of_each_role_are_those_that_its_rows_have(template: Template) -> None:
    """Delivery takes a function's jobs of the function's own sources, from no other role."""
    variables = template.properties("BrazeDeliveryFunction")["Environment"]["Variables"]
    may_send = json.loads(variables["JOB_SENDERS"])
    senders = {
        f"${{{role}.RoleId}}"
        for role, allowed in ALLOWED.items()
        if {"Fn::GetAtt": ["DeliveryQueue", "Arn"]} in as_list(allowed.get("sqs:SendMessage"))
    }

    assert may_send.keys() == senders
    for role, source in (
        ("OutgrowIngestRole", outgrow_ingest.mapping.SOURCE),
        ("IterateResponsesRole", iterate_responses.mapping.SOURCE),
        ("QuiklyAcquisitionWorkerRole", quikly_acquisition.next_action.SOURCE),
        ("QuiklyWebhookRole", quikly_webhook.claim_jobs.SOURCE),
        ("QuiklyWebhookSweepRole", quikly_webhook.claim_jobs.SOURCE),
        ("QuiklyEventsRole", quikly_events.mapping.SOURCE),
    ):
        assert may_send[f"${{{role}.RoleId}}"] == [source]
        rows = OWN_ROWS[role].get(("UpdateItem", "RejectedTable"), [f"{source}#*"])
        assert rows == [f"{source}#*"]


def test_no_right_depends_on_the_local_engine(template: Template) -> None:
    """The template deploys the same policies everywhere."""
    local = Template(AllowLoopbackBraze="true")

    for role in ALLOWED:
        assert local.properties(role) == template.properties(role)


def test_the_local_stack_adds_only_names_that_iam_does_not_know(template: Template) -> None:
    """In AWS the plain action covers the batch call; the local engine asks for each by its name."""
    more = {
        action
        for role, allowed in ALLOWED.items()
        for statement in with_engine_actions(statements(template, role))
        for action in as_list(statement["Action"])
        if action not in allowed
    }

    assert more == {
        "sqs:SendMessageBatch",
        "sqs:ChangeMessageVisibilityBatch",
        "dynamodb:BatchExecuteStatement",
    }


def test_every_function_has_a_role_of_the_table(template: Template) -> None:
    """SAM's own roles have rights on every resource."""
    roles = {
        name: function["Properties"]["Role"]["Fn::GetAtt"][0]
        for name, function in template.of_type("AWS::Lambda::Function").items()
    }

    assert sorted(roles.values()) == sorted(ALLOWED)
    assert len(set(roles.values())) == len(roles)


def test_no_statement_is_wider_than_it_has_to_be(template: Template) -> None:
    """No wildcard action, and `*` as a resource only if IAM has no narrower one."""
    for role in template.of_type("AWS::IAM::Role"):
        for statement in statements(template, role):
            actions = as_list(statement["Action"])
            assert statement["Effect"] == "Allow"
            assert not [action for action in actions if "*" in action]
            if "*" in as_list(statement["Resource"]):
                assert set(actions) <= WITHOUT_RESOURCE


def test_managed_policies_are_only_api_gateway_s() -> None:
    """The template shows all rights of a function."""
    template = Template(ManageApiLoggingRole="true")
    managed = {
        role: resource["Properties"]["ManagedPolicyArns"]
        for role, resource in template.of_type("AWS::IAM::Role").items()
        if resource["Properties"].get("ManagedPolicyArns")
    }

    assert managed.keys() == {"ApiLoggingRole"}


def test_only_lambda_may_assume_a_function_s_role(template: Template) -> None:
    """No other service gets a function's rights."""
    for role in ALLOWED:
        trust = template.properties(role)["AssumeRolePolicyDocument"]["Statement"]
        assert [item["Principal"] for item in trust] == [{"Service": "lambda.amazonaws.com"}]
