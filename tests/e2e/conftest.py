"""The tests that need a local stack (the session's own, the fixture `stack`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
LAST: Final = "test_logs.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here as e2e: `-m "not e2e"` leaves it out.

    The test that reads the logs of the whole run comes last.
    """
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: item.path == HERE / LAST)
