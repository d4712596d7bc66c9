"""One pooled `requests` session whose connections can say whether a request left whole.

`requests` alone cannot: the same exception class stands for a connection that was refused and for
one that was reset after Braze had the request, and that difference decides whether an event may
be counted twice. So the connections note it where it happens.
"""

from __future__ import annotations

import logging
import threading
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from requests import Response, Session
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable


class Progress(threading.local):
    """How far the request of this thread has come.

    Attributes:
        left_whole: the last part of the request was handed to the operating system in full. A
            request that was not cannot be acted on: its body is shorter than its
            Content-Length, or its TLS record broken.
    """

    left_whole = False


class NonRedirectingSession(Session):
    """A session that treats a redirect as an answer like any other."""

    def get_redirect_target(self, resp: Response) -> str | None:  # noqa: ARG002  # requests' own
        """None: `allow_redirects=False` alone still parses the Location, and fails on a bad one."""
        return None


def pooled_session(
    pool_size: int, progress: Progress, max_idle: float, clock: Callable[[], float]
) -> Session:
    """Build the session.

    Args:
        pool_size: connections at most; a thread beyond them waits for one to come back.
        progress: kept up to date by every connection, per thread.
        max_idle: seconds after which an unused connection is replaced instead of reused.
        clock: seconds, any zero; only differences count.

    Returns:
        A session without retries, redirects, cookies, environment proxies or `.netrc`
        credentials (which would replace the Authorization header).
    """

    class TrackedConnection(HTTPConnection):
        """Notes progress, and distrusts its peer after a long silence."""

        _last_sent = 0.0

        def send(self, data: Any) -> None:  # noqa: ANN401  # http.client's own parameter
            progress.left_whole = False
            super().send(data)  # connects first, where it has to
            progress.left_whole = True
            self._last_sent = clock()

        @property
        def is_connected(self) -> bool:
            # A Lambda may be frozen between two requests: whatever closed the connection
            # meanwhile may not have told us, and the next request would be lost on it with an
            # unknown outcome.
            return 0 <= clock() - self._last_sent < max_idle and super().is_connected

    class TrackedTlsConnection(TrackedConnection, HTTPSConnection):
        """The same over TLS."""

    class TrackedPool(HTTPConnectionPool):
        ConnectionCls = TrackedConnection

    class TrackedTlsPool(HTTPSConnectionPool):
        ConnectionCls = TrackedTlsConnection

    adapter = HTTPAdapter(
        pool_connections=1, pool_maxsize=pool_size, max_retries=0, pool_block=True
    )
    adapter.poolmanager.pool_classes_by_scheme = {"http": TrackedPool, "https": TrackedTlsPool}
    session = NonRedirectingSession()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    _hide_queries()
    return session


class _QueryFilter(logging.Filter):
    """Cuts the query off URLs that urllib3 logs at DEBUG: look-ups carry e-mails and phones."""

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
