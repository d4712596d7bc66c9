"""Postpone Ctrl-C between the start of a process and the moment it is recorded."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    Handler = Callable[[int, FrameType | None], None]


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Keep SIGINT and SIGTERM until the end of the `with`, then let them do what they do.

    With handlers, since a child would inherit a blocked or ignored signal.
    """
    kept: list[int] = []
    ours: dict[signal.Signals, Handler] = {
        number: lambda number, _: kept.append(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    with _handlers(ours):
        yield
    for number in kept[:1]:
        os.kill(os.getpid(), number)


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the program as Ctrl-C does, so that servers are ended."""
    ours: dict[signal.Signals, Handler] = {
        number: _leave
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    }
    with _handlers(ours):
        yield


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


@contextlib.contextmanager
def _handlers(wanted: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Set signal handlers for a while; only the main thread may set any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
