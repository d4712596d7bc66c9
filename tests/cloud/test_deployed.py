"""What AWS made of the template."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.infra.template import default_template

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud

TEMPLATE: Final = default_template()
FUNCTIONS: Final = sorted(TEMPLATE.of_type("AWS::Lambda::Function"))
TABLES: Final = sorted(TEMPLATE.of_type("AWS::DynamoDB::Table"))
QUEUES: Final = sorted(TEMPLATE.of_type("AWS::SQS::Queue"))
LOG_GROUPS: Final = sorted(TEMPLATE.of_type("AWS::Logs::LogGroup"))
DEAD: Final = [name for name in QUEUES if "DeadLetter" in name]


def physical(cloud: Cloud, kind: str, name: str) -> str:
    return dict(cloud.resources[kind])[name]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_ready_and_its_alias_leads_to_one_version(
    cloud: Cloud, function: str
) -> None:
    """A canary that never ended would leave a part of the calls with the old version."""
    client = cloud.client("lambda")
    name = physical(cloud, "AWS::Lambda::Function", function)
    configuration = client.get_function_configuration(FunctionName=name, Qualifier="live")
    alias = client.get_alias(FunctionName=name, Name="live")

    assert configuration["State"] == "Active"
    assert configuration["LastUpdateStatus"] == "Successful"
    assert configuration["Runtime"] == cloud.parameters["PythonRuntime"]
    assert configuration["Architectures"] == [cloud.parameters["Architecture"]]
    assert alias["FunctionVersion"] != "$LATEST"
    assert not alias.get("RoutingConfig", {}).get("AdditionalVersionWeights")


def test_queues_are_read_with_failures_reported_one_by_one(cloud: Cloud) -> None:
    """Without it, messages that a function gives back are deleted."""
    client = cloud.client("lambda")
    for _, mapping in cloud.resources["AWS::Lambda::EventSourceMapping"]:
        found = client.get_event_source_mapping(UUID=mapping)
        assert found["State"] == "Enabled"
        assert found["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert found["ScalingConfig"]["MaximumConcurrency"] >= 2


@pytest.mark.parametrize("table", TABLES)
def test_a_table_forgets_and_can_be_restored(cloud: Cloud, table: str) -> None:
    """Encryption, the TTL attribute and point-in-time recovery are on."""
    client = cloud.client("dynamodb")
    name = physical(cloud, "AWS::DynamoDB::Table", table)
    described = client.describe_table(TableName=name)["Table"]
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]

    assert described["TableStatus"] == "ACTIVE"
    assert described["SSEDescription"]["Status"] == "ENABLED"
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expires_at")
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


@pytest.mark.parametrize("queue", DEAD)
def test_dead_letters_stay_for_14_days_and_there_are_none(cloud: Cloud, queue: str) -> None:
    """What lies there is a fault of ours: docs/operations.md has what to do."""
    attributes = cloud.client("sqs").get_queue_attributes(
        QueueUrl=physical(cloud, "AWS::SQS::Queue", queue),
        AttributeNames=["MessageRetentionPeriod", "ApproximateNumberOfMessages"],
    )["Attributes"]

    assert attributes == {"MessageRetentionPeriod": "1209600", "ApproximateNumberOfMessages": "0"}


@pytest.mark.parametrize("group", LOG_GROUPS)
def test_logs_are_kept_for_as_long_as_was_said(cloud: Cloud, group: str) -> None:
    """`LogRetentionDays`, and not for ever."""
    name = physical(cloud, "AWS::Logs::LogGroup", group)
    found = cloud.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    (days,) = {each["retentionInDays"] for each in found if each["logGroupName"] == name}

    assert days == int(cloud.parameters["LogRetentionDays"])


def test_the_import_of_the_api_had_no_warnings(cloud: Cloud) -> None:
    """A deployment with a warning fails (`FailOnWarnings`); API Gateway still lists them here."""
    api = cloud.client("apigateway").get_rest_api(restApiId=cloud.outputs["BridgeApiId"])

    assert api.get("warnings", []) == []
    assert api.get("disableExecuteApiEndpoint", False) is (
        cloud.parameters["DomainName"] != "" and cloud.parameters["KeepDefaultAddress"] == "false"
    )


def test_routes_are_throttled_and_their_bodies_are_not_logged(cloud: Cloud) -> None:
    """The local engine takes these settings and ignores them; API Gateway must not."""
    stage = cloud.client("apigateway").get_stage(
        restApiId=cloud.outputs["BridgeApiId"], stageName="live"
    )
    settings = stage["methodSettings"]

    assert len(settings) == len(TEMPLATE.properties("BridgeApiliveStage")["MethodSettings"])
    for path, each in settings.items():
        rate = "WebhookThrottleRate" if "webhook" in path else "ThrottleRate"
        assert each["throttlingRateLimit"] == float(cloud.parameters[rate])
        assert each["dataTraceEnabled"] is False


def test_alarms_are_quiet(cloud: Cloud) -> None:
    """A stack under test is one that nothing is wrong with."""
    names = [name for _, name in cloud.resources["AWS::CloudWatch::Alarm"]]
    alarms = cloud.client("cloudwatch").describe_alarms(AlarmNames=names, MaxRecords=100)

    found = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms["MetricAlarms"]}
    assert found.keys() == set(names)
    assert [name for name, state in found.items() if state == "ALARM"] == []


FORBIDDEN: Final = [
    ("OutgrowIngestRole", "sqs:PurgeQueue", "DeliveryQueue"),
    ("OutgrowIngestRole", "sqs:ReceiveMessage", "DeliveryQueue"),
    ("OutgrowIngestRole", "dynamodb:Scan", "RejectedTable"),
    ("BrazeDeliveryRole", "sqs:PurgeQueue", "DeliveryQueue"),
    ("BrazeDeliveryRole", "dynamodb:Scan", "LedgerTable"),
    ("QuiklyWebhookRole", "dynamodb:DeleteItem", "ClaimsTable"),
]
ALLOWED: Final = [
    ("OutgrowIngestRole", "sqs:SendMessage", "DeliveryQueue"),
    ("BrazeDeliveryRole", "sqs:DeleteMessage", "DeliveryQueue"),
    ("BrazeDeliveryRole", "dynamodb:PartiQLUpdate", "LedgerTable"),
]


@pytest.mark.parametrize(
    ("role", "action", "resource", "decision"),
    [
        *((*each, "implicitDeny") for each in FORBIDDEN),
        *((*each, "allowed") for each in ALLOWED),
    ],
)
def test_iam_lets_a_function_do_its_work_and_no_more(
    cloud: Cloud, role: str, action: str, resource: str, decision: str
) -> None:
    """By IAM's own simulator, which knows AWS's actions better than the local engine does."""
    found = cloud.client("iam").simulate_principal_policy(
        PolicySourceArn=arn_of_role(cloud, role),
        ActionNames=[action],
        ResourceArns=[arn_of(cloud, resource)],
    )["EvaluationResults"]

    assert [each["EvalDecision"] for each in found] == [decision]


@pytest.mark.parametrize(
    ("role", "action", "table", "row", "decision"),
    [
        ("OutgrowIngestRole", "UpdateItem", "RejectedTable", "outgrow#body:1", "allowed"),
        ("OutgrowIngestRole", "UpdateItem", "RejectedTable", "iterate#body:1", "implicitDeny"),
        ("QuiklyForwardRole", "UpdateItem", "ClaimsTable", "f#1", "allowed"),
        ("QuiklyForwardRole", "UpdateItem", "ClaimsTable", "s#demo-first", "implicitDeny"),
        ("QuiklyAcquisitionWorkerRole", "PutItem", "LedgerTable", "gate:all", "allowed"),
        ("QuiklyAcquisitionWorkerRole", "PutItem", "LedgerTable", "0" * 32, "implicitDeny"),
    ],
)
def test_iam_holds_a_function_to_its_own_rows(
    cloud: Cloud, role: str, action: str, table: str, row: str, decision: str
) -> None:
    """By the beginning of a row's id, which the local engine does not look at."""
    found = cloud.client("iam").simulate_principal_policy(
        PolicySourceArn=arn_of_role(cloud, role),
        ActionNames=[f"dynamodb:{action}"],
        ResourceArns=[arn_of(cloud, table)],
        ContextEntries=[
            {
                "ContextKeyName": "dynamodb:LeadingKeys",
                "ContextKeyValues": [row],
                "ContextKeyType": "stringList",
            }
        ],
    )["EvaluationResults"]

    assert [each["EvalDecision"] for each in found] == [decision]


