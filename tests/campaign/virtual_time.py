"""A virtual clock, and threads that take turns on it.

Only one thread runs at a time. It runs until it waits: for a time, or for a future. Then the next
thread runs, in the order of the times; a seeded random number decides among equal times. So a day
takes seconds, and a seed gives the same run.

It finds faults of any order of the calls to Braze, DynamoDB and SQS. It cannot find races between
two lines of Python without such a call.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from concurrent.futures import Executor, Future
from concurrent.futures._base import _AsCompletedWaiter
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock, Thread
from time import monotonic as real_monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

Instants = tuple[float, float]
"""One instant on the virtual and on the real clock."""

STUCK_SECONDS = 120.0
"""Real seconds after which a thread that holds the turn must be blocked."""


class KilledError(BaseException):
    """The process of this thread was killed. No code of ours catches it."""


class Process:
    """A group of threads that are frozen, thawed and killed together.

    Attributes:
        calls_left: Calls until it is killed; ``None`` if nothing is planned.
        frozen_until: Its threads do not run before.
        killed: It runs no more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls_left: int | None = None
        self.frozen_until = 0.0
        self.killed = False
        self.tasks: dict[Task, None] = {}
        self.frozen: list[Callable[[], None]] = []


class Task:
    """One thread of a process."""

    def __init__(self, process: Process, run: Callable[[], None], asked_for: Instants) -> None:
        self.process = process
        self.asked_for = asked_for
        self.turn = 0
        self.done = False
        self.go = Lock()
        self.go.acquire()
        self._run = run
        self._thread: Thread | None = None

    def start(self, timeline: Timeline) -> None:
        """Start the thread; it waits for its first turn."""

        def work() -> None:
            self.go.acquire()
            try:
                if not self.process.killed:
                    self._run()
            except KilledError:
                pass
            except BaseException as error:  # noqa: BLE001 - reported by the main thread
                timeline.failures.append(error)
            finally:
                self.done = True
                self.process.tasks.pop(self, None)
                timeline.back.release()

        self._thread = Thread(target=work, daemon=True)
        self._thread.start()

    @property
    def started(self) -> bool:
        """Check that its thread exists."""
        return self._thread is not None


