"""A loopback HTTP server that answers after a given delay and costs little CPU.

A benchmark runs it in a process of its own: ``with running("bench.instant_braze", "50") as url``.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Callable[[bytes, bytes], bytes]
    """Gets the head and the body of a request, and returns the whole response."""


class _Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, answer: Answer, delay: float) -> None:
        self._answer = answer
        self._delay = delay
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]  # a TCP connection's

    def data_received(self, data: bytes) -> None:
        """Answer as soon as a request is whole."""
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if not gap:
            return
        _, _, rest = head.lower().partition(b"content-length:")
        length = int(rest.split(b"\r\n")[0] or 0)
        if len(body) >= length:
            self._received = body[length:]
            response = self._answer(head, body[:length])
            asyncio.get_running_loop().call_later(self._delay, self._write, response)

    def _write(self, response: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(response)


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Build a response."""
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body


def serve(answer: Answer, delay_ms: float) -> None:
    """Serve on a free loopback port, print the port, and end when standard input closes.

    Args:
        answer: To each request.
        delay_ms: Between a request's last byte and its answer.
    """

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(answer, delay_ms / 1000), "127.0.0.1", 0
        )
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        server.close()

    asyncio.run(run())


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[str]:
    """Run a module that calls :func:`serve`; give its URL, and stop it at the end."""
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()
        process.wait(10)
