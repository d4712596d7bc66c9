"""Lambda handlers that no caller waits for: of SQS batches and of schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from braze_bridge.observability import described, flush_metrics, logger
from braze_bridge.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aws_lambda_powertools.utilities.typing import LambdaContext

    SecondsLeft = Callable[[], float]
    BatchAnswer = dict[str, list[dict[str, str]]]

DepsT = TypeVar("DepsT")
ResultT = TypeVar("ResultT")


class HandlerFailedError(Exception):
    """An invocation failed; its text is the kind of the error. Its cause is in the log."""


class SqsMessage(NamedTuple):
    """A message as SQS hands it out.

    Attributes:
        receive_count: How often it was handed out, this time included.
        sent_at: When it was put into the queue, epoch seconds; ``None`` if SQS does not say.
        sender_id: Who put it there: of a role ``<role id>:<session>``, of a user the user's id
            (docs.aws.amazon.com/AWSSimpleQueueService, API reference, ReceiveMessage).
    """

    message_id: str
    body: str
    receive_count: int = 1
    receipt_handle: str = ""
    sent_at: float | None = None
    sender_id: str = ""


def background_handler(
    run: Callable[[dict[str, Any], SecondsLeft], ResultT],
) -> Callable[[dict[str, Any], LambdaContext], ResultT]:
    """Make a handler whose log lines have Lambda's request id, and that writes its metrics.

    Lambda logs the text of an error that a handler raises, and that text can quote a body. So the
    handler logs where the error came from, and raises one without that text.

    Args:
        run: Gets the event, and a function that says how many seconds this invocation has left.
    """

    def handler(event: dict[str, Any], context: LambdaContext) -> ResultT:
        logger().clear_state()
        logger().append_keys(function_request_id=context.aws_request_id)
        try:
            return run(event, lambda: context.get_remaining_time_in_millis() / 1000)
        except SettingsError:  # names variables
            raise
        except Exception as error:  # noqa: BLE001 - no error's text may reach Lambda's own log
            logger().error("unexpected error", extra=described(error))
            raise HandlerFailedError(type(error).__name__) from None
        finally:
            flush_metrics()

    return handler


def answer_batch(
    event: dict[str, Any],
    seconds_left: SecondsLeft,
    handle: Callable[[Sequence[SqsMessage], SecondsLeft, DepsT], Iterable[str]],
    dependencies: DepsT,
) -> BatchAnswer:
    """Handle an SQS event and tell SQS which messages to keep.

    Args:
        event: ``{"Records": [{"messageId", "receiptHandle", "body", "attributes"}]}``. SQS may hand
            a message out twice in one batch; it is handled once.
        handle: Returns the ids of the messages that go back to the queue.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": messageId}]}``.
    """
    messages = {
        record["messageId"]: SqsMessage(
            record["messageId"],
            record["body"],
            int(record.get("attributes", {}).get("ApproximateReceiveCount", "1")),
            record.get("receiptHandle", ""),
            int(record.get("attributes", {}).get("SentTimestamp", "0")) / 1000 or None,
            record.get("attributes", {}).get("SenderId", ""),
        )
        for record in event["Records"]
    }
    back = handle(list(messages.values()), seconds_left, dependencies)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in back]}