class Timeline:
    """The clock and the order of turns.

    Attributes:
        now: Epoch seconds.
        failures: What escaped a thread.
    """

    def __init__(self, random: Random, now: float) -> None:
        self.now = now
        self.failures: list[BaseException] = []
        self.back = Lock()
        self.back.acquire()
        self._random = random
        self._steps: list[tuple[float, float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._current: Task | None = None

    # -- in the main thread ----------------------------------------------------------------------

    def run(self, until: float) -> None:
        """Run until nothing is left to do, or until this time."""
        while self._steps and self._steps[0][0] <= until:
            at, _, _, step = heapq.heappop(self._steps)
            self.now = max(self.now, at)
            step()
            if self.failures:
                raise self.failures[0]

    def call_at(self, at: float, step: Callable[[], None]) -> None:
        """Call a function at a time. It must not wait."""
        heapq.heappush(self._steps, (at, self._random.random(), next(self._numbers), step))

    def _resume(self, task: Task, turn: int) -> None:
        process = task.process
        if task.done or task.turn != turn:
            return
        if self.now < process.frozen_until and not process.killed:
            process.frozen.append(partial(self._resume, task, turn))
            return
        if not task.started:
            task.start(self)
        self._current = task
        task.go.release()
        if not self.back.acquire(timeout=STUCK_SECONDS):
            raise RuntimeError(f"a thread of {process.name} is blocked and holds the turn")
        self._current = None

    # -- anywhere --------------------------------------------------------------------------------

    def spawn(
        self, process: Process, run: Callable[[], None], asked_for: Instants = (0.0, 0.0)
    ) -> None:
        """Start a thread of a process.

        Args:
            asked_for: When, on the virtual and the real clock.
        """
        task = Task(process, run, asked_for)
        process.tasks[task] = None
        self.call_at(self.now, partial(self._resume, task, 0))

    def kill(self, process: Process) -> None:
        """Kill a process: none of its threads makes another call."""
        process.killed = True
        for task in list(process.tasks):
            self.call_at(self.now, partial(self._resume, task, task.turn))

    def freeze(self, process: Process, until: float) -> None:
        """Let no thread of a process run before this time."""
        process.frozen_until = until
        if until < float("inf"):
            self.call_at(until, partial(self._thaw, process))

    def thaw(self, process: Process) -> None:
        """Let a frozen process run."""
        process.frozen_until = self.now
        self._thaw(process)

    def _thaw(self, process: Process) -> None:
        if self.now >= process.frozen_until:
            for step in process.frozen:
                self.call_at(self.now, step)
            process.frozen = []

    # -- in a thread of a process ----------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Wait; other threads run meanwhile."""
        self._pause(self.now + max(seconds, 0.0))

    def call(self, seconds: float) -> None:
        """Make a call that takes so long. A process that is to be killed ends here."""
        task = self._current
        assert task is not None
        process = task.process
        if process.calls_left is not None:
            process.calls_left -= 1
            if process.calls_left < 0:
                self.kill(process)
        self.sleep(seconds)

    def virtual(self, deadline: float) -> float:
        """Turn an instant of the real clock into one of the virtual clock.

        Delivery makes a deadline immediately before it asks for a thread. Hundredths hide the time
        between the two, so that a seed gives the same run.
        """
        task = self._current
        assert task is not None
        virtual, real = task.asked_for
        return virtual + round(deadline - real, 2)

    def _pause(self, until: float | None) -> None:
        task = self._current
        assert task is not None
        if task.process.killed:
            raise KilledError
        task.turn += 1
        if until is not None:
            self.call_at(until, partial(self._resume, task, task.turn))
        self.back.release()
        task.go.acquire()
        if task.process.killed:
            raise KilledError

    def wake(self, task: Task) -> None:
        """Let a waiting thread run now."""
        self.call_at(self.now, partial(self._resume, task, task.turn))

    def wait(self, event: VirtualEvent, timeout: float | None) -> None:
        """Wait for an event."""
        task = self._current
        assert task is not None
        event.waiting.append(task)
        try:
            self._pause(None if timeout is None else self.now + max(timeout, 0.0))
        finally:
            if task in event.waiting:
                event.waiting.remove(task)


class VirtualEvent:
    """A ``threading.Event`` on the virtual clock."""

    def __init__(self, timeline: Timeline) -> None:
        self.waiting: list[Task] = []
        self._timeline = timeline
        self._set = False

    def is_set(self) -> bool:
        """See ``threading.Event``."""
        return self._set

    def set(self) -> None:
        """See ``threading.Event``."""
        self._set = True
        for task in self.waiting:
            self._timeline.wake(task)

    def clear(self) -> None:
        """See ``threading.Event``."""
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """See ``threading.Event``."""
        if not self._set:
            self._timeline.wait(self, timeout)
        return self._set


class _CompletionEvent(VirtualEvent):
    """The event of ``as_completed``, which would ask the real clock whether its time is over."""

    _until: float | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the same virtual instant, also after some futures are done.

        Raises:
            TimeoutError: As ``as_completed`` does.
        """
        if timeout is not None:
            if self._until is None:
                self._until = self._timeline.now + round(timeout, 2)
            timeout = self._until - self._timeline.now
        if not super().wait(timeout):
            raise TimeoutError
        return True


class VirtualFuture(Future[Any]):
    """A future for which ``wait`` and ``as_completed`` wait on the virtual clock.

    They block on the event of a waiter that they add to each future. Here the list of waiters
    gives that event another class. (CPython 3.11 to 3.14 do the same.)
    """

    _numbers = itertools.count()

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline
        self._waiters = _Waiters(timeline)
        self._number = next(self._numbers)

    def __hash__(self) -> int:
        """Give sets of futures the same order in each run."""
        return self._number

    def result(self, timeout: float | None = None) -> Any:
        """See ``Future``."""
        self._await(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """See ``Future``."""
        self._await(timeout)
        return super().exception(0)

    def _await(self, timeout: float | None) -> None:
        if not self.done():
            event = VirtualEvent(self._timeline)
            self.add_done_callback(lambda _: event.set())
            event.wait(timeout)


class _Waiters(list[Any]):
    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline

    def append(self, waiter: Any) -> None:
        if not isinstance(waiter.event, VirtualEvent):
            completes = isinstance(waiter, _AsCompletedWaiter)
            waiter.event = (_CompletionEvent if completes else VirtualEvent)(self._timeline)
        super().append(waiter)


class VirtualExecutor(Executor):
    """Threads of a process that take turns."""

    def __init__(self, timeline: Timeline, process: Process, workers: int) -> None:
        self._timeline = timeline
        self._process = process
        self._idle = workers
        self._waiting: deque[tuple[VirtualFuture, Instants, Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See ``Executor``."""
        future = VirtualFuture(self._timeline)
        both = self._timeline.now, real_monotonic()
        self._waiting.append((future, both, partial(fn, *args, **kwargs)))
        self._start()
        return future

    def _start(self) -> None:
        if self._idle and self._waiting:
            self._idle -= 1
            future, both, call = self._waiting.popleft()
            self._timeline.spawn(self._process, partial(self._work, future, call), both)

    def _work(self, future: VirtualFuture, call: Callable[[], Any]) -> None:
        try:
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001 - as an executor does
                    future.set_exception(error)
                else:
                    future.set_result(result)
        finally:
            self._idle += 1
            self._start()


class VirtualClock:
    """A Lambda's clock: it may differ a little from the others."""

    def __init__(self, timeline: Timeline, skew: float) -> None:
        self._timeline = timeline
        self._skew = timedelta(seconds=skew)

    def now(self) -> datetime:
        """See :class:`braze_bridge.clock.Clock`."""
        return datetime.fromtimestamp(self._timeline.now, UTC) + self._skew
