"""The seam between the client and the network."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from braze_bridge.braze.errors import BrazeError, ConnectFailedError, UnknownOutcomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_IDLE_SECONDS: Final = 30.0
"""Under what proxies and NAT gateways in front of Braze keep silent connections open (NGINX: 75 s
by default, AWS NAT: 350 s)."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, complete except for the host.

    Its repr shows neither headers (the key) nor params and body (a person's data).

    Attributes:
        method: `GET` or `POST`.
        path: absolute, without a trailing slash (Braze answers 403 to one).
        headers: as they go out.
        body: encoded, or None for a request without one.
        params: query parameters, in order, unencoded; names may repeat.
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
    """One answer, read whole and decoded from its transfer and content encodings.

    Its repr shows neither headers nor body: a 401 echoes the key, an export is personal data.

    Attributes:
        status: 100-599.
        headers: names in any case.
        body: as bytes, possibly empty.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Sends one request and returns its answer, whatever its status."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send once: no retry, no redirect.

        Raises:
            ConnectFailedError: the request did not leave whole, so Braze cannot have acted.
            UnknownOutcomeError: it did, and no usable answer came back.
        """
        ...


class RequestsTransport:
    """The network, by one pooled `requests` session. Threads may share it.

    No retry, no redirect, no cookies, and nothing from the environment: no proxy settings, and
    no `.netrc`, whose entry would replace the Authorization header.

    Its errors name the kind of failure only. They are not chained to those of `requests`, which
    hold the key, the body, and e-mails and phones in URLs.

    Args:
        base_url: scheme and host, as `instances.rest_endpoint` returns it.
        pool_size: connections kept and used at most; a further thread waits for one.
        max_idle: seconds after which an unused connection is replaced rather than trusted.
        clock: seconds, for `max_idle`. Wall time, as it goes on while a Lambda is frozen.
    """

    def __init__(
        self,
        base_url: str,
        pool_size: int,
        *,
        max_idle: float = MAX_IDLE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Imported here: `requests` takes longer to load than all the rest of this package, which
        # code that never sends imports for its models.
        from braze_bridge.braze.pooled_session import Progress, pooled_session

        self._base_url = base_url.rstrip("/")
        self._progress = Progress()
        self._session = pooled_session(pool_size, self._progress, max_idle, clock)

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `Transport`.

        An answer whose body breaks off keeps its status, with an empty body, unless that status
        is a success: then what the body would have said of single objects is lost, and with it
        the outcome.

        Raises:
            ConnectFailedError: as in `Transport`.
            UnknownOutcomeError: as in `Transport`.
        """
        result = self._exchange(request)
        # Raised here and not where it was caught, so that no foreign exception is attached.
        if isinstance(result, BrazeError):
            raise result
        return result

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _exchange(self, request: HttpRequest) -> HttpResponse | BrazeError:
        from requests import Request
        from urllib3.exceptions import HTTPError

        self._progress.left_whole = False
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
            # `requests`' own exceptions are OSErrors; of urllib3's it lets some through.
            kind = type(error).__name__
        else:
            return HttpResponse(response.status_code, response.headers, body)

        if response is not None and not _is_success(response.status_code):
            return HttpResponse(response.status_code, response.headers, b"")
        if self._progress.left_whole:
            return UnknownOutcomeError(f"the request was sent and not answered ({kind})")
        return ConnectFailedError(f"the request was not sent ({kind})")


def _is_success(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004  # HTTP's own
