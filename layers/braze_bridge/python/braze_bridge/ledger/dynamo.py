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
from functools import partial
from typing import TYPE_CHECKING, Final

from braze_bridge.aws.dynamodb import DynamoCallError
from braze_bridge.aws.side_by_side import side_by_side
from braze_bridge.ledger.shared import CONFLICT, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Executor

    from braze_bridge.aws.dynamodb import DynamoCalls
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
Statement = tuple[str, bytes]
"""An item's id, and the JSON that writes it."""

_CONFLICTS: Final = frozenset({"ConditionalCheckFailed", "DuplicateItem"})


class DynamoMemoryStore:
    """A :class:`braze_bridge.ledger.shared.MemoryStore` on a table keyed by ``id``.

    It writes its JSON itself: ids are hexadecimal and the rest is base64, so nothing needs quoting.

    Args:
        calls: To DynamoDB.
        table: Its name.
        executor: Runs a batch's calls in parallel; without it they run one after the other.
    """

    def __init__(self, calls: DynamoCalls, table: str, executor: Executor | None = None) -> None:
        self._calls = calls
        self._table = table
        self._executor = executor
        insert, update = json.dumps(INSERT.format(table)), json.dumps(UPDATE.format(table))
        self._insert = f'{{"Statement":{insert},"Parameters":[{{"S":"'.encode()
        self._update = f'{{"Statement":{update},"Parameters":[{{"B":"'.encode()

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
        new = _base64(revision)
        insert, update, at = self._insert, self._update, b"%d" % expires_at
        statements = [
            (
                id_,
                b'%b%b"},{"B":"%b"},{"B":"%b"},{"N":"%b"}]}'
                % (insert, id_.encode(), new, _base64(data), at)
                if expected is None
                else b'%b%b"},{"B":"%b"},{"N":"%b"},{"S":"%b"},{"B":"%b"}]}'
                % (update, new, _base64(data), at, id_.encode(), _base64(expected)),
            )
            for id_, (expected, data) in writes.items()
        ]
        chunks = list(_chunks(statements))
        failed: dict[str, str] = {}
        answers = side_by_side(
            lambda chunk: self._write_chunk(chunk, seconds_left()),
            chunks,
            self._executor,
            seconds_left,
        )
        for chunk, answer in zip(chunks, answers, strict=True):
            failed.update(dict.fromkeys(dict(chunk), LATE) if answer is None else answer)
        return failed

    def _read_chunk(
        self, ids: Sequence[str], seconds: float
    ) -> tuple[dict[str, Stored], dict[str, str]]:
        table = self._table
        keys = ",".join([f'{{"id":{{"S":"{id_}"}}}}' for id_ in ids])
        body = f'{{"RequestItems":{{"{table}":{{"Keys":[{keys}],"ConsistentRead":true}}}}}}'
        try:
            answer = self._calls.call("BatchGetItem", body.encode(), seconds)
        except Exception as error:  # noqa: BLE001 - one chunk's fault must not cost the others
            return {}, dict.fromkeys(ids, _code(error))
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

    def _write_chunk(self, statements: Sequence[Statement], seconds: float) -> dict[str, str]:
        body = b'{"Statements":[%b]}' % b",".join([statement for _, statement in statements])
        try:
            answer = self._calls.call("BatchExecuteStatement", body, seconds)
        except Exception as error:  # noqa: BLE001 - as in _read_chunk; it may be written
            return dict.fromkeys(dict(statements), _code(error))
        failed: dict[str, str] = {}
        for (id_, _), each in zip(statements, answer["Responses"], strict=True):
            problem = each.get("Error")
            if problem is not None:
                code = problem.get("Code", "unknown")
                failed[id_] = CONFLICT if code in _CONFLICTS else code
        return failed


def _code(error: Exception) -> str:
    """Return AWS's code, or the type of any other error, such as one of finding credentials."""
    return str(error) if isinstance(error, DynamoCallError) else type(error).__name__


_base64: Final = partial(b2a_base64, newline=False)


def _chunks(statements: Sequence[Statement]) -> Iterable[Sequence[Statement]]:
    at = 0
    while chunk := statements[at : at + WRITE_BATCH]:
        while len(chunk) > 1 and sum([len(each) for _, each in chunk]) > WRITE_BATCH_BYTES:
            chunk = chunk[:-1]
        yield chunk
        at += len(chunk)
