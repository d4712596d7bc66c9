"""The one loop that sends requests to Braze side by side: behind the gate, until a deadline."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, Literal, Protocol, TypeVar

from braze_bridge.aws.side_by_side import submit
from braze_bridge.braze.errors import BrazeError, UnknownOutcomeError
from braze_bridge.braze.transport import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from datetime import datetime

    from braze_bridge.braze.limits import EndpointFamily
    from braze_bridge.gate.port import Gate

CONNECT_TIMEOUT: Final = 3.05
READ_TIMEOUT: Final = 10.0
"""Seconds. A healthy endpoint answers in well under one."""

SHORTEST_READ: Final = 1.0
"""Seconds. A request with less reading time is not started."""

REPORTING_SECONDS: Final = 0.5
"""A request that ends at its deadline needs a moment to say whether it was sent."""

CallT = TypeVar("CallT")
AnswerT = TypeVar("AnswerT")
CallT_contra = TypeVar("CallT_contra", contravariant=True)


class NoAnswerError(UnknownOutcomeError):
    """The request outlasted its deadline, as only a DNS look-up that hangs can."""


class FaultyCallError(UnknownOutcomeError):
    """A bug of ours ended the request. The outcomes of the others must still be stored.

    Attributes:
        fault: The type of the exception.
    """

    def __init__(self, error: Exception) -> None:
        self.fault = type(error).__name__
        super().__init__(f"failed: {self.fault}")


class Calls(Protocol[CallT, AnswerT]):
    """The requests of a batch. All methods but ``send`` run in the thread of the loop."""

    def next(self) -> CallT | None:
        """Choose the next request, if there is one."""
        ...

    def send(self, call: CallT, *, timeout: tuple[float, float], deadline: Deadline) -> AnswerT:
        """Make a request, in a thread of its own.

        Raises:
            BrazeError: Anything but a success.
        """
        ...

    def answered(self, call: CallT, outcome: AnswerT | BrazeError) -> None:
        """Take the outcome of a request. It may be a :class:`NoAnswerError`."""
        ...


@dataclass(frozen=True, slots=True)
class Stopped(Generic[CallT]):
    """Why the loop ended.

    Attributes:
        why: ``paced`` stands for any gate that closed after the batch was admitted.
        until: When the gate opens, if it is closed.
        unsent: A request that was chosen and not sent.
    """

    why: Literal["done", "no time", "no thread", "paced"]
    until: datetime | None = None
    unsent: CallT | None = None


@dataclass(slots=True)
class CallLoop(Generic[CallT, AnswerT]):
    """Sends requests side by side, as many as the gate, the threads and the deadline allow.

    Attributes:
        calls: The requests.
        gate: Of their family.
        executor: Its threads send.
        concurrency: Most requests at a time.
        seconds_left: Until the deadline of every request.
        started: Number of requests that a thread began, or may begin.
    """

    calls: Calls[CallT, AnswerT]
    gate: Gate
    family: EndpointFamily
    executor: Executor
    concurrency: int
    seconds_left: Callable[[], float]
    started: int = field(default=0, init=False)
    _in_flight: dict[Future[AnswerT], CallT] = field(default_factory=dict, init=False)
    _waiting: CallT | None = field(default=None, init=False)
    _stopped: Stopped[CallT] | None = field(default=None, init=False)

    def run(self) -> Stopped[CallT]:
        """Send until there is no request, no time or no open gate."""
        try:
            while True:
                while len(self._in_flight) < self.concurrency and self._start():
                    pass
                if not self._in_flight:
                    break
                done, _ = wait(self._in_flight, self._patience(), return_when=FIRST_COMPLETED)
                if not done:
                    break
                for future in done:
                    self.calls.answered(self._in_flight.pop(future), self._outcome(future))
        finally:
            self._give_up()
        return self._stopped or Stopped("done", unsent=self._waiting)

    def _start(self) -> bool:
        """Start the next request, if there is one and it may start."""
        if self._stopped is not None:
            return False
        if self._waiting is None:
            self._waiting = self.calls.next()
        call = self._waiting
        if call is None:
            return False
        left = self.seconds_left()
        to_read = min(READ_TIMEOUT, left - CONNECT_TIMEOUT)
        if to_read < SHORTEST_READ:
            self._stopped = Stopped("no time", unsent=call)
            return False
        # Other Lambdas may close or pace the gate at any time.
        if not self.gate.may_start(self.family, len(self._in_flight)):
            if not self._in_flight:
                until = self.gate.closed_until(self.family)
                self._stopped = Stopped("paced", until, call)
            return False
        timeout = CONNECT_TIMEOUT, to_read
        deadline = Deadline.after(left)
        future = submit(
            self.executor, lambda: self.calls.send(call, timeout=timeout, deadline=deadline)
        )
        if future is None:
            self._stopped = Stopped("no thread", unsent=call)
            return False
        self._waiting = None
        self.started += 1
        self._in_flight[future] = call
        return True

    def _give_up(self) -> None:
        """Cancel what has not started. What has no answer at its deadline is unknown."""
        in_flight, self._in_flight = self._in_flight, {}
        started = {future: call for future, call in in_flight.items() if not future.cancel()}
        self.started -= len(in_flight) - len(started)
        done, _ = wait(started, self._patience())
        fault: Exception | None = None
        for future, call in started.items():
            try:
                late = NoAnswerError("no answer within this invocation")
                self.calls.answered(call, self._outcome(future) if future in done else late)
            except Exception as error:  # noqa: BLE001 - the others must be settled, too
                fault = error
        if fault is not None:
            raise fault

    def _patience(self) -> float:
        return max(self.seconds_left(), 0.0) + REPORTING_SECONDS

    def _outcome(self, future: Future[AnswerT]) -> AnswerT | BrazeError:
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, BrazeError):
            return error
        if not isinstance(error, Exception):
            raise error
        return FaultyCallError(error)
