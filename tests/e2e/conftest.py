"""One local stack for the session, in a folder of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from sandbox.stack import lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.stack.stack_file import StackFile

HERE: Final = Path(__file__).parent
LAST: Final = "test_logs.py"
FOLDERS: Final = lifecycle.DEFAULT_FOLDER / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is in this room needs the stack: `-m "not e2e"` leaves it out.

    What reads the logs of the whole run comes last.
    """
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: item.path == HERE / LAST)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[StackFile]:
    """A running stack. Where tests failed its folder stays, for the logs, until the next one."""
    clear_away_dead_sessions()
    folder = FOLDERS / str(os.getpid())
    with lifecycle.local_stack(folder) as running:
        yield running
    if not request.session.testsfailed:
        shutil.rmtree(folder)


def clear_away_dead_sessions() -> None:
    """A session that was killed could not stop its stack."""
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
