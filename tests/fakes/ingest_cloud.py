"""What the template makes for an ingest function, on moto, and the handler as Lambda finds it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

import boto3
from moto import mock_aws

from braze_bridge.aws import clients
from braze_bridge.observability import logger, metrics
from braze_bridge.web.edge import lambda_handler_of
from tests.fakes.api_event import TOKEN
from tests.fakes.compiled_config import compiled_config
from tests.fakes.log import RecordingLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from braze_bridge.web.edge import Answering, LambdaHandler

TABLE: Final = "stack-rejected"
LEDGER: Final = "stack-ledger"


class Cloud:
    """A queue, a table and a secret.

    Attributes:
        handler: The function's, as Lambda would call it.
    """

    def __init__(self, queue_url: str, compose: Callable[[], Answering]) -> None:
        log = RecordingLog()
        self.queue_url = queue_url
        self.log = log
        self.handler: LambdaHandler = lambda_handler_of(compose, log=lambda: log.logger)

    def jobs(self) -> list[str]:
        answer = boto3.client("sqs").receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10
        )
        return [message["Body"] for message in answer.get("Messages", [])]

    def rows(self) -> list[dict[str, Any]]:
        return boto3.client("dynamodb").scan(TableName=TABLE)["Items"]


@contextlib.contextmanager
def ingest_cloud(
    monkeypatch: pytest.MonkeyPatch,
    compose: Callable[[], Answering],
    service: str,
    secret: str,
) -> Iterator[Cloud]:
    """A cold start in a cloud of its own.

    Args:
        monkeypatch: Sets the function's variables.
        compose: Wires the function.
        service: Its ``POWERTOOLS_SERVICE_NAME``.
        secret: The name of its partner's secret, which holds ``TOKEN``.
    """
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "POWERTOOLS_SERVICE_NAME": service,
        "REJECTED_TABLE": TABLE,
        "LEDGER_TABLE": LEDGER,
        "PARTNER_SECRET": secret,
        "PARTNER_CONFIG_DIR": str(compiled_config()),
    }.items():
        monkeypatch.setenv(name, value)
    forget()
    with mock_aws():
        queue = boto3.client("sqs").create_queue(QueueName="stack-delivery")
        monkeypatch.setenv("DELIVERY_QUEUE_URL", queue["QueueUrl"])
        for table in (TABLE, LEDGER):
            boto3.client("dynamodb").create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        boto3.client("secretsmanager").create_secret(
            Name=secret, SecretString=json.dumps({"current": TOKEN, "previous": ""})
        )
        yield Cloud(queue["QueueUrl"], compose)
    forget()


def forget() -> None:
    """Drop what a process keeps: each test is a cold start."""
    kept_clients = (clients.sqs, clients.dynamodb, clients.secretsmanager)
    for kept in (*kept_clients, metrics, logger):
        kept.cache_clear()
