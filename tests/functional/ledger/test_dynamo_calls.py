"""The ledger's own DynamoDB client: signed as botocore signs, and every way an exchange can end."""

from __future__ import annotations

import json
import socket
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials, ReadOnlyCredentials

from braze_bridge.aws.clients import ledger_client
from braze_bridge.aws.dynamodb import (
    Answer,
    DynamoCallError,
    SignedCalls,
    _Connection,
    dynamo_calls,
)
from braze_bridge.ledger.dynamo import DynamoMemoryStore
from tests.fakes.clock import NOON, FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SESSION = "a token"
ENDPOINT = "https://dynamodb.eu-central-1.amazonaws.com"


# -- the request -------------------------------------------------------------------------------


class SentError(Exception):
    """A request that would have left."""

    def __init__(self, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__()
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body


def ours(operation: str, body: bytes, token: str | None = SESSION) -> SentError:
    def exchange(headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
        raise SentError(headers, body)

    calls = SignedCalls(
        exchange,
        host="dynamodb.eu-central-1.amazonaws.com",
        region="eu-central-1",
        credentials=lambda: ReadOnlyCredentials("an id", "a secret", token),
        clock=FixedClock(),
    )
    with pytest.raises(SentError) as sent:
        calls.call(operation, body)
    return sent.value


def botocores(method: str, **parameters: Any) -> SentError:
    client = ledger_client(1)
    found: list[SentError] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        headers = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        found.append(SentError(headers, request.body))
        return AWSResponse(request.url, 200, HTTPHeaders(), Raw())

    hook: Callable[..., Any] = answer  # stubs do not know that a hook may answer
    client.meta.events.register_first("before-send.dynamodb", hook)
    getattr(client, method)(**parameters)
    return found[0]


class Raw:
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield b"{}"


def kept_requests() -> list[tuple[str, bytes]]:
    """The requests of a read, an insert and an update."""
    kept: list[tuple[str, bytes]] = []

    class Keeping:
        def call(self, operation: str, body: bytes, seconds: float = 2.0) -> Any:
            kept.append((operation, body))
            return {"Responses": {} if operation == "BatchGetItem" else [{}, {}]}

    store = DynamoMemoryStore(Keeping(), "the-table")
    store.read(["aa", "bb"], lambda: 9.0)
    store.write({"aa": (None, b"\0\xff"), "bb": (b"before", b"")}, b"now", 5, lambda: 9.0)
    return kept


def test_the_requests_are_what_botocore_sends_for_the_same_calls() -> None:
    """Body, operation and content type."""
    keys = [{"id": {"S": "aa"}}, {"id": {"S": "bb"}}]
    rest = [{"B": b"now"}, {"B": b"\0\xff"}, {"N": "5"}]
    theirs = [
        botocores(
            "batch_get_item", RequestItems={"the-table": {"Keys": keys, "ConsistentRead": True}}
        ),
        botocores(
            "batch_execute_statement",
            Statements=[
                {
                    "Statement": "INSERT INTO \"the-table\" VALUE {'id': ?, 'rev': ?, "
                    "'memory': ?, 'expires_at': ?}",
                    "Parameters": [{"S": "aa"}, *rest],
                },
                {
                    "Statement": 'UPDATE "the-table" SET rev = ? SET memory = ? '
                    "SET expires_at = ? WHERE id = ? AND rev = ?",
                    "Parameters": [
                        {"B": b"now"},
                        {"B": b""},
                        {"N": "5"},
                        {"S": "bb"},
                        {"B": b"before"},
                    ],
                },
            ],
        ),
    ]
    for (operation, body), their in zip(kept_requests(), theirs, strict=True):
        our = ours(operation, body)
        assert json.loads(our.body) == json.loads(their.body)
        for name in ("content-type", "x-amz-target"):
            assert our.headers[name] == their.headers[name]
        signed = [each.headers["authorization"].split(", ")[1] for each in (our, their)]
        assert signed[0].replace("x-amz-security-token;", "") == signed[1]


@pytest.mark.parametrize("token", [None, "a token"])
def test_the_signature_is_botocores(monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    """For the same headers, body and second."""
    monkeypatch.setattr(auth, "get_current_datetime", lambda: NOON)
    our = ours("BatchGetItem", b'{"a": "\xc3\xa9"}', token)
    request = AWSRequest(
        "POST",
        ENDPOINT + "/",
        headers={name: our.headers[name] for name in ("content-type", "x-amz-target")},
        data=our.body,
    )
    signer = auth.SigV4Auth(Credentials("an id", "a secret", token), "dynamodb", "eu-central-1")
    signer.add_auth(request)
    assert our.headers["authorization"] == request.headers["Authorization"]
    assert our.headers["x-amz-date"] == request.headers["X-Amz-Date"]
    assert our.headers.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")


def test_another_body_or_key_has_another_signature() -> None:
    """The control."""
    signatures = {
        ours("BatchGetItem", b"{}").headers["authorization"],
        ours("BatchGetItem", b"{} ").headers["authorization"],
        ours("BatchExecuteStatement", b"{}").headers["authorization"],
        ours("BatchGetItem", b"{}", None).headers["authorization"],
    }
    assert len(signatures) == 4


def test_the_environment_chooses_endpoint_region_and_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As for botocore, which finds them."""
    with answering(lambda _: response(b"{}")) as (url, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        monkeypatch.setenv("AWS_SESSION_TOKEN", "a token")
        assert dynamo_calls(ledger_client(1)).call("BatchGetItem", b"{}") == {}
    (request,) = seen
    assert request.startswith(b"POST / HTTP/1.1\r\n")
    assert f"host: {url.removeprefix('http://')}\r\n".encode() in request
    assert b"x-amz-security-token: a token\r\n" in request
    today = datetime.now(UTC).strftime("%Y%m%d")
    assert f"Credential=testing/{today}/eu-central-1/dynamodb/aws4_request".encode() in request


def test_without_credentials_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call fails as any other."""
    client = ledger_client(1)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(DynamoCallError, match="NoCredentialsError"):
        dynamo_calls(client).call("BatchGetItem", b"{}")


# -- the answer --------------------------------------------------------------------------------


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = (b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body), b"", b"")
    return b"\r\n".join(lines) + body


def whole_request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        received = connection.recv(65_536)
        if not received:
            return b""
        request += received
    head, _, body = request.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def answering(
    answer: Callable[[bytes], bytes | None], *, closing: bool = False
) -> Iterator[tuple[str, list[bytes]]]:
    """Serve on loopback; give the URL and the requests. Without an answer it hangs up."""
    seen: list[bytes] = []
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            while request := whole_request(connection):
                seen.append(request)
                answered = answer(request.partition(b"\r\n\r\n")[2])
                if answered is None:
                    ended.wait(5)
                    return
                connection.sendall(answered)
                if closing:
                    return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def calls_to(url: str, monkeypatch: pytest.MonkeyPatch) -> SignedCalls:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
    return dynamo_calls(ledger_client(1))


FAULT = b'{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"m"}'


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (
            response(FAULT % b"ThrottlingException", status=b"400 Bad Request"),
            "ThrottlingException",
        ),
        (
            response(
                FAULT % b"LimitExceededException:http://x",
                status=b"400 Bad Request",
            ),
            "LimitExceededException",
        ),
        (response(b'{"__type":"InternalServerError"}', status=b"500 Oh"), "InternalServerError"),
        (response(b"<html>", status=b"503 Service Unavailable"), "503"),
        (response(b"<html>"), "200"),
        (response(b"[]"), "200"),
        (response(b"{}", b"x-amz-crc32: 1"), "ChecksumMismatch"),
        (response(b"{}", status=b"302 Found"), "302"),
        (response(b"{}")[:-1], "ConnectionClosedError"),
        (b"", "ConnectionClosedError"),
        (b"not HTTP\r\n\r\n", "ConnectionClosedError"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "ConnectionClosedError"),
    ],
)
def test_whatever_is_no_success_is_an_error(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, code: str
) -> None:
    """With AWS's code where there is one."""
    with answering(lambda _: answer, closing=True) as (url, _):
        with pytest.raises(DynamoCallError) as caught:
            calls_to(url, monkeypatch).call("BatchGetItem", b"{}")
        assert str(caught.value) == code


