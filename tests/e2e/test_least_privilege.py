"""With a function's own identity, the engine denies what the function must not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from sandbox.stack.stack_file import StackFile

Client = Callable[[str], Any]
Call = Callable[[Client, "StackFile"], object]

DENIALS = {"AccessDenied", "AccessDeniedException"}
KEY = {"id": {"S": "least-privilege"}}
NEVER_TRUE = "attribute_exists(no_such_attribute)"

QUEUE: dict[str, Call] = {
    # An empty batch, a handle that never was: refused for that, but only after the role was asked.
    "send": lambda client, stack: client("sqs").send_message_batch(
        QueueUrl=stack.queues["delivery"], Entries=[]
    ),
    "receive": lambda client, stack: client("sqs").receive_message(
        QueueUrl=stack.queues["delivery"], WaitTimeSeconds=0
    ),
    "delete": lambda client, stack: client("sqs").delete_message(
        QueueUrl=stack.queues["delivery"], ReceiptHandle="none"
    ),
    "hide": lambda client, stack: client("sqs").change_message_visibility_batch(
        QueueUrl=stack.queues["delivery"],
        Entries=[{"Id": "0", "ReceiptHandle": "none", "VisibilityTimeout": 0}],
    ),
    "look at": lambda client, stack: client("sqs").get_queue_attributes(
        QueueUrl=stack.queues["delivery"], AttributeNames=["All"]
    ),
    "purge": lambda client, stack: client("sqs").purge_queue(QueueUrl=stack.queues["delivery"]),
    "change": lambda client, stack: client("sqs").set_queue_attributes(
        QueueUrl=stack.queues["delivery"], Attributes={"DelaySeconds": "0"}
    ),
    "receive dead": lambda client, stack: client("sqs").receive_message(
        QueueUrl=stack.queues["delivery_dead_letter"], WaitTimeSeconds=0
    ),
    "send dead": lambda client, stack: client("sqs").send_message_batch(
        QueueUrl=stack.queues["delivery_dead_letter"], Entries=[]
    ),
}
FORWARDS: dict[str, Call] = {
    "send forward": lambda client, stack: client("sqs").send_message_batch(
        QueueUrl=stack.queues["forward"], Entries=[]
    ),
    "receive forward": lambda client, stack: client("sqs").receive_message(
        QueueUrl=stack.queues["forward"], WaitTimeSeconds=0, VisibilityTimeout=0
    ),
    "hide forward": lambda client, stack: client("sqs").change_message_visibility_batch(
        QueueUrl=stack.queues["forward"],
        Entries=[{"Id": "0", "ReceiptHandle": "none", "VisibilityTimeout": 0}],
    ),
    "receive dead forward": lambda client, stack: client("sqs").receive_message(
        QueueUrl=stack.queues["forward_dead_letter"], WaitTimeSeconds=0, VisibilityTimeout=0
    ),
}
CLAIMS: dict[str, Call] = {
    "decide claim": lambda client, stack: client("dynamodb").transact_write_items(
        TransactItems=[
            {
                "Put": {
                    "TableName": stack.tables["claims"],
                    "Item": KEY,
                    "ConditionExpression": NEVER_TRUE,
                }
            }
        ]
    ),
    "update claim": lambda client, stack: client("dynamodb").update_item(
        TableName=stack.tables["claims"], Key=KEY, ConditionExpression=NEVER_TRUE
    ),
    "get claim": lambda client, stack: client("dynamodb").get_item(
        TableName=stack.tables["claims"], Key=KEY
    ),
    "delete claim": lambda client, stack: client("dynamodb").delete_item(
        TableName=stack.tables["claims"], Key=KEY, ConditionExpression=NEVER_TRUE
    ),
    "find due claims": lambda client, stack: client("dynamodb").query(
        TableName=stack.tables["claims"],
        IndexName="by_due",
        KeyConditionExpression="due_shard = :none",
        ExpressionAttributeValues={":none": {"S": "none"}},
    ),
    "scan claims": lambda client, stack: client("dynamodb").scan(TableName=stack.tables["claims"]),
    "describe claims": lambda client, stack: client("dynamodb").describe_table(
        TableName=stack.tables["claims"]
    ),
}
TABLE: dict[str, Call] = {
    "update row": lambda client, stack: client("dynamodb").update_item(
        TableName=stack.tables["rejected"], Key=KEY, ConditionExpression=NEVER_TRUE
    ),
    "put row": lambda client, stack: client("dynamodb").put_item(
        TableName=stack.tables["rejected"], Item=KEY, ConditionExpression=NEVER_TRUE
    ),
    "get row": lambda client, stack: client("dynamodb").get_item(
        TableName=stack.tables["rejected"], Key=KEY
    ),
    "scan": lambda client, stack: client("dynamodb").scan(TableName=stack.tables["rejected"]),
    "delete row": lambda client, stack: client("dynamodb").delete_item(
        TableName=stack.tables["rejected"], Key=KEY, ConditionExpression=NEVER_TRUE
    ),
}
ELSEWHERE: dict[str, Call] = {
    "read braze key": lambda client, stack: client("secretsmanager").get_secret_value(
        SecretId=stack.secrets["braze"]
    ),
    "read outgrow token": lambda client, stack: client("secretsmanager").get_secret_value(
        SecretId=stack.secrets["outgrow"]
    ),
    "read iterate token": lambda client, stack: client("secretsmanager").get_secret_value(
        SecretId=stack.secrets["iterate"]
    ),
    "read quikly token": lambda client, stack: client("secretsmanager").get_secret_value(
        SecretId=stack.secrets["quikly"]
    ),
    "read braze webhook token": lambda client, stack: client("secretsmanager").get_secret_value(
        SecretId=stack.secrets["braze_webhook"]
    ),
    "read quikly api key": lambda client, stack: client("secretsmanager").get_secret_value(
        SecretId=stack.secrets["quikly_api"]
    ),
    "read claims key": lambda client, stack: client("secretsmanager").get_secret_value(
        SecretId=stack.secrets["claims"]
    ),
    "list secrets": lambda client, _: client("secretsmanager").list_secrets(),
    "invoke delivery": lambda client, stack: client("lambda").invoke(
        FunctionName=stack.functions["braze_delivery"], Payload=b'{"Records": []}'
    ),
    "list buckets": lambda client, _: client("s3").list_buckets(),
    "list roles": lambda client, _: client("iam").list_roles(),
    "read logs": lambda client, stack: client("logs").describe_log_streams(
        logGroupName=stack.log_groups["braze_delivery"]
    ),
}
CALLS = QUEUE | FORWARDS | CLAIMS | TABLE | ELSEWHERE

MAY = {
    "outgrow_ingest": {"send", "update row", "read outgrow token"},
    "iterate_responses": {"send", "update row", "read iterate token"},
    "quikly_webhook": {
        "send",
        "send forward",
        "decide claim",
        "update claim",
        "get claim",
        "describe claims",
        "read braze webhook token",
        "read claims key",
    },
    "quikly_webhook_sweep": {
        "send",
        "send forward",
        "update claim",
        "find due claims",
        "read claims key",
    },
    "quikly_forward": {
        "receive forward",
        "hide forward",
        "update claim",
        "update row",
        "read quikly api key",
    },
    "quikly_events": {"send", "update row", "read quikly token"},
    "braze_delivery": {
        "receive",
        "delete",
        "hide",
        "look at",
        "update row",
        "read braze key",
    },
}


def clients(session: boto3.Session, stack: StackFile) -> Client:
    return lambda service: session.client(service, **stack.client_options())  # type: ignore[call-overload]  # any service


@pytest.fixture(scope="module")
def identities(stack: StackFile) -> dict[str, Client]:
    """Clients with the role of each function, by the function's package."""
    root = clients(stack.session(), stack)
    found = {}
    for package, name in stack.functions.items():
        role = root("lambda").get_function_configuration(FunctionName=name)["Role"]
        lent = root("sts").assume_role(RoleArn=role, RoleSessionName=package)["Credentials"]
        session = boto3.Session(
            aws_access_key_id=lent["AccessKeyId"],
            aws_secret_access_key=lent["SecretAccessKey"],
            aws_session_token=lent["SessionToken"],
            region_name=stack.region,
        )
        found[package] = clients(session, stack)
    return found


