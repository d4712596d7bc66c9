"""Parallel calls with a deadline: to Braze behind the gate, and to Quikly and SQS without one.

A call that there is no time or no thread to start gets no observation: the next batch makes it.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import wait
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from braze_bridge.braze.errors import (
    AuthenticationError,
    BrazeError,
    PermissionDeniedError,
    RateLimitedError,
)
from braze_bridge.braze.transport import Deadline
from braze_bridge.gate.calls import (
    REPORTING_SECONDS,
    SHORTEST_READ,
    CallLoop,
    FaultyCallError,
    NoAnswerError,
)
from braze_bridge.gate.rules import wait_behind_gate
from quikly_acquisition.actions import Held, Observation, OutcomeUnknown, TryAgain
from quikly_acquisition.error_outcomes import KEY_REASONS, Closing, braze_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.braze.limits import EndpointFamily
    from braze_bridge.braze.models import ExportIdsResponse, TrackResponse
    from braze_bridge.braze.subscriptions import (
        SubscriptionStatusGetResponse,
        SubscriptionStatusSetResponse,
    )
    from quikly_acquisition.dependencies import Dependencies
    from quikly_acquisition.reporting import Figures

    BrazeAnswer: TypeAlias = (
        TrackResponse
        | ExportIdsResponse
        | SubscriptionStatusGetResponse
        | SubscriptionStatusSetResponse
    )

QUIKLY_TIMEOUT: Final = (3.0, 7.0)
"""Connect and read seconds. No credit begins with less time left, since the outcome of a call that
is cut short is unknown."""

DEADLINE_MARGIN: Final = 6.0
"""Seconds of the Lambda's time for storing the results and queueing the next steps."""

