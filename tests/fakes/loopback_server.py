"""A TCP server on loopback that misbehaves by script."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

SECONDS = 10.0  # no wait in here lasts longer


@dataclass(frozen=True)
class Seen:
    """One request as received.

    Attributes:
        connection: Number of the connection that carried it, from 1.
        head: Request line and headers.
        body: What follows them.
    """

    connection: int
    head: str
    body: bytes


class Connection:
    """One accepted connection, for a step of the script.

    Attributes:
        stopping: Set when the server goes down.
    """

    def __init__(self, number: int, sock: socket.socket, stopping: threading.Event) -> None:
        self.number = number
        self.sock = sock
        self.stopping = stopping
        self.open = True

    def answer(
        self, status: int = 200, body: bytes = b"{}", length: int | None = None, **headers: str
    ) -> None:
        """Send an answer; `length` may lie about the body's."""
        lines = [
            f"HTTP/1.1 {status} X",
            f"Content-Length: {len(body) if length is None else length}",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def close(self) -> None:
        """Close in order (FIN)."""
        self.open = False
        self.sock.close()

    def reset(self) -> None:
        """Close with a reset (RST)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


class LoopbackServer:
    """Runs one step of the script for each request, on as many connections as come.

    Attributes:
        seen: Every request, in the order of arrival.
        connections: How many connections were accepted.
        stopping: Set when the server goes down; a step that stays silent waits for it.

    Args:
        script: One step a request, in order; the last one repeats.
        body_first: Read a request's body before its step.
        tls: Server-side context, for HTTPS.
        receive_buffer: Bytes that the system takes before a step reads them.
    """

    def __init__(
        self,
        *script: Callable[[Connection], None],
        body_first: bool = True,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._script = deque(script)
        self._body_first = body_first
        self._tls = tls
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every connection and stop listening. May be called twice."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        with self._lock:
            sockets = [self._listener, *self._sockets]
        for sock in sockets:
            # Unlike close(), shutdown() wakes the thread that waits on the socket.
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(SECONDS)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(SECONDS)
            with self._lock:
                self.connections += 1
                number = self.connections
                self._sockets.append(sock)
            self._start(self._serve, number, sock)

    def _serve(self, number: int, sock: socket.socket) -> None:
        try:
            wrapped = sock if self._tls is None else self._tls.wrap_socket(sock, server_side=True)
            with self._lock:
                self._sockets.append(wrapped)
            with wrapped, wrapped.makefile("rb") as stream:
                connection = Connection(number, wrapped, self.stopping)
                while connection.open:
                    seen = self._read(number, stream.readline, stream.read)
                    if seen is None:
                        return
                    with self._lock:
                        self.seen.append(seen)
                        step = self._script[0] if len(self._script) == 1 else self._script.popleft()
                    step(connection)
        except OSError:
            return  # the client has gone, which some tests are about

    def _read(
        self, number: int, readline: Callable[[], bytes], read: Callable[[int], bytes]
    ) -> Seen | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = readline()
            if not line:
                return None
            head += line
        text = head.decode("latin-1")
        length = 0
        for field in text.splitlines():
            name, _, value = field.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        body = read(length) if self._body_first and length else b""
        return Seen(number, text, body)
