"""Calls side by side: which results are kept, and what is waited for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from braze_bridge.aws.side_by_side import side_by_side


def test_every_result_is_at_its_items_place() -> None:
    """Also of the calls that a failure could not stop."""
    with ThreadPoolExecutor(4) as pool:
        found = side_by_side(lambda n: n * 2, range(500), pool, lambda: 60.0, lambda _: False)
        assert found == [n * 2 for n in range(500)]
        failed = side_by_side(lambda n: n * 2, range(500), pool, lambda: 60.0, lambda n: n == 20)
    assert failed[10] == 20
    assert all(each in {None, n * 2} for n, each in enumerate(failed))


def test_without_time_nothing_is_waited_for() -> None:
    """The calls that did not start never do."""
    stuck = Event()
    with ThreadPoolExecutor(1) as pool:
        assert side_by_side(lambda _: stuck.wait(), [1, 2], pool, lambda: 0.0) == [None, None]
        stuck.set()


def test_after_a_failure_or_without_time_no_call_starts() -> None:
    """Also without an executor, and also of the calls that a thread has not begun."""
    made: list[int] = []
    left = iter([1.0, 1.0, 0.0, 0.0])
    with ThreadPoolExecutor(1) as pool:
        for executor in (None, pool):
            side_by_side(made.append, [1, 2, 3], executor, lambda: 60.0, lambda _: True)
    side_by_side(made.append, [4, 5, 6, 7], None, lambda: next(left))

    assert made == [1, 1, 4, 5]


def test_an_exception_ends_everything() -> None:
    """It is the caller's bug."""
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        side_by_side(lambda n: 1 // n, [0], pool, lambda: 60.0, lambda _: False)
