"""A server with the answers that delivery needs of DynamoDB and Secrets Manager.

``python -m bench.instant_aws DELAY_MS SECRET MEMORY`` prints its port and serves until its standard
input closes. It stores nothing: every write succeeds, and the next read finds what was there
before. So a benchmark may deliver the same jobs again.

- `BatchGetItem` finds no items, so everybody is new. In a table whose name ends in ``half`` it
  finds an item for every second id, by the id's last character.
- `BatchExecuteStatement` and the gate's `PutItem` succeed.
- `GetSecretValue` gives SECRET.
- Anything else fails, also a rejected job's row: a benchmark needs none of it.
"""

from __future__ import annotations

import json
import re
import sys
import time
import zlib

from bench.instant_http import response, serve

_IDS = re.compile(rb'"S": ?"([^"]*)"')
_TABLE = re.compile(rb'"RequestItems": ?\{ ?"([^"]*)"')
_DAY = 86_400


class InstantAws:
    """The canned answers.

    Args:
        secret: Value of every secret.
        memory: The ledger's memory of a person, in base64.
    """

    def __init__(self, secret: str, memory: str) -> None:
        self._secret = json.dumps(
            {"Name": "secret", "SecretString": json.dumps({"current": secret})}
        ).encode()
        expires_at = int(time.time()) + 20 * _DAY
        self._rest = (
            f'"rev":{{"B":"{"A" * 16}"}},"memory":{{"B":"{memory}"}},'
            f'"expires_at":{{"N":"{expires_at}"}}}}'
        ).encode()

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Answer one call."""
        _, _, rest = head.lower().partition(b"x-amz-target:")
        operation = rest.split(b"\r\n")[0].rpartition(b".")[2]
        if operation == b"batchgetitem":
            return _found(self._read(body))
        if operation == b"batchexecutestatement":
            answers = [b'{"TableName":"ledger"}'] * body.count(b'"Statement"')
            return _found(b'{"Responses":[' + b",".join(answers) + b"]}")
        if operation == b"getsecretvalue":
            return _found(self._secret)
        if operation == b"putitem" and b'"gate:' in body:
            return _found(b"{}")
        text = b'{"__type":"ValidationException","message":"not part of the benchmark"}'
        return response(text, *_headers(text), status="400 Bad Request")

    def _read(self, body: bytes) -> bytes:
        asked = _TABLE.search(body)
        table = asked[1] if asked else b""
        items = []
        if table.endswith(b"half"):
            items = [
                b'{"id":{"S":"' + id_ + b'"},' + self._rest
                for id_ in _IDS.findall(body)
                if id_[-1] & 1 and not id_.startswith(b"gate:")
            ]
        return b'{"Responses":{"' + table + b'":[' + b",".join(items) + b']},"UnprocessedKeys":{}}'


def _found(body: bytes) -> bytes:
    return response(body, *_headers(body))


def _headers(body: bytes) -> tuple[str, ...]:
    return (
        "Content-Type: application/x-amz-json-1.0",
        "x-amzn-RequestId: BENCHMARK",
        f"x-amz-crc32: {zlib.crc32(body)}",
    )


if __name__ == "__main__":
    serve(InstantAws(sys.argv[2], sys.argv[3]).answer, float(sys.argv[1]))
