"""The stand-in Braze behind a transport, without a network."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

from braze_bridge.braze.client import BrazeClient, partner_user_agent
from braze_bridge.braze.transport import HttpResponse
from sandbox.braze.api import answer_call
from sandbox.braze.exchange import Call
from sandbox.braze.settings import default_settings
from sandbox.braze.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.transport import HttpRequest
    from braze_bridge.clock import Clock

KEY = "key-of-tests"


class StandIn:
    """A :class:`braze_bridge.braze.transport.Transport` to a workspace in this process.

    Attributes:
        workspace: The stand-in's state.
        bodies: The JSON of each request, by path.
        before: Called with each request before it is processed. It may raise.
        after: Called with each request before it is answered. It may raise.
    """

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        self.workspace = Workspace(
            default_settings(KEY),
            quikly_key="",
            clock=lambda: clock.now().timestamp(),
            random=Random(seed),
        )
        self.bodies: dict[str, list[dict[str, object]]] = {}
        self.before: Callable[[HttpRequest], None] = lambda _: None
        self.after: Callable[[HttpRequest], None] = lambda _: None
        self.client = BrazeClient(
            api_key=lambda: KEY,
            transport=self,
            user_agent=partner_user_agent("BrazePartnerBridge", "Tests", "1"),
            now=lambda: clock.now().timestamp(),
            timeout=(1, 1),
        )

    def configure(self, **changes: object) -> None:
        """Change the stand-in's settings."""
        settings = self.workspace.settings
        self.workspace.use(type(settings).model_validate(settings.model_dump() | changes))

    def send(self, request: HttpRequest) -> HttpResponse:
        """See :meth:`braze_bridge.braze.transport.Transport.send`."""
        self.before(request)
        body = request.body or b""
        self.bodies.setdefault(request.path, []).append(json.loads(body or b"{}"))
        row = self.workspace.log(request.method, request.path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(row.n, row.at, request.method, request.path, headers, request.params, body)
        answer = answer_call(self.workspace, call)
        row.status = answer.status
        self.after(request)
        text = answer.text if answer.json is None else json.dumps(answer.json)
        return HttpResponse(answer.status, answer.headers, text.encode())

    def statuses(self, path: str) -> list[int]:
        """List the answers of one endpoint."""
        return [row.status for row in self.workspace.requests if row.path == path]
