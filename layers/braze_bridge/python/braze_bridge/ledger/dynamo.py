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

import json
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING, Final

from braze_bridge.aws.dynamodb import DynamoCallError
from braze_bridge.aws.side_by_side import side_by_side
from braze_bridge.ledger.shared import CONFLICT, SharedLedger, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Executor

    from braze_bridge.aws.dynamodb import DynamoCalls
    from braze_bridge.clock import Clock
    from braze_bridge.ledger.shared import Writes

READ_BATCH: Final = 100
WRITE_BATCH: Final = 25
"""Per call: docs.aws.amazon.com/amazondynamodb, API reference, BatchGetItem and
BatchExecuteStatement."""

WRITE_BATCH_BYTES: Final = 2_700_000
"""Of JSON. A larger call could outlast its read timeout. Few memories are large."""

UNPROCESSED: Final = "unprocessed"

LATE: Final = "late"
"""No answer within the caller's time."""

INSERT: Final = "INSERT INTO \"{}\" VALUE {{'id': ?, 'rev': ?, 'memory': ?, 'expires_at': ?}}"
UPDATE: Final = 'UPDATE "{}" SET rev = ? SET memory = ? SET expires_at = ? WHERE id = ? AND rev = ?'
_CONFLICTS: Final = frozenset({"ConditionalCheckFailed", "DuplicateItem"})


def dynamo_ledger(
    calls: DynamoCalls,
    table: str,
    *,
    clock: Clock,
    key: Callable[[], bytes],
    lease_seconds: float,
    executor: Executor | None = None,
) -> SharedLedger:
    """Build the ledger of a deployed stack.

    Args:
        calls: To DynamoDB.
        table: Its name.
        clock: The Lambda's.
        key: Of :func:`fingerprint_key`.
        lease_seconds: Of :func:`braze_bridge.ledger.port.lease_length`.
        executor: Runs a batch's calls in parallel; without it they run one after the other.
    """
    return SharedLedger(DynamoMemoryStore(calls, table, executor), clock, key, lease_seconds)


class DynamoMemoryStore:
    """A :class:`braze_bridge.ledger.shared.MemoryStore` on a table keyed by ``id``.

    It writes its JSON itself: ids are hexadecimal and the rest is base64, so nothing needs quoting.
    """

    def __init__(self, calls: DynamoCalls, table: str, executor: Executor | None = None) -> None:
        self._calls = calls
        self._table = table
        self._executor = executor
        self._insert = f'{{"Statement":{json.dumps(INSERT.format(table))},"Parameters":['
        self._update = f'{{"Statement":{json.dumps(UPDATE.format(table))},"Parameters":['

    def read(
        self, ids: Sequence[str], seconds_left: Callable[[], float]
    ) -> tuple[dict[str, Stored], dict[str, str]]:
        """See :meth:`braze_bridge.ledger.shared.MemoryStore.read`."""
        chunks = [ids[at : at + READ_BATCH] for at in range(0, len(ids), READ_BATCH)]
        found: dict[str, Stored] = {}
        failed: dict[str, str] = {}
        answers = side_by_side(
            lambda chunk: self._read_chunk(chunk, seconds_left()),
            chunks,
            self._executor,
            seconds_left,
        )
        for chunk, answer in zip(chunks, answers, strict=True):
            if answer is None:
                failed.update(dict.fromkeys(chunk, LATE))
            else:
                found.update(answer[0])
                failed.update(answer[1])
        return found, failed

    def write(
        self, writes: Writes, revision: bytes, expires_at: int, seconds_left: Callable[[], float]
    ) -> dict[str, str]:
        """See :meth:`braze_bridge.ledger.shared.MemoryStore.write`."""
        end = f'{{"N":"{expires_at}"}}'
        start = f'{{"B":"{_base64(revision)}"}},{{"B":"'
        statements = {
            id_: (
                f'{self._insert}{{"S":"{id_}"}},{start}{_base64(data)}"}},{end}]}}'
                if expected is None
                else f'{self._update}{start}{_base64(data)}"}},{end},{{"S":"{id_}"}},'
                f'{{"B":"{_base64(expected)}"}}]}}'
            )
            for id_, (expected, data) in writes.items()
        }
        chunks = list(_chunks(statements))
        failed: dict[str, str] = {}
        answers = side_by_side(
            lambda chunk: self._write_chunk(chunk, seconds_left()),
            chunks,
            self._executor,
            seconds_left,
        )
        for chunk, answer in zip(chunks, answers, strict=True):
            failed.update(dict.fromkeys(chunk, LATE) if answer is None else answer)
        return failed

    def _read_chunk(
        self, ids: Sequence[str], seconds: float
    ) -> tuple[dict[str, Stored], dict[str, str]]:
        table = self._table
        keys = ",".join([f'{{"id":{{"S":"{id_}"}}}}' for id_ in ids])
        body = f'{{"RequestItems":{{"{table}":{{"Keys":[{keys}],"ConsistentRead":true}}}}}}'
        try:
            answer = self._calls.call("BatchGetItem", body.encode(), seconds)
        except DynamoCallError as error:
            return {}, dict.fromkeys(ids, str(error))
        found = {
            item["id"]["S"]: Stored(
                a2b_base64(item["rev"]["B"]),
                a2b_base64(item["memory"]["B"]),
                int(item["expires_at"]["N"]),
            )
            for item in answer["Responses"].get(table, ())
        }
        left = answer.get("UnprocessedKeys")
        if not left:
            return found, {}
        return found, {key["id"]["S"]: UNPROCESSED for key in left[table]["Keys"]}

    def _write_chunk(self, statements: dict[str, str], seconds: float) -> dict[str, str]:
        body = f'{{"Statements":[{",".join(statements.values())}]}}'
        try:
            answer = self._calls.call("BatchExecuteStatement", body.encode(), seconds)
        except DynamoCallError as error:
            return dict.fromkeys(statements, str(error))
        failed: dict[str, str] = {}
        for id_, each in zip(statements, answer["Responses"], strict=True):
            problem = each.get("Error")
            if problem is not None:
                code = problem.get("Code", "unknown")
                failed[id_] = CONFLICT if code in _CONFLICTS else code
        return failed


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


def _chunks(statements: dict[str, str]) -> Iterable[dict[str, str]]:
    chunk: dict[str, str] = {}
    size = 0
    for id_, statement in statements.items():
        if len(chunk) == WRITE_BATCH or (chunk and size + len(statement) > WRITE_BATCH_BYTES):
            yield chunk
            chunk, size = {}, 0
        chunk[id_] = statement
        size += len(statement)
    if chunk:
        yield chunk