def is_denied(call: Call, client: Client, stack: StackFile) -> bool:
    """Whether the role stood in the way; any other refusal came after the role was asked."""
    try:
        call(client, stack)
    except ClientError as error:
        return error.response["Error"]["Code"] in DENIALS
    return False


@pytest.mark.parametrize("action", sorted(CALLS))
@pytest.mark.parametrize("function", sorted(MAY))
def test_a_function_may_do_what_it_needs_and_nothing_else(
    stack: StackFile, identities: dict[str, Client], function: str, action: str
) -> None:
    """Every call of the table is either needed by the function or denied to it."""
    may = not is_denied(CALLS[action], identities[function], stack)

    assert may is (action in MAY[function])


@pytest.mark.parametrize("action", sorted(CALLS.keys() - {"purge"}))
def test_it_is_the_role_that_denies(stack: StackFile, action: str) -> None:
    """Negative control: the engine's root may make each of those calls."""
    assert not is_denied(CALLS[action], clients(stack.session(), stack), stack)


def test_a_function_that_runs_has_its_role_and_not_the_engine_s(stack: StackFile) -> None:
    """The identity above is the one the functions have: their own logs tell of their session."""
    root = clients(stack.session(), stack)
    for name in stack.functions.values():
        function = root("lambda").get_function_configuration(FunctionName=name)
        assert function["Role"].rpartition("/")[2].startswith(stack.stack_name)
        assert root("sts").get_caller_identity()["Arn"] != function["Role"]
