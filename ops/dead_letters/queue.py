"""The dead-letter queue: look into it without taking anything out, and send it all back.

By our own loop, with the calls every SQS has; a message leaves the dead-letter queue only after the
delivery queue took it. A crash between the two sends it twice under one job id, which the ledger
drops as a duplicate.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from braze_bridge.jobs.envelope import UnreadableJobError, parse_job
from braze_bridge.jobs.queue import BATCH_BYTES, BATCH_ENTRIES
from ops.rejected.replay import FAILURES_IN_A_ROW, received_now
from ops.stack.aws_errors import cause_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from types_boto3_sqs import SQSClient

    from braze_bridge.clock import Clock

PEEK_SECONDS: Final = 30
"""How long messages are hidden while we look: afterwards, or if we die, they are back."""

REPLAY_SECONDS: Final = 120
"""How long a message is hidden while it is sent back: over the time that the calls may take."""

EMPTY_RECEIVES: Final = 2
"""A receive that brings nothing new proves little, since SQS may ask only some of its servers; two
in a row, each waiting a second, are the end."""

UNKNOWN_GROUP: Final = "dead-letter"
"""The message group of what cannot be read and came without one."""


class DeadLettersUnavailableError(Exception):
    """The dead-letter queue did not answer. The text is AWS's code, no more."""


class DeadLetter(NamedTuple):
    """A message of the dead-letter queue. Its body may be about a person.

    Attributes:
        receipt: Of the latest receive: what it is released or removed by.
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
        # A repr ends up in tracebacks, where no body belongs.
        return f"DeadLetter({self.message_id!r})"


class Outgoing(NamedTuple):
    """A message for the delivery queue."""

    body: str
    group: str


class DeadLetterQueue(Protocol):
    """The dead-letter queue."""

    def receive(self, most: int, hidden_for: int) -> list[DeadLetter]:
        """Messages, perhaps none although there are some.

        Args:
            most: At most so many, 1 to 10.
            hidden_for: Seconds until they may be received again.

        Raises:
            DeadLettersUnavailableError: SQS did not answer.
        """
        ...

    def release(self, letters: Iterable[DeadLetter]) -> None:
        """Let messages be received again at once; where that fails, when their time is over."""
        ...

    def remove(self, letters: Sequence[DeadLetter]) -> frozenset[str]:
        """Delete messages, at most 10.

        Returns:
            The ids of those that are gone.
        """
        ...


class DeliverySender(Protocol):
    """The delivery queue, for messages as they are."""

    def send(self, messages: Sequence[Outgoing]) -> frozenset[int]:
        """Hand messages over.

        Args:
            messages: At most 10.

        Returns:
            The positions of those that were taken.
        """
        ...


class Summary(NamedTuple):
    """A dead letter without its body.

    Attributes:
        job_id: Of the job in it; ``None`` where it cannot be read as one.
        problems: Why it cannot be read: field and error, without values.
        body_bytes: Length of the body.
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
    """What can be told of a message without telling about a person."""
    size = len(letter.body.encode("utf-8", "replace"))
    common = (letter.sent_at, letter.receive_count, size)
    try:
        job = parse_job(letter.body)
    except UnreadableJobError as error:
        return Summary(letter.message_id, None, None, None, *common, error.reasons)
    return Summary(letter.message_id, job.job_id, job.source, job.correlation_id, *common)


