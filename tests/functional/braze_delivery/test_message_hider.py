"""Hiding messages on SQS, in process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from braze_bridge.jobs.queue import SqsMessageHider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_sqs import SQSClient


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[SQSClient]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield boto3.client("sqs", region_name="eu-west-1")


def test_each_message_is_hidden_for_its_own_time_in_batches_of_ten(sqs: SQSClient) -> None:
    """23 messages, three calls; those asked for 0 s are there at once, the others are not."""
    url = sqs.create_queue(QueueName="delivery")["QueueUrl"]
    for number in range(23):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    handles: dict[str, float] = {}
    while len(handles) < 23:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        for message in answer["Messages"]:
            handles[message["ReceiptHandle"]] = 0 if int(message["Body"]) < 12 else 600.2

    assert SqsMessageHider(sqs, url).hide(handles) == 23

    back: set[int] = set()
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        back |= {int(message["Body"]) for message in messages}
    assert back == set(range(12))


def test_what_sqs_refuses_is_not_counted_and_does_not_stop_the_rest(sqs: SQSClient) -> None:
    """A message with an invalid handle returns after the queue's default."""
    url = sqs.create_queue(QueueName="delivery")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="1")
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]

    hidden = SqsMessageHider(sqs, url).hide({"no-handle": 5, message["ReceiptHandle"]: 5})

    assert hidden <= 1


def test_a_queue_that_is_gone_hides_nothing_and_raises_nothing(sqs: SQSClient) -> None:
    """The messages keep the visibility timeout they have."""
    url = sqs.create_queue(QueueName="delivery")["QueueUrl"]
    sqs.delete_queue(QueueUrl=url)

    assert SqsMessageHider(sqs, url).hide({"handle": 5}) == 0
