"""A server that answers every POST as Braze's `/users/track` does, after a given delay.

It reads no JSON, since a benchmark measures the sender. ``python -m bench.instant_braze DELAY_MS``
prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import asyncio
import sys

ANSWER = b'{"attributes_processed":75,"message":"success"}'
HEADERS = (
    "HTTP/1.1 201 Created",
    "Content-Type: application/json",
    "X-RateLimit-Limit: 250000",
    "X-RateLimit-Remaining: 249999",
    "X-RateLimit-Reset: 9999999999",
    f"Content-Length: {len(ANSWER)}",
)
RESPONSE = "\r\n".join([*HEADERS, "", ""]).encode() + ANSWER


class InstantBraze(asyncio.Protocol):
    """One keep-alive connection.

    Attributes:
        delay: Seconds between a request's last byte and its answer.
    """

    delay = 0.0

    def __init__(self) -> None:
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
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) >= length:
            self._received = body[length:]
            asyncio.get_running_loop().call_later(self.delay, self._answer)

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(RESPONSE)


async def serve(delay: float) -> None:
    """Serve on a free loopback port until standard input closes.

    Args:
        delay: Seconds between a request's last byte and its answer.
    """
    InstantBraze.delay = delay
    loop = asyncio.get_running_loop()
    server = await loop.create_server(InstantBraze, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) / 1000))
