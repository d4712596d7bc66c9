"""The delivery queue: it takes jobs, and hides messages that come back. Ports, and both on SQS."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, Protocol

from braze_bridge.aws.errors import aws_errors
from braze_bridge.aws.side_by_side import side_by_side
from braze_bridge.jobs.envelope import DeliveryJob, split_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestEntryTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

BATCH_ENTRIES: Final = 10
"""SQS takes at most 10 messages a ``SendMessageBatch``."""

BATCH_BYTES: Final = 1_000_000
"""SQS takes 1 MiB over all of them; the rest is margin for attributes."""


class QueueUnavailableError(Exception):
    """The queue did not take every job: the sender must send again."""


class JobQueue(Protocol):
    """Takes jobs for delivery."""

    def send(self, job: DeliveryJob) -> None:
        """Hand over a job, in parts if it is too long for one message.

        Raises:
            QueueUnavailableError: Not every part was taken; sending the same job again is harmless.
        """
        ...


class SqsJobQueue:
    """A :class:`JobQueue` on an SQS standard queue.

    ``MessageGroupId`` is the partner, so that SQS's fair queues keep a busy partner from delaying
    the others. It orders nothing on a standard queue.
    """

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def send(self, job: DeliveryJob) -> None:
        """See :meth:`JobQueue.send`."""
        bodies = [part.to_json() for part in split_job(job)]
        with aws_errors(QueueUnavailableError):
            if len(bodies) == 1:
                self._client.send_message(
                    QueueUrl=self._queue_url, MessageBody=bodies[0], MessageGroupId=job.source
                )
                return
            for batch in _batches(bodies, job.source):
                answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=batch)
                if answer.get("Failed"):
                    raise QueueUnavailableError(f"{len(answer['Failed'])} part(s) not taken")


def _batches(bodies: Sequence[str], group: str) -> list[list[SendMessageBatchRequestEntryTypeDef]]:
    batches: list[list[SendMessageBatchRequestEntryTypeDef]] = []
    used = BATCH_BYTES
    for number, body in enumerate(bodies):
        size = len(body.encode())
        if used + size > BATCH_BYTES or len(batches[-1]) == BATCH_ENTRIES:
            batches.append([])
            used = 0
        batches[-1].append({"Id": str(number), "MessageBody": body, "MessageGroupId": group})
        used += size
    return batches


HIDE_SECONDS: Final = 10.0
"""A caller without a deadline waits no longer for one call."""


class MessageHider(Protocol):
    """Sets when SQS hands out messages again."""

    def hide(
        self,
        delays: Mapping[str, float],
        seconds_left: Callable[[], float] = lambda: HIDE_SECONDS,
    ) -> int:
        """Hide messages.

        Args:
            delays: Receipt handle to seconds from now.
            seconds_left: Until it must return.

        Returns:
            How many were hidden as asked. The others return after the queue's visibility timeout:
            later than asked, but not lost.
        """
        ...


class SqsMessageHider:
    """A :class:`MessageHider` by ``ChangeMessageVisibilityBatch``. It stops at the first failure.

    Args:
        client: Of SQS.
        queue_url: Of the messages.
        executor: Makes the calls side by side; without it they follow one another.
    """

    def __init__(self, client: SQSClient, queue_url: str, executor: Executor | None = None) -> None:
        self._client = client
        self._queue_url = queue_url
        self._executor = executor

    def hide(
        self,
        delays: Mapping[str, float],
        seconds_left: Callable[[], float] = lambda: HIDE_SECONDS,
    ) -> int:
        """See :meth:`MessageHider.hide`."""
        waiting = list(delays.items())
        chunks = [waiting[at : at + BATCH_ENTRIES] for at in range(0, len(waiting), BATCH_ENTRIES)]
        hidden = side_by_side(
            self._hide_chunk, chunks, self._executor, seconds_left, lambda count: count < 0
        )
        return sum(count for count in hidden if count is not None and count > 0)

    def _hide_chunk(self, waiting: Sequence[tuple[str, float]]) -> int:
        """Hide up to ten messages; return how many, or -1 if the queue does not answer."""
        entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
            {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": ceil(seconds)}
            for number, (handle, seconds) in enumerate(waiting)
        ]
        try:
            with aws_errors(QueueUnavailableError):
                answer = self._client.change_message_visibility_batch(
                    QueueUrl=self._queue_url, Entries=entries
                )
        except QueueUnavailableError:
            return -1
        return len(answer.get("Successful", ()))
