"""The API as it is wired for Lambda, on moto's DynamoDB, SQS and Secrets Manager."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from braze_bridge.aws import clients
from braze_bridge.observability import logger, metrics
from braze_bridge.web.edge import lambda_handler_of
from quikly_acquisition import api
from quikly_acquisition.models import parse_record, parse_step
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.compiled_config import compiled_config
from tests.fakes.log import RecordingLog
from tests.fakes.outgrow import answered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from braze_bridge.web.door import ProxyResponse

TABLE = "stack-acquisitions"
PARTNER_SECRET = "stack/partner/quikly"
LEDGER_SECRET = "stack/ledger"
PATH = "/quikly/acquisitions"
BODY = {
    "q_scope": "demo-sms",
    "channel": "sms",
    "email": "Ada@Example.com",
    "phone": "+1 202 555 0143",
    "consent": {"given_at": "2026-11-22T11:00:00Z", "method": "checkbox", "text": "v1"},
}


class Cloud:
    """The resources of the template, and the handler as Lambda finds it."""

    def __init__(self, queue_url: str) -> None:
        self.queue_url = queue_url
        self.log = RecordingLog()
        self.handler = lambda_handler_of(api.compose, log=lambda: self.log.logger)

    def post(self, body: object, token: str | None = TOKEN) -> ProxyResponse:
        return self.handler(proxy_event(json.dumps(body), path=PATH, token=token), None)

    def accepted(self, body: object) -> str:
        status, answer = answered(self.post(body))
        assert (status, answer["status"]) == (202, "accepted")
        acquisition_id: str = answer["acquisition_id"]
        return acquisition_id

    def state(self, acquisition_id: str, token: str | None = TOKEN) -> ProxyResponse:
        event = proxy_event(
            None,
            method="GET",
            path=f"{PATH}/{acquisition_id}",
            resource=f"{PATH}/{{id}}",
            path_parameters={"id": acquisition_id},
            token=token,
        )
        return self.handler(event, None)

    def messages(self) -> list[str]:
        answer = boto3.client("sqs").receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10
        )
        return [message["Body"] for message in answer.get("Messages", [])]

    def rows(self) -> list[dict[str, Any]]:
        return boto3.client("dynamodb").scan(TableName=TABLE)["Items"]

    def records(self) -> list[dict[str, Any]]:
        return [row for row in self.rows() if row["id"]["S"].startswith("a#")]


def forget() -> None:
    """Drop what a process keeps: each test is a cold start."""
    kept_clients = (clients.sqs, clients.dynamodb, clients.secretsmanager)
    for kept in (*kept_clients, metrics, logger):
        kept.cache_clear()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "POWERTOOLS_SERVICE_NAME": "quikly-acquisition-api",
        "PARTNER_SECRET": PARTNER_SECRET,
        "PARTNER_CONFIG_DIR": str(compiled_config()),
        "ACQUISITION_TABLE": TABLE,
        "LEDGER_SECRET": LEDGER_SECRET,
        "LEDGER_TABLE": "stack-ledger",
    }.items():
        monkeypatch.setenv(name, value)
    forget()
    with mock_aws():
        queue = boto3.client("sqs").create_queue(QueueName="stack-acquisitions")
        monkeypatch.setenv("ACQUISITION_QUEUE_URL", queue["QueueUrl"])
        boto3.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        keeper = boto3.client("secretsmanager")
        for name, value in ((PARTNER_SECRET, TOKEN), (LEDGER_SECRET, "k" * 48)):
            keeper.create_secret(
                Name=name, SecretString=json.dumps({"current": value, "previous": ""})
            )
        yield Cloud(queue["QueueUrl"])
    forget()


def test_an_acquisition_is_kept_then_queued(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    """202 with an id that cannot be guessed; record, message and metric are complete."""
    acquisition_id = cloud.accepted(BODY | {"attributes": {"first_name": "Ada"}})

    [row] = cloud.records()
    record = parse_record(row["record"]["S"])
    assert (record.acquisition_id, record.email, record.phone) == (
        acquisition_id,
        "ada@example.com",
        "+12025550143",
    )
    assert (record.consent.method, record.attributes) == ("checkbox", {"first_name": "Ada"})
    [message] = cloud.messages()
    assert parse_step(message) == record.message
    assert len(acquisition_id) == 24
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["AcquisitionsAccepted"] == [1.0]
    assert figures["service"] == "quikly-acquisition-api"


def test_the_status_route_tells_the_story(cloud: Cloud) -> None:
    """State and history, without an address."""
    acquisition_id = cloud.accepted(BODY)

    response = cloud.state(acquisition_id)

    status, answer = answered(response)
    assert status == 200
    assert (answer["acquisition_id"], answer["channel"], answer["state"]) == (
        acquisition_id,
        "sms",
        "pending",
    )
    assert [entry["step"] for entry in answer["history"]] == ["accepted"]
    assert "ada" not in response["body"].lower()
    assert "5550143" not in response["body"]


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_both_routes_want_the_token(cloud: Cloud, token: str | None) -> None:
    """401, and nothing is stored or revealed."""
    acquisition_id = cloud.accepted(BODY)
    before = cloud.rows()

    assert cloud.post(BODY | {"phone": "+12025550144"}, token)["statusCode"] == 401
    assert cloud.state(acquisition_id, token)["statusCode"] == 401
    assert cloud.rows() == before


def test_the_same_key_gives_the_same_acquisition(cloud: Cloud) -> None:
    """Queued once, however often it is posted, and under other spellings of the addresses."""
    first = cloud.accepted(BODY | {"idempotency_key": "key-1"})
    again = cloud.accepted(BODY | {"idempotency_key": "key-1", "email": " ada@EXAMPLE.com"})

    assert first == again
    assert len(cloud.records()) == len(cloud.messages()) == 1


def test_a_key_of_another_person_is_refused(cloud: Cloud) -> None:
    """422: to answer with the first one's id would lose the second."""
    cloud.accepted(BODY | {"idempotency_key": "key-1"})

    status, answer = answered(
        cloud.post(BODY | {"idempotency_key": "key-1", "phone": "+12025550144"})
    )

    assert status == 422
    [reason] = answer["reasons"]
    assert (reason["field"], reason["code"]) == ("idempotency_key", "idempotency_key_reused")
    assert len(cloud.records()) == 1


