"""The dead-letter queue: look into it without taking anything out, and send it all back.

This is our own loop, with calls that every SQS has. A message leaves the dead-letter queue only
after the delivery queue took it. A crash between the two sends it twice under one job id, and the
ledger drops the duplicate.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from braze_bridge.jobs.envelope import UnreadableJobError, parse_job
from braze_bridge.jobs.queue import BATCH_BYTES, BATCH_ENTRIES
from ops.rejected.replay import FAILURES_IN_A_ROW, SENDER
from ops.stack.errors import CommandError, aws_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from types_boto3_sqs import SQSClient


PEEK_SECONDS: Final = 30
"""How long a look hides messages. They come back earlier when the look ends, or after a crash."""

REPLAY_SECONDS: Final = 120
"""How long a replay hides messages: longer than its calls may take."""

EMPTY_RECEIVES: Final = 2
"""Receives without a new message that end a loop. One is not enough: SQS may ask only some of its
servers. Each receive waits a second."""

UNKNOWN_GROUP: Final = "dead-letter"
"""The message group of an unreadable message that has none."""


class DeadLettersUnavailableError(CommandError):
    """The dead-letter queue did not answer. The text is AWS's error code."""

    line = "the dead-letter queue does not answer: {}"


class DeadLetter(NamedTuple):
    """A message of the dead-letter queue. Its body may hold personal data.

    Attributes:
        receipt: Handle of the latest receive, to release or remove the message.
        sent_at: When it first came into the delivery queue.
        group: Its message group, if it had one.
    """

    message_id: str
    body: str
    receipt: str
    sent_at: datetime
    receive_count: int
    group: str | None = None

    def __repr__(self) -> str:
        # Tracebacks print a repr; they must not hold a body.
        return f"DeadLetter({self.message_id!r})"


class Outgoing(NamedTuple):
    """A message for the delivery queue."""

    body: str
    group: str


class DeadLetterQueue(Protocol):
    """The dead-letter queue."""

    def receive(self, most: int, hidden_for: int) -> list[DeadLetter]:
        """Receive messages; the answer may be empty although the queue is not.

        Args:
            most: 1 to 10.
            hidden_for: Seconds until the messages can be received again.

        Raises:
            DeadLettersUnavailableError: SQS did not answer.
        """
        ...

    def release(self, letters: Iterable[DeadLetter]) -> None:
        """Make messages visible at once; if that fails, they come back when their time is over."""
        ...

    def remove(self, letters: Sequence[DeadLetter]) -> frozenset[str]:
        """Delete at most 10 messages; return the ids of those that are gone."""
        ...


class DeliverySender(Protocol):
    """The delivery queue, for messages as they are."""

    def send(self, messages: Sequence[Outgoing]) -> frozenset[int]:
        """Send at most 10 messages; return the positions of those that were taken."""
        ...


class Summary(NamedTuple):
    """A dead letter without its body.

    Attributes:
        job_id: ``None`` if the body is not a job.
        problems: Why it is not a job: field and error, without values.
    """

    message_id: str
    job_id: str | None
    source: str | None
    correlation_id: str | None
    sent_at: datetime
    receive_count: int
    body_bytes: int
    problems: tuple[tuple[str, str], ...] = ()


def summary_of(letter: DeadLetter) -> Summary:
    """Describe a message without personal data."""
    size = len(letter.body.encode("utf-8", "replace"))
    common = (letter.sent_at, letter.receive_count, size)
    try:
        job = parse_job(letter.body)
    except UnreadableJobError as error:
        return Summary(letter.message_id, None, None, None, *common, error.reasons)
    return Summary(letter.message_id, job.job_id, job.source, job.correlation_id, *common)


def peek(queue: DeadLetterQueue, limit: int) -> list[DeadLetter]:
    """Look at messages and leave them there.

    The look hides the messages, so two people who look at the same time each see a part.

    Raises:
        DeadLettersUnavailableError: SQS did not answer.
    """
    held: dict[str, DeadLetter] = {}
    empty = 0
    try:
        while len(held) < limit and empty < EMPTY_RECEIVES:
            received = queue.receive(min(BATCH_ENTRIES, limit - len(held)), PEEK_SECONDS)
            is_news = any(letter.message_id not in held for letter in received)
            empty = 0 if is_news else empty + 1
            held |= {letter.message_id: letter for letter in received}
    finally:
        queue.release(held.values())
    return sorted(held.values(), key=lambda letter: (letter.sent_at, letter.message_id))


class Progress(NamedTuple):
    """The progress of a replay, in messages.

    Attributes:
        sent: Taken by the delivery queue and removed.
        sent_and_kept: Taken, but not removed: the next replay sends duplicates, which the ledger
            drops.
        not_taken: Not taken, and not removed.
        is_empty: Whether the queue is empty now.
    """

    sent: int = 0
    sent_and_kept: int = 0
    not_taken: int = 0
    is_empty: bool = False


def replay_dead_letters(
    queue: DeadLetterQueue,
    sender: DeliverySender,
    *,
    limit: int,
    report: Callable[[Progress], None],
) -> Progress:
    """Send messages back to the delivery queue.

    An interruption loses nothing; a second run goes on. A run ends at the limit or when
    the queue is empty. It also ends after three rounds in a row without a message taken.

    Args:
        queue: The dead-letter queue.
        sender: The delivery queue.
        limit: At most this many messages.
        report: Called after every round.

    Raises:
        DeadLettersUnavailableError: The dead-letter queue did not answer.
    """
    round_trip = _Replay(queue, sender)
    try:
        empty = failures = 0
        while round_trip.handled < limit and empty < EMPTY_RECEIVES:
            most = min(BATCH_ENTRIES, limit - round_trip.handled)
            received = queue.receive(most, REPLAY_SECONDS)
            empty = 0 if received else empty + 1
            if not received:
                continue
            failures = 0 if round_trip.send_back(received) else failures + 1
            report(round_trip.progress())
            if failures == FAILURES_IN_A_ROW:
                break
        progress = round_trip.progress()._replace(is_empty=empty == EMPTY_RECEIVES)
        report(progress)
        return progress
    finally:
        queue.release(round_trip.held.values())


