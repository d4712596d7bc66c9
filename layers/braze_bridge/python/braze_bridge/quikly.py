"""Quikly's API: one call that says what a person did (`POST …/webhook/braze`).

Quikly documents an address, a bearer key and three keys of the body
(docs/partners/…/retargeting/quikly). It documents no answer, limit or error code. So any 2xx is a
success, and other statuses have HTTP's meaning.
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
    """What a person did, as Quikly's API takes it.

    Attributes:
        q_scope: The activation.
        event: In the activation's words.
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
        """Encode the JSON body, without the fields that are not known."""
        given = {key: value for key, value in self._asdict().items() if value is not None}
        return json.dumps(given, ensure_ascii=False).encode()


class QuiklyError(Exception):
    """Quikly did not take the call, or was not reached. The text holds no address, key or body.

    Attributes:
        status: The HTTP status; ``None`` if no answer was read.
        retryable: The same call may succeed later.
        retry_after: Seconds that Quikly asks to wait, if it does.
        outcome_unknown: Quikly may have taken the call.
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
    """The address of Quikly's API.

    Attributes:
        base_url: Scheme and host, as a transport takes it.
    """

    base_url: str
    path: str


def quikly_endpoint(url: str, *, allow_loopback: bool) -> QuiklyEndpoint:
    """Read the configured address.

    Args:
        url: Such as ``https://api.quikly.com/webhook/braze``.
        allow_loopback: Allow plain HTTP to this machine, for the local stack.

    Raises:
        ValueError: It is not an https address, or holds a user, password, query or fragment: it is
            a parameter of the stack, which many may read, and no place for a key. Or it has other
            characters than ASCII: the package that encodes such a host does not ship. The text does
            not quote it.
    """
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("Quikly's address must not hold a user, password, query or fragment")
    is_loopback = parts.hostname in {"127.0.0.1", "localhost"}
    if not (parts.hostname and url.isascii()) or not (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback and allow_loopback)
    ):
        raise ValueError("Quikly's address must be https://host/path, in ASCII")
    return QuiklyEndpoint(f"{parts.scheme}://{parts.netloc}", parts.path or "/")


class QuiklyApi(Protocol):
    """Quikly's API."""

    def send(self, call: QuiklyCall, deadline: float) -> None:
        """Make one call, once.

        Args:
            deadline: See :class:`braze_bridge.braze.transport.HttpRequest`.

        Raises:
            QuiklyError: Quikly did not take it, or may not have.
        """
        ...


class HttpQuiklyApi(NamedTuple):
    """A :class:`QuiklyApi` over HTTP. Threads may share it.

    Attributes:
        path: Of the configured address.
        api_key: Gives the current key at each call. Its errors are not caught.
        transport: To the host of the configured address.
        now: Epoch seconds, to read ``Retry-After``.
        timeout: Seconds to connect, and seconds of silence allowed while reading.
    """

    path: str
    api_key: Callable[[], str]
    transport: Transport
    now: Callable[[], float]
    timeout: tuple[float, float] = DEFAULT_TIMEOUT

    def send(self, call: QuiklyCall, deadline: float) -> None:
        """See :meth:`QuiklyApi.send`."""
        key = self.api_key()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise QuiklyError("no usable key is set", retryable=True, key_refused=True)
        request = HttpRequest(
            "POST",
            self.path,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            body=call.body(),
            timeout=self.timeout,
            deadline=deadline,
        )
        try:
            response = self.transport.send(request)
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
            # After a person replaces a refused key, the same call succeeds.
            retryable=refused or status in _WAITING_STATUSES or status >= 500,  # noqa: PLR2004  # HTTP's own
            retry_after=parse_retry_after(response.headers, self.now()),
            # A gateway may have stopped waiting, or Quikly may have failed half-way. Only 503 says
            # that nothing was done.
            outcome_unknown=status >= 500 and status != 503,  # noqa: PLR2004  # HTTP's own
            key_refused=refused,
        )