ActionT = TypeVar("ActionT")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to Braze.

    Attributes:
        ids: The acquisitions that need it.
        send: Makes it; takes a ``timeout`` of connect and read seconds, and a ``deadline``.
        read: Returns each acquisition's observation after a success.
        split: Returns the calls that replace it after an error; ``None`` if none do.
    """

    ids: Sequence[str]
    send: Callable[..., BrazeAnswer]
    read: Callable[[Any], Mapping[str, Observation]]
    split: Callable[[BrazeError], Sequence[Call] | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class ParallelCalls:
    """The calls of one round of actions.

    Attributes:
        remaining: Seconds left to this invocation.
        figures: Added to.
        observations: By acquisition id.
    """

    deps: Dependencies
    remaining: Callable[[], float]
    figures: Figures
    observations: dict[str, Observation]

    def without_gate(
        self,
        actions: Mapping[str, ActionT],
        call: Callable[[ActionT, float], Observation],
        seconds: float,
        late: Observation,
    ) -> None:
        """Make calls without a gate.

        Args:
            call: Makes one, until a deadline.
            seconds: No call starts with less time left.
            late: Observed of calls that have not ended when the others must be stored, such as a
                DNS look-up that hangs.
        """
        deadline = self._deadline()

        def in_time(action: ActionT) -> Observation | None:
            if self.remaining() - DEADLINE_MARGIN < seconds:
                return None
            return call(action, deadline)

        futures = {self.deps.executor.submit(in_time, actions[id_]): id_ for id_ in actions}
        done, unfinished = wait(futures, timeout=self._patience())
        for future in unfinished:
            if not future.cancel():
                self.observations[futures[future]] = late
        for future in done:
            error = future.exception()
            observation = future.result() if error is None else OutcomeUnknown(self._fault(error))
            if observation is not None:
                self.observations[futures[future]] = observation

    def behind_gate(self, family: EndpointFamily, calls: Sequence[Call]) -> None:
        """Make calls of one family, as many at a time as its gate and the machine allow."""
        if not calls:
            return
        gate = self.deps.gate
        admission = gate.admit(family)
        waiting = deque(calls)
        if admission.closed_until is not None:
            self.figures.key_refused += admission.reason in KEY_REASONS
            held = Held(admission.closed_until, admission.reason)
            self._hold(waiting, held, admission.since)
            return
        loop = CallLoop[Call, "BrazeAnswer"](
            _Round(self, family, waiting),
            gate,
            family,
            self.deps.executor,
            self.deps.concurrency,
            lambda: self.remaining() - DEADLINE_MARGIN,
        )
        try:
            stopped = loop.run()
        finally:
            self.figures.requests += loop.started
        if stopped.until is not None:
            unsent = [] if stopped.unsent is None else [stopped.unsent]
            self._hold([*unsent, *waiting], Held(stopped.until, stopped.why))

    def close(self, family: EndpointFamily, closing: Closing) -> None:
        """Close the gate of a family, or of all."""
        which = None if closing.scope == "all" else family
        self.deps.gate.close(which, closing.until, closing.reason)
        if closing.reason not in self.figures.closings:
            self.figures.closings.append(closing.reason)

    def answered(
        self, family: EndpointFamily, call: Call, outcome: BrazeAnswer | BrazeError
    ) -> Sequence[Call]:
        """Read an answer; returns the calls that replace the refused one."""
        if not isinstance(outcome, BrazeError):
            self.deps.gate.record_success(family, outcome.rate_limit)
            self.observations.update(call.read(outcome))
            return ()
        if isinstance(outcome, NoAnswerError):
            self._observe([call], TryAgain("no_answer"))
            return ()
        if isinstance(outcome, FaultyCallError):
            self._count_fault(outcome.fault)
        replacing = call.split(outcome)
        if replacing is not None:
            return replacing
        self.figures.rate_limited += isinstance(outcome, RateLimitedError)
        self.figures.key_refused += isinstance(outcome, AuthenticationError | PermissionDeniedError)
        # The closing counts from the answer, since the batch may have begun long before.
        result = braze_outcome(outcome, self.deps.clock.now())
        if result.closing is not None:
            self.close(family, result.closing)
        if isinstance(result.observation, Held):
            self._hold([call], result.observation)
        else:
            self._observe([call], result.observation)
        return ()

    def _hold(self, calls: Iterable[Call], held: Held, since: datetime | None = None) -> None:
        """Let the acquisitions come back in steps, so that a gate opened by hand releases them."""
        now = self.deps.clock.now()
        seconds = wait_behind_gate(since or now, held.until, now)
        self._observe(calls, replace(held, until=now + timedelta(seconds=seconds)))

    def _observe(self, calls: Iterable[Call], observation: Observation) -> None:
        for call in calls:
            self.observations.update(dict.fromkeys(call.ids, observation))

    def _fault(self, error: BaseException) -> str:
        """Count a bug of ours, so that the results of the other calls are still stored."""
        if not isinstance(error, Exception):
            raise error
        name = type(error).__name__
        self._count_fault(name)
        return name

    def _count_fault(self, name: str) -> None:
        self.figures.faults[name] = self.figures.faults.get(name, 0) + 1

    def _deadline(self) -> Deadline:
        """Return the deadline of a call that starts now."""
        return Deadline.after(self.remaining() - DEADLINE_MARGIN)

    def _patience(self) -> float:
        """Return for how many seconds to wait for calls under way."""
        return max(self.remaining() - DEADLINE_MARGIN + REPORTING_SECONDS, SHORTEST_READ)


@dataclass(frozen=True, slots=True)
class _Round:
    """The requests of one family, as the loop asks for them."""

    calls: ParallelCalls
    family: EndpointFamily
    waiting: deque[Call]

    def next(self) -> Call | None:
        """Choose the next request."""
        return self.waiting.popleft() if self.waiting else None

    def send(self, call: Call, *, timeout: tuple[float, float], deadline: Deadline) -> BrazeAnswer:
        """Make a request."""
        return call.send(timeout=timeout, deadline=deadline)

    def answered(self, call: Call, outcome: BrazeAnswer | BrazeError) -> None:
        """Take its outcome."""
        self.waiting.extendleft(self.calls.answered(self.family, call, outcome))