def test_a_person_who_is_pending_is_not_begun_twice(cloud: Cloud) -> None:
    """The same number, without a key or with others; another scope is another acquisition."""
    first = cloud.accepted(BODY)
    same = [cloud.accepted(BODY), cloud.accepted(BODY | {"idempotency_key": "another"})]
    elsewhere = cloud.accepted(BODY | {"q_scope": "demo-double-opt-in"})

    assert same == [first, first]
    assert elsewhere != first
    assert len(cloud.records()) == 2


def test_a_queue_that_is_gone_does_not_matter(cloud: Cloud) -> None:
    """The stored record is enough: the sweep makes the message that could not be sent."""
    boto3.client("sqs").delete_queue(QueueUrl=cloud.queue_url)

    cloud.accepted(BODY)

    [row] = cloud.records()
    assert {"due_partition", "due_at"} <= row.keys()


def test_a_table_that_is_gone_is_503(cloud: Cloud) -> None:
    """A record that was not stored is not accepted; the caller sends it again."""
    acquisition_id = cloud.accepted(BODY)
    boto3.client("dynamodb").delete_table(TableName=TABLE)

    for response in (cloud.post(BODY), cloud.state(acquisition_id)):
        assert (response["statusCode"], response["headers"]["Retry-After"]) == (503, "30")
    assert "ada" not in cloud.log.text.lower()


def test_a_key_of_the_hashes_that_is_gone_is_503(cloud: Cloud) -> None:
    """Without it a pending person cannot be recognised."""
    boto3.client("secretsmanager").delete_secret(
        SecretId=LEDGER_SECRET, ForceDeleteWithoutRecovery=True
    )

    assert cloud.post(BODY)["statusCode"] == 503
    assert cloud.rows() == []


def test_no_address_is_in_keys_or_logs(cloud: Cloud) -> None:
    """Only the record itself holds the person: every other row goes by keyed hashes."""
    mark = f"m{secrets.token_hex(6)}"
    cloud.accepted(BODY | {"email": f"{mark}@example.com", "idempotency_key": f"k-{mark}"})
    cloud.post(BODY | {"email": f"{mark}@", "phone": mark})

    others = [row for row in cloud.rows() if not row["id"]["S"].startswith("a#")]
    assert others
    assert mark not in json.dumps(others, default=list)
    assert "2025550143" not in json.dumps(others, default=list)
    assert mark not in cloud.log.text
    assert "2025550143" not in cloud.log.text


def test_the_module_s_handler_answers(cloud: Cloud) -> None:
    """``quikly_acquisition.api.lambda_handler`` itself, as the template names it, answers."""
    event = proxy_event(json.dumps(BODY), path=PATH)

    assert api.lambda_handler(event, None)["statusCode"] == 202
