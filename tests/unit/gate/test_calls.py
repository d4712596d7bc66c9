"""The loop that sends requests side by side: what it starts, when it stops, what it reports."""

from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.errors import BrazeError, ServerError
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.gate.calls import CallLoop, FaultyCallError, NoAnswerError
from tests.fakes.braze import InlineExecutor
from tests.fakes.gate import NoGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.transport import Deadline
    from braze_bridge.gate.port import Gate


class Numbers:
    """Sends some numbers; the answer is ten times the number."""

    def __init__(self, count: int, answer: Callable[[int], int] = lambda call: 10 * call) -> None:
        self.left = list(range(count))
        self.outcomes: dict[int, int | BrazeError] = {}
        self._answer = answer

    def next(self) -> int | None:
        return self.left.pop(0) if self.left else None

    def send(self, call: int, *, timeout: tuple[float, float], deadline: Deadline) -> int:
        del timeout, deadline
        return self._answer(call)

    def answered(self, call: int, outcome: int | BrazeError) -> None:
        self.outcomes[call] = outcome


class NoThread(InlineExecutor):
    """Cannot start a thread."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        raise RuntimeError("can't start new thread")


class ClosedGate(NoGate):
    """Closed by another Lambda after the batch was admitted."""

    def may_start(self, *_: object) -> bool:
        return False


def loop(
    calls: Numbers,
    executor: Executor | None = None,
    *,
    gate: Gate | None = None,
    seconds: float = 30.0,
) -> CallLoop[int, int]:
    return CallLoop(
        calls,
        gate or NoGate(),
        EndpointFamily.TRACK,
        executor or InlineExecutor(),
        2,
        lambda: seconds,
    )


def test_every_request_is_sent_and_answered() -> None:
    """Until there is no other."""
    calls = Numbers(5)
    sender = loop(calls)

    assert sender.run().why == "done"
    assert (sender.started, calls.outcomes) == (5, {n: 10 * n for n in range(5)})


def test_errors_and_bugs_are_outcomes_and_stop_no_other_request() -> None:
    """A bug of ours leaves the outcome unknown."""

    def fail(call: int) -> int:
        if call == 0:
            raise ServerError("", status=500)
        if call == 1:
            raise KeyError(call)
        return call

    calls = Numbers(3, fail)
    loop(calls).run()

    assert isinstance(calls.outcomes[0], ServerError)
    assert isinstance(calls.outcomes[1], FaultyCallError)
    assert calls.outcomes[2] == 2


@pytest.mark.parametrize(
    ("why", "options"),
    [
        ("no time", {"seconds": 4.0}),
        ("no thread", {"executor": NoThread()}),
        ("paced", {"gate": ClosedGate()}),
    ],
)
def test_what_cannot_start_is_not_sent(why: str, options: dict[str, Any]) -> None:
    """The caller gets the request that was chosen."""
    calls = Numbers(2)
    sender = loop(calls, **options)

    stopped = sender.run()

    assert (stopped.why, stopped.unsent) == (why, 0)
    assert (sender.started, calls.outcomes) == (0, {})


def test_a_request_without_an_answer_at_the_deadline_is_unknown() -> None:
    """One that waits for a thread is cancelled, and has no outcome."""
    hangs, time_is_up = Event(), Event()

    def hang(call: int) -> int:
        time_is_up.set()
        hangs.wait(30)
        return call

    calls = Numbers(2, hang)
    with ThreadPoolExecutor(1) as executor:
        sender = CallLoop[int, int](
            calls,
            NoGate(),
            EndpointFamily.TRACK,
            executor,
            2,
            lambda: 0.0 if len(calls.left) == 0 and time_is_up.is_set() else 30.0,
        )
        sender.run()
        hangs.set()

    assert [type(each) for each in calls.outcomes.values()] == [NoAnswerError]
    assert (sender.started, list(calls.outcomes)) == (1, [0])
