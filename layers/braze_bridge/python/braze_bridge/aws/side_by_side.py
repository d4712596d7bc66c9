"""Make calls side by side, until a deadline or the first failure."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, wait
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def submit(executor: Executor, call: Callable[[], ResultT]) -> Future[ResultT] | None:
    """Submit a call, as :meth:`Executor.submit`.

    A pool puts the call into its queue and then starts a thread. If that fails ("can't start new
    thread"), another thread of the pool may still make the call, much later.

    Returns:
        ``None`` if no thread could be started; then the call is never made.
    """
    result: Future[ResultT] = Future()

    def run() -> ResultT:
        if not result.set_running_or_notify_cancel():
            raise CancelledError
        try:
            answer = call()
        except BaseException as error:
            result.set_exception(error)
            raise
        result.set_result(answer)
        return answer

    try:
        return executor.submit(run)
    except RuntimeError:
        return None if result.cancel() else result


def in_background(executor: Executor | None, call: Callable[[], ResultT]) -> Future[ResultT]:
    """Submit a call, or make it now if there is no executor or no thread."""
    future = None if executor is None else submit(executor, call)
    if future is None:
        future = Future()
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - the future hands it to whoever asks
            future.set_exception(error)
    return future


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
        executor: Without one the calls follow one another. Without a thread, no other starts.
        seconds_left: Until nothing starts and nothing is waited for.
        is_failure: Recognizes a result after which no other call starts.

    Returns:
        The result of each call; ``None`` if it did not start, or did not end in time.
    """
    results: list[ResultT | None] = [None] * len(items)
    stopped = False

    def work(number: int) -> None:
        nonlocal stopped
        if not stopped and seconds_left() > 0:
            results[number] = result = call(items[number])
            if is_failure is not None and is_failure(result):
                stopped = True

    if executor is None:
        for number in range(len(items)):
            work(number)
        return results
    futures = []
    for number in range(len(items)):
        future = submit(executor, partial(work, number))
        if future is None:
            break
        futures.append(future)
    done, _ = wait(futures, max(seconds_left(), 0), FIRST_EXCEPTION)
    stopped = True
    for future in done:
        future.result()
    return list(results)  # a late call may still change the other list
