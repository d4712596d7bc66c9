"""Jobs on SQS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from braze_bridge.jobs.envelope import DeliveryJob, JobUser, parse_job
from braze_bridge.jobs.queue import QueueUnavailableError, SqsJobQueue
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


def job(attributes: dict[str, Any]) -> DeliveryJob:
    return DeliveryJob(
        job_id="outgrow:c:1",
        source="outgrow",
        occurred_at=NOON,
        received_at=NOON,
        correlation_id="r-1",
        user=JobUser(email="ada@example.com"),
        attributes=attributes,
    )


@pytest.fixture
def client() -> SQSClient:
    return boto3.client("sqs")


@pytest.fixture
def url(client: SQSClient) -> str:
    return client.create_queue(QueueName="delivery", Attributes={"MaximumMessageSize": "1048576"})[
        "QueueUrl"
    ]


def received(client: SQSClient, url: str) -> list[tuple[DeliveryJob, str]]:
    found = []
    while messages := client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["MessageGroupId"]
    ).get("Messages"):
        found += [(parse_job(m["Body"]), m["Attributes"]["MessageGroupId"]) for m in messages]
    return found


def test_job_arrives_as_it_was(client: SQSClient, url: str) -> None:
    """A job is one message, equal to what was sent, in the fair-queue group of its partner."""
    sent = job({"segment": "Étudiant·e / 学生 🎓 \x00 \ufffe\uffff", "score": 87.5})

    SqsJobQueue(client, url).send(sent)

    assert received(client, url) == [(sent, "outgrow")]


def test_long_job_arrives_in_parts(client: SQSClient, url: str) -> None:
    """A job too long for a message arrives as numbered parts that together are the whole."""
    attributes = {f"a{n}": [f"{i:05}{'x' * 240}" for i in range(400)] for n in range(20)}

    SqsJobQueue(client, url).send(job(attributes))

    parts = [part for part, _ in received(client, url)]
    assert sorted(part.job_id for part in parts) == [
        f"outgrow:c:1/{n}" for n in range(1, len(parts) + 1)
    ]
    assert len(parts) > 1
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part.attributes
    assert merged == attributes


def test_missing_queue_is_unavailable(client: SQSClient, url: str) -> None:
    """SQS's own errors become one error of ours, for one message and for several."""
    queue = SqsJobQueue(client, url)
    client.delete_queue(QueueUrl=url)

    for attributes in ({"a": 1}, {f"a{n}": ["x" * 250] * 400 for n in range(12)}):
        with pytest.raises(QueueUnavailableError) as raised:
            queue.send(job(attributes))
        assert "ada" not in str(raised.value)


def test_unreachable_endpoint_is_unavailable() -> None:
    """A failed connection is an error, too."""
    client = boto3.client("sqs", endpoint_url="http://127.0.0.1:9")

    with pytest.raises(QueueUnavailableError):
        SqsJobQueue(client, "http://127.0.0.1:9/1/delivery").send(job({"a": 1}))
