"""A burst of calls waits its turn; what the functions call meanwhile does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandbox.stack.engine import a_few_at_a_time

API = "/_aws/execute-api/abc123/live/outgrow"


class CountingApp:
    """An ASGI application that knows how many calls it had at most at a time."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.served = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(5):
            await asyncio.sleep(0)
        self.now -= 1
        self.served += 1


async def _nothing(*_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("scope", "most"),
    [
        ({"type": "http", "path": API}, 3),
        ({"type": "http", "path": "/"}, 20),
        ({"type": "lifespan"}, 20),
    ],
    ids=["an API's calls", "AWS's calls", "the server's own"],
)
def test_only_calls_of_an_api_wait(scope: dict[str, str], most: int) -> None:
    """All are served; of an API's never more than the limit at a time."""
    app = CountingApp()
    limited = a_few_at_a_time(app, at_once=3)

    async def burst() -> None:
        await asyncio.gather(*(limited(scope, _nothing, _nothing) for _ in range(20)))

    asyncio.run(burst())

    assert app.served == 20
    assert app.most == most


def test_a_call_that_fails_lets_the_next_one_in() -> None:
    """Otherwise a few failures would close the door for good."""

    async def failing(*_: object) -> None:
        raise ConnectionError

    limited = a_few_at_a_time(failing, at_once=1)

    async def calls() -> list[object]:
        both = (limited({"type": "http", "path": API}, _nothing, _nothing) for _ in range(2))
        return await asyncio.wait_for(asyncio.gather(*both, return_exceptions=True), 10)

    assert [type(result) for result in asyncio.run(calls())] == [ConnectionError, ConnectionError]