def peek(queue: DeadLetterQueue, limit: int) -> list[DeadLetter]:
    """Look at messages and leave them there.

    They are hidden for the moment of looking, so two people who look at once each see a part.

    Args:
        queue: The dead-letter queue.
        limit: At most so many.

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
    """How far a replay of dead letters came.

    Attributes:
        sent: Taken by the delivery queue and gone from here.
        sent_and_kept: Taken, but still here: sent again, they are duplicates that the ledger drops.
        not_taken: Not taken; still here.
        is_empty: Whether nothing more was found.
    """

    sent: int = 0
    sent_and_kept: int = 0
    not_taken: int = 0
    is_empty: bool = False


def replay_dead_letters(
    queue: DeadLetterQueue,
    sender: DeliverySender,
    *,
    clock: Clock,
    limit: int,
    report: Callable[[Progress], None],
) -> Progress:
    """Send messages back to the delivery queue.

    Interrupted at any point, it loses nothing; run again, it goes on. It ends when nothing more is
    found, at the limit, or after three rounds in a row of which nothing was taken.

    Args:
        queue: The dead-letter queue.
        sender: The delivery queue.
        clock: Says when the jobs come in anew.
        limit: At most so many messages.
        report: Told after every round.

    Raises:
        DeadLettersUnavailableError: The dead-letter queue did not answer.
    """
    round_trip = _Replay(queue, sender, clock)
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
    """The state of one call of :func:`replay_dead_letters`.

    Attributes:
        held: Messages that were not taken: hidden until they are released.
    """

    def __init__(self, queue: DeadLetterQueue, sender: DeliverySender, clock: Clock) -> None:
        self._queue = queue
        self._sender = sender
        self._clock = clock
        self._sent: set[str] = set()
        self._removed: set[str] = set()
        self.held: dict[str, DeadLetter] = {}

    @property
    def handled(self) -> int:
        return len(self._sent | self._removed | set(self.held))

    def progress(self) -> Progress:
        return Progress(len(self._removed), len(self._sent - self._removed), len(self.held))

    def send_back(self, received: Sequence[DeadLetter]) -> bool:
        """One round; whether anything came of it."""
        # What was sent in a round before and could not be deleted has only to be deleted.
        new = [letter for letter in received if letter.message_id not in self._sent]
        taken = self._sender.send([outgoing(letter, self._clock.now()) for letter in new])
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


def outgoing(letter: DeadLetter, now: datetime) -> Outgoing:
    """The message for the delivery queue.

    A job is the same job, received now: with the time it has, delivery might park it at once as
    expired. What cannot be read goes as it is: delivery parks it with the reason.
    """
    try:
        job = parse_job(letter.body)
    except UnreadableJobError:
        return Outgoing(letter.body, letter.group or UNKNOWN_GROUP)
    return Outgoing(received_now(job, now).to_json(), job.source)


class SqsDeadLetterQueue:
    """A :class:`DeadLetterQueue` on SQS."""

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def receive(self, most: int, hidden_for: int) -> list[DeadLetter]:
        """See :meth:`DeadLetterQueue.receive`."""
        try:
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
        except (BotoCoreError, ClientError) as error:
            raise DeadLettersUnavailableError(cause_of(error)) from error
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
            batch = waiting[start : start + BATCH_ENTRIES]
            try:
                self._client.change_message_visibility_batch(
                    QueueUrl=self._queue_url,
                    Entries=[
                        {
                            "Id": str(number),
                            "ReceiptHandle": letter.receipt,
                            "VisibilityTimeout": 0,
                        }
                        for number, letter in enumerate(batch)
                    ],
                )
            except (BotoCoreError, ClientError):
                continue

    def remove(self, letters: Sequence[DeadLetter]) -> frozenset[str]:
        """See :meth:`DeadLetterQueue.remove`."""
        if not letters:
            return frozenset()
        try:
            answer = self._client.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": letter.receipt}
                    for number, letter in enumerate(letters)
                ],
            )
        except (BotoCoreError, ClientError):
            return frozenset()
        return frozenset(
            letters[int(entry["Id"])].message_id for entry in answer.get("Successful", ())
        )


class SqsDeliverySender:
    """A :class:`DeliverySender` on SQS."""

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def send(self, messages: Sequence[Outgoing]) -> frozenset[int]:
        """See :meth:`DeliverySender.send`."""
        taken: set[int] = set()
        for batch in batches(messages):
            try:
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
            except (BotoCoreError, ClientError):
                continue
            taken |= {int(entry["Id"]) for entry in answer.get("Successful", ())}
        return frozenset(taken)


def batches(messages: Sequence[Outgoing]) -> list[list[int]]:
    """Positions of messages, in batches that SQS takes: 10 messages, 1 MiB over all of them."""
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
