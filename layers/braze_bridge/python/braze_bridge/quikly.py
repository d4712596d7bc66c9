"""Quikly's API: one call that says what a person did (`POST …/webhook/braze`).

Quikly documents an address, a bearer key and three keys of the body, and no answer, limit or error
code (docs/partners/…/retargeting/quikly): so any 2xx is a success, and the rest is read as HTTP
means it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from braze_bridge.braze.errors import ConnectFailedError, UnknownOutcomeError
from braze_bridge.braze.rate_limits import parse_retry_after
from braze_bridge.braze.transport import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.transport import HttpResponse, Transport

DEFAULT_TIMEOUT: Final = (3.0, 10.0)
"""Seconds to connect, and seconds of silence allowed while reading."""

_WAITING_STATUSES: Final = frozenset({408, 425, 429})


class QuiklyCall(NamedTuple):
    """What Quikly is told.

    Attributes:
        q_scope: The activation.
        event: What the person did, in the activation's words.
        email: Whom Quikly knows the person by.
        phone: E.164; for a person without an e-mail address.
    """

    q_scope: str
    event: str
    email: str | None = None
    phone: str | None = None

    def __repr__(self) -> str:
        # A repr ends up in tracebacks and logs, where no address belongs.
        return f"QuiklyCall({self.q_scope!r}, {self.event!r})"

    def body(self) -> bytes:
        """The JSON that goes out: what is not known is left out."""
        given = {key: value for key, value in self._asdict().items() if value is not None}
        return json.dumps(given, ensure_ascii=False).encode()


class QuiklyError(Exception):
    """Quikly, or the way to it, did not take the call. Its text holds no address, key or body.

    Attributes:
        status: The HTTP status; ``None`` where no answer was read.
        retryable: The same call may succeed later.
        retry_after: Seconds that Quikly asks to wait; ``None`` where it asks for nothing.
        outcome_unknown: Quikly may have taken the call all the same.
        key_refused: 401 or 403: no call succeeds until the key is right.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        outcome_unknown: bool = False,
        key_refused: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown
        self.key_refused = key_refused


class QuiklyEndpoint(NamedTuple):
    """Where Quikly's API is.

    Attributes:
        base_url: Scheme and host, as a transport takes it.
        path: With the query, where there is one.
    """

    base_url: str
    path: str


def quikly_endpoint(url: str, *, allow_loopback: bool) -> QuiklyEndpoint:
    """Read the configured address.

    Args:
        url: Such as ``https://api.quikly.com/webhook/braze``.
        allow_loopback: Plain HTTP to this machine will do: for the local stack.

    Raises:
        ValueError: It is no https address, or would show a key or password. The text does not
            quote it.
    """
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("Quikly's address must not hold a user, a password or a fragment")
    is_loopback = parts.hostname in {"127.0.0.1", "localhost"}
    if not parts.hostname or not (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback and allow_loopback)
    ):
        raise ValueError("Quikly's address must be https://host/path")
    path = parts.path or "/"
    return QuiklyEndpoint(
        f"{parts.scheme}://{parts.netloc}", f"{path}?{parts.query}" if parts.query else path
    )


class QuiklyApi(Protocol):
    """Whoever tells Quikly."""

    def tell(self, call: QuiklyCall) -> None:
        """Make one call, once.

        Raises:
            QuiklyError: It was not taken, or nobody knows.
        """
        ...


class HttpQuiklyApi:
    """A :class:`QuiklyApi` over HTTP. Threads may share it.

    Args:
        path: The path and query of the configured address.
        api_key: Gives the current key; asked at each call. What it raises is not caught.
        transport: The network, to the configured address's host.
        now: Epoch seconds, to read ``Retry-After`` by.
        timeout: Seconds to connect, and seconds of silence allowed while reading.
    """

    def __init__(
        self,
        path: str,
        api_key: Callable[[], str],
        transport: Transport,
        now: Callable[[], float],
        timeout: tuple[float, float] = DEFAULT_TIMEOUT,
    ) -> None:
        self._path = path
        self._api_key = api_key
        self._transport = transport
        self._now = now
        self._timeout = timeout

    def tell(self, call: QuiklyCall) -> None:
        """See :meth:`QuiklyApi.tell`."""
        key = self._api_key()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise QuiklyError("no usable key is set", retryable=True, key_refused=True)
        request = HttpRequest(
            "POST",
            self._path,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            body=call.body(),
            timeout=self._timeout,
        )
        try:
            response = self._transport.send(request)
        except ConnectFailedError as error:
            raise QuiklyError(str(error), retryable=True) from None
        except UnknownOutcomeError as error:
            raise QuiklyError(str(error), retryable=True, outcome_unknown=True) from None
        if not 200 <= response.status < 300:  # noqa: PLR2004  # HTTP's own
            raise self._failure(response)

    def _failure(self, response: HttpResponse) -> QuiklyError:
        status = response.status
        refused = status in {401, 403}
        return QuiklyError(
            f"Quikly answered {status}",
            status=status,
            # A refused key is mended by a person: the same call succeeds after that.
            retryable=refused or status in _WAITING_STATUSES or status >= 500,  # noqa: PLR2004  # HTTP's own
            retry_after=parse_retry_after(response.headers, self._now()),
            # A gateway that gave up waiting, or a fault half-way: only 503 says "not now".
            outcome_unknown=status >= 500 and status != 503,  # noqa: PLR2004  # HTTP's own
            key_refused=refused,
        )
