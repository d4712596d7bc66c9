"""The gate's items on DynamoDB, in the ledger's table.

Items: `id` (`gate:all`, `gate:users.track` …), `rev`, `closed_until`, `since` and `last_success`
(epoch milliseconds, each may be missing), `reason`, `probe_seconds` (the length of the last
closing), `probing`. They have no `expires_at` and stay.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from braze_bridge.aws.errors import aws_errors
from braze_bridge.gate.rules import GateState
from braze_bridge.gate.shared import GateStoreUnavailableError, SharedGate, StoredGate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from braze_bridge.clock import Clock

PREFIX: Final = "gate:"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_READ_TRIES: Final = 2


def dynamo_gate(client: DynamoDBClient, table: str, *, clock: Clock, lambdas: int) -> SharedGate:
    """Build the gate of a deployed stack, in the ledger's table.

    Args:
        client: Of :func:`braze_bridge.aws.clients.ledger_client`.
        table: Its name.
        clock: The Lambda's.
        lambdas: How many Lambdas may call Braze at the same time.
    """
    return SharedGate(DynamoGateStore(client, table), clock, lambdas)


class DynamoGateStore(NamedTuple):
    """A :class:`braze_bridge.gate.shared.GateStore` on a table keyed by ``id``."""

    client: DynamoDBClient
    table: str

    def read(self, names: Sequence[str]) -> Mapping[str, StoredGate]:
        """See :meth:`braze_bridge.gate.shared.GateStore.read`."""
        table = self.table
        found: dict[str, StoredGate] = {}
        keys = [{"id": {"S": PREFIX + name}} for name in names]
        for _ in range(_READ_TRIES):
            with aws_errors(GateStoreUnavailableError):
                answer = self.client.batch_get_item(
                    RequestItems={table: {"Keys": keys, "ConsistentRead": True}}
                )
            for item in answer["Responses"].get(table, ()):
                found[item["id"]["S"].removeprefix(PREFIX)] = _stored(item)
            left = answer.get("UnprocessedKeys")
            if not left:
                return found
            keys = [{"id": {"S": key["id"]["S"]}} for key in left[table]["Keys"]]
        raise GateStoreUnavailableError("unprocessed")

    def write(self, name: str, state: GateState, expected: bytes | None, revision: bytes) -> bool:
        """See :meth:`braze_bridge.gate.shared.GateStore.write`."""
        item: dict[str, AttributeValueTypeDef] = {
            "id": {"S": PREFIX + name},
            "rev": {"B": revision},
            "reason": {"S": state.reason},
            "probe_seconds": {"N": repr(state.seconds)},
            "probing": {"BOOL": False},  # for Lambdas of an older version, before a rollback ends
        }
        for attribute, instant in (
            ("closed_until", state.closed_until),
            ("since", state.since),
            ("last_success", state.last_success),
        ):
            if instant is not None:
                # Rounded up: a stored closing is never shorter.
                item[attribute] = {"N": str(-((_EPOCH - instant) // _MILLISECOND))}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
        if expected is not None:
            condition = {
                "ConditionExpression": "rev = :expected",
                "ExpressionAttributeValues": {":expected": {"B": expected}},
            }
        with aws_errors(GateStoreUnavailableError):
            try:
                self.client.put_item(TableName=self.table, Item=item, **condition)
            except self.client.exceptions.ConditionalCheckFailedException:
                return False
        return True


def _stored(item: Mapping[str, AttributeValueTypeDef]) -> StoredGate:
    state = GateState(
        closed_until=_instant(item.get("closed_until")),
        reason=item["reason"]["S"],
        since=_instant(item.get("since")),
        seconds=float(item["probe_seconds"]["N"]),
        last_success=_instant(item.get("last_success")),
    )
    return StoredGate(state, bytes(item["rev"]["B"]))


def _instant(value: AttributeValueTypeDef | None) -> datetime | None:
    return None if value is None else _EPOCH + int(value["N"]) * _MILLISECOND
