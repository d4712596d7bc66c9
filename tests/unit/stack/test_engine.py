"""Who may call the local engine; and a burst of calls waits its turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandbox.guard import guarded
from sandbox.stack.engine import HEALTH, a_few_at_a_time, refusal_of_call

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


# -- who may call ----------------------------------------------------------------------------------

KEY = "LOCAL0123456789ABCDEF"
SIGNED = (
    f"AWS4-HMAC-SHA256 Credential={KEY}/20261128/us-east-1/iam/aws4_request, SignedHeaders=host"
)
PRESIGNED = f"Action=CreateRole&X-Amz-Credential={KEY}%2F20261128%2Fus-east-1%2Fiam%2Faws4_request"


def refused_for(path: str = "/", query: str = "", kind: str = "http", **headers: str) -> str:
    """Return the header that a call is refused for; empty if it passes."""
    sent = {"host": "127.0.0.1:4566"} | {
        name.replace("_", "-"): each for name, each in headers.items()
    }
    scope = {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }
    refused = refusal_of_call(scope, KEY)
    return refused[0] if refused else ""


@pytest.mark.parametrize(
    "call",
    [
        {"authorization": SIGNED},
        {"query": PRESIGNED},
        {"authorization": SIGNED.replace(KEY, "ASIA0123456789ABCDEF")},
        {"path": HEALTH},
        {"path": API},
    ],
    ids=["signed", "presigned", "by a function", "health", "an API"],
)
def test_programs_of_this_machine_may_call(call: dict[str, str]) -> None:
    """With the stack's key, or a role's session; an API's functions check their callers."""
    assert refused_for(**call) == ""


@pytest.mark.parametrize(
    "foreign",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:4566"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "none"},
        {"host": "rebound.example:4566"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "call",
    [{"authorization": SIGNED}, {"query": PRESIGNED}, {"path": HEALTH}, {"path": API}],
    ids=str,
)
def test_no_browser_may_call_anything(call: dict[str, str], foreign: dict[str, str]) -> None:
    """Not even one that knows the key."""
    assert refused_for(**call, **foreign) in {"Origin", "Sec-Fetch-Site", "Host"}


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"authorization": SIGNED.replace(KEY, "test")},
        {"authorization": SIGNED.replace(KEY, "000000000000")},
        {"authorization": f"x {SIGNED}"},
        {"authorization": SIGNED.replace(KEY, ""), "query": PRESIGNED},
        {"query": PRESIGNED.replace(KEY, "test")},
        {"query": f"AWSAccessKeyId={KEY}"},
        {"path": "/_aws/execute-api/abc123"},
        {"path": "/_aws/execute-api/../live/x"},
        {"path": "/latest/meta-data/"},
    ],
    ids=str,
)
def test_another_key_or_none_is_refused(call: dict[str, str]) -> None:
    """The engine itself would take each of them as its root's."""
    assert refused_for(**call) == "Authorization"


@pytest.mark.parametrize(
    "call",
    [
        {"path": "/_ministack/reset"},
        {"path": "/_ministack/config"},
        {"path": "/_ministack/health/"},
        {"path": API, "kind": "websocket"},
    ],
    ids=str,
)
def test_the_engine_s_controls_are_closed_to_all(call: dict[str, str]) -> None:
    """Nothing here needs them, the root's key included."""
    assert refused_for(**call, authorization=SIGNED) == "path"


def test_what_is_refused_does_not_reach_the_engine() -> None:
    """It is answered 403 with the reason; a WebSocket is closed before it opens."""
    app, said = CountingApp(), []

    async def say(message: Any) -> None:
        said.append(message)

    async def calls() -> None:
        engine = guarded(app, lambda scope: refusal_of_call(scope, KEY))
        call = {"path": "/", "query_string": b"", "headers": [(b"host", b"evil.example")]}
        for kind in ("http", "websocket", "lifespan"):
            await engine({"type": kind, **call}, _nothing, say)

    asyncio.run(calls())

    assert app.served == 1  # the server's own start
    assert [message["type"] for message in said] == [
        "http.response.start",
        "http.response.body",
        "websocket.close",
    ]
    assert said[0]["status"] == 403
    assert b"Host" in said[1]["body"]
