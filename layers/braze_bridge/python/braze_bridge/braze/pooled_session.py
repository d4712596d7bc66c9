"""A pooled `requests` session whose connections note whether a request was sent completely.

`requests` raises the same exception for a refused connection and for one that was reset after Braze
had the request. The difference decides whether an event may count twice.
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
    """Progress of this thread's request.

    Attributes:
        is_sent: the operating system has all of the request. Before that, Braze cannot act on it:
            its body is shorter than its Content-Length, or its TLS record is broken.
    """

    is_sent = False


class NonRedirectingSession(Session):
    """A session that treats a redirect as an answer."""

    def get_redirect_target(self, resp: Response) -> str | None:  # noqa: ARG002  # requests' own
        """Give None: `allow_redirects=False` still parses the Location, and fails on a bad one."""
        return None


def pooled_session(
    pool_size: int, progress: Progress, max_idle: float, clock: Callable[[], float]
) -> Session:
    """Build the session.

    Args:
        pool_size: maximum connections; one more thread waits for a free one.
        progress: every connection updates it, per thread.
        max_idle: seconds after which an unused connection is replaced.
        clock: seconds; only differences count.

    Returns:
        A session without retries, redirects, cookies, environment proxies or `.netrc`
        credentials (which would replace the Authorization header).
    """

    class TrackedConnection(HTTPConnection):
        """Notes progress, and is not reused after a long silence."""

        _last_sent = 0.0

        def send(self, data: Any) -> None:  # noqa: ANN401  # http.client's own parameter
            progress.is_sent = False
            super().send(data)  # connects first, where it has to
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
