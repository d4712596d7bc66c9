"""A server that answers every POST as Braze's `/users/track` does, after a given delay.

``python -m bench.instant_braze DELAY_MS`` prints its port and serves until its standard input
closes. It parses no JSON, since a benchmark measures the sender: it counts the objects by their
keys. So no attribute and no property may be called as an identifier or ``time``.
A GET answers how many requests and objects came so far.
"""

from __future__ import annotations

import json
import sys

from bench.instant_http import response, serve

IDENTIFIERS = (b'"external_id"', b'"email"')
"""Each object has one of them."""

HEADERS = (
    "Content-Type: application/json",
    "X-RateLimit-Limit: 250000",
    "X-RateLimit-Remaining: 249999",
    "X-RateLimit-Reset: 9999999999",
)


class InstantBraze:
    """Counts what comes in, and takes all of it."""

    def __init__(self) -> None:
        self._requests = 0
        self._objects = 0

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Answer one request."""
        if head.startswith(b"GET"):
            counts = {"requests": self._requests, "objects": self._objects}
            return response(json.dumps(counts).encode(), HEADERS[0])
        objects = sum(map(body.count, IDENTIFIERS))
        events = body.count(b'"time"')
        self._requests += 1
        self._objects += objects
        processed = {"attributes_processed": objects - events, "events_processed": events}
        counted = {name: count for name, count in processed.items() if count}
        text = json.dumps({**counted, "message": "success"}).encode()
        return response(text, *HEADERS, status="201 Created")


if __name__ == "__main__":
    serve(InstantBraze().answer, float(sys.argv[1]))
