"""A ClaimStore on DynamoDB."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, cast

from braze_bridge.aws.errors import aws_errors
from quikly_webhook.claim_records import (
    LAST_RANK,
    TIER_COUNTER,
    ClaimRecord,
    claim_row_id,
    commitment_update,
    counters_of_row,
    counters_row_id,
    entries_row_id,
    of_row,
    rank_row_id,
    shard_of,
    to_row,
)
from quikly_webhook.claim_store import (
    ClaimConflictError,
    ClaimsUnavailableError,
    Enter,
    EntriesClosed,
    Exhausted,
    Existing,
    Outcome,
    Overtaken,
    Recorded,
    Take,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

_BUSY: Final = frozenset(
    {
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
        "ThrottlingError",
        "ThrottlingException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "LimitExceededException",
    }
)
"""Refused before anything was written: docs.aws.amazon.com/amazondynamodb, API reference,
TransactWriteItems."""

_REFUSED: Final = frozenset({"ConditionalCheckFailed", "ConditionalCheckFailedException"})

_Refused = Callable[["Mapping[str, AttributeValueTypeDef]"], Outcome]
"""Returns what a counter's refusal means, by its row."""


class DynamoClaimStore:
    """A :class:`ClaimStore` on the claims table (rows: :mod:`quikly_webhook.claim_records`)."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def stack_exists_since(self) -> datetime:
        """See :meth:`ClaimStore.stack_exists_since`."""
        with aws_errors(_unavailable):
            return stack_exists_since(self._client, self._table)

    def find(self, q_scope: str, claimant: str) -> ClaimRecord | None:
        """See :meth:`ClaimStore.find`."""
        row = self._row(claim_row_id(q_scope, claimant))
        return of_row(row) if row else None

    def last_rank(self, q_scope: str) -> int:
        """See :meth:`ClaimStore.last_rank`."""
        return _last_of(self._row(rank_row_id(q_scope)))

    def next_rank(self, q_scope: str) -> int:
        """See :meth:`ClaimStore.next_rank`."""
        with aws_errors(_unavailable):
            answer = self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": rank_row_id(q_scope)}},
                UpdateExpression="ADD #last :one",
                ExpressionAttributeNames={"#last": LAST_RANK},
                ExpressionAttributeValues={":one": {"N": "1"}},
                ReturnValues="UPDATED_NEW",
            )
        return _last_of(answer["Attributes"])

    def commit(self, q_scope: str, commitment: str, now: datetime) -> str:
        """See :meth:`ClaimStore.commit`."""
        # It is mostly published, and a read does not conflict with a claim.
        published = counters_of_row(self._row(counters_row_id(q_scope))).commitment
        if published is not None:
            return published
        with aws_errors(_unavailable):
            return commit(self._client, self._table, q_scope, commitment, now)

    def _row(self, name: str) -> Mapping[str, AttributeValueTypeDef]:
        """Read a row consistently; empty if it does not exist."""
        with aws_errors(_unavailable):
            answer = self._client.get_item(
                TableName=self._table, Key={"id": {"S": name}}, ConsistentRead=True
            )
        return answer.get("Item", {})

    def record(self, claim: ClaimRecord, counted: Take | Enter | None) -> Outcome:
        """See :meth:`ClaimStore.record`."""
        if counted is None:
            return self._put(claim)
        if isinstance(counted, Enter):
            return self._put_and_count(claim, [self._entry(claim)], [lambda _row: EntriesClosed()])
        counting = [self._award(claim, counted)]
        refused: list[_Refused] = [lambda row: Exhausted(counters_of_row(row))]
        if counted.after is not None:
            # Before the award: another claim on this position may also have exhausted the tier.
            counting.insert(0, self._position(claim, counted.after))
            refused.insert(0, lambda row: Overtaken(_last_of(row)))
        return self._put_and_count(claim, counting, refused)

    def _put(self, claim: ClaimRecord) -> Outcome:
        with aws_errors(_unavailable):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=to_row(claim),
                    ConditionExpression="attribute_not_exists(id)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as error:
                response = cast("dict[str, Any]", error.response)
                if "Item" not in response:
                    raise
                return Existing(of_row(response["Item"]))
        return Recorded()

    def _put_and_count(
        self,
        claim: ClaimRecord,
        counting: Sequence[TransactWriteItemTypeDef],
        refused: Sequence[_Refused],
    ) -> Outcome:
        putting: TransactWriteItemTypeDef = {
            "Put": {
                "TableName": self._table,
                "Item": to_row(claim),
                "ConditionExpression": "attribute_not_exists(id)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }
        with aws_errors(_unavailable):
            try:
                # botocore adds a client token, so its retry after a lost answer is the same
                # transaction.
                self._client.transact_write_items(TransactItems=[putting, *counting])
            except self._client.exceptions.TransactionCanceledException as error:
                reasons: list[dict[str, Any]] = cast("dict[str, Any]", error.response).get(
                    "CancellationReasons", []
                )
                if len(reasons) != 1 + len(counting):
                    raise
                put, *counters = reasons
                if put.get("Code") in _REFUSED and "Item" in put:
                    return Existing(of_row(put["Item"]))
                for counter, outcome_of in zip(counters, refused, strict=True):
                    if counter.get("Code") in _REFUSED and "Item" in counter:
                        return outcome_of(counter["Item"])
                if {str(each.get("Code")) for each in reasons} & _BUSY:
                    raise ClaimConflictError from error
                raise
        return Recorded()

    def _award(self, claim: ClaimRecord, take: Take) -> TransactWriteItemTypeDef:
        conditions = []
        values: dict[str, AttributeValueTypeDef] = {":one": {"N": "1"}}
        if take.quantity is not None:
            conditions.append("(attribute_not_exists(#tier) OR #tier < :quantity)")
            values[":quantity"] = {"N": str(take.quantity)}
        if take.total is not None:
            conditions.append("(attribute_not_exists(awarded) OR awarded < :total)")
            values[":total"] = {"N": str(take.total)}
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"id": {"S": counters_row_id(claim.q_scope)}},
                "UpdateExpression": "ADD #tier :one, awarded :one",
                "ConditionExpression": " AND ".join(conditions),
                "ExpressionAttributeNames": {"#tier": f"{TIER_COUNTER}{take.tier}"},
                "ExpressionAttributeValues": values,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _position(self, claim: ClaimRecord, last: int) -> TransactWriteItemTypeDef:
        values: dict[str, AttributeValueTypeDef] = {":next": {"N": str(last + 1)}}
        if last:
            values[":known"] = {"N": str(last)}
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"id": {"S": rank_row_id(claim.q_scope)}},
                "UpdateExpression": "SET #last = :next",
                "ConditionExpression": "#last = :known" if last else "attribute_not_exists(#last)",
                "ExpressionAttributeNames": {"#last": LAST_RANK},
                "ExpressionAttributeValues": values,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _entry(self, claim: ClaimRecord) -> TransactWriteItemTypeDef:
        shard = shard_of(claim.claimant)
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"id": {"S": entries_row_id(claim.q_scope, shard)}},
                "UpdateExpression": "ADD entries :one",
                "ConditionExpression": "attribute_not_exists(closed_at)",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }


def _last_of(row: Mapping[str, AttributeValueTypeDef]) -> int:
    last = row.get(LAST_RANK)
    return 0 if last is None else int(last["N"])


def stack_exists_since(client: DynamoDBClient, table: str) -> datetime:
    """Return when the claims table, and so the stack, was made. Raises botocore's errors."""
    made_at = client.describe_table(TableName=table)["Table"]["CreationDateTime"]
    return made_at.astimezone(UTC)


def commit(client: DynamoDBClient, table: str, q_scope: str, commitment: str, now: datetime) -> str:
    """Publish a commitment, unless there is one; returns the published one.

    botocore's errors are not caught.
    """
    answer = client.update_item(TableName=table, **commitment_update(q_scope, commitment, now))
    return answer["Attributes"]["commitment"]["S"]


def _unavailable(code: str) -> ClaimConflictError | ClaimsUnavailableError:
    return ClaimConflictError(code) if code in _BUSY else ClaimsUnavailableError(code)
