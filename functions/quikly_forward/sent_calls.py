"""Which calls Quikly has taken, so that a message that SQS delivers twice is sent once."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from braze_bridge.aws.errors import aws_errors

if TYPE_CHECKING:
    from datetime import datetime

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

MEMORY: Final = timedelta(days=30)
"""Longer than a message can stay in its queue and the dead-letter queue together."""

ROW_PREFIX: Final = "f#"
"""The rows are in the claims table, beside activations and claims."""


class Lease(StrEnum):
    """Whether a call may be made now."""

    GRANTED = "granted"
    """No other Lambda makes the call until the lease ends."""

    SENT = "sent"
    """Quikly has taken the call. A call that Quikly refused is not SENT: a replay may send it."""

    BUSY = "busy"
    """Another Lambda makes the call, or crashed while it did."""


class SentCallsUnavailableError(Exception):
    """The store could not be read or written."""


class SentCalls(Protocol):
    """The store of sent calls. Each method may raise :class:`SentCallsUnavailableError`."""

    def take_lease(self, forward_id: str, now: datetime, duration: timedelta) -> Lease:
        """Ask for the lease of a call. If this raises, the call must not be made."""
        ...

    def mark_sent(self, forward_id: str, now: datetime) -> None:
        """Store that Quikly has taken the call. If this raises, it may not be stored."""
        ...

    def release(self, forward_id: str, now: datetime) -> None:
        """End the lease, so that the call can be made again. If this raises, it ends by itself."""
        ...


class DynamoSentCalls:
    """:class:`SentCalls` in the claims table.

    A row has ``leased_until`` (epoch seconds; absent once the call is sent) and ``expires_at``, the
    table's TTL attribute. Expiry is compared here, since DynamoDB deletes late.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def take_lease(self, forward_id: str, now: datetime, duration: timedelta) -> Lease:
        """See :meth:`SentCalls.take_lease`."""
        with aws_errors(SentCallsUnavailableError):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": f"{ROW_PREFIX}{forward_id}"}},
                    UpdateExpression="SET leased_until = :until, expires_at = :expires",
                    ConditionExpression="attribute_not_exists(id) OR leased_until <= :now"
                    " OR expires_at <= :now",
                    ExpressionAttributeValues={
                        ":until": _epoch(now + duration),
                        ":expires": _epoch(now + MEMORY),
                        ":now": _epoch(now),
                    },
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as error:
                row = error.response.get("Item")
                is_leased = isinstance(row, dict) and "leased_until" in row
                return Lease.BUSY if is_leased else Lease.SENT
        return Lease.GRANTED

    def mark_sent(self, forward_id: str, now: datetime) -> None:
        """See :meth:`SentCalls.mark_sent`."""
        self._update(
            forward_id,
            "SET expires_at = :expires REMOVE leased_until",
            {":expires": _epoch(now + MEMORY)},
        )

    def release(self, forward_id: str, now: datetime) -> None:
        """See :meth:`SentCalls.release`."""
        self._update(forward_id, "SET leased_until = :now", {":now": _epoch(now)})

    def _update(
        self, forward_id: str, expression: str, values: dict[str, AttributeValueTypeDef]
    ) -> None:
        with aws_errors(SentCallsUnavailableError):
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": f"{ROW_PREFIX}{forward_id}"}},
                UpdateExpression=expression,
                ExpressionAttributeValues=values,
            )


def _epoch(instant: datetime) -> AttributeValueTypeDef:
    return {"N": f"{instant.timestamp():.3f}"}
