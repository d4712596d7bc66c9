"""The Transport protocol, and its implementation with `requests`."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, Self

from braze_bridge.braze.errors import BrazeError, ConnectFailedError, UnknownOutcomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from requests import Response

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Of an unpacked answer: gzip makes 1 MB of zeros out of 1 KB. Braze documents no size. The largest
answer that is expected, an export of 50 profiles, may have 320 KB for each."""

_PIECE_BYTES: Final = 64 * 1024

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
            is awaited. A `Deadline` holds after a freeze too.
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


class RequestsTransport:
    """The network, through one pooled `requests` session. Thread-safe.

    It does no retries and no redirects. It keeps no cookies. From the environment it reads neither
    proxy settings nor `.netrc`, whose entry would replace the Authorization header.

    Its errors name only the kind of failure. They are not chained to those of `requests`, which
    contain the key, the body, and e-mails and phones in URLs.

    Args:
        base_url: scheme and host, as `instances.rest_endpoint` returns it.
        pool_size: maximum connections; one more thread waits for a free one.
        max_idle: seconds after which an unused connection is replaced.
        monotonic: seconds, for deadlines.
        clock: seconds, for `max_idle` and deadlines. Wall time, which goes on while a Lambda is
            frozen.
    """

    def __init__(
        self,
        base_url: str,
        pool_size: int,
        *,
        max_idle: float = MAX_IDLE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Imported here: `requests` loads slower than the rest of this package, and code that never
        # sends needs only the models.
        from braze_bridge.braze.pooled_session import Progress, pooled_session

        self._base_url = base_url.rstrip("/")
        self._monotonic = monotonic
        self._clock = clock
        self._progress = Progress()
        self._session = pooled_session(pool_size, self._progress, max_idle, clock)

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
        # Raised here, outside the except block, so that no exception of `requests` is attached.
        if isinstance(result, BrazeError):
            raise result
        return result

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _left(self, deadline: Deadline | None) -> float:
        if deadline is None:
            return math.inf
        return min(deadline - self._monotonic(), deadline.wall - self._clock())

    def _exchange(self, request: HttpRequest) -> HttpResponse | BrazeError:
        from requests import Request
        from urllib3.exceptions import HTTPError

        deadline = request.deadline
        if deadline is not None and not isinstance(deadline, Deadline):
            deadline = Deadline.after(
                deadline - self._monotonic(), monotonic=self._monotonic, clock=self._clock
            )
        self._progress.begin(partial(self._left, deadline))
        response = None
        try:
            prepared = Request(
                request.method,
                self._base_url + request.path,
                headers={"Accept-Encoding": "gzip, deflate", **request.headers},
                params=request.params,
                data=request.body,
            ).prepare()
            response = self._session.send(
                prepared, timeout=request.timeout, allow_redirects=False, stream=True
            )
            body = _read(response)
        except (OSError, HTTPError) as error:
            # The exceptions of `requests` are OSErrors; some of urllib3's pass through it.
            kind = type(error).__name__
        else:
            return HttpResponse(response.status_code, response.headers, body)

        if response is not None and not _is_success(response.status_code):
            return HttpResponse(response.status_code, response.headers, b"")
        if self._progress.is_sent:
            return UnknownOutcomeError(f"the request was sent and not answered ({kind})")
        return ConnectFailedError(f"the request was not sent ({kind})")


class _AnswerTooLargeError(OSError):
    """The answer is larger than any that is expected."""


def _read(response: Response) -> bytes:
    """Read and unpack an answer, up to the limit; beyond it the connection is closed."""
    body = bytearray()
    for piece in response.iter_content(_PIECE_BYTES):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            raise _AnswerTooLargeError
    return bytes(body)


def _is_success(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004  # HTTP's own
