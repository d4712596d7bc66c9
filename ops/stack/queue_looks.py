"""How much is in a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.literals import QueueAttributeNameType


class QueueLook(NamedTuple):
    """A queue at one moment.

    Attributes:
        waiting: Messages to be had now.
        hidden: In flight, waiting for their time, or for a gate.
    """

    waiting: int
    hidden: int


def look(client: SQSClient, queue: str) -> QueueLook:
    """Count a queue's messages, as far as SQS knows.

    Args:
        client: Of the queue's account and region.
        queue: Its URL.

    Raises:
        BotoCoreError: No answer.
        ClientError: It is not there, or may not be looked at.
    """
    names: list[QueueAttributeNameType] = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    counts = client.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    waiting, hidden, delayed = (int(counts.get(name, "0")) for name in names)
    return QueueLook(waiting, hidden + delayed)
