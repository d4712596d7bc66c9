"""The dead-letter queue on SQS, in process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from braze_bridge.jobs.envelope import parse_job
from ops.dead_letters.queue import (
    DeadLettersUnavailableError,
    Outgoing,
    SqsDeadLetterQueue,
    SqsDeliverySender,
    peek,
    replay_dead_letters,
)
from tests.fakes.delivery_jobs import job

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


@pytest.fixture
def dead(sqs: SQSClient) -> str:
    return sqs.create_queue(QueueName="dead")["QueueUrl"]


@pytest.fixture
def delivery(sqs: SQSClient) -> str:
    return sqs.create_queue(QueueName="delivery")["QueueUrl"]


def fill(sqs: SQSClient, url: str, count: int) -> None:
    for number in range(count):
        body = job(str(number), f"user-{number}").to_json()
        sqs.send_message(QueueUrl=url, MessageBody=body)


def drain(sqs: SQSClient, url: str) -> list[str]:
    found: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [message["Body"] for message in messages]
    return found


def test_looking_leaves_every_message_visible(sqs: SQSClient, dead: str) -> None:
    """Received, and made visible again: the next one sees them at once."""
    fill(sqs, dead, 23)

    seen = peek(SqsDeadLetterQueue(sqs, dead), 100)

    assert len({letter.message_id for letter in seen}) == 23
    assert all(letter.receive_count == 1 for letter in seen)
    assert len(drain(sqs, dead)) == 23


def test_a_replay_moves_every_message_once(sqs: SQSClient, dead: str, delivery: str) -> None:
    """The dead-letter queue is empty, the delivery queue has each job."""
    fill(sqs, dead, 23)

    progress = replay_dead_letters(
        SqsDeadLetterQueue(sqs, dead),
        SqsDeliverySender(sqs, delivery),
        limit=100,
        report=lambda _: None,
    )

    assert (progress.sent, progress.is_empty) == (23, True)
    moved = [parse_job(body).job_id for body in drain(sqs, delivery)]
    assert sorted(moved) == sorted(f"outgrow:default:{number}" for number in range(23))
    assert drain(sqs, dead) == []


def test_a_delivery_queue_that_is_gone_keeps_every_message(
    sqs: SQSClient, dead: str, delivery: str
) -> None:
    """Not taken, released, still there."""
    fill(sqs, dead, 3)
    sqs.delete_queue(QueueUrl=delivery)

    progress = replay_dead_letters(
        SqsDeadLetterQueue(sqs, dead),
        SqsDeliverySender(sqs, delivery),
        limit=100,
        report=lambda _: None,
    )

    assert (progress.sent, progress.not_taken) == (0, 3)
    assert len(drain(sqs, dead)) == 3


def test_a_message_that_sqs_refuses_does_not_keep_the_others(sqs: SQSClient, delivery: str) -> None:
    """Too large for any queue: its position is missing from what was taken."""
    messages = [Outgoing("a", "outgrow"), Outgoing("x" * 1_100_000, "outgrow"), Outgoing("b", "c")]

    assert SqsDeliverySender(sqs, delivery).send(messages) == {0, 2}
    assert sorted(drain(sqs, delivery)) == ["a", "b"]


def test_a_missing_dead_letter_queue_is_reported(sqs: SQSClient, dead: str) -> None:
    """By AWS's error code; releasing and removing then do nothing and raise nothing."""
    fill(sqs, dead, 1)
    queue = SqsDeadLetterQueue(sqs, dead)
    letters = queue.receive(1, 30)
    sqs.delete_queue(QueueUrl=dead)

    with pytest.raises(DeadLettersUnavailableError):
        queue.receive(1, 30)
    queue.release(letters)
    assert queue.remove(letters) == frozenset()
    assert queue.remove([]) == frozenset()
