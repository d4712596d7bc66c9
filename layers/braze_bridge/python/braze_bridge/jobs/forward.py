"""What the webhook leaves for Quikly: the contract between the two functions of this package.

Versioned, as a message may be read by newer code than the one that wrote it: every version ever
shipped stays readable (``tests/contract``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from braze_bridge.aws.errors import aws_errors
from braze_bridge.jobs.envelope import Text
from braze_bridge.jobs.queue import QueueUnavailableError
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

SOURCE: Final = "quikly_webhook"
"""The partner's door it came in by; also the message group, so that SQS's fair queues know it."""


class ForwardMessage(BaseModel):
    """Version 1 of a call that goes on to Quikly's own API.

    Attributes:
        forward_id: The same for every repeat of the call, without the person's address in it: such
            as ``quikly-webhook:<q_scope>:<claimant>``, where the event is part of the hash.
        q_scope: The activation.
        event: What the person did.
        email: Normalised: trimmed, in lower case.
        received_at: When Braze called first.
        correlation_id: Of that call.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    schema_version: Literal[1] = 1
    forward_id: Annotated[str, Field(min_length=1, max_length=512)]
    q_scope: Text
    event: Text
    email: Annotated[Text, Field(repr=False)]
    received_at: AwareDatetime
    correlation_id: Annotated[str, Field(min_length=1, max_length=128)]

    def to_json(self) -> str:
        """The message as JSON that SQS accepts: all ASCII, since it refuses U+FFFE and U+FFFF."""
        return json.dumps(self.model_dump(mode="json"), separators=(",", ":"))


class UnreadableForwardError(Exception):
    """A queue message that is no ForwardMessage of any known version.

    Attributes:
        reasons: What is wrong, per field, without values; at least one.
    """

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__(f"unreadable forward: {len(reasons)} reason(s)")
        self.reasons = reasons


_ADAPTER: Final[TypeAdapter[ForwardMessage]] = TypeAdapter(ForwardMessage)


def parse_forward(body: str | bytes) -> ForwardMessage:
    """Read a message of any shipped version.

    Args:
        body: The JSON text of an SQS message.

    Raises:
        UnreadableForwardError: It is not JSON, of an unknown version, or breaks the contract.
    """
    try:
        return _ADAPTER.validate_json(body)
    except ValidationError as error:
        reasons = tuple(
            Reason(
                code="unreadable_forward",
                field=".".join(str(step) for step in item["loc"]) or "message",
                detail=str(item["type"]),
            )
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise UnreadableForwardError(reasons) from None


class ForwardQueue(Protocol):
    """Where the webhook leaves calls for Quikly."""

    def send(self, message: ForwardMessage) -> None:
        """Hand over a call.

        Raises:
            QueueUnavailableError: It was not taken; sending the same call again is harmless.
        """
        ...


class SqsForwardQueue:
    """A :class:`ForwardQueue` on an SQS standard queue."""

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def send(self, message: ForwardMessage) -> None:
        """See :meth:`ForwardQueue.send`."""
        with aws_errors(QueueUnavailableError):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=message.to_json(),
                MessageGroupId=SOURCE,
            )
