"""The forward function as it is wired for Lambda, on moto's SQS, DynamoDB and Secrets Manager."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from braze_bridge.aws import clients
from braze_bridge.handlers import answer_batch
from braze_bridge.jobs.forward import SqsForwardQueue, parse_forward
from braze_bridge.observability import logger, metrics
from braze_bridge.quikly import QuiklyCall, QuiklyError
from quikly_forward import app as forward
from quikly_forward.forwarding import Dependencies
from quikly_forward.sent_calls import DynamoSentCalls, Lease, SentCallsUnavailableError
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.forwarding import InMemorySentCalls, ScriptedQuikly, forward_message
from tests.fakes.log import RecordingLog
from tests.infra.template import default_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb import DynamoDBClient

REGION = "eu-west-1"
LEASE = timedelta(seconds=90)


def forget() -> None:
    kept_clients = (clients.sqs, clients.dynamodb, clients.secretsmanager)
    for kept in (*kept_clients, metrics, logger, forward.dependencies):
        kept.cache_clear()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    forget()
    with mock_aws():
        yield
    forget()


@pytest.fixture
def table(aws: None) -> DynamoDBClient:
    """The claims table, as the template makes it."""
    client = boto3.client("dynamodb", region_name=REGION)
    for name, resource in (("claims", "ClaimsTable"), ("rejected", "RejectedTable")):
        properties = default_template().properties(resource)
        wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        client.create_table(
            TableName=name, **{key: properties[key] for key in wanted if key in properties}
        )
    return client


@pytest.fixture(params=["memory", "dynamodb"])
def sent_calls(request: pytest.FixtureRequest) -> InMemorySentCalls | DynamoSentCalls:
    """The fake and the real store behave the same."""
    if request.param == "memory":
        return InMemorySentCalls()
    return DynamoSentCalls(request.getfixturevalue("table"), "claims")


def test_a_call_is_leased_to_one_lambda_until_the_lease_ends(
    sent_calls: InMemorySentCalls | DynamoSentCalls,
) -> None:
    """BUSY until it ends, then GRANTED; after a release GRANTED; after the call is sent, SENT."""
    clock = FixedClock()

    def ask(name: str = "a") -> Lease:
        return sent_calls.take_lease(name, clock.now(), LEASE)

    assert [ask(), ask(), ask("b")] == [Lease.GRANTED, Lease.BUSY, Lease.GRANTED]
    clock.advance(90)
    assert [ask(), ask()] == [Lease.GRANTED, Lease.BUSY]
    sent_calls.release("a", clock.now())
    assert ask() is Lease.GRANTED
    sent_calls.mark_sent("a", clock.now())
    clock.advance(timedelta(days=29).total_seconds())
    assert ask() is Lease.SENT
    clock.advance(timedelta(days=2).total_seconds())
    assert ask() is Lease.GRANTED


def test_a_memory_that_is_not_there_says_so(aws: None) -> None:
    """Each call, as one kind of error."""
    sent_calls = DynamoSentCalls(boto3.client("dynamodb", region_name=REGION), "no-such-table")

    with pytest.raises(SentCallsUnavailableError):
        sent_calls.take_lease("a", NOON, LEASE)
    with pytest.raises(SentCallsUnavailableError):
        sent_calls.mark_sent("a", NOON)
    with pytest.raises(SentCallsUnavailableError):
        sent_calls.release("a", NOON)


def test_what_the_webhook_sends_the_worker_reads(aws: None) -> None:
    """Through SQS, with characters that SQS takes only as escapes."""
    sqs = boto3.client("sqs", region_name=REGION)
    url = sqs.create_queue(QueueName="forward")["QueueUrl"]
    sent = forward_message(event="gr\u00fc\u00df\ufffe")

    SqsForwardQueue(sqs, url).send(sent)

    [received] = sqs.receive_message(QueueUrl=url)["Messages"]
    assert parse_forward(received["Body"]) == sent


def event(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"m{n}",
                "receiptHandle": f"r{n}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "3"},
            }
            for n, body in enumerate(bodies)
        ]
    }


@pytest.fixture
def variables(table: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As the template gives them, with its defaults."""
    sqs = boto3.client("sqs", region_name=REGION)
    for name, value in {
        "POWERTOOLS_SERVICE_NAME": "quikly-forward",
        "QUIKLY_API_URL": "",
        "ALLOW_LOOPBACK_QUIKLY": "false",
        "QUIKLY_API_SECRET": "bridge/quikly-api",
        "CLAIMS_TABLE": "claims",
        "FORWARD_QUEUE_URL": sqs.create_queue(QueueName="forward")["QueueUrl"],
        "REJECTED_TABLE": "rejected",
        "QUEUE_RETENTION_SECONDS": "345600",
        "FUNCTION_TIMEOUT_SECONDS": "60",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize("secret", [None, {"current": "", "previous": "old-key"}])
def test_without_a_key_quikly_is_not_called(
    variables: pytest.MonkeyPatch, secret: dict[str, str] | None
) -> None:
    """Unreadable or empty: the calls wait as for a refused key; the previous one is never sent."""
    variables.setenv("QUIKLY_API_URL", "https://api.quikly.example/webhook/braze")
    if secret is not None:
        boto3.client("secretsmanager", region_name=REGION).create_secret(
            Name="bridge/quikly-api", SecretString=json.dumps(secret)
        )
    deps = forward.dependencies()

    with pytest.raises(QuiklyError) as refused:
        deps.api.send(QuiklyCall("spring", "joined", "ada@example.com"), deadline=7.5)

    assert (refused.value.key_refused, refused.value.retryable) == (True, True)


def test_a_batch_s_outcomes_are_counted_and_only_what_waits_goes_back(
    table: DynamoDBClient, variables: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sent, one refused and parked, one that waits."""
    deps = forward.dependencies()
    log = RecordingLog()
    quikly = ScriptedQuikly(
        None,
        QuiklyError("Quikly answered 422", status=422),
        QuiklyError("Quikly answered 503", status=503, retryable=True),
    )
    now = deps.clock.now()
    bodies = [forward_message(number, received_at=now).to_json() for number in range(3)]

    answer = answer_batch(
        event(*bodies, bodies[0]),
        lambda: 60,
        forward.handle,
        Dependencies(**{**fields(deps), "log": log.logger, "api": quikly}),
    )

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
    [row] = table.scan(TableName="rejected")["Items"]
    assert row["reason"]["S"] == "quikly_refused"
    assert "example.com" not in log.text
    metrics().flush_metrics()
    figures = json.loads(capsys.readouterr().out)
    names = ("ForwardsTold", "ForwardsRejected", "ForwardsRetried", "QuiklyKeyRefused")
    # A count of zero is not written.
    assert [figures.get(name) for name in names] == [[1.0], [1.0], [1.0], None]


def test_without_an_address_calls_wait_and_the_alarm_s_metric_rises(
    table: DynamoDBClient, variables: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is lost, parked or logged with an address."""
    deps = forward.dependencies()
    log = RecordingLog()
    body = forward_message(received_at=deps.clock.now()).to_json()

    changed = Dependencies(**{**fields(deps), "log": log.logger})
    answer = answer_batch(event(body), lambda: 60, forward.handle, changed)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert table.scan(TableName="rejected")["Count"] == 0
    [line] = log.lines
    assert (line["key_refused"], line["causes"]) == (True, ["Quikly's address is not set"])
    assert "example.com" not in log.text
    metrics().flush_metrics()
    figures = json.loads(capsys.readouterr().out)
    assert (figures["QuiklyKeyRefused"], figures["ForwardsRetried"]) == ([1.0], [1.0])


def fields(deps: Dependencies) -> dict[str, Any]:
    return {name: getattr(deps, name) for name in deps.__slots__}
