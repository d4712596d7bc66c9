"""The Transport protocol, and its implementation with `requests`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from braze_bridge.braze.errors import BrazeError, ConnectFailedError, UnknownOutcomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_IDLE_SECONDS: Final = 30.0
"""Less than the time for which proxies and NAT gateways keep silent connections (NGINX: 75 s by
default, AWS NAT: 350 s)."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, without the host.

    Its repr shows neither headers (the key) nor params and body (a person's data).

    Attributes:
        path: absolute, without a trailing slash (Braze answers 403 to one).
        params: query parameters, unencoded; names may repeat.
        timeout: seconds to connect, and seconds of silence allowed while reading.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout: tuple[float, float] = (3.0, 10.0)


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
        """Send once: no retry, no redirect.

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
        clock: seconds, for `max_idle`. Wall time, which goes on while a Lambda is frozen.
    """

    def __init__(
        self,
        base_url: str,
        pool_size: int,
        *,
        max_idle: float = MAX_IDLE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Imported here: `requests` loads slower than the rest of this package, and code that never
        # sends needs only the models.
        from braze_bridge.braze.pooled_session import Progress, pooled_session

        self._base_url = base_url.rstrip("/")
        self._progress = Progress()
        self._session = pooled_session(pool_size, self._progress, max_idle, clock)

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `Transport`.

        If the body of an error breaks off, the answer has an empty body. If the body of a success
        breaks off, its errors of single objects are lost, so the outcome is unknown.

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

    def _exchange(self, request: HttpRequest) -> HttpResponse | BrazeError:
        from requests import Request
        from urllib3.exceptions import HTTPError

        self._progress.is_sent = False
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
            body = response.content
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


def _is_success(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004  # HTTP's own
