"""MiniStack behind a guard, and with a limit on the calls of the API that run at a time.

Run by path under MiniStack's own interpreter: of this repository it imports only the guard.

The guard: MiniStack runs any function that a caller creates, as the user who started it. It takes
its root key from anybody, also from a web page in the user's browser. So the guard is inside the
engine's own process: there is no second port without it.

The limit: MiniStack starts another process for a call if all of a function's processes are busy, as
AWS does. On two cores sixteen such starts took 40 s, and 200 answers posted at once would need 200:
callers gave up.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from sandbox.guard import App, Receive, Refusal, Scope, Send

HEALTH: Final = "/_ministack/health"

_CALL_OF_AN_API: Final = re.compile(r"/_aws/execute-api/[a-z0-9]+/[^/]+/")
"""Calls of deployed APIs: their functions check the callers' tokens."""

_SESSION: Final = re.compile(r"ASIA[A-Z0-9]{16}")
"""Sessions of roles, which functions have. MiniStack knows them, and checks their signatures."""

AT_ONCE: Final = max(4, 2 * (os.cpu_count() or 1))


def a_few_at_a_time(app: App, at_once: int = AT_ONCE) -> App:
    """Let calls of deployed APIs in a few at a time; the AWS calls that those make pass at once."""
    turn = asyncio.Semaphore(at_once)

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "/_aws/execute-api/" in scope["path"]:
            async with turn:
                await app(scope, receive, send)
        else:
            await app(scope, receive, send)

    return limited


def refusal_of_call(scope: Scope, access_key_id: str) -> Refusal | None:
    """Decide on one call: from a program of this machine, and signed with the stack's key.

    MiniStack takes calls without a signature, and signed by `test` or twelve digits, as its root's.
    It checks no signature of its root (1.5.33, `AUTH=true`), so the key's id must be random: it is
    what a web page cannot know.
    """
    from sandbox.guard import refusal_of  # noqa: PLC0415 - main() has made it importable

    refused = refusal_of(scope["headers"], has_page=False)
    if refused is not None:
        return refused
    path: str = scope["path"]
    if scope["type"] == "http" and (path == HEALTH or _CALL_OF_AN_API.match(path)):
        return None
    if scope["type"] != "http" or path.startswith("/_ministack/"):
        return "path", "is not open here"
    signer = _signer(scope)
    if signer == access_key_id or _SESSION.fullmatch(signer):
        return None
    return "Authorization", "must be signed with the stack's own key: see .local/stack.json"


def _signer(scope: Scope) -> str:
    """Return the id of the key that signed a call, by its header or its query; empty for none."""
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    if sent:
        found = re.match(rb"AWS4-HMAC-SHA256 Credential=([A-Za-z0-9]+)/", sent[0])
        return found[1].decode() if found and len(sent) == 1 else ""
    query = parse_qs(scope["query_string"].decode("latin-1"))
    signer: str = query.get("X-Amz-Credential", [""])[0].partition("/")[0]
    return signer


def main() -> None:
    """Serve, with MiniStack's own settings from the environment."""
    sys.path.append(str(Path(__file__).parents[2]))
    from ministack import (  # type: ignore[import-not-found]  # noqa: PLC0415 - only in its environment
        app as ministack,
    )

    from sandbox.guard import guarded  # noqa: PLC0415 - importable from here on

    key = os.environ["AWS_ACCESS_KEY_ID"]
    limited = a_few_at_a_time(ministack.app)
    ministack.app = guarded(limited, lambda scope: refusal_of_call(scope, key))
    ministack.main()


if __name__ == "__main__":
    main()
