"""A pool of connections that keeps deadlines and notes whether a request was sent completely.

urllib3 raises the same exception for a connection that was reset before and after Braze had the
request. The difference decides whether an event may count twice. Its timeouts limit one address and
one silence each, so a request with several of them has no end of its own.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Any

from certifi import where
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.ssl_ import create_urllib3_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from urllib.parse import SplitResult

_RESET_ON_CLOSE = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""Otherwise the kernel goes on to send after close() what Braze had not acknowledged."""


class Progress(threading.local):
    """Progress of this thread's request.

    Attributes:
        is_sent: the operating system has all of the request. Before that, Braze cannot act on it:
            its body is shorter than its Content-Length, or its TLS record is broken.
        left: returns the seconds left until the deadline.
    """

    is_sent = False
    left: Callable[[], float]

    def begin(self, left: Callable[[], float]) -> None:
        """Begin the next request of this thread."""
        self.is_sent = False
        self.left = left

    def limited(self, seconds: float) -> float:
        """Cut a timeout to what is left. Call it immediately before what the timeout is for.

        Raises:
            TimeoutError: the deadline has passed.
        """
        left = self.left()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return min(seconds, left)


class TimedReader(RawIOBase):
    """Reads from a socket until the deadline. The socket's own timeout limits each silence."""

    def __init__(self, raw: RawIOBase, sock: socket.socket, progress: Progress) -> None:
        self._raw = raw
        self._sock = sock
        self._silence = sock.gettimeout() or threading.TIMEOUT_MAX
        self._progress = progress

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401  # io's own parameter
        """Wait for the next bytes."""
        self._sock.settimeout(self._progress.limited(self._silence))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()


def connection_pool(
    url: SplitResult,
    pool_size: int,
    progress: Progress,
    max_idle: float,
    clock: Callable[[], float],
    ca_file: str | None,
) -> HTTPConnectionPool:
    """Build the pool of one host.

    Args:
        url: of the host.
        pool_size: maximum connections; one more thread waits for a free one.
        progress: every connection updates it, per thread.
        max_idle: seconds after which an unused connection is replaced.
        clock: seconds; only differences count.
        ca_file: certificates to trust; by default those of `certifi`.
    """

    class TimedResponse(HTTPResponse):
        def __init__(
            self, sock: socket.socket, debuglevel: int = 0, method: str | None = None
        ) -> None:
            super().__init__(sock, debuglevel, method)
            self.fp = BufferedReader(TimedReader(self.fp.detach(), sock, progress))

    class TrackedConnection(HTTPConnection):
        """Notes progress, keeps the deadline, and is not reused after a long silence."""

        response_class = TimedResponse
        _last_sent = 0.0

        def _new_conn(self) -> socket.socket:
            """Connect by the deadline: urllib3 would give each address the whole timeout."""
            try:
                return _connect(self._dns_host, self.port, self.socket_options, self._patience)
            except (OSError, UnicodeError) as error:
                raise NewConnectionError(self, type(error).__name__) from None

        def _patience(self) -> float:
            return progress.limited(self.timeout or threading.TIMEOUT_MAX)

        def send(self, data: Any) -> None:  # noqa: ANN401  # http.client's own parameter
            progress.is_sent = False
            if self.sock is None:
                self.connect()
            unsent = memoryview(data)
            while unsent:
                # Not sendall(): over TLS its timeout is for each record of 16 KB.
                self.sock.settimeout(self._patience())
                unsent = unsent[self.sock.send(unsent) :]
            progress.is_sent = True
            self._last_sent = clock()

        @property
        def is_connected(self) -> bool:
            # A frozen Lambda may miss that its connection was closed. The next request would be
            # lost on it, with an unknown outcome.
            return 0 <= clock() - self._last_sent < max_idle and super().is_connected

    class TrackedTlsConnection(TrackedConnection, HTTPSConnection):
        """The same over TLS."""

    class TrackedPool(HTTPConnectionPool):
        ConnectionCls = TrackedConnection

        def urlopen(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # urllib3's own
            """Wait for a free connection until the deadline."""
            patience = progress.limited(threading.TIMEOUT_MAX)
            return super().urlopen(*args, **{**kwargs, "pool_timeout": patience})

    class TrackedTlsPool(TrackedPool, HTTPSConnectionPool):
        ConnectionCls = TrackedTlsConnection

    _hide_queries()
    is_tls = url.scheme == "https"
    options: dict[str, Any] = {"ssl_context": _trust(ca_file)} if is_tls else {}
    return (TrackedTlsPool if is_tls else TrackedPool)(
        url.hostname or "",
        url.port,
        maxsize=pool_size,
        block=True,
        **options,
    )


def _trust(ca_file: str | None) -> ssl.SSLContext:
    """Read the certificates, once: it takes 20 ms."""
    context = create_urllib3_context()
    context.load_verify_locations(ca_file or where())
    return context


def _connect(
    host: str,
    port: int,
    options: Sequence[tuple[int, int, int | bytes]] | None,
    timeout: Callable[[], float],
) -> socket.socket:
    """Connect to the first address that answers, with a new timeout for each.

    Returns:
        A socket whose timeout is set for the TLS handshake.
    """
    failure = OSError("the name has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        try:
            for option in (*(options or ()), _RESET_ON_CLOSE):
                sock.setsockopt(*option)
            sock.settimeout(timeout())
            sock.connect(address)
            sock.settimeout(timeout())
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


class _QueryFilter(logging.Filter):
    """Removes queries from the URLs that urllib3 logs at DEBUG: they contain e-mails and phones."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] if isinstance(arg, str) and arg.startswith("/") else arg
                for arg in record.args
            )
        return True


_QUERY_FILTER = _QueryFilter()


def _hide_queries() -> None:
    for name in ("urllib3.connectionpool", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_QUERY_FILTER)
