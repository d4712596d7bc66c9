"""Make calls side by side, until a deadline or the first failure."""

from __future__ import annotations

from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def side_by_side(
    call: Callable[[ItemT], ResultT],
    items: Sequence[ItemT],
    executor: Executor | None,
    seconds_left: Callable[[], float],
    is_failure: Callable[[ResultT], bool] | None = None,
) -> list[ResultT | None]:
    """Call a function for each item.

    Args:
        call: Its exceptions end everything.
        items: One for each call.
        executor: Without one the calls follow one another.
        seconds_left: Until nothing is waited for.
        is_failure: Recognizes a result after which no other call starts.

    Returns:
        The result of each call; ``None`` if it did not start, or did not end in time.
    """
    results: list[ResultT | None] = [None] * len(items)
    if executor is None:
        for number, item in enumerate(items):
            if seconds_left() <= 0:
                break
            results[number] = result = call(item)
            if is_failure and is_failure(result):
                break
        return results
    numbers = {executor.submit(call, item): number for number, item in enumerate(items)}
    waiting = set(numbers)
    until = ALL_COMPLETED if is_failure is None else FIRST_COMPLETED
    while waiting:
        timeout = max(seconds_left(), 0)
        done, waiting = wait(waiting, timeout, return_when=until)
        for future in done:
            results[numbers[future]] = result = future.result()
            if is_failure and is_failure(result):
                waiting = {each for each in waiting if not each.cancel()}
        if not done:
            break
    for future in waiting:
        future.cancel()
    return results
