"""DynamoDB calls at a fifth of botocore's CPU, for the ledger: 90 calls for 1,000 jobs.

botocore finds the endpoint and the credentials, and renews them. The body is the caller's own JSON.
What is left is small: a signature, and one HTTP/1.1 exchange on a kept connection
(``docs/decisions.md``, 2026-11-28, has the figures).

- Signature Version 4: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request
- Protocol: smithy.io/2.0/aws/protocols/aws-json-1_0-protocol

No proxy is used, and no answer is followed elsewhere: DynamoDB has neither.
"""

from __future__ import annotations

import hashlib
import hmac
import select
import ssl
import time
import zlib
from collections import deque
from functools import lru_cache
from http.client import HTTPConnection, HTTPSConnection
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec
from botocore.session import get_session
from certifi import where

from braze_bridge.clock import SystemClock

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from botocore.credentials import Credentials, ReadOnlyCredentials
    from types_boto3_dynamodb import DynamoDBClient

    from braze_bridge.clock import Clock

CONNECT_SECONDS: Final = 1.0
READ_SECONDS: Final = 2.0
"""Until the whole answer is here."""

MAX_IDLE_SECONDS: Final = 30.0
"""A connection that was not used for longer may be dead: a thawed Lambda's is."""

CONTENT_TYPE: Final = "application/x-amz-json-1.0"


class DynamoCallError(Exception):
    """A call failed, or its answer is lost. The text is AWS's code, or says what happened."""


class Answer(NamedTuple):
    """An HTTP answer; names of headers in lower case."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class Exchange(Protocol):
    """Sends one request and awaits its answer."""

    def __call__(self, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
        """POST to the endpoint.

        Args:
            headers: Without ``Host`` and ``Content-Length``.
            body: Of the request.
            seconds: Until the whole answer must be here.

        Raises:
            DynamoCallError: No whole answer came.
        """
        ...


class DynamoCalls(Protocol):
    """Makes calls."""

    def call(self, operation: str, body: bytes, seconds: float = READ_SECONDS) -> Any:  # noqa: ANN401 - JSON
        """Make one call, once.

        Args:
            operation: Such as ``BatchGetItem``.
            body: Its JSON.
            seconds: Until the whole answer must be here, if fewer than usual.

        Returns:
            The parsed answer.

        Raises:
            DynamoCallError: It failed, or its outcome is unknown.
        """
        ...


class SignedCalls(NamedTuple):
    """:class:`DynamoCalls`, signed. Thread-safe.

    Attributes:
        exchange: To the endpoint.
        host: As the ``Host`` header has it.
        region: Of the table.
        credentials: Gives valid ones.
        path: Of the endpoint's URL.
        clock: The machine's.
        longest: Seconds that a call may take.
    """

    exchange: Exchange
    host: str
    region: str
    credentials: Callable[[], ReadOnlyCredentials]
    path: str = "/"
    clock: Clock = SystemClock()
    longest: float = READ_SECONDS

    def call(self, operation: str, body: bytes, seconds: float = READ_SECONDS) -> Any:  # noqa: ANN401 - JSON
        """See :meth:`DynamoCalls.call`."""
        headers = self._signed(f"DynamoDB_20120810.{operation}", body)
        answer = self.exchange(headers, body, min(seconds, self.longest))
        checksum = answer.headers.get(b"x-amz-crc32")
        if checksum is not None and int(checksum) != zlib.crc32(answer.body):
            raise DynamoCallError("ChecksumMismatch")
        try:
            document = msgspec.json.decode(answer.body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or answer.status != 200:  # noqa: PLR2004
            raise DynamoCallError(_code(document, answer.status))
        return document

    def _signed(self, target: str, body: bytes) -> dict[str, str]:
        stamp = self.clock.now().strftime("%Y%m%dT%H%M%SZ")
        headers, request, text, key, authorization = _signature(
            self.credentials(), self.host, self.path, self.region, target, stamp
        )
        digest = hashlib.sha256(f"{request}{hashlib.sha256(body).hexdigest()}".encode())
        signature = hmac.digest(key, f"{text}{digest.hexdigest()}".encode(), "sha256")
        return {**headers, "authorization": f"{authorization}{signature.hex()}"}


@lru_cache(maxsize=8)
def _signature(
    credentials: ReadOnlyCredentials, host: str, path: str, region: str, target: str, stamp: str
) -> tuple[dict[str, str], str, str, bytes, str]:
    """Make all of a signature that does not depend on the body: many calls share a second.

    Returns:
        The headers, the beginnings of the canonical request and of the text to sign, the key, and
        the beginning of the ``authorization`` header.
    """
    signed = {
        "content-type": CONTENT_TYPE,
        "host": host,
        "x-amz-date": stamp,
        "x-amz-security-token": credentials.token,
        "x-amz-target": target,
    }
    headers = {name: value for name, value in signed.items() if value}
    lines = "".join([f"{name}:{value}\n" for name, value in headers.items()])
    names = ";".join(headers)
    scope = f"{stamp[:8]}/{region}/dynamodb/aws4_request"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    request = f"POST\n{path}\n\n{lines}\n{names}\n"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n"
    credential = f"Credential={credentials.access_key}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature="
    return headers, request, text, key, authorization


def _code(document: object, status: int) -> str:
    """Find the error's code: ``{"__type": "…#ThrottlingException"}``."""
    found = document.get("__type") if isinstance(document, dict) else None
    return str(found).partition(":")[0].rpartition("#")[2] if found else str(status)


