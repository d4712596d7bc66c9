"""Webhook and sweep as they are wired for Lambda, on moto."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from moto import mock_aws

from braze_bridge.aws import clients
from braze_bridge.aws.clients import claims_client
from braze_bridge.jobs.envelope import parse_job
from braze_bridge.jobs.forward import parse_forward
from braze_bridge.observability import logger, metrics
from braze_bridge.web.edge import lambda_handler_of
from quikly_webhook import app, sweep
from quikly_webhook.claim_records import counters_row_id
from quikly_webhook.draws import commitment_to, seed_of
from tests.fakes.api_event import TOKEN
from tests.fakes.claims import webhook_event
from tests.fakes.compiled_config import compiled_config

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "stack-claims"
KEY = "a-key-of-forty-eight-characters-as-the-stack-has"


class Context(LambdaContext):
    """Of Lambda."""

    _function_name = "sweep"
    _memory_limit_in_mb = 512
    _invoked_function_arn = "arn:aws:lambda:eu-central-1:1:function:sweep"
    _aws_request_id = "request"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Enough."""
        return 50_000


class Cloud:
    """The resources of the template."""

    def __init__(self, queues: dict[str, str]) -> None:
        self.queues = queues
        self.webhook = lambda_handler_of(app.compose)

    def call(self, q_scope: str, email: str = "ada@example.com") -> dict[str, Any]:
        event = webhook_event(email, at=datetime.now(UTC), q_scope=q_scope, event="demo-action")
        response = self.webhook(event, None)
        assert response["statusCode"] == 200, response
        answer: dict[str, Any] = json.loads(response["body"])
        return answer

    def messages(self, queue: str) -> list[str]:
        url = self.queues[queue]
        answer = boto3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", [])]


def forget() -> None:
    """Drop what a process keeps: each test is a cold start."""
    kept_clients = (clients.sqs, clients.dynamodb, clients.secretsmanager)
    for kept in (*kept_clients, metrics, logger, sweep.scheduled):
        kept.cache_clear()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "POWERTOOLS_SERVICE_NAME": "quikly-webhook",
        "CLAIMS_TABLE": TABLE,
        "CLAIMS_SECRET": "stack/claims",
        "PARTNER_SECRET": "stack/partner/braze-webhook",
        "PARTNER_CONFIG_DIR": str(compiled_config()),
    }.items():
        monkeypatch.setenv(name, value)
    forget()
    with mock_aws():
        queues = {
            name: boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]
            for name in ("delivery", "forward")
        }
        for name, url in queues.items():
            monkeypatch.setenv(f"{name.upper()}_QUEUE_URL", url)
        boto3.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "due_shard", "AttributeType": "S"},
                {"AttributeName": "due_at", "AttributeType": "N"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by_due",
                    "KeySchema": [
                        {"AttributeName": "due_shard", "KeyType": "HASH"},
                        {"AttributeName": "due_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        for name, value in {"stack/claims": KEY, "stack/partner/braze-webhook": TOKEN}.items():
            boto3.client("secretsmanager").create_secret(
                Name=name, SecretString=json.dumps({"current": value, "previous": ""})
            )
        yield Cloud(queues)
    forget()


def test_award_becomes_a_message(cloud: Cloud) -> None:
    """A won claim is answered, stored and in delivery's queue."""
    answers = [cloud.call("demo-first"), cloud.call("demo-first")]

    assert answers == [{"status": "awarded", "tier": "reward"}] * 2
    first, again = (parse_job(message) for message in cloud.messages("delivery"))
    assert first.job_id == again.job_id
    job = first
    assert job.attributes["quikly_incentive"] == "A free coffee"
    assert [event.name for event in job.events] == ["quikly_awarded"]


def test_a_table_that_hangs_is_answered_in_time(cloud: Cloud) -> None:
    """Two tries of the webhook's client end long before the function does (15 s)."""
    config: Any = claims_client().meta.config

    tries = config.retries["total_max_attempts"]
    assert tries * (config.connect_timeout + config.read_timeout) <= 6


def test_forward_becomes_a_message_for_quikly(cloud: Cloud) -> None:
    """A forwarded call is in Quikly's queue."""
    assert cloud.call("demo-forward") == {"status": "forwarded"}

    [message] = cloud.messages("forward")
    assert parse_forward(message).email == "ada@example.com"


def test_sweep_publishes_commitments_and_sends_what_is_due(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim is sent again once, two minutes later; random and draw are committed to."""
    cloud.call("demo-first")
    [sent] = cloud.messages("delivery")
    table = boto3.client("dynamodb")

    class Later:
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(seconds=121)

    first = sweep.lambda_handler({}, Context())
    monkeypatch.setattr(sweep, "SystemClock", Later)
    sweep.scheduled.cache_clear()
    second = sweep.lambda_handler({}, Context())
    third = sweep.lambda_handler({}, Context())

    assert [first, second, third] == [{"swept": 0}, {"swept": 1}, {"swept": 0}]
    [again] = cloud.messages("delivery")
    assert parse_job(again).job_id == parse_job(sent).job_id
    for scope in ("demo-random", "demo-draw"):
        row = table.get_item(TableName=TABLE, Key={"id": {"S": counters_row_id(scope)}})["Item"]
        assert row["commitment"]["S"] == commitment_to(seed_of(KEY.encode(), scope))
    everything = json.dumps(table.scan(TableName=TABLE)["Items"])
    assert "ada@example.com" not in everything


def test_short_claims_secret_decides_nothing(cloud: Cloud) -> None:
    """A secret that was emptied keys nothing: 503, and no claim under a guessable hash."""
    boto3.client("secretsmanager").put_secret_value(
        SecretId="stack/claims", SecretString='{"current": "", "previous": ""}'
    )

    response = cloud.webhook(
        webhook_event(at=datetime.now(UTC), q_scope="demo-first", event="demo-action"), None
    )

    assert response["statusCode"] == 503
    assert boto3.client("dynamodb").scan(TableName=TABLE)["Items"] == []
