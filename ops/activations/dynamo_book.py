"""The claims table on DynamoDB, for people's commands.

A scan finds the claims of one activation, about 2,000 claims a page. An index would cost one more
write a claim, for a question that people ask a few times. It could not be read consistently either,
and a draw needs that.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from braze_bridge.clock import iso_millis
from ops.activations.book import BookUnavailableError, Closed, Drawn
from ops.stack.errors import aws_errors
from quikly_webhook.claim_records import (
    SHARDS,
    claim_row_id,
    counters_of_row,
    counters_row_id,
    entries_row_id,
    of_row,
    to_row,
)
from quikly_webhook.draws import Prize
from quikly_webhook.dynamo_claims import commit, stack_exists_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from quikly_webhook.claim_records import ClaimRecord, Counters, Row

_SIDE_BY_SIDE: Final = 8
"""Concurrent writes of a draw; fewer than botocore's connection pool (10)."""


class DynamoActivationBook:
    """A :class:`ops.activations.book.ActivationBook`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def stack_exists_since(self) -> datetime:
        """See :meth:`ActivationBook.stack_exists_since`."""
        with aws_errors(BookUnavailableError):
            return stack_exists_since(self._client, self._table)

    def counters(self, q_scope: str) -> Counters:
        """See :meth:`ActivationBook.counters`."""
        return counters_of_row(self._get(counters_row_id(q_scope)))

    def claims(self, q_scope: str) -> Iterator[ClaimRecord]:
        """See :meth:`ActivationBook.claims`."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            ConsistentRead=True,
            FilterExpression="begins_with(id, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": claim_row_id(q_scope, "")}},
        )
        with aws_errors(BookUnavailableError):
            for page in pages:
                yield from map(of_row, page["Items"])

    def commit(self, q_scope: str, commitment: str, now: datetime) -> str:
        """See :meth:`ActivationBook.commit`."""
        with aws_errors(BookUnavailableError):
            return commit(self._client, self._table, q_scope, commitment, now)

    def close_entries(self, q_scope: str, now: datetime) -> int:
        """See :meth:`ActivationBook.close_entries`."""
        number = 0
        with aws_errors(BookUnavailableError):
            # Shard by shard: a concurrent entry is counted in an open shard, or refused.
            for shard in SHARDS:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": entries_row_id(q_scope, shard)}},
                    UpdateExpression="SET closed_at = if_not_exists(closed_at, :now)",
                    ExpressionAttributeValues={":now": {"S": iso_millis(now)}},
                    ReturnValues="ALL_NEW",
                )
                entries = answer["Attributes"].get("entries")
                number += int(entries["N"]) if entries else 0
        return number

    def closed(self, q_scope: str) -> Closed | Drawn | None:
        """See :meth:`ActivationBook.closed`."""
        row = self._get(_draw_row_id(q_scope))
        return _published(row) if row else None

    def keep_closed(self, closed: Closed) -> None:
        """See :meth:`ActivationBook.keep_closed`."""
        self._keep(_closed_row(closed), "attribute_not_exists(id)")

    def keep_drawn(self, result: Drawn) -> Drawn:
        """See :meth:`ActivationBook.keep_drawn`."""
        row = _closed_row(result.closed) | {
            "seed": {"S": result.seed},
            "prizes": {"S": json.dumps(result.prizes)},
            "drawn_at": {"S": iso_millis(result.drawn_at)},
        }
        if self._keep(row, "attribute_not_exists(seed)"):
            return result
        known = self.closed(result.closed.q_scope)
        if not isinstance(known, Drawn):
            raise BookUnavailableError("the draw's row changed between a write and a read")
        return known

    def decide(self, claims: Iterable[ClaimRecord]) -> int:
        """See :meth:`ActivationBook.decide`."""
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            return sum(pool.map(self._decide, claims))

    def _decide(self, claim: ClaimRecord) -> bool:
        return self._keep(
            to_row(claim),
            "#status = :entered",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":entered": {"S": "entered"}},
        )

    def _get(self, row_id: str) -> Row:
        with aws_errors(BookUnavailableError):
            answer = self._client.get_item(
                TableName=self._table, Key={"id": {"S": row_id}}, ConsistentRead=True
            )
        return answer.get("Item", {})

    def _keep(
        self,
        row: dict[str, AttributeValueTypeDef],
        condition: str,
        **names: Any,  # noqa: ANN401 - the condition's, as boto3 takes them
    ) -> bool:
        with aws_errors(BookUnavailableError):
            try:
                self._client.put_item(
                    TableName=self._table, Item=row, ConditionExpression=condition, **names
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True


def _draw_row_id(q_scope: str) -> str:
    return f"d#{q_scope}"


def _closed_row(closed: Closed) -> dict[str, AttributeValueTypeDef]:
    return {
        "id": {"S": _draw_row_id(closed.q_scope)},
        "q_scope": {"S": closed.q_scope},
        "number": {"N": str(closed.number)},
        "entries_hash": {"S": closed.entries_hash},
        "closed_at": {"S": iso_millis(closed.closed_at)},
    }


def _published(row: Row) -> Closed | Drawn:
    closed = Closed(
        row["q_scope"]["S"],
        int(row["number"]["N"]),
        row["entries_hash"]["S"],
        _instant(row["closed_at"]["S"]),
    )
    if "seed" not in row:
        return closed
    prizes = tuple(Prize(*each) for each in json.loads(row["prizes"]["S"]))
    return Drawn(closed, row["seed"]["S"], prizes, _instant(row["drawn_at"]["S"]))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