class KeptConnections:
    """An :class:`Exchange` over HTTP/1.1 connections that are kept open.

    Args:
        endpoint: ``https://host[:port][/path]``; ``http`` for a local engine.
        authorities: A file of certificates that are trusted, in place of certifi's.
    """

    def __init__(self, endpoint: str, authorities: str | None = None) -> None:
        self._url = urlsplit(endpoint)
        self._idle: deque[_Connection] = deque()
        self._tls = (
            ssl.create_default_context(cafile=authorities or where())
            if self._url.scheme == "https"
            else None
        )
        self._start = f"POST {self._url.path or '/'} HTTP/1.1\r\n"

    def __call__(self, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
        """See :class:`Exchange`."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"{self._start}{lines}content-length: {len(body)}\r\n\r\n"
        connection = self._connection()
        try:
            answer = connection.exchange(head.encode() + body, seconds)
        except TimeoutError:
            connection.close()
            raise DynamoCallError("ReadTimeoutError") from None
        except (OSError, ValueError):
            connection.close()
            raise DynamoCallError("ConnectionClosedError") from None
        if answer.headers.get(b"connection", b"").lower() == b"close":
            connection.close()
        else:
            self._idle.append(connection)
        return answer

    def _connection(self) -> _Connection:
        while self._idle:
            try:
                kept = self._idle.pop()
            except IndexError:  # another thread took it
                break
            if kept.is_usable():
                return kept
            kept.close()
        host, port = self._url.hostname or "", self._url.port
        connecting = (
            HTTPConnection(host, port, timeout=CONNECT_SECONDS)
            if self._tls is None
            else HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=self._tls)
        )
        try:
            connecting.connect()
        except TimeoutError:
            raise DynamoCallError("ConnectTimeoutError") from None
        except ssl.SSLError:
            raise DynamoCallError("SSLError") from None
        except OSError:
            raise DynamoCallError("EndpointConnectionError") from None
        return _Connection(connecting.sock)


class _Incoming(RawIOBase):
    """What a socket receives until a time. A timeout of the socket limits each silence only."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.until = 0.0
        self._socket = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - as in typeshed's WriteableBuffer
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket.recv_into(buffer)


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._incoming = _Incoming(sock)
        self._reader = BufferedReader(self._incoming)
        self._used_at = time.time()

    def is_usable(self) -> bool:
        """Check that it was used lately and that the other side has not closed it."""
        readable, _, _ = select.select([self._socket], [], [], 0)
        return not readable and time.time() - self._used_at < MAX_IDLE_SECONDS

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    __del__ = close

    def exchange(self, request: bytes, seconds: float) -> Answer:
        """Send a request, and read an answer of a stated length.

        Raises:
            OSError: The connection broke, or nothing came in time.
            ValueError: It is not such an answer.
        """
        self._incoming.until = time.monotonic() + seconds
        self._socket.settimeout(seconds)
        self._socket.sendall(request)
        read_line = self._reader.readline
        status = int(read_line(1_000)[9:12])
        headers = {}
        while line := read_line(10_000).rstrip():
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        length = int(headers.get(b"content-length", b"none"))
        body = self._reader.read(length)
        if len(body) != length:
            raise ConnectionError
        self._used_at = time.time()
        return Answer(status, headers, body)


def dynamo_calls(
    client: DynamoDBClient,
    credentials: Credentials | None = None,
    *,
    longest: float = READ_SECONDS,
) -> SignedCalls:
    """Make the calls of a botocore client: the same endpoint and region.

    Args:
        client: Of botocore. Nothing is sent through it.
        credentials: By default those of the environment.
        longest: Seconds that a call may take.
    """
    endpoint = client.meta.endpoint_url
    url = urlsplit(endpoint)
    session = get_session()
    found = credentials or session.get_credentials()

    def frozen() -> ReadOnlyCredentials:
        if found is None:
            raise DynamoCallError("NoCredentialsError")
        return found.get_frozen_credentials()

    return SignedCalls(
        KeptConnections(endpoint, session.get_config_variable("ca_bundle")),
        host=url.netloc.rpartition("@")[2],
        path=url.path or "/",
        region=client.meta.region_name,
        credentials=frozen,
        longest=longest,
    )
