"""The ledger's memories on DynamoDB: batched reads and batched conditional writes.

Reads are `BatchGetItem`, 100 a call. Writes are PartiQL in `BatchExecuteStatement`, 25 a call: the
only batched write with a condition for each item. (`BatchWriteItem` has no conditions.
`TransactWriteItems` costs twice the write units, and one busy person cancels the other 99.) To
lease and record 1,000 people takes 90 calls.

Items: `id` (32 hexadecimal digits), `rev`, `memory` (:mod:`braze_bridge.ledger.person_memory`) and
`expires_at` (epoch seconds, the table's TTL attribute). The gate's items share the table; their ids
start with `gate:`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.aws.errors import aws_errors
from braze_bridge.aws.side_by_side import side_by_side
from braze_bridge.ledger.port import CALL_SECONDS, LedgerUnavailableError
from braze_bridge.ledger.shared import CONFLICT, Reading, SharedLedger, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef, BatchStatementRequestTypeDef

    from braze_bridge.clock import Clock
    from braze_bridge.ledger.shared import Write

READ_BATCH: Final = 100
WRITE_BATCH: Final = 25
"""Per call: docs.aws.amazon.com/amazondynamodb, API reference, BatchGetItem and
BatchExecuteStatement."""

WRITE_BATCH_BYTES: Final = 2_000_000
"""A larger call could outlast its read timeout. Few memories are large."""

UNPROCESSED: Final = "unprocessed"

LATE: Final = "late"
"""No answer within the caller's time."""

_INSERT: Final = "INSERT INTO \"{}\" VALUE {{'id': ?, 'rev': ?, 'memory': ?, 'expires_at': ?}}"
_UPDATE: Final = (
    'UPDATE "{}" SET rev = ? SET memory = ? SET expires_at = ? WHERE id = ? AND rev = ?'
)
_CONFLICTS: Final = frozenset({"ConditionalCheckFailed", "DuplicateItem"})


def dynamo_ledger(
    client: DynamoDBClient,
    table: str,
    *,
    clock: Clock,
    key: Callable[[], bytes],
    lease_seconds: float,
    executor: Executor | None = None,
) -> SharedLedger:
    """Build the ledger of a deployed stack.

    Args:
        client: Of :func:`ledger_client`.
        table: Its name.
        clock: The Lambda's.
        key: Of :func:`fingerprint_key`.
        lease_seconds: Of :func:`braze_bridge.ledger.port.lease_length`.
        executor: Runs a batch's calls in parallel; without it they run one after the other.
    """
    return SharedLedger(DynamoMemoryStore(client, table, executor), clock, key, lease_seconds)


class DynamoMemoryStore:
    """A :class:`braze_bridge.ledger.shared.MemoryStore` on a table keyed by ``id``."""

    def __init__(
        self, client: DynamoDBClient, table: str, executor: Executor | None = None
    ) -> None:
        self._client = client
        self._table = table
        self._executor = executor
        self._insert = _INSERT.format(table)
        self._update = _UPDATE.format(table)

    def read(
        self, ids: Sequence[str], seconds_left: Callable[[], float] = lambda: CALL_SECONDS
    ) -> Reading:
        """See :meth:`braze_bridge.ledger.shared.MemoryStore.read`."""
        chunks = [ids[at : at + READ_BATCH] for at in range(0, len(ids), READ_BATCH)]
        found: dict[str, Stored] = {}
        failed: dict[str, str] = {}
        readings = side_by_side(self._read_chunk, chunks, self._executor, seconds_left)
        for chunk, reading in zip(chunks, readings, strict=True):
            if reading is None:
                failed.update(dict.fromkeys(chunk, LATE))
            else:
                found.update(reading.found)
                failed.update(reading.failed)
        return Reading(found, failed)

    def write(
        self, writes: Sequence[Write], seconds_left: Callable[[], float] = lambda: CALL_SECONDS
    ) -> Mapping[str, str]:
        """See :meth:`braze_bridge.ledger.shared.MemoryStore.write`."""
        chunks = list(_write_chunks(writes))
        failed: dict[str, str] = {}
        results = side_by_side(self._write_chunk, chunks, self._executor, seconds_left)
        for chunk, result in zip(chunks, results, strict=True):
            failed.update(
                dict.fromkeys([each.id for each in chunk], LATE) if result is None else result
            )
        return failed

    def _read_chunk(self, ids: Sequence[str]) -> Reading:
        table = self._table
        try:
            with aws_errors(LedgerUnavailableError):
                answer = self._client.batch_get_item(
                    RequestItems={
                        table: {"Keys": [{"id": {"S": id_}} for id_ in ids], "ConsistentRead": True}
                    }
                )
        except LedgerUnavailableError as error:
            return Reading({}, dict.fromkeys(ids, str(error)))
        found = {
            item["id"]["S"]: Stored(
                item["rev"]["B"], item["memory"]["B"], int(item["expires_at"]["N"])
            )
            for item in answer["Responses"].get(table, ())
        }
        left = answer.get("UnprocessedKeys")
        if not left:
            return Reading(found, {})
        return Reading(found, {key["id"]["S"]: UNPROCESSED for key in left[table]["Keys"]})

    def _write_chunk(self, writes: Sequence[Write]) -> Mapping[str, str]:
        statements = [self._statement(write) for write in writes]
        try:
            with aws_errors(LedgerUnavailableError):
                answers = self._client.batch_execute_statement(Statements=statements)["Responses"]
        except LedgerUnavailableError as error:
            return dict.fromkeys([write.id for write in writes], str(error))
        failed: dict[str, str] = {}
        for write, answer in zip(writes, answers, strict=True):
            problem = answer.get("Error")
            if problem is not None:
                code = problem.get("Code", "unknown")
                failed[write.id] = CONFLICT if code in _CONFLICTS else code
        return failed

    def _statement(self, write: Write) -> BatchStatementRequestTypeDef:
        id_, expected, revision, data, expires_at = write
        values: list[AttributeValueTypeDef] = [
            {"B": revision},
            {"B": data},
            {"N": str(expires_at)},
        ]
        if expected is None:
            return {"Statement": self._insert, "Parameters": [{"S": id_}, *values]}
        return {"Statement": self._update, "Parameters": [*values, {"S": id_}, {"B": expected}]}


def _write_chunks(writes: Sequence[Write]) -> Iterable[Sequence[Write]]:
    chunk: list[Write] = []
    size = 0
    for write in writes:
        if len(chunk) == WRITE_BATCH or (chunk and size + len(write.data) > WRITE_BATCH_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(write)
        size += len(write.data)
    if chunk:
        yield chunk
