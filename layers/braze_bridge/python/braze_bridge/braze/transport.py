"""The Transport protocol, and its implementation with `urllib3`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, Self
from urllib.parse import urlencode, urlsplit

from braze_bridge.braze.errors import BrazeError, ConnectFailedError, UnknownOutcomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import BaseHTTPResponse

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Of an unpacked answer: gzip makes 1 MB of zeros out of 1 KB. Braze documents no size. The largest
answer that is expected, an export of 50 profiles, may have 320 KB for each."""

_PIECE_BYTES: Final = 64 * 1024

LONGEST_SECONDS: Final = 30.0
"""A request without a deadline ends after this time, whatever drips in."""

MAX_IDLE_SECONDS: Final = 30.0
"""Less than the time for which proxies and NAT gateways keep silent connections (NGINX: 75 s by
default, AWS NAT: 350 s)."""


class Deadline(float):
    """An instant in seconds of `time.monotonic()` that is also kept in wall time.

    The earlier of the two ends a request. Lambda may stop the monotonic clock while a function is
    frozen (github.com/hashicorp/vault-lambda-extension/pull/150), and Firecracker does so by
    default (firecracker-microvm/firecracker/pull/5809). `CLOCK_BOOTTIME` adds only what the guest
    itself slept. Wall time goes on, but may be set back. Make a deadline when a call is planned:
    after a freeze it is too late to compare the clocks.

    Attributes:
        wall: the same instant in seconds of `time.time()`.
    """

    __slots__ = ("wall",)

    wall: float

    def __new__(cls, monotonic: float, wall: float) -> Self:
        """Make the deadline from its instant on both clocks."""
        self = super().__new__(cls, monotonic)
        self.wall = wall
        return self

    @classmethod
    def after(
        cls,
        seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Make the deadline that ends in so many seconds."""
        wall = clock() + seconds  # first: a freeze before the second reading then shortens it
        return cls(monotonic() + seconds, wall)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, without the host.

    Its repr shows neither headers (the key) nor params and body (a person's data).

    Attributes:
        path: absolute, without a trailing slash (Braze answers 403 to one).
        params: query parameters, unencoded; names may repeat.
        timeout: seconds to connect, and seconds of silence allowed while reading.
        deadline: in seconds of `time.monotonic()`. After it nothing leaves a socket and no answer
            is awaited. A `Deadline` holds after a freeze too. By default in 30 s.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout: tuple[float, float] = (3.0, 10.0)
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One complete answer, without its transfer and content encodings.

    Its repr shows neither headers nor body: a 401 echoes the key, an export is personal data.

    Attributes:
        headers: names in any case.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Sends one request and returns its answer with any status."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send once, until the deadline: no retry, no redirect.

        Raises:
            ConnectFailedError: the request was not sent completely, so Braze cannot have acted.
            UnknownOutcomeError: it was, and no usable answer came back.
        """
        ...


class PooledTransport:
    """The network, through one pool of `urllib3`. Thread-safe.

    It does no retries and no redirects. It keeps no cookies. From the environment it reads neither
    proxy settings nor `.netrc`.

    Its errors name only the kind of failure. They are not chained to those of `urllib3`, which
    contain e-mails and phones in URLs.

    Args:
        base_url: scheme and host, as `instances.rest_endpoint` returns it.
        pool_size: maximum connections; one more thread waits for a free one.
        max_idle: seconds after which an unused connection is replaced.
        monotonic: seconds, for deadlines.
        clock: seconds, for `max_idle` and deadlines. Wall time, which goes on while a Lambda is
            frozen.
        ca_file: certificates to trust; by default those of `certifi`.
    """

    def __init__(
        self,
        base_url: str,
        pool_size: int,
        *,
        max_idle: float = MAX_IDLE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
        ca_file: str | None = None,
    ) -> None:
        # Imported here: `urllib3` loads slower than the rest of this package, and code that never
        # sends needs only the models.
        from braze_bridge.braze.connection_pool import Progress, connection_pool

        url = urlsplit(base_url.rstrip("/"))
        self._path = url.path
        self._monotonic = monotonic
        self._clock = clock
        self._progress = Progress()
        self._pool = connection_pool(url, pool_size, self._progress, max_idle, clock, ca_file)

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `Transport`.

        A DNS look-up cannot be interrupted. If it returns late, nothing is connected or sent.

        If the body of an error breaks off or is too large, the answer has an empty body. If that
        happens to a success, its errors of single objects are lost, so the outcome is unknown.

        Raises:
            ConnectFailedError: as in `Transport`.
            UnknownOutcomeError: as in `Transport`.
        """
        result = self._exchange(request)
        # Raised here, outside the except block, so that no exception of `urllib3` is attached.
        if isinstance(result, BrazeError):
            raise result
        return result

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def _deadline(self, wanted: float | None) -> Deadline:
        if isinstance(wanted, Deadline):
            return wanted
        left = LONGEST_SECONDS if wanted is None else wanted - self._monotonic()
        return Deadline.after(left, monotonic=self._monotonic, clock=self._clock)

    def _left(self, deadline: Deadline) -> float:
        return min(deadline - self._monotonic(), deadline.wall - self._clock())

    def _exchange(self, request: HttpRequest) -> HttpResponse | BrazeError:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        self._progress.begin(partial(self._left, self._deadline(request.deadline)))
        response = None
        try:
            query = f"?{urlencode(request.params)}" if request.params else ""
            connect, read = request.timeout
            response = self._pool.urlopen(
                request.method,
                f"{self._path}{request.path}{query}",
                request.body,
                {"Accept-Encoding": "gzip, deflate", **request.headers},
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(connect=connect, read=read),
                preload_content=False,
            )
            body = _read(response)
        except (OSError, HTTPError, ValueError) as error:
            # A ValueError is of a header that cannot be sent; its text contains the header.
            kind = type(error).__name__
        else:
            return HttpResponse(response.status, response.headers, body)

        if response is not None and not _is_success(response.status):
            return HttpResponse(response.status, response.headers, b"")
        if self._progress.is_sent:
            return UnknownOutcomeError(f"the request was sent and not answered ({kind})")
        return ConnectFailedError(f"the request was not sent ({kind})")


class _AnswerTooLargeError(OSError):
    """The answer is larger than any that is expected."""


def _read(response: BaseHTTPResponse) -> bytes:
    """Read and unpack an answer, up to the limit; beyond it the connection is closed."""
    body = bytearray()
    for piece in response.stream(_PIECE_BYTES, decode_content=True):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            response.release_conn()  # closed; without it the pool would have one less for ever
            raise _AnswerTooLargeError
    return bytes(body)


def _is_success(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004  # HTTP's own
