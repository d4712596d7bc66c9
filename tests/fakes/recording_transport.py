"""A ``Transport`` that answers by script and records the requests."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

from braze_bridge.braze.errors import BrazeError
from braze_bridge.braze.transport import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.braze.transport import HttpRequest


def answer(
    status: int = 201, document: Any = None, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Make an HTTP answer with a JSON document, or with bytes, as its body."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpResponse(status, headers or {}, body)


class RecordingTransport:
    """Gives its answers in order, one a request, and raises the errors among them.

    Attributes:
        requests: Every request, in order.
    """

    def __init__(self, *script: HttpResponse | BrazeError) -> None:
        self.requests: list[HttpRequest] = []
        self._script = deque(script)

    def send(self, request: HttpRequest) -> HttpResponse:
        """See :class:`braze_bridge.braze.transport.Transport`."""
        self.requests.append(request)
        step = self._script.popleft()
        if isinstance(step, BrazeError):
            raise step
        return step
