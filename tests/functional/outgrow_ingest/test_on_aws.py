"""The function as it is wired for Lambda, on moto's SQS, DynamoDB and Secrets Manager."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
import pytest

from braze_bridge.jobs.envelope import parse_job
from outgrow_ingest import app
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.ingest_cloud import TABLE, Cloud, ingest_cloud
from tests.fakes.outgrow import PARTNER_CONFIG, answered

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "stack/partner/outgrow"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with ingest_cloud(monkeypatch, app.INGEST.compose, "outgrow-ingest", SECRET) as made:
        yield made


BODY = json.dumps({"response_id": "r-1", "email": "ada@example.com", "score": "87"})


def test_response_becomes_a_message(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    """An accepted response is a DeliveryJob in the queue, and a metric in the function's output."""
    status, answer = answered(cloud.handler(proxy_event(BODY), None))

    assert status == 200
    [message] = cloud.jobs()
    job = parse_job(message)
    assert (job.job_id, job.attributes) == (answer["job_id"], {"outgrow_quiz_score": 87})
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["JobsAccepted"] == [1.0]
    assert figures["service"] == "outgrow-ingest"


def test_unmappable_body_becomes_a_row(cloud: Cloud) -> None:
    """A refused body is a row of the rejected table, whole and with its reason."""
    assert cloud.handler(proxy_event('{"score": 1}', path="/outgrow/c"), None)["statusCode"] == 422

    [row] = cloud.rows()
    assert (row["kind"]["S"], row["route"]["S"], row["payload"]["S"], row["reason"]["S"]) == (
        "body",
        "/outgrow/c",
        '{"score": 1}',
        "no_identity",
    )
    assert cloud.jobs() == []


def test_wrong_token_reaches_nothing(cloud: Cloud) -> None:
    """An unauthenticated call leaves neither message nor row."""
    assert cloud.handler(proxy_event(BODY, token="wrong"), None)["statusCode"] == 401

    assert (cloud.jobs(), cloud.rows()) == ([], [])


def test_token_rotated_in_secrets_manager_works_at_once(cloud: Cloud) -> None:
    """After a rotation a function that still has the old token cached accepts the new one."""
    assert cloud.handler(proxy_event(BODY), None)["statusCode"] == 200

    boto3.client("secretsmanager").put_secret_value(
        SecretId=SECRET, SecretString=json.dumps({"current": "new", "previous": TOKEN})
    )

    assert cloud.handler(proxy_event(BODY, token="new"), None)["statusCode"] == 200
    assert cloud.handler(proxy_event(BODY), None)["statusCode"] == 200


def test_queue_that_is_gone_is_503(cloud: Cloud) -> None:
    """An SQS error is never a success."""
    boto3.client("sqs").delete_queue(QueueUrl=cloud.queue_url)

    response = cloud.handler(proxy_event(BODY), None)

    assert (response["statusCode"], response["headers"]["Retry-After"]) == (503, "30")
    assert "ada" not in cloud.log.text


def test_table_that_is_gone_is_503(cloud: Cloud) -> None:
    """A body that could not be kept is answered 503, not 422."""
    boto3.client("dynamodb").delete_table(TableName=TABLE)

    assert cloud.handler(proxy_event('{"score": 1}'), None)["statusCode"] == 503


def test_secret_that_is_gone_is_503(cloud: Cloud) -> None:
    """Without its secret the function admits no call, and answers 503, not 401."""
    boto3.client("secretsmanager").delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)

    assert cloud.handler(proxy_event(BODY), None)["statusCode"] == 503


def test_missing_variable_is_503_and_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function deployed without a variable takes no call and names the variable."""
    monkeypatch.delenv("PARTNER_SECRET")

    assert cloud.handler(proxy_event(BODY), None)["statusCode"] == 503
    assert "PARTNER_SECRET" in cloud.log.text


def test_partner_files_that_are_not_compiled_are_503_and_named(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function never reads TOML: the log says what is missing, and the sender waits."""
    monkeypatch.setenv("PARTNER_CONFIG_DIR", str(PARTNER_CONFIG))

    assert cloud.handler(proxy_event(BODY), None)["statusCode"] == 503
    assert "outgrow.pickle: is missing: functions load what `sam build` compiles" in cloud.log.text
    assert cloud.jobs() == []


def test_module_handler_answers(cloud: Cloud) -> None:
    """``outgrow_ingest.app.lambda_handler`` itself, as the template names it, answers."""
    assert app.lambda_handler(proxy_event(BODY), None)["statusCode"] == 200