def test_silence_ends_at_the_callers_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome is unknown then."""
    with (
        answering(lambda _: None) as (url, seen),
        pytest.raises(DynamoCallError, match="ReadTimeoutError"),
    ):
        calls_to(url, monkeypatch).call("BatchGetItem", b"{}", 0.1)
    assert len(seen) == 1  # it is not sent again


@pytest.mark.parametrize("slow", [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5, b"HTTP/1.1 200 OK"])
def test_an_answer_that_trickles_ends_at_the_callers_time(
    monkeypatch: pytest.MonkeyPatch, slow: bytes
) -> None:
    """No silence is long: each byte comes after a twentieth of a second."""
    here, there = socket.socketpair()
    stopped = threading.Event()

    def trickle() -> None:
        for byte in slow * 20:
            if stopped.wait(0.05):
                return
            there.sendall(bytes([byte]))

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    connection = _Connection(here)
    with pytest.raises(TimeoutError):
        connection.exchange(b"request", 0.2)
    stopped.set()
    thread.join(5)
    connection.close()
    there.close()


def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent."""
    with answering(lambda _: None) as (url, _):
        pass
    with pytest.raises(DynamoCallError, match="EndpointConnectionError"):
        calls_to(url, monkeypatch).call("BatchGetItem", b"{}")


def test_a_checksum_that_holds_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the body's bytes."""
    body = b'{"a":1}'
    answer = response(body, b"X-Amz-Crc32: %d" % zlib.crc32(body))
    with answering(lambda _: answer) as (url, _):
        assert calls_to(url, monkeypatch).call("BatchGetItem", b"{}") == {"a": 1}


def test_a_connection_is_kept_and_a_closed_one_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DynamoDB closes idle connections; the next call must not fail for that."""
    with answering(lambda _: response(b"{}"), closing=True) as (url, seen):
        calls = calls_to(url, monkeypatch)
        calls.call("BatchGetItem", b"{}")
        exchange: Any = calls.exchange
        wait_until_readable(exchange._idle[0]._socket)
        calls.call("BatchGetItem", b"{}")
        assert len(seen) == 2
    with answering(lambda _: response(b"{}")) as (url, seen):
        calls = calls_to(url, monkeypatch)
        exchange = calls.exchange
        calls.call("BatchGetItem", b"{}")
        (first,) = exchange._idle
        calls.call("BatchGetItem", b"{}")
        assert list(exchange._idle) == [first]
        first._used_at -= 31  # a Lambda that was frozen
        calls.call("BatchGetItem", b"{}")
        assert first not in exchange._idle


def wait_until_readable(sock: socket.socket) -> None:
    sock.settimeout(5)
    assert sock.recv(1, socket.MSG_PEEK) == b""


def test_many_threads_share_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets the answer to its own request."""
    with answering(lambda body: response(b'{"echo":' + body + b"}")) as (url, _):
        calls = calls_to(url, monkeypatch)
        with ThreadPoolExecutor(8) as executor:
            answers = list(
                executor.map(lambda n: calls.call("BatchGetItem", b"%d" % n), range(200))
            )
    assert answers == [{"echo": n} for n in range(200)]
