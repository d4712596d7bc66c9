"""One local stack for the session, in a folder of its own."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from sandbox.stack import lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.stack.stack_file import StackFile

FOLDERS: Final = lifecycle.DEFAULT_FOLDER / "e2e"


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[StackFile]:
    """Start a stack. If tests fail, its folder stays until the next session, for the logs."""
    clear_away_dead_sessions()
    folder = FOLDERS / str(os.getpid())
    with lifecycle.local_stack(folder) as running:
        yield running
    if not request.session.testsfailed:
        shutil.rmtree(folder)


def clear_away_dead_sessions() -> None:
    """Stop the stacks of sessions that were killed."""
    for folder in FOLDERS.glob("*"):
        if folder.name.isdecimal() and not is_alive(int(folder.name)):
            lifecycle.down(folder)
            shutil.rmtree(folder)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
