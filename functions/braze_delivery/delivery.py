"""One batch of queue messages: lease, merge, pack, send, settle, record.

Every message gets exactly one outcome: ``received = delivered + duplicate + rejected + retried``. A
retried message goes back to SQS with a delay; nothing sleeps here. This file has over 500 lines:
the coming rebuild of delivery moves the recording into a module of its own.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from braze_bridge.braze.errors import (
    AuthenticationError,
    BrazeError,
    PermissionDeniedError,
    RateLimitedError,
    UnknownOutcomeError,
)
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.braze.retry import retry_delay
from braze_bridge.gate.rules import UNREADABLE
from braze_bridge.jobs.envelope import UnreadableJobError, parse_job
from braze_bridge.jobs.rejected import RejectedStoreUnavailableError
from braze_bridge.ledger.port import (
    NO_PROGRESS,
    JobProgress,
    Leases,
    LedgerUnavailableError,
    PersonState,
)
from braze_bridge.reasons import Reason
from braze_delivery.packing import (
    BatchEntry,
    MergedObjects,
    RequestPlan,
    TrackObject,
    pack,
    split_merged,
)
from braze_delivery.parking import job_records, message_records, rejected_part, unknown_part
from braze_delivery.reporting import BatchResult, Outcome, PartnerFigures
from braze_delivery.settling import Closing, Settlement, UnnamedRefusals, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from datetime import datetime

    from braze_bridge.braze.models import TrackResponse
    from braze_bridge.braze.rate_limits import RateLimit
    from braze_bridge.clock import Clock
    from braze_bridge.gate.port import Gate
    from braze_bridge.handlers import SqsMessage
    from braze_bridge.jobs.rejected import RejectedRecord, RejectedStore
    from braze_bridge.ledger.port import Ledger, PersonKey

RETENTION_SHARE: Final = 0.75
"""A job older than this share of the retention is parked: SQS deletes expired messages silently."""

CONNECT_TIMEOUT: Final = 3.05
READ_TIMEOUT: Final = 10.0
"""Seconds. A healthy `/users/track` answers in well under one."""

DEADLINE_MARGIN: Final = 6.0
"""Seconds of the invocation for parking, recording (up to 5 s in trouble) and visibility."""

SHORTEST_READ: Final = 1.0
"""Seconds. A request with less reading time is not started."""

SHORT_RETRY: Final = 5.0
"""Seconds, for jobs that were not sent."""

MAX_RETRY: Final = 36_000.0
"""Seconds. A message may be hidden for 12 h in all, the time in flight included:
docs.aws.amazon.com/AWSSimpleQueueService, developer guide, sqs-visibility-timeout."""

QUICK_RECEIVES: Final = 6
"""Receives of a message with a short delay. Each later receive doubles the delay."""

CLOSING_SECONDS: Final = 60.0
"""How long nothing is sent if Braze gives no time."""

KEY_REASONS: Final = frozenset({"key_refused", "permission_missing"})
"""Closings that only a person with access to Braze can end."""

LONE_ATTEMPTS: Final = 3
"""If the batch has one job only, a refusal without a name proves nothing. After 3 attempts the job
is parked."""

ISOLATION_REQUESTS: Final = 60
ISOLATION_SHARE: Final = 20
"""Extra requests of a batch to find invalid objects: 60, or 20 for each of its requests (one object
takes about 14). The rest goes back to the queue. Each batch parks some, so this ends."""

_UNKNOWN_OUTCOME: Final = Reason(
    code="unknown_outcome", detail="the request timed out: Braze may have taken it"
)

_LATE: Final = UnknownOutcomeError("no answer within this invocation")

_PERSON_FULL: Final = Reason(
    code="person_full", detail="more is remembered of this person than the ledger holds for one"
)

_NO_UPDATE: Final = PersonState()


@dataclass(frozen=True, slots=True)
class Ports:
    """The clients, stores and settings of delivery.

    Attributes:
        track: ``BrazeClient.track``, or the like.
        executor: Runs requests in parallel.
        concurrency: Maximum parallel requests.
        jitter: Random numbers in [0, 1).
        retention: Of the delivery queue.
        on_unknown_outcome: Whether events of a request that timed out are sent again or parked.
    """

    track: Callable[..., TrackResponse]
    gate: Gate
    ledger: Ledger
    rejected: RejectedStore
    clock: Clock
    executor: Executor
    jitter: Callable[[], float]
    concurrency: int
    retention: timedelta
    on_unknown_outcome: Literal["resend", "park"]


def deliver(
    messages: Sequence[SqsMessage], ports: Ports, remaining: Callable[[], float]
) -> BatchResult:
    """Deliver a batch.

    Args:
        messages: From SQS.
        ports: Clients, stores and settings.
        remaining: Gives the seconds left of this invocation.

    Returns:
        The outcomes. A message that is not in ``retry`` is done.
    """
    return _Batch(messages, ports, remaining).run()


class _Batch:
    """The state of one call of :func:`deliver`."""

    def __init__(
        self, messages: Sequence[SqsMessage], ports: Ports, remaining: Callable[[], float]
    ) -> None:
        self._messages = messages
        self._ports = ports
        self._remaining = remaining
        self._now = ports.clock.now()
        self._result = BatchResult(received=len(messages))
        self._leases = Leases(states={}, busy={})
        self._pending: dict[int, TrackObject] = {}
        self._delay: dict[int, float] = {}
        self._attempted: set[int] = set()
        self._rejected: dict[int, list[tuple[int | None, Reason]]] = {}
        self._unconfirmed: dict[int, tuple[TrackObject, Reason]] = {}
        self._confirmed: dict[int, tuple[TrackObject, Reason]] = {}
        self._merge_states: dict[PersonKey, PersonState] = {}
        self._keep_leased: set[PersonKey] = set()
        self._parking_fails = False
        self._events_done: dict[int, set[int]] = {}
        self._unknown_events: dict[int, set[int]] = {}
        self._attributes_done: set[int] = set()
        self._refusals = UnnamedRefusals()
        self._successes = 0
        self._first_requests = 0
        self._closed: Closing | None = None
        self._closed_for = 0.0
        self._outcomes: dict[int, Outcome] = {}

    def run(self) -> BatchResult:
        parsed = self._parsed()
        self._deliver(parsed)
        self._count_by_partner(parsed)
        return self._result

    def _deliver(self, parsed: Sequence[BatchEntry]) -> None:
        admission = self._ports.gate.admit(EndpointFamily.TRACK)
        # Park expired jobs also while the gate is closed.
        entries = self._fresh(parsed)
        if admission.closed_until is not None:
            closed_for = max((admission.closed_until - self._now).total_seconds(), 0.0)
            for entry in entries:
                delay = closed_for
                if admission.reason == UNREADABLE:
                    delay = self._longer(entry.position, closed_for)
                self._retry(entry.position, delay)
            self._result.held_up[admission.reason] = len(entries)
            # Keeps the alarms on while jobs wait for the gate.
            self._result.oldest_wait += closed_for
            self._result.key_refused = int(admission.reason in KEY_REASONS)
            self._result.gate_closed = True
            return
        entries = self._leased(entries)
        merged = MergedObjects(entries, self._merge_states)
        self._send(pack(merged))
        self._result.stale_attributes = merged.stale
        for part in merged.invalid:
            self._reject_part(part.entry, part.event, part.reason)
        self._decide_unconfirmed()
        self._finish(entries)

    def _count_by_partner(self, entries: Sequence[BatchEntry]) -> None:
        """Count each job's outcome for its partner; a job without one is retried."""
        found = self._result.by_partner
        oldest: dict[str, datetime] = {}
        for entry in entries:
            job = entry.job
            figures = found.get(job.source)
            if figures is None:
                figures = found[job.source] = PartnerFigures()
                oldest[job.source] = job.received_at
            elif job.received_at < oldest[job.source]:
                oldest[job.source] = job.received_at
            outcome = self._outcomes.get(entry.position, "retried")
            figures.jobs[outcome].append(job.correlation_id)
        if found:
            # The batch's wait may include a closed gate; it is the same for each partner.
            first = min(oldest.values())
            for source, received_at in oldest.items():
                later = (received_at - first).total_seconds()
                found[source].oldest_wait = max(self._result.oldest_wait - later, 0.0)

    # -- before the send ---------------------------------------------------------------------

    def _parsed(self) -> list[BatchEntry]:
        entries = []
        for position, message in enumerate(self._messages):
            try:
                job = parse_job(message.body)
                entries.append(BatchEntry(position, job, job.user.key))
            except UnreadableJobError as error:
                reasons = tuple(
                    Reason(code="unreadable_job", field=where, detail=what)
                    for where, what in error.reasons
                )
                self._park(position, message_records(message, reasons, self._now))
        if entries:
            oldest = min(entry.job.received_at for entry in entries)
            self._result.oldest_wait = max((self._now - oldest).total_seconds(), 0.0)
        return entries

    def _fresh(self, entries: Iterable[BatchEntry]) -> list[BatchEntry]:
        """Park expired jobs, before SQS deletes them silently."""
        limit = self._now - self._ports.retention * RETENTION_SHARE
        fresh = []
        for entry in entries:
            if entry.job.received_at < limit:
                reason = Reason(code="expired", detail="waited for most of the queue's retention")
                self._park_job(entry, reason, "~expired")
            else:
                fresh.append(entry)
        return fresh

    def _leased(self, entries: Sequence[BatchEntry]) -> list[BatchEntry]:
        """Lease the people; return their jobs without duplicates."""
        try:
            leases = self._ports.ledger.lease([entry.job for entry in entries])
        except LedgerUnavailableError as error:
            for entry in entries:
                self._retry(entry.position, self._longer(entry.position, SHORT_RETRY))
            self._result.held_up[f"ledger: {error}"] = len(entries)
            return []
        self._result.held_up |= {f"ledger: {code}": n for code, n in leases.store_errors.items()}
        if leases.busy:
            self._result.held_up["busy"] = len(leases.busy)
        self._leases = leases
        self._merge_states = dict(leases.states)
        leased = []
        seen: set[tuple[PersonKey, str]] = set()
        for entry in entries:
            key, job_id = entry.key, entry.job.job_id
            state = leases.states.get(key)
            if key in leases.full:
                # A separate row: the job's own row may contain what Braze refused.
                self._park_job(entry, _PERSON_FULL, "~full")
            elif state is None:
                seconds = leases.busy.get(key, SHORT_RETRY)
                self._retry(entry.position, self._longer(entry.position, seconds))
            elif job_id in state.delivered or (key, job_id) in seen:
                self._result.duplicate += 1
                self._outcomes[entry.position] = "duplicate"
            else:
                seen.add((key, job_id))
                leased.append(entry)
                if job_id in state.interrupted:
                    self._hold_back_events(entry)
        return leased

    def _hold_back_events(self, entry: BatchEntry) -> None:
        """Do not resend events if an earlier invocation crashed while it held this job."""
        if self._ports.on_unknown_outcome == "park" and entry.job.events:
            progress = self._progress(entry)
            every = frozenset(range(len(entry.job.events)))
            unknown = every - progress.settled_events
            self._unknown_events.setdefault(entry.position, set()).update(unknown)
            # For merging only: recording counts from the ledger's own state.
            state = self._merge_states[entry.key]
            held = replace(progress, settled_events=every)
            self._merge_states[entry.key] = replace(
                state, progress={**state.progress, entry.job.job_id: held}
            )

    def _longer(self, position: int, seconds: float) -> float:
        """Back off by receive count.

        Without the ledger the attempts are unknown, and 1,000 receives must outlast its longest
        outage: 5 s a few times, then doubling to 15 minutes.
        """
        doublings = min(max(self._messages[position].receive_count - QUICK_RECEIVES, 0), 8)
        return max(seconds, min(SHORT_RETRY * 2.0**doublings, 900.0) if doublings else 0.0)

    def _retry(self, position: int, seconds: float) -> None:
        """Return a message to the queue, a little later than asked, so that retries spread."""
        spread = self._ports.jitter() * min(SHORT_RETRY, 1 + seconds / 10)
        self._result.retry[self._messages[position].message_id] = min(seconds + spread, MAX_RETRY)

    # -- the send ----------------------------------------------------------------------------

    def _send(self, plans: Iterator[RequestPlan]) -> None:
        """Send the requests, and those that Braze's answers require.

        What the deadline or the gate forbids stays pending.
        """
        smaller: deque[RequestPlan] = deque()
        in_flight: dict[Future[TrackResponse], RequestPlan] = {}
        while True:
            most = 1 if self._refusals.are_many else self._ports.concurrency
            while len(in_flight) < most:
                if not self._may_start(len(in_flight)):
                    break
                following = self._next(smaller, plans)
                if following is None:
                    break
                sent, timeout = following
                future = self._submitted(sent, timeout)
                if future is None:
                    break
                in_flight[future] = sent
            if not in_flight:
                self._register(*plans)  # unsent objects are as unsettled as failed ones
                return
            longest = max(self._remaining() - DEADLINE_MARGIN, SHORTEST_READ)
            done, late = wait(in_flight, timeout=longest, return_when=FIRST_COMPLETED)
            if not done:
                # The read timeout limits each silence, not the whole answer. Record what is known.
                for future in late:
                    self._apply(Settlement(unknown=in_flight.pop(future).objects), _LATE)
                continue
            for future in done:
                # First: to halve one request to the end soon tells an invalid object from a fault.
                smaller.extendleft(self._answered(in_flight.pop(future), self._outcome(future)))

    def _submitted(
        self, sent: RequestPlan, timeout: tuple[float, float]
    ) -> Future[TrackResponse] | None:
        """Start a request; ``None`` if there is no thread for it."""
        try:
            future = self._ports.executor.submit(self._ports.track, sent.request(), timeout=timeout)
        except RuntimeError:  # "can't start new thread": nothing is sent
            self._result.held_up["no thread"] = 1
            self._closed = Closing("family", SHORT_RETRY, "no_thread")
            return None
        self._result.requests += 1
        return future

    def _answered(
        self, sent: RequestPlan, outcome: TrackResponse | BrazeError
    ) -> list[RequestPlan]:
        """Settle an answer; return the requests that it requires."""
        settlement = settle(sent, outcome)
        if isinstance(outcome, BrazeError):
            self._refusals.add(outcome, settlement)
            self._count_error(outcome)
        else:
            self._successes += 1
            self._refusals = UnnamedRefusals()
            self._confirmed |= self._unconfirmed
            self._unconfirmed = {}
            self._ports.gate.record_success(EndpointFamily.TRACK, outcome.rate_limit)
        self._note_remaining(outcome.rate_limit)
        self._apply(settlement, outcome)
        if self._refusals.show_a_fault:
            self._close(Closing("family", None, "requests_refused"))
        return self._follow_ups(sent, settlement)

    def _note_remaining(self, limit: RateLimit | None) -> None:
        if limit is not None and limit.remaining is not None:
            known = self._result.remaining
            self._result.remaining = (
                limit.remaining if known is None else min(known, limit.remaining)
            )

    def _outcome(self, future: Future[TrackResponse]) -> TrackResponse | BrazeError:
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, BrazeError):
            return error
        if not isinstance(error, Exception):
            raise error
        # A bug of ours. The rest of the batch must still be recorded, or its events count twice.
        name = f"failed: {type(error).__name__}"
        self._result.held_up[name] = self._result.held_up.get(name, 0) + 1
        return UnknownOutcomeError(name)

    def _follow_ups(self, sent: RequestPlan, settlement: Settlement) -> list[RequestPlan]:
        """Plan what an answer requires: halves, parts, and the chain behind this request."""
        again = [
            each for plan in settlement.resend for each in (replace(plan, then=()), *plan.then)
        ]
        chains = [self._unmerged(merged) for merged in settlement.split]
        if sent.then or (again and any(item.group is not None for item in settlement.split)):
            line = [*again, *(part for parts in chains for part in parts)]
            if line:
                return [RequestPlan.chain(line, sent.then)]
            is_open = bool(settlement.retry or settlement.unknown)
            following = None if is_open else sent.following()
            return [] if following is None else [following]
        return [*settlement.resend, *(RequestPlan.chain(parts) for parts in chains if parts)]

    def _next(
        self, smaller: deque[RequestPlan], plans: Iterator[RequestPlan]
    ) -> tuple[RequestPlan, tuple[float, float]] | None:
        """Choose the next request and its timeout; ``None`` if there is none or none may start."""
        timeout = self._timeout()
        if timeout is None or self._closed is not None:
            return None
        allowed = max(ISOLATION_REQUESTS, ISOLATION_SHARE * self._first_requests)
        extra = self._result.requests - self._first_requests
        if smaller and extra < allowed:
            return smaller.popleft(), timeout
        first = next(plans, None)
        if first is None:
            return None
        self._register(first)
        self._first_requests += 1
        return first, timeout

    def _may_start(self, in_flight: int) -> bool:
        """Ask the gate, which other Lambdas may close or pace at any time."""
        gate = self._ports.gate
        if gate.may_start(EndpointFamily.TRACK, in_flight):
            return True
        if in_flight == 0 and self._closed is None:
            until = gate.closed_until(EndpointFamily.TRACK)
            now = self._ports.clock.now()
            seconds = SHORT_RETRY if until is None else (until - now).total_seconds()
            self._closed = Closing("family", seconds, "closed_meanwhile")
            self._result.gate_closed = True
            self._closed_for = max(self._closed_for, seconds)
        return False

    def _register(self, *plans: RequestPlan) -> None:
        for plan in plans:
            for each in (plan, *plan.then):
                for item in each.objects:
                    self._pending[id(item)] = item

    def _timeout(self) -> tuple[float, float] | None:
        """Compute a new request's timeout, or ``None`` if it is too late for one."""
        left = self._remaining() - DEADLINE_MARGIN - CONNECT_TIMEOUT
        return None if left < SHORTEST_READ else (CONNECT_TIMEOUT, min(READ_TIMEOUT, left))

    def _unmerged(self, merged: TrackObject) -> list[RequestPlan]:
        self._pending.pop(id(merged), None)
        parts, invalid = split_merged(merged, self._merge_states)
        for part in parts:
            self._pending[id(part)] = part
        for each in invalid:
            self._reject_part(each.entry, each.event, each.reason)
        return [RequestPlan.of([part]) for part in parts]

    def _count_error(self, error: BrazeError) -> None:
        if isinstance(error, RateLimitedError):
            self._result.rate_limited += 1
        elif isinstance(error, AuthenticationError | PermissionDeniedError):
            self._result.key_refused += 1

    def _close(self, closing: Closing) -> None:
        seconds = closing.seconds if closing.seconds is not None else CLOSING_SECONDS
        # Counted from the answer: the batch may have begun long before.
        until = self._ports.clock.now() + timedelta(seconds=seconds)
        self._ports.gate.close(
            None if closing.scope == "all" else EndpointFamily.TRACK, until, closing.reason
        )
        self._closed = closing
        self._closed_for = max(self._closed_for, seconds)
        self._result.gate_closed = True
        if closing.reason not in self._result.closings:
            self._result.closings.append(closing.reason)

    def _apply(self, settlement: Settlement, outcome: TrackResponse | BrazeError) -> None:
        self._result.unattributed_errors += settlement.unattributed
        if settlement.closing is not None:
            self._close(settlement.closing)
        for item in settlement.delivered:
            self._delivered(item)
        for item, reason in settlement.rejected:
            self._reject(item, reason)
        self._unconfirmed |= {id(item): (item, reason) for item, reason in settlement.unconfirmed}
        if isinstance(outcome, BrazeError):
            for item in settlement.retry:
                self._retry_later(item, outcome, counts=settlement.closing is None)
            for item in settlement.unknown:
                if item.event is not None and self._ports.on_unknown_outcome == "park":
                    if self._pending.pop(id(item), None) is not None:
                        unknown = self._unknown_events.setdefault(item.entries[0].position, set())
                        unknown.add(item.event)
                else:
                    self._retry_later(item, outcome, counts=True)

    def _delivered(self, item: TrackObject) -> None:
        if self._pending.pop(id(item), None) is None:
            return
        if item.event is None:
            for entry in item.entries:
                self._attributes_done.add(entry.position)
        else:
            self._events_done.setdefault(item.entries[0].position, set()).add(item.event)

    def _reject(self, item: TrackObject, reason: Reason) -> None:
        # An object that only creates belongs to no job; the person's other objects fail too.
        if self._pending.pop(id(item), None) is not None and item.entries:
            self._reject_part(item.entries[0], item.event, reason)

    def _reject_part(self, entry: BatchEntry, event: int | None, reason: Reason) -> None:
        where = "attributes" if event is None else f"events.{event}"
        if reason.field is not None:
            where = f"{where}.{reason.field}"
        located = reason.model_copy(update={"field": where})
        self._rejected.setdefault(entry.position, []).append((event, located))

    def _retry_later(self, item: TrackObject, error: BrazeError, *, counts: bool) -> None:
        """Leave the object pending, and note its delay."""
        for entry in item.entries:
            seconds = retry_delay(error, self._progress(entry).attempts + 1, self._ports.jitter)
            if seconds is None:
                seconds = SHORT_RETRY
            self._delay[entry.position] = max(self._delay.get(entry.position, 0.0), seconds)
            if counts:
                self._attempted.add(entry.position)

    def _progress(self, entry: BatchEntry) -> JobProgress:
        state = self._leases.states.get(entry.key)
        return NO_PROGRESS if state is None else state.progress.get(entry.job.job_id, NO_PROGRESS)

    def _decide_unconfirmed(self) -> None:
        """Reject lone objects that Braze refused without a name, unless it may be our fault.

        A later success shows that the configuration is right. Without a success, a batch of one
        job is retried at first, but not for ever.
        """
        is_fault = "requests_refused" in self._result.closings
        pending = (entry for item in self._pending.values() for entry in item.entries)
        entries = {entry.position: entry for entry in pending}
        is_last_attempt = len(entries) == 1 and all(
            self._progress(entry).attempts + 1 >= LONE_ATTEMPTS for entry in entries.values()
        )
        if (self._successes and not is_fault) or (not self._successes and is_last_attempt):
            self._confirmed |= self._unconfirmed
            self._unconfirmed = {}
        for item, _ in self._unconfirmed.values():
            for entry in item.entries:
                self._attempted.add(entry.position)
                self._delay.setdefault(entry.position, CLOSING_SECONDS)
        for item, reason in self._confirmed.values():
            self._reject(item, reason)

    # -- after the send ----------------------------------------------------------------------

    def _finish(self, entries: Sequence[BatchEntry]) -> None:
        """Record first the people without parking: a slow rejected table must not delay them."""
        pending = (entry for item in self._pending.values() for entry in item.entries)
        unsettled = {entry.position for entry in pending}
        to_park = {
            entry.key
            for entry in entries
            if entry.position in self._rejected or entry.position in self._unknown_events
        }
        # Every lease ends here, also of people without anything to send.
        rest = [entry for entry in entries if entry.key not in to_park]
        self._settle_people(self._leases.states.keys() - to_park, rest, unsettled)
        if to_park:
            parked = [entry for entry in entries if entry.key in to_park]
            self._settle_people(to_park, parked, unsettled)

    def _settle_people(
        self, people: Iterable[PersonKey], entries: Sequence[BatchEntry], unsettled: set[int]
    ) -> None:
        updates: dict[PersonKey, PersonState] = dict.fromkeys(people, _NO_UPDATE)
        for entry in entries:
            outcome = self._outcome_of(entry, is_unsettled=entry.position in unsettled)
            self._outcomes[entry.position] = outcome
            updates[entry.key] = self._updated(
                updates[entry.key], entry, is_settled=outcome != "retried"
            )
        for key in self._keep_leased:
            updates.pop(key, None)
        self._result.unrecorded += len(self._ports.ledger.record(self._leases, updates))

    def _outcome_of(
        self, entry: BatchEntry, *, is_unsettled: bool
    ) -> Literal["delivered", "rejected", "retried"]:
        """Count the job, and park its rejected and unknown parts."""
        position = entry.position
        unknown = self._unknown_events.get(position)
        if unknown:
            # Parked now even if the rest of the job is retried: they must not be sent again.
            if not self._park_unknown(entry, unknown):
                # Nothing is recorded of the person. The lease expires, and the job comes back with
                # an unknown outcome.
                self._keep_leased.add(entry.key)
                return "retried"
            self._events_done.setdefault(position, set()).update(unknown)
        if is_unsettled:
            delay = self._delay.get(position, SHORT_RETRY)
            self._retry(position, max(delay, self._closed_for))
            return "retried"
        rejected = self._rejected.get(position)
        if rejected:
            reasons = tuple(reason for _, reason in rejected)
            records = job_records(rejected_part(entry.job, rejected), reasons, self._now)
            return "rejected" if self._park(position, records) else "retried"
        if unknown:
            self._result.rejected += 1
            return "rejected"
        self._result.delivered += 1
        return "delivered"

    def _park_unknown(self, entry: BatchEntry, events: set[int]) -> bool:
        positions = sorted(events)
        reasons = tuple(
            _UNKNOWN_OUTCOME.model_copy(update={"field": f"events.{index}"}) for index in positions
        )
        records = job_records(unknown_part(entry.job, positions), reasons, self._now)
        return self._store(entry.position, records)

    def _updated(self, known: PersonState, entry: BatchEntry, *, is_settled: bool) -> PersonState:
        """Add one job's outcome to the update of its person."""
        job, position = entry.job, entry.position
        newest: Mapping[str, datetime] = known.newest
        if job.attributes and position in self._attributes_done:
            sent = dict.fromkeys(job.attributes, job.occurred_at)
            newest = sent if not newest else _later_of(newest, sent)
        if is_settled:
            # Also a rejected job: its row is the only copy, and a vendor's resend is a duplicate.
            return PersonState(known.delivered | {job.job_id}, newest, known.progress)
        before = self._progress(entry)
        done = before.settled_events | frozenset(self._events_done.get(position, ()))
        attempts = before.attempts + (position in self._attempted)
        progress = {**known.progress, job.job_id: JobProgress(attempts, done)}
        return PersonState(known.delivered, newest, progress)

    def _park_job(self, entry: BatchEntry, reason: Reason, suffix: str) -> None:
        self._park(entry.position, job_records(entry.job, (reason,), self._now, suffix))

    def _park(self, position: int, records: Sequence[RejectedRecord]) -> bool:
        """Park a rejected job. If that fails, the message stays in the queue."""
        if not self._store(position, records):
            return False
        self._result.rejected += 1
        self._outcomes[position] = "rejected"
        return True

    def _store(self, position: int, records: Sequence[RejectedRecord]) -> bool:
        problem = self._try_to_store(records)
        if problem is None:
            self._result.parked += [
                (record.correlation_id, record.id, record.reasons[0].code) for record in records
            ]
            return True
        self._parking_fails = True
        self._retry(position, self._longer(position, SHORT_RETRY))
        held_up = self._result.held_up
        held_up[f"parking: {problem}"] = held_up.get(f"parking: {problem}", 0) + 1
        return False

    def _try_to_store(self, records: Sequence[RejectedRecord]) -> str | None:
        """Store the rows; return what failed."""
        # After one failure a table that may hang gets no more time.
        if self._parking_fails or self._remaining() < SHORTEST_READ:
            return "not tried"
        try:
            for record in records:
                self._ports.rejected.park(record)
        except RejectedStoreUnavailableError as error:
            return str(error)
        return None


def _later_of(
    known: Mapping[str, datetime], sent: Mapping[str, datetime]
) -> Mapping[str, datetime]:
    return {**known} | {
        name: at for name, at in sent.items() if name not in known or at > known[name]
    }
