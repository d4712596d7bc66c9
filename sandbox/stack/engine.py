"""MiniStack, unchanged except that it takes calls of the API a few at a time; the others wait.

Run by path under MiniStack's own interpreter, so it imports nothing of this repository. MiniStack
starts another process for a call if all of a function's processes are busy, as AWS does. On two
cores sixteen such starts took 40 s, and 200 answers posted at once would need 200: callers gave up.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

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


def main() -> None:
    """Serve, with MiniStack's own settings from the environment."""
    from ministack import (  # type: ignore[import-not-found]  # noqa: PLC0415 - only in its environment
        app as ministack,
    )

    ministack.app = a_few_at_a_time(ministack.app)
    ministack.main()


if __name__ == "__main__":
    main()
