"""Which calls Quikly has taken: so that a message that SQS hands out twice tells it once."""

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
"""Longer than a message can live in its queue and the dead-letter queue behind it together."""

ROW_PREFIX: Final = "f#"
"""The rows lie in the claims table, beside activations and claims."""


class Turn(StrEnum):
    """Whether a call may be made now."""

    OURS = "ours"
    """Nobody else makes it until the lease ends."""

    TOLD = "told"
    """Quikly has taken it. A call that was refused for good is not: its replay is to be told."""

    BUSY = "busy"
    """Another Lambda makes it, or died doing so."""


class ToldCallsUnavailableError(Exception):
    """The memory could not be asked or written."""


class ToldCalls(Protocol):
    """The memory of calls."""

    def take_turn(self, forward_id: str, now: datetime, lease: timedelta) -> Turn:
        """Ask for a call's turn.

        Args:
            forward_id: The call's.
            now: The present.
            lease: How long the turn lasts, should it end without a word.

        Raises:
            ToldCallsUnavailableError: Nobody knows; the call must not be made.
        """
        ...

    def keep(self, forward_id: str, now: datetime) -> None:
        """Note that the call is done with, for good.

        Raises:
            ToldCallsUnavailableError: It may not have been noted.
        """
        ...

    def give_back(self, forward_id: str, now: datetime) -> None:
        """End the turn, so that the call can be made again.

        Raises:
            ToldCallsUnavailableError: The turn may last until its lease ends.
        """
        ...


class DynamoToldCalls:
    """:class:`ToldCalls` in the claims table.

    A row has ``leased_until`` (epoch seconds; the attribute goes when the call is done with) and
    ``expires_at``, the table's TTL attribute. Expiry is compared here: DynamoDB deletes late.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def take_turn(self, forward_id: str, now: datetime, lease: timedelta) -> Turn:
        """See :meth:`ToldCalls.take_turn`."""
        with aws_errors(ToldCallsUnavailableError):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": f"{ROW_PREFIX}{forward_id}"}},
                    UpdateExpression="SET leased_until = :until, expires_at = :expires",
                    ConditionExpression="attribute_not_exists(id) OR leased_until <= :now"
                    " OR expires_at <= :now",
                    ExpressionAttributeValues={
                        ":until": {"N": _epoch(now + lease)},
                        ":expires": {"N": _epoch(now + MEMORY)},
                        ":now": {"N": _epoch(now)},
                    },
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as error:
                row = error.response.get("Item")
                leased = isinstance(row, dict) and "leased_until" in row
                return Turn.BUSY if leased else Turn.TOLD
        return Turn.OURS

    def keep(self, forward_id: str, now: datetime) -> None:
        """See :meth:`ToldCalls.keep`."""
        self._update(
            forward_id,
            "SET expires_at = :expires REMOVE leased_until",
            {":expires": {"N": _epoch(now + MEMORY)}},
        )

    def give_back(self, forward_id: str, now: datetime) -> None:
        """See :meth:`ToldCalls.give_back`."""
        self._update(forward_id, "SET leased_until = :now", {":now": {"N": _epoch(now)}})

    def _update(
        self, forward_id: str, expression: str, values: dict[str, AttributeValueTypeDef]
    ) -> None:
        with aws_errors(ToldCallsUnavailableError):
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": f"{ROW_PREFIX}{forward_id}"}},
                UpdateExpression=expression,
                ExpressionAttributeValues=values,
            )


def _epoch(instant: datetime) -> str:
    return f"{instant.timestamp():.3f}"