class _Replay:
    """The state of one replay.

    Attributes:
        held: Messages that were not taken; they must be released.
    """

    def __init__(self, queue: DeadLetterQueue, sender: DeliverySender) -> None:
        self._queue = queue
        self._sender = sender
        self._sent: set[str] = set()
        self._removed: set[str] = set()
        self.held: dict[str, DeadLetter] = {}

    @property
    def handled(self) -> int:
        return len(self._sent | self._removed | set(self.held))

    def progress(self) -> Progress:
        return Progress(len(self._removed), len(self._sent - self._removed), len(self.held))

    def send_back(self, received: Sequence[DeadLetter]) -> bool:
        """Do one round; returns whether a message was removed."""
        # What an earlier round sent but could not delete only needs deleting.
        new = [letter for letter in received if letter.message_id not in self._sent]
        taken = self._sender.send([outgoing(letter) for letter in new])
        for position, letter in enumerate(new):
            if position in taken:
                self._sent.add(letter.message_id)
                self.held.pop(letter.message_id, None)
            else:
                self.held[letter.message_id] = letter
        gone = self._queue.remove(
            [letter for letter in received if letter.message_id in self._sent]
        )
        self._removed |= gone
        return bool(gone)


def outgoing(letter: DeadLetter) -> Outgoing:
    """Build the message for the delivery queue.

    A job stays the same, with all its times: a person who was erased meanwhile stays erased.
    An unreadable message stays as it is; delivery parks it with the reason.
    """
    try:
        job = parse_job(letter.body)
    except UnreadableJobError:
        return Outgoing(letter.body, letter.group or UNKNOWN_GROUP)
    return Outgoing(job.sent_by(SENDER).to_json(), job.source)


class SqsDeadLetterQueue:
    """A :class:`DeadLetterQueue` on SQS."""

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def receive(self, most: int, hidden_for: int) -> list[DeadLetter]:
        """See :meth:`DeadLetterQueue.receive`."""
        with aws_errors(DeadLettersUnavailableError):
            answer = self._client.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=most,
                VisibilityTimeout=hidden_for,
                WaitTimeSeconds=1,
                MessageSystemAttributeNames=[
                    "SentTimestamp",
                    "ApproximateReceiveCount",
                    "MessageGroupId",
                ],
            )
        return [
            DeadLetter(
                message_id=message["MessageId"],
                body=message["Body"],
                receipt=message["ReceiptHandle"],
                sent_at=datetime.fromtimestamp(
                    int(message["Attributes"]["SentTimestamp"]) / 1000, UTC
                ),
                receive_count=int(message["Attributes"]["ApproximateReceiveCount"]),
                group=message["Attributes"].get("MessageGroupId"),
            )
            for message in answer.get("Messages", ())
        ]

    def release(self, letters: Iterable[DeadLetter]) -> None:
        """See :meth:`DeadLetterQueue.release`."""
        waiting = list(letters)
        for start in range(0, len(waiting), BATCH_ENTRIES):
            with _failures_ignored():
                self._client.change_message_visibility_batch(
                    QueueUrl=self._queue_url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                        for number, letter in enumerate(waiting[start : start + BATCH_ENTRIES])
                    ],
                )

    def remove(self, letters: Sequence[DeadLetter]) -> frozenset[str]:
        """See :meth:`DeadLetterQueue.remove`."""
        if not letters:
            return frozenset()
        with _failures_ignored():
            answer = self._client.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": letter.receipt}
                    for number, letter in enumerate(letters)
                ],
            )
            return frozenset(
                letters[int(entry["Id"])].message_id for entry in answer.get("Successful", ())
            )
        return frozenset()


class SqsDeliverySender:
    """A :class:`DeliverySender` on SQS."""

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def send(self, messages: Sequence[Outgoing]) -> frozenset[int]:
        """See :meth:`DeliverySender.send`."""
        taken: set[int] = set()
        for batch in batches(messages):
            with _failures_ignored():
                answer = self._client.send_message_batch(
                    QueueUrl=self._queue_url,
                    Entries=[
                        {
                            "Id": str(position),
                            "MessageBody": messages[position].body,
                            "MessageGroupId": messages[position].group,
                        }
                        for position in batch
                    ],
                )
                taken |= {int(entry["Id"]) for entry in answer.get("Successful", ())}
        return frozenset(taken)


@contextmanager
def _failures_ignored() -> Iterator[None]:
    """Ignore a failed call: its messages stay in the queue, and the next replay finds them."""
    with suppress(DeadLettersUnavailableError), aws_errors(DeadLettersUnavailableError):
        yield


def batches(messages: Sequence[Outgoing]) -> list[list[int]]:
    """Group messages' positions in batches that SQS takes: at most 10 messages and 1 MiB."""
    made: list[list[int]] = []
    used = BATCH_BYTES
    for position, message in enumerate(messages):
        size = len(message.body.encode())
        if used + size > BATCH_BYTES or len(made[-1]) == BATCH_ENTRIES:
            made.append([])
            used = 0
        made[-1].append(position)
        used += size
    return made
