"""The HTTP edge: Starlette routes, connection resets, and a server on loopback."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from ipaddress import ip_address
from random import Random

import uvicorn
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.braze import control, quikly
from sandbox.braze.api import answer_call, objects_in
from sandbox.braze.exchange import MAX_BODY_BYTES, Answer, Call
from sandbox.braze.faults import Fault
from sandbox.braze.guard import GuardedControls
from sandbox.braze.keys import bearer_key
from sandbox.braze.naming import people_named, people_refused
from sandbox.braze.settings import default_settings
from sandbox.braze.workspace import Clock, Workspace
from sandbox.page.console import Console
from sandbox.page.routes import page_routes

DEFAULT_KEY = "sandbox-braze-key"
DEFAULT_QUIKLY_KEY = "sandbox-quikly-key"
_KEEP_ALIVE_SECONDS = 75
"""NGINX's own default; a shorter one would drop pooled connections under their users."""
_SHUTDOWN_SECONDS = 2
_SEED = 20_261_101
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_LINGER_ZERO = struct.pack("ii", 1, 0)


class NotLoopbackError(ValueError):
    """The sandbox takes any key it is told and serves loopback only."""


class Sandbox:
    """The application's state: the workspace in force, and how to make a fresh one.

    Args:
        key: The Braze key that may do everything after a reset.
        quikly_key: Quikly's key after a reset.
        clock: The time.
    """

    def __init__(
        self,
        key: str = DEFAULT_KEY,
        quikly_key: str = DEFAULT_QUIKLY_KEY,
        clock: Clock = time.time,
    ) -> None:
        self._key = key
        self._quikly_key = quikly_key
        self._clock = clock
        self.workspace = self._fresh()
        self.console = Console(clock)

    def _fresh(self) -> Workspace:
        return Workspace(
            default_settings(self._key),
            quikly_key=self._quikly_key,
            clock=self._clock,
            random=Random(_SEED),
        )

    def reset(self) -> Workspace:
        """Replaces the workspace by a fresh one; returns the one that was."""
        replaced, self.workspace = self.workspace, self._fresh()
        self.console.forget_tries()
        return replaced


class AbortableProtocol(H11Protocol):
    """HTTP/1.1 whose requests can reach their connection, to reset it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Hands the transport to the requests of this connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _NoAnswer(Response):
    """Resets the connection instead of answering."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send  # there is nothing to send
        transport: asyncio.Transport = scope["state"]["transport"]
        connection = transport.get_extra_info("socket")
        # Lingering for 0 seconds makes the close a reset, not an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            continue


async def _read(request: Request) -> tuple[bytes, bool]:
    """Reads a body; what is too long is read to its end, so that the client hears the answer."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
    return (b"", True) if size > MAX_BODY_BYTES else (b"".join(chunks), False)


def _respond(answer: Answer) -> Response:
    if answer.status in _BODILESS:
        return Response(None, answer.status, answer.headers)
    if answer.json is not None:
        return Response(
            to_json(answer.json),
            answer.status,
            answer.headers,
            media_type="application/json",
        )
    return Response(answer.text, answer.status, answer.headers, media_type="text/html")


def _fault_answer(fault: Fault, answer: Answer) -> Answer:
    """Puts a fault's status, body and headers onto an answer that was not a refusal."""
    if fault.replaces_processing or answer.status < HTTPStatus.BAD_REQUEST:
        answer.status = fault.status or answer.status
        if isinstance(fault.body, dict):
            answer.json = dict(fault.body)
        elif fault.body is not None:
            text = fault.body if isinstance(fault.body, str) else to_json(fault.body).decode()
            answer.json, answer.text = None, text
    answer.headers.update(fault.headers)
    return answer


class _Edge:
    """Takes every request that is not for a control route."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        workspace = self._sandbox.workspace
        path: str = request.scope["path"]
        row = workspace.log(request.method, path)
        try:
            body, oversize = await _read(request)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it
        call = Call(
            row.n,
            row.at,
            request.method,
            path,
            request.headers,
            request.query_params.multi_items(),
            body,
            oversize,
        )
        key = bearer_key(call.headers.get("authorization"))
        fault = workspace.faults.take(call.path, key, body)
        answer = self._process(workspace, call, fault)
        row.objects = objects_in(call)
        row.met_fault = fault is not None
        row.people, row.refused = people_named(call), people_refused(call, answer)
        if call.path.startswith(quikly.PREFIX):
            status = 0 if fault is not None and fault.reset else answer.status
            quikly.keep_quikly_call(workspace, call, status)
        if fault is not None and fault.delay_ms:
            await asyncio.sleep(fault.delay_ms / 1000)
        row.ms = round((workspace.clock() - row.at) * 1000, 1)
        if fault is not None and fault.reset is not None:
            return _NoAnswer()
        row.status = answer.status
        return _respond(answer)

    @staticmethod
    def _process(workspace: Workspace, call: Call, fault: Fault | None) -> Answer:
        if fault is None:
            return _answer(workspace, call)
        if fault.replaces_processing:
            return _fault_answer(fault, Answer(fault.status or HTTPStatus.OK))
        if fault.errors:
            call = replace(call, forced_errors=fault.forced_errors)
        return _fault_answer(fault, _answer(workspace, call))


def _answer(workspace: Workspace, call: Call) -> Answer:
    if call.path.startswith(quikly.PREFIX):
        return quikly.answer_quikly(workspace, call)
    return answer_call(workspace, call)


def create_app(sandbox: Sandbox) -> Starlette:
    """Builds the ASGI application.

    Args:
        sandbox: The state it serves; must be served with `AbortableProtocol` for resets to work.

    Returns:
        The application: `/_sandbox/*`, `/quikly/*`, and Braze at every other path.
    """
    return Starlette(
        routes=[
            *control.control_routes(sandbox, page_routes(sandbox)),
            # An ASGI application takes every method, where a function would need them listed.
            Route("/{path:path}", _Edge(sandbox)),
        ],
        middleware=[Middleware(GuardedControls)],
    )


def bind_loopback(host: str, port: int) -> socket.socket:
    """Binds a listening socket, on loopback only.

    Args:
        host: `localhost` or a loopback address.
        port: The port; 0 for a free one.

    Returns:
        The socket, listening.

    Raises:
        NotLoopbackError: Any other host.
        OSError: The port is taken.
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        parsed = ip_address(address)
    except ValueError as error:
        raise NotLoopbackError(f"not a loopback address: {host}") from error
    if not parsed.is_loopback:
        raise NotLoopbackError(f"not a loopback address: {host}")
    family = socket.AF_INET6 if parsed.version == 6 else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for a socket that names TCP; with it, an answer in
    # two writes waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """The base URL under which a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def build_server(sandbox: Sandbox) -> uvicorn.Server:
    """Builds the server; `serve(sockets=[…])` runs it until `should_exit`."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(sandbox),
            http=AbortableProtocol,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ),
    )


@contextmanager
def running(sandbox: Sandbox) -> Iterator[str]:
    """Serves a sandbox from a thread, for tests and benchmarks inside one process.

    Args:
        sandbox: The state to serve; it may be looked into from outside between requests.

    Yields:
        The base URL.
    """
    listener = bind_loopback("127.0.0.1", 0)
    server = build_server(sandbox)
    thread = threading.Thread(target=server.run, args=([listener],), name="sandbox-braze")
    thread.start()
    try:
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