def test_iam_returns_no_old_item_to_a_function_that_parks(cloud: Cloud) -> None:
    """With it, the right to park a body would be the right to read one."""
    found = cloud.client("iam").simulate_principal_policy(
        PolicySourceArn=arn_of_role(cloud, "OutgrowIngestRole"),
        ActionNames=["dynamodb:UpdateItem"],
        ResourceArns=[arn_of(cloud, "RejectedTable")],
        ContextEntries=[
            {
                "ContextKeyName": "dynamodb:LeadingKeys",
                "ContextKeyValues": ["outgrow#body:1"],
                "ContextKeyType": "stringList",
            },
            {
                "ContextKeyName": "dynamodb:ReturnValues",
                "ContextKeyValues": ["ALL_OLD"],
                "ContextKeyType": "string",
            },
        ],
    )["EvaluationResults"]

    assert [each["EvalDecision"] for each in found] == ["implicitDeny"]


def test_delivery_knows_the_senders_by_the_ids_of_their_roles(cloud: Cloud) -> None:
    """SQS names a sender by its role's id, which only AWS gives."""
    name = physical(cloud, "AWS::Lambda::Function", "BrazeDeliveryFunction")
    configuration = cloud.client("lambda").get_function_configuration(FunctionName=name)
    senders = json.loads(configuration["Environment"]["Variables"]["JOB_SENDERS"])
    roles = cloud.client("iam")

    for role, sources in (
        ("OutgrowIngestRole", ["outgrow"]),
        ("IterateResponsesRole", ["iterate"]),
        ("QuiklyEventsRole", ["quikly_events"]),
    ):
        found = roles.get_role(RoleName=physical(cloud, "AWS::IAM::Role", role))["Role"]
        assert senders[found["RoleId"]] == sources


def arn_of_role(cloud: Cloud, role: str) -> str:
    name = physical(cloud, "AWS::IAM::Role", role)
    arn: str = cloud.client("iam").get_role(RoleName=name)["Role"]["Arn"]
    return arn


def arn_of(cloud: Cloud, resource: str) -> str:
    if resource in TABLES:
        name = physical(cloud, "AWS::DynamoDB::Table", resource)
        table: str = cloud.client("dynamodb").describe_table(TableName=name)["Table"]["TableArn"]
        return table
    url = physical(cloud, "AWS::SQS::Queue", resource)
    queue: str = cloud.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    return queue


def test_tokens_are_long_and_no_function_has_one_in_its_variables(cloud: Cloud) -> None:
    """The permission to describe a function must not reveal a token."""
    tokens = [cloud.secret(name) for name in ("outgrow", "iterate", "quikly", "braze-webhook")]
    client = cloud.client("lambda")

    assert len(set(tokens)) == len(tokens)
    assert min(map(len, tokens)) >= 40
    for function in FUNCTIONS:
        name = physical(cloud, "AWS::Lambda::Function", function)
        variables = client.get_function_configuration(FunctionName=name)["Environment"]
        assert not [token for token in tokens if token in json.dumps(variables)]
