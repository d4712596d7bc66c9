"""How many messages are in a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ops.stack.errors import aws_errors

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.literals import QueueAttributeNameType


class QueueUncountableError(Exception):
    """A queue does not exist, or its attributes cannot be read. The text is AWS's error code."""


class QueueCounts(NamedTuple):
    """The messages of a queue at one moment.

    Attributes:
        waiting: Visible: can be received now.
        hidden: In flight, or delayed (also for a closed gate).
    """

    waiting: int
    hidden: int


def count_messages(client: SQSClient, queue_url: str) -> QueueCounts:
    """Count a queue's messages; SQS knows approximate numbers only.

    Raises:
        QueueUncountableError: The queue does not exist, or SQS did not answer.
    """
    names: list[QueueAttributeNameType] = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    with aws_errors(QueueUncountableError):
        found = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    waiting, hidden, delayed = (int(found["Attributes"].get(name, "0")) for name in names)
    return QueueCounts(waiting, hidden + delayed)
