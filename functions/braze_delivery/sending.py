"""The third step of a batch: send the requests side by side, and settle each answer."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Final

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    PermissionDeniedError,
    RateLimitedError,
)
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.gate.calls import CallLoop, FaultyCallError
from braze_bridge.gate.rules import wait_behind_gate
from braze_delivery.batch import DEADLINE_MARGIN, SHORT_RETRY
from braze_delivery.merging import merge
from braze_delivery.nameless import NamelessRefusals
from braze_delivery.outcomes import Outcomes
from braze_delivery.packing import RequestPlan, apart, pack
from braze_delivery.settling import Closing, settle, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from braze_bridge.braze.models import TrackResponse
    from braze_bridge.braze.transport import Deadline
    from braze_delivery.batch import Batch
    from braze_delivery.entry import Chunk
    from braze_delivery.leasing import LeasedChunks
    from braze_delivery.packing import TrackObject
    from braze_delivery.settling import Settlement

CLOSING_SECONDS: Final = 60.0
"""How long nothing is sent if Braze gives no time."""

REFUSED: Final = Closing("family", None, "requests_refused")
"""If every request is refused alike, the configuration is at fault."""


class Sender:
    """Sends the objects of a batch. What the deadline or the gate forbids stays open.

    Args:
        batch: Of the jobs.
        chunks: Their people.
        settled: Called for each chunk as soon as nothing of it is to be sent any more.
    """

    def __init__(
        self, batch: Batch, chunks: LeasedChunks, settled: Callable[[Chunk], None]
    ) -> None:
        self._batch = batch
        self._ports = batch.ports
        self._result = batch.result
        self._chunks = chunks
        self._outcomes = Outcomes(batch, settled)
        self._plans = pack(self._pieces())
        self._follow_ups: deque[RequestPlan] = deque()
        self._closed = False
        self._nameless = NamelessRefusals()

    def run(self) -> None:
        """Send everything, and the requests that Braze's answers require."""
        loop = CallLoop[RequestPlan, "TrackResponse"](
            self,
            self._ports.gate,
            EndpointFamily.TRACK,
            self._ports.executor,
            self._ports.concurrency,
            lambda: self._batch.seconds_left() - DEADLINE_MARGIN,
        )
        try:
            stopped = loop.run()
        finally:
            self._result.requests += loop.started
        if stopped.why == "paced":
            self._stay_away(stopped.until)
        elif stopped.why == "no thread":
            self._batch.hold_up(stopped.why)
        self._judge_nameless()

    def _pieces(self) -> Iterator[Sequence[TrackObject]]:
        """Merge person by person, as their leases arrive.

        If Braze did not take an event at its last send, each of the person's objects is sent alone:
        Braze may refuse it without a name, and each answer about it puts others in doubt. There are
        few: look-ups find 100 x 50 people a minute at most, and Braze takes more requests a second.
        """
        while (chunk := self._chunks.next()) is not None:
            states = chunk.leases.states
            for key, entries in chunk.leased.items():
                merged = merge(key, entries, states[key])
                self._result.stale_attributes += merged.stale
                pieces = merged.pieces
                for item in chain.from_iterable(pieces):
                    for entry in item.entries:
                        entry.open += 1
                        chunk.unsettled += 1
                for entry in entries:
                    entry.open -= 1
                if any(entry.is_alone for entry in entries):
                    self._follow_ups += apart(chain.from_iterable(pieces))
                else:
                    yield from pieces
            self._outcomes.settled(chunk)

    # -- what the loop asks --------------------------------------------------------------------

    def next(self) -> RequestPlan | None:
        """Choose a new request before one that an answer requires.

        So a success that shows that a refusal is not our fault comes as soon as possible.
        """
        if self._closed:
            return None
        plan = next(self._plans, None)
        if plan is None and self._follow_ups:
            plan = self._follow_ups.popleft()
        if plan is not None:
            self._nameless.chosen(plan)
        return plan

    def send(
        self, call: RequestPlan, *, timeout: tuple[float, float], deadline: Deadline
    ) -> TrackResponse:
        """Send a request."""
        return self._ports.track(call.request(), timeout=timeout, deadline=deadline)

    def answered(self, call: RequestPlan, outcome: TrackResponse | BrazeError) -> None:
        """Settle the objects of a request."""
        outcome = outcome if isinstance(outcome, BrazeError) else understood(outcome)
        settlement = settle(call, outcome)
        self._outcomes.apply(settlement, outcome)
        if settlement.delivered:
            self._outcomes.reject(self._nameless.success(call))
        if isinstance(outcome, BadRequestError) and not outcome.errors:
            self._nameless.refused()
        self._nameless.add(settlement.unconfirmed)
        self._plan_follow_ups(call, settlement)
        self._report(outcome)
        if settlement.closing is not None:
            self._close(settlement.closing)
        if settlement.unconfirmed and self._nameless.look_like_a_fault:
            self._reject_final()
            if self._nameless.look_like_a_fault:
                self._close(REFUSED)

    # -- answers -------------------------------------------------------------------------------

    def _plan_follow_ups(self, sent: RequestPlan, settlement: Settlement) -> None:
        """Plan what an answer requires, and what waits behind this request.

        The requests of one person follow one another: in parallel an older value could arrive last,
        and two requests could each create the person. The parts of a refused merge are the oldest.
        """
        parts = [
            RequestPlan.of(each) for each in map(self._outcomes.split, settlement.split) if each
        ]
        behind = [RequestPlan.of(settlement.behind)] if settlement.behind else []
        plans = [*parts, *behind, *settlement.resend]
        if not sent.then and not any(item.group is not None for item in settlement.split):
            self._follow_ups.extend(plans)
        elif settlement.retry or settlement.unknown:
            for item in (each for plan in sent.then for each in plan.objects):
                self._outcomes.done(item)
        elif line := [*plans, *sent.then]:
            self._follow_ups.append(RequestPlan.in_line(line))

    def _report(self, outcome: TrackResponse | BrazeError) -> None:
        """Tell the gate of a success, and count refusals and Braze's limit."""
        if isinstance(outcome, RateLimitedError):
            self._result.rate_limited += 1
        elif isinstance(outcome, AuthenticationError | PermissionDeniedError):
            self._result.key_refused += 1
        elif isinstance(outcome, FaultyCallError):
            self._batch.hold_up(outcome.message)
        elif not isinstance(outcome, BrazeError):
            self._ports.gate.record_success(EndpointFamily.TRACK, outcome.rate_limit)
        limit = outcome.rate_limit
        if limit is not None and limit.remaining is not None:
            known = self._result.remaining
            self._result.remaining = (
                limit.remaining if known is None else min(known, limit.remaining)
            )

    # -- the gate ------------------------------------------------------------------------------

    def _close(self, closing: Closing) -> None:
        seconds = closing.seconds if closing.seconds is not None else CLOSING_SECONDS
        # Counted from the answer: the batch may have begun long before.
        until = self._ports.clock.now() + timedelta(seconds=seconds)
        family = None if closing.scope == "all" else EndpointFamily.TRACK
        self._ports.gate.close(family, until, closing.reason)
        self._stay_away(until)
        if closing.reason not in self._result.closings:
            self._result.closings.append(closing.reason)

    def _stay_away(self, until: datetime | None) -> None:
        """Send nothing more in this batch."""
        self._closed = True
        self._result.gate_closed = True
        now = self._ports.clock.now()
        seconds = SHORT_RETRY if until is None else wait_behind_gate(now, until, now)
        self._batch.closed_for = max(self._batch.closed_for, seconds)

    # -- refusals without a name ---------------------------------------------------------------

    def _judge_nameless(self) -> None:
        """At the end of the batch, decide what becomes of the refusals since the last success."""
        nameless = self._nameless
        is_fault = REFUSED.reason in self._result.closings
        if nameless.had_success and not is_fault:
            self._outcomes.reject(nameless.waiting)
            return
        self._reject_final()
        for item, _ in nameless.waiting:
            for entry in item.entries:
                entry.tried = True
                entry.wait(CLOSING_SECONDS)
        if nameless.has_last and not is_fault:
            self._close(REFUSED)

    def _reject_final(self) -> None:
        """Reject what was tried often enough, if Braze took something of any Lambda since."""
        leased = [
            entry
            for chunk in self._chunks.taken
            for entries in chunk.leased.values()
            for entry in entries
        ]
        self._outcomes.reject(
            self._nameless.take_final(
                self._ports.gate.last_success(EndpointFamily.TRACK),
                is_only_job=sum(entry.open > 0 for entry in leased) == 1,
            )
        )
