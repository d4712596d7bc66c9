"""The stand-in with its page, as one application, and a server on loopback for it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from random import Random

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.braze import control
from sandbox.braze.edge import AbortableProtocol, Edge
from sandbox.braze.settings import default_settings
from sandbox.braze.workspace import Clock, Workspace
from sandbox.guard import guarded, refusal_of
from sandbox.page.console import Console
from sandbox.page.routes import page_routes

DEFAULT_KEY = "sandbox-braze-key"
DEFAULT_QUIKLY_KEY = "sandbox-quikly-key"
_KEEP_ALIVE_SECONDS = 75
"""NGINX's own default; a shorter one would drop pooled connections under their users."""
_SHUTDOWN_SECONDS = 2
_SEED = 20_261_101


class NotLoopbackError(ValueError):
    """The sandbox accepts any key, so it serves loopback only."""


class Sandbox:
    """The application's state: the workspace in force and the page's state."""

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
        """Replace the workspace by a fresh one, and return the old one."""
        replaced, self.workspace = self.workspace, self._fresh()
        self.console.forget_tries()
        return replaced


def create_app(sandbox: Sandbox) -> ASGIApp:
    """Build the ASGI application.

    Args:
        sandbox: The state it serves; must be served with `AbortableProtocol` for resets to work.

    Returns:
        The application: `/_sandbox/*`, `/quikly/*`, and Braze at every other path. Other sites'
        pages get 403 everywhere.
    """
    app = Starlette(
        routes=[
            *control.control_routes(sandbox, page_routes(sandbox)),
            # An ASGI application takes every method, where a function would need them listed.
            Route("/{path:path}", Edge(sandbox)),
        ],
    )
    return guarded(app, lambda scope: refusal_of(scope["headers"], has_page=True))


def bind_loopback(host: str, port: int) -> socket.socket:
    """Bind a listening socket, on loopback only.

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
    """Return the base URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def build_server(sandbox: Sandbox) -> uvicorn.Server:
    """Build the server; `serve(sockets=[…])` runs it until `should_exit`."""
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
    """Serve a sandbox from a thread, for tests and benchmarks inside one process.

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
