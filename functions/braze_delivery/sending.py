"""The second step of a batch: send the requests side by side, and settle each answer."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from braze_bridge.braze.errors import (
    AuthenticationError,
    BrazeError,
    PermissionDeniedError,
    RateLimitedError,
    UnknownOutcomeError,
)
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.braze.retry import retry_delay
from braze_bridge.braze.transport import Deadline
from braze_bridge.gate.rules import wait_behind_gate
from braze_delivery.batch import SHORT_RETRY
from braze_delivery.packing import MergedObjects, RequestPlan, apart, fitting, pack, split_merged
from braze_delivery.settling import Closing, Settlement, settle, understood

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from braze_bridge.braze.models import TrackResponse
    from braze_bridge.ledger.port import Leases
    from braze_bridge.reasons import Reason
    from braze_delivery.batch import Batch
    from braze_delivery.entry import BatchEntry
    from braze_delivery.packing import TrackObject

CONNECT_TIMEOUT: Final = 3.05
READ_TIMEOUT: Final = 10.0
"""Seconds. A healthy `/users/track` answers in well under one."""

DEADLINE_MARGIN: Final = 6.5
"""Seconds of the invocation after the last request's deadline: to report it, record, park and hide
messages. So every request ends before its lease does."""

REPORTING_SECONDS: Final = 0.5
"""A request that ends at its deadline needs a moment to say whether it was sent."""

SHORTEST_READ: Final = 1.0
"""Seconds. A request with less reading time is not started."""

CLOSING_SECONDS: Final = 60.0
"""How long nothing is sent if Braze gives no time."""

MANY_REFUSALS: Final = 8
"""If so many lone objects are refused with the same text and nothing succeeds, assume a
configuration fault."""

LONE_ATTEMPTS: Final = 3
"""If the batch has one job only, a refusal without a name proves nothing. After 3 attempts the job
is parked."""


class Sender:
    """Sends the objects of a batch. What the deadline or the gate forbids stays open."""

    def __init__(self, batch: Batch, leases: Leases, leased: Sequence[BatchEntry]) -> None:
        self._batch = batch
        self._ports = batch.ports
        self._result = batch.result
        self._states = leases.states
        self._leased = leased
        self._merged = MergedObjects(leased, leases.states)
        self._plans = pack(self._counted(self._merged))
        self._follow_ups: deque[RequestPlan] = deque()
        self._in_flight: dict[Future[TrackResponse], RequestPlan] = {}
        self._closed = False
        self._successes = 0
        self._nameless: list[tuple[TrackObject, Reason]] = []
        """Objects refused alone without a name, since the last success."""

    def run(self) -> None:
        """Send everything, and the requests that Braze's answers require."""
        try:
            self._send()
        finally:
            self._give_up()
            deque(self._plans, maxlen=0)  # objects that were never sent are open, too
        self._judge_nameless()

    def _counted(self, merged: MergedObjects) -> Iterator[TrackObject]:
        for item in merged:
            for entry in item.entries:
                entry.open += 1
            yield item
        self._result.stale_attributes = merged.stale
        for part in merged.invalid:
            part.entry.refuse(part.event, part.reason)
        for entry in self._leased:
            entry.open -= 1

    # -- requests ----------------------------------------------------------------------------

    def _send(self) -> None:
        while True:
            while len(self._in_flight) < self._ports.concurrency and self._start():
                pass
            if not self._in_flight:
                return
            done, _ = wait(self._in_flight, self._patience(), return_when=FIRST_COMPLETED)
            if not done:
                return  # only a DNS look-up can outlast the deadline
            for future in done:
                self._answered(future)

    def _start(self) -> bool:
        """Start the next request, if there is one and it may start."""
        left = self._batch.seconds_left() - DEADLINE_MARGIN
        to_read = min(READ_TIMEOUT, left - CONNECT_TIMEOUT)
        if self._closed or to_read < SHORTEST_READ or not self._gate_is_open():
            return False
        plan = self._follow_ups.popleft() if self._follow_ups else next(self._plans, None)
        if plan is None:
            return False
        timeout = CONNECT_TIMEOUT, to_read
        deadline = Deadline.after(left)
        try:
            future = self._ports.executor.submit(
                self._ports.track, plan.request(), timeout=timeout, deadline=deadline
            )
        except RuntimeError:  # "can't start new thread": nothing is sent
            self._batch.hold_up("no thread")
            self._closed = True
            return False
        self._result.requests += 1
        self._in_flight[future] = plan
        return True

    def _gate_is_open(self) -> bool:
        """Ask the gate, which other Lambdas may close or pace at any time."""
        gate = self._ports.gate
        if gate.may_start(EndpointFamily.TRACK, len(self._in_flight)):
            return True
        if not self._in_flight:
            self._stay_away(gate.closed_until(EndpointFamily.TRACK))
        return False

    def _stay_away(self, until: datetime | None) -> None:
        """Send nothing more in this batch."""
        self._closed = True
        self._result.gate_closed = True
        now = self._ports.clock.now()
        seconds = SHORT_RETRY if until is None else wait_behind_gate(now, until, now)
        self._batch.closed_for = max(self._batch.closed_for, seconds)

    def _patience(self) -> float:
        return max(self._batch.seconds_left() - DEADLINE_MARGIN, 0.0) + REPORTING_SECONDS

    def _outcome(self, future: Future[TrackResponse]) -> TrackResponse | BrazeError:
        error = future.exception()
        if error is None:
            return understood(future.result())
        if isinstance(error, BrazeError):
            return error
        if not isinstance(error, Exception):
            raise error
        # A bug of ours. The rest of the batch must still be recorded, or its events count twice.
        name = f"failed: {type(error).__name__}"
        self._batch.hold_up(name)
        return UnknownOutcomeError(name)

    def _give_up(self) -> None:
        """Cancel what has not started. What has no answer at its deadline is unknown."""
        for future in self._in_flight:
            self._result.requests -= future.cancel()
        late = UnknownOutcomeError("no answer within this invocation")
        started = {each: plan for each, plan in self._in_flight.items() if not each.cancelled()}
        self._in_flight.clear()
        done, _ = wait(started, timeout=self._patience())
        for future, plan in started.items():
            if future in done:
                outcome = self._outcome(future)
                self._apply(settle(plan, outcome), outcome)
            else:
                self._apply(Settlement(unknown=plan.objects), late)

    # -- answers -----------------------------------------------------------------------------

    def _answered(self, future: Future[TrackResponse]) -> None:
        sent = self._in_flight[future]
        outcome = self._outcome(future)
        settlement = settle(sent, outcome)
        self._apply(settlement, outcome)
        del self._in_flight[future]  # a fault before this line leaves its outcome unknown
        if isinstance(outcome, BrazeError):
            if isinstance(outcome, RateLimitedError):
                self._result.rate_limited += 1
            elif isinstance(outcome, AuthenticationError | PermissionDeniedError):
                self._result.key_refused += 1
        else:
            self._ports.gate.record_success(EndpointFamily.TRACK, outcome.rate_limit)
        limit = outcome.rate_limit
        if limit is not None and limit.remaining is not None:
            known = self._result.remaining
            self._result.remaining = (
                limit.remaining if known is None else min(known, limit.remaining)
            )
        if settlement.closing is not None:
            self._close(settlement.closing)
        texts = {reason.detail for _, reason in self._nameless}
        many = len(self._nameless) >= MANY_REFUSALS and len(texts) == 1
        if settlement.unconfirmed and many:
            self._close(Closing("family", None, "requests_refused"))
        self._plan_follow_ups(sent, settlement)

    def _apply(self, settlement: Settlement, outcome: TrackResponse | BrazeError) -> None:
        """Note the outcome of each object at its jobs."""
        self._result.unclear_answers.extend(settlement.texts[:1])
        if settlement.delivered:
            self._successes += 1
            self._reject_nameless()
        for item in settlement.delivered:
            for entry in item.entries:
                entry.delivered(item.event)
        for item, reason in settlement.rejected:
            _reject(item, reason)
        self._nameless += settlement.unconfirmed
        settlement.resend += apart(RequestPlan.of(self._sendable_again(settlement.unclear)))
        if not isinstance(outcome, BrazeError):
            return
        if settlement.closing is None:  # else the jobs come back in steps, behind the gate
            for item in settlement.retry:
                self._retry_later(item, outcome)
        for item in self._sendable_again(settlement.unknown):
            self._retry_later(item, outcome)

    def _sendable_again(self, objects: Sequence[TrackObject]) -> list[TrackObject]:
        """Return the objects that may be sent again although Braze may have taken them."""
        if self._ports.on_unknown_outcome == "resend":
            return list(objects)
        for item in objects:
            if item.event is not None:
                (entry,) = item.entries
                entry.open -= 1
                entry.unknown.add(item.event)
        return [item for item in objects if item.event is None]

    def _retry_later(self, item: TrackObject, error: BrazeError) -> None:
        """Leave the object open, and note its delay and the attempt."""
        for entry in item.entries:
            seconds = retry_delay(error, entry.attempts + 1, self._ports.jitter)
            entry.wait(SHORT_RETRY if seconds is None else seconds)
            entry.tried = True

    def _close(self, closing: Closing) -> None:
        seconds = closing.seconds if closing.seconds is not None else CLOSING_SECONDS
        # Counted from the answer: the batch may have begun long before.
        until = self._ports.clock.now() + timedelta(seconds=seconds)
        family = None if closing.scope == "all" else EndpointFamily.TRACK
        self._ports.gate.close(family, until, closing.reason)
        self._stay_away(until)
        if closing.reason not in self._result.closings:
            self._result.closings.append(closing.reason)

    def _plan_follow_ups(self, sent: RequestPlan, settlement: Settlement) -> None:
        """Plan what an answer requires, and what waits behind this request.

        The requests of one person follow one another: in parallel an older value could arrive last,
        and two requests could each create the person.
        """
        parts = [self._split(merged) for merged in settlement.split]
        plans = [*settlement.resend, *(RequestPlan.of(each) for each in parts if each)]
        if not sent.then and not any(item.group is not None for item in settlement.split):
            self._follow_ups.extendleft(plans)
        elif not settlement.retry and not settlement.unknown:
            line = [*plans, *sent.then]
            if line:
                self._follow_ups.appendleft(RequestPlan.in_line(line))

    def _split(self, merged: TrackObject) -> Sequence[TrackObject]:
        """Make one object of each job of a refused merge; return those that fit into a request."""
        parts, invalid = split_merged(merged, self._states)
        for refused in invalid:
            refused.entry.open -= 1
            refused.entry.refuse(refused.event, refused.reason)
        return fitting(parts)

    # -- refusals without a name -------------------------------------------------------------

    def _reject_nameless(self) -> None:
        for item, reason in self._nameless:
            _reject(item, reason)
        self._nameless = []

    def _judge_nameless(self) -> None:
        """Reject lone objects that Braze refused without a name, unless it may be our fault.

        A later success in the batch shows that the configuration is right. Without one they are
        tried again. After three attempts, a success of any Lambda since the job came shows it, too.
        Without any, a batch of one job is rejected; of several, it is a fault.
        """
        if not self._nameless:
            return
        is_fault = "requests_refused" in self._result.closings
        waiting = [entry for entry in self._leased if entry.open]
        is_last = all(entry.attempts + 1 >= LONE_ATTEMPTS for entry in waiting)
        is_proven = self._successes > 0 and not is_fault
        if is_last and not self._successes:
            is_proven = len(waiting) == 1 or self._took_something_since(waiting)
        if is_proven:
            self._reject_nameless()
        else:
            for item, _ in self._nameless:
                for entry in item.entries:
                    entry.tried = True
                    entry.wait(CLOSING_SECONDS)
            if is_last and not is_fault:
                self._close(Closing("family", None, "requests_refused"))

    def _took_something_since(self, refused: Sequence[BatchEntry]) -> bool:
        """Check that Braze took something of any Lambda after these jobs came."""
        last = self._ports.gate.last_success(EndpointFamily.TRACK)
        return last is not None and all(last > entry.job.received_at for entry in refused)


def _reject(item: TrackObject, reason: Reason) -> None:
    # An object that only creates belongs to no job; the person's other objects fail too.
    for entry in item.entries:
        entry.open -= 1
        entry.refuse(item.event, reason)
