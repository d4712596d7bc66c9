"""The part of DynamoDB that ledger and gate use, behind their real clients.

moto 5.2 takes no parameters in a batched PartiQL insert.
``tests/e2e/test_shared_table.py`` compares this with the local engine.
"""

from __future__ import annotations

import io
import json
import zlib
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.credentials import ReadOnlyCredentials

from braze_bridge.aws.clients import ledger_client
from braze_bridge.aws.dynamodb import Answer, SignedCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from types_boto3_dynamodb import DynamoDBClient

TABLE = "ledger-table"

INSERT = "INSERT INTO \"ledger-table\" VALUE {'id': ?, 'rev': ?, 'memory': ?, 'expires_at': ?}"
UPDATE = (
    'UPDATE "ledger-table" SET rev = ? SET memory = ? SET expires_at = ? WHERE id = ? AND rev = ?'
)

Item = dict[str, Any]


class FakeDynamo:
    """One table, and the clients to it.

    Attributes:
        items: In wire format, by id.
        counted: Operation and number of items or statements of each call.
        unprocessed: Ids that reads leave out, once for each time they are in the list.
        refused: Id to the error codes of its next statements.
        failing: Called with operation and request before each call. It may return an error's code
            and HTTP status, or raise an error of the client's HTTP layer.
        losing: The same, after the call.
    """

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.counted: list[tuple[str, int]] = []
        self.unprocessed: list[str] = []
        self.refused: dict[str, list[str]] = {}
        self.failing: Callable[[str, Any], tuple[str, int] | None] = lambda *_: None
        self.losing: Callable[[str, Any], tuple[str, int] | None] = lambda *_: None
        self._lock = Lock()

    def client(self) -> DynamoDBClient:
        """Make a client like the gate's; no request leaves the process."""
        client = ledger_client(4)
        hook: Callable[..., Any] = self._answer  # stubs do not know that a hook may answer
        client.meta.events.register_first("before-send.dynamodb", hook)
        return client

    def calls(self) -> SignedCalls:
        """Make the ledger's calls; no request leaves the process."""
        return SignedCalls(
            self._exchange,
            host="dynamodb.eu-central-1.amazonaws.com",
            region="eu-central-1",
            credentials=lambda: ReadOnlyCredentials("testing", "testing", None),
        )

    def _exchange(self, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
        status, answer = self._serve(headers["x-amz-target"], body)
        return Answer(status, {b"x-amz-crc32": b"%d" % zlib.crc32(answer)}, answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        status, answer = self._serve(request.headers["X-Amz-Target"].decode(), request.body)
        headers = HTTPHeaders()
        headers["content-type"] = "application/x-amz-json-1.0"
        return AWSResponse(request.url, status, headers, _Raw(answer))

    def _serve(self, target: str, body: bytes) -> tuple[int, bytes]:
        operation = target.partition(".")[2]
        asked = json.loads(body)
        with self._lock:
            status, answer = 500, {}
            error = self.failing(operation, asked)
            if error is None:
                status, answer = getattr(self, f"_{operation}")(asked)
                error = self.losing(operation, asked)
            if error is not None:
                code, status = error
                answer = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": code}
        return status, json.dumps(answer).encode()

    def _BatchGetItem(self, asked: Any) -> tuple[int, Any]:  # noqa: N802 - the operation's name
        ((table, wanted),) = asked["RequestItems"].items()
        assert (table, wanted["ConsistentRead"]) == (TABLE, True)
        ids = [key["id"]["S"] for key in wanted["Keys"]]
        assert len(ids) == len(set(ids)) <= 100
        self.counted.append(("BatchGetItem", len(ids)))
        left = [id_ for id_ in ids if id_ in self.unprocessed]
        for id_ in left:
            self.unprocessed.remove(id_)
        found = [self.items[id_] for id_ in ids if id_ in self.items and id_ not in left]
        keys = {TABLE: {"Keys": [{"id": {"S": id_}} for id_ in left], "ConsistentRead": True}}
        return 200, {"Responses": {TABLE: found}, "UnprocessedKeys": keys if left else {}}

    def _BatchExecuteStatement(self, asked: Any) -> tuple[int, Any]:  # noqa: N802
        statements = asked["Statements"]
        assert 1 <= len(statements) <= 25
        self.counted.append(("BatchExecuteStatement", len(statements)))
        answers = [self._statement(each["Statement"], each["Parameters"]) for each in statements]
        return 200, {"Responses": [{"TableName": TABLE, **each} for each in answers]}

    def _statement(self, text: str, parameters: list[Any]) -> Item:
        assert text in {INSERT, UPDATE}
        id_ = parameters[0 if text == INSERT else 3]["S"]
        if self.refused.get(id_):
            return {"Error": {"Code": self.refused[id_].pop(0), "Message": "refused"}}
        known = self.items.get(id_)
        if text == INSERT:
            if known is not None:
                return {"Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key"}}
            names = ("id", "rev", "memory", "expires_at")
            self.items[id_] = dict(zip(names, parameters, strict=True))
            return {}
        *values, _, expected = parameters
        if known is None or known["rev"] != expected:
            return {"Error": {"Code": "ConditionalCheckFailed", "Message": "condition"}}
        self.items[id_] = known | dict(zip(("rev", "memory", "expires_at"), values, strict=True))
        return {}

    def _PutItem(self, asked: Any) -> tuple[int, Any]:  # noqa: N802
        self.counted.append(("PutItem", 1))
        item = asked["Item"]
        known = self.items.get(item["id"]["S"])
        if asked["ConditionExpression"] == "attribute_not_exists(id)":
            holds = known is None
        else:
            assert asked["ConditionExpression"] == "rev = :expected"
            expected = asked["ExpressionAttributeValues"][":expected"]
            holds = known is not None and known["rev"] == expected
        if not holds:
            code = "ConditionalCheckFailedException"
            return 400, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}"}
        self.items[item["id"]["S"]] = item
        return 200, {}


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()
