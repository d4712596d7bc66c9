"""The acquisition queue: a message for each step that is due within 15 minutes."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from braze_bridge.aws.errors import aws_errors
from braze_bridge.jobs.queue import BATCH_ENTRIES, QueueUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

    from quikly_acquisition.models import StepMessage

LONGEST_DELAY: Final = 900
"""Seconds: ``DelaySeconds`` of docs.aws.amazon.com/AWSSimpleQueueService, SendMessage."""


class QueuedStep(NamedTuple):
    """A step's message, and the seconds before it may be taken."""

    message: StepMessage
    delay: float = 0.0


class StepQueue(Protocol):
    """Takes steps."""

    def send(self, steps: Sequence[QueuedStep]) -> Sequence[QueuedStep]:
        """Queue steps; never raises.

        Args:
            steps: A delay is cut to :data:`LONGEST_DELAY`.

        Returns:
            Those that were not taken. The sweep finds them once they are overdue.
        """
        ...


class SqsStepQueue:
    """A :class:`StepQueue` on an SQS standard queue."""

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def send(self, steps: Sequence[QueuedStep]) -> Sequence[QueuedStep]:
        """See :meth:`StepQueue.send`."""
        left: list[QueuedStep] = []
        for start in range(0, len(steps), BATCH_ENTRIES):
            batch = steps[start : start + BATCH_ENTRIES]
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {
                    "Id": str(number),
                    "MessageBody": step.message.to_json(),
                    "DelaySeconds": min(max(ceil(step.delay), 0), LONGEST_DELAY),
                }
                for number, step in enumerate(batch)
            ]
            try:
                with aws_errors(QueueUnavailableError):
                    answer = self._client.send_message_batch(
                        QueueUrl=self._queue_url, Entries=entries
                    )
            except QueueUnavailableError:
                left.extend(batch)
                continue
            left.extend(batch[int(failed["Id"])] for failed in answer.get("Failed", ()))
        return left
