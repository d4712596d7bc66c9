"""The message of the forward queue: a call that Braze made and that goes on to Quikly.

A message may be read by newer code than wrote it: every version ever shipped stays readable
(``tests/contract``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from braze_bridge.aws.errors import aws_errors
from braze_bridge.jobs.envelope import Text
from braze_bridge.jobs.queue import QueueUnavailableError
from braze_bridge.reasons import Reason, invalid_fields

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

SOURCE: Final = "quikly_webhook"
"""Where the calls come from; also the message group of SQS's fair queues."""


class ForwardMessage(BaseModel):
    """Version 1 of a call that goes on to Quikly's own API.

    Attributes:
        forward_id: The same for every repeat of the call, without the person's address, such as
            ``quikly-webhook:<q_scope>:<claimant>``; the hash includes the event.
        q_scope: The activation.
        event: What the person did.
        email: Trimmed, in lower case.
        received_at: When Braze called first.
        correlation_id: Of the first call.
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
        """Encode the message as JSON for SQS: all ASCII, because SQS refuses U+FFFE and U+FFFF."""
        return json.dumps(self.model_dump(mode="json"), separators=(",", ":"))


class UnreadableForwardError(Exception):
    """A queue message is not a ForwardMessage of a known version.

    Attributes:
        reasons: What is wrong, per field, without values; at least one.
    """

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__(f"unreadable forward: {len(reasons)} reason(s)")
        self.reasons = reasons


def parse_forward(body: str | bytes) -> ForwardMessage:
    """Read the JSON of a message of any shipped version.

    Raises:
        UnreadableForwardError: It is not JSON, of an unknown version, or breaks the contract.
    """
    try:
        return ForwardMessage.model_validate_json(body)
    except ValidationError as error:
        reasons = tuple(
            Reason(code="unreadable_forward", field=place, detail=code)
            for place, code in invalid_fields(error, whole="message")
        )
        raise UnreadableForwardError(reasons) from None


class ForwardQueue(Protocol):
    """Where the webhook leaves calls for Quikly."""

    def send(self, message: ForwardMessage) -> None:
        """Hand over a call.

        Raises:
            QueueUnavailableError: It was not taken; sending it again is harmless.
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
