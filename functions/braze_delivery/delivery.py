"""One batch of queue messages: claim, merge, pack, send, settle, record.

Every message leaves with exactly one outcome, so that at the end of a batch
``received = delivered + duplicate + rejected + retried``. What is retried goes back to SQS with a
time; nothing sleeps here.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, Protocol

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    PermissionDeniedError,
    RateLimitedError,
    UnknownOutcomeError,
)
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.braze.retry import retry_delay
from braze_bridge.gate.rules import UNREADABLE
from braze_bridge.jobs.envelope import UnreadableJobError, parse_job
from braze_bridge.jobs.rejected import (
    RejectedRecord,
    RejectedStoreUnavailableError,
)
from braze_bridge.ledger.port import (
    NO_PROGRESS,
    JobProgress,
    Leases,
    LedgerUnavailableError,
    PersonState,
)
from braze_bridge.reasons import Reason
from braze_delivery.packing import Merge, Pack, Slot, WorkObject, pack, take_apart
from braze_delivery.settling import Closing, Settlement, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from datetime import datetime

    from braze_bridge.braze.models import TrackRequest, TrackResponse
    from braze_bridge.braze.rate_limits import RateLimit
    from braze_bridge.clock import Clock
    from braze_bridge.gate.port import Gate
    from braze_bridge.jobs.rejected import RejectedStore
    from braze_bridge.ledger.port import Ledger, PersonKey
from braze_delivery.parking import QueueMessage, _only, _records, _unreadable
from braze_delivery.reporting import BatchResult, Outcome, PartnerFigures

RETENTION_SHARE: Final = 0.75
"""SQS deletes expired messages silently: a job older than this share of the retention is parked."""

CONNECT_TIMEOUT: Final = 3.05
READ_TIMEOUT: Final = 10.0
"""Seconds: a healthy `/users/track` answers in well under one."""

DEADLINE_MARGIN: Final = 6.0
"""Seconds of the Lambda's time for parking, recording (up to 5 s in trouble) and visibility."""

SHORTEST_READ: Final = 1.0
"""A request is not started for less reading time than this."""

SHORT_RETRY: Final = 5.0
"""Seconds: for jobs that were merely not reached."""

MAX_RETRY: Final = 36_000.0
"""Seconds: a message may be hidden for 12 h in all, the time already in flight included:
docs.aws.amazon.com/AWSSimpleQueueService, developer guide, sqs-visibility-timeout."""

PATIENT_RECEIVES: Final = 6
"""So often a message comes back after seconds; then less and less often."""

LONGEST_BASE_ID: Final = 200
"""Characters of a job's id kept in an id made from it; ids have at most 256."""

CLOSING_SECONDS: Final = 60.0
"""For how long nothing is sent where Braze gave no time."""

KEY_REASONS: Final = frozenset({"key_refused", "permission_missing"})
"""Closings that only a person with access to Braze can mend."""

ALIKE_REFUSALS: Final = 8
"""So many nameless refusals and not one success: from here on one request at a time, the smallest
first. So many objects refused *alone*, in the same words, and still no success: it is us."""

LONE_ATTEMPTS: Final = 3
"""A batch of one object, refused with no name, proves nothing; after so many attempts it is
parked."""

ISOLATION_REQUESTS: Final = 60
ISOLATION_SHARE: Final = 20
"""Extra requests a batch may spend on cornering culprits: 60, or 20 for each of its requests (one
culprit takes about 14). Who is not cornered by then goes back to the queue; each batch parks some,
so it ends."""

_UNKNOWN_OUTCOME: Final = Reason(
    code="unknown_outcome", detail="the request timed out: Braze may have taken it"
)

_LATE: Final = UnknownOutcomeError("no answer within this invocation")

_PERSON_FULL: Final = Reason(
    code="person_full", detail="more is remembered of this person than the ledger holds for one"
)

_NOTHING_LEARNT: Final = PersonState()


class Track(Protocol):
    """``BrazeClient.track``."""

    def __call__(
        self, request: TrackRequest, *, timeout: tuple[float, float] | None = None
    ) -> TrackResponse:
        """Send the request, or raise a ``BrazeError``."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What delivery needs of the world.

    Attributes:
        track: Posts a request.
        executor: Runs requests side by side.
        concurrency: How many at once.
        jitter: Random numbers in [0, 1).
        retention: Of the delivery queue.
        on_unknown_outcome: ``resend`` or ``park`` the events of a request that timed out.
    """

    track: Track
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
    messages: Sequence[QueueMessage], ports: Ports, remaining: Callable[[], float]
) -> BatchResult:
    """Deliver a batch.

    Args:
        messages: What SQS handed over.
        ports: The world.
        remaining: Seconds left to this invocation.

    Returns:
        What became of each message. Messages not in ``retry`` are done with.
    """
    return _Batch(messages, ports, remaining).run()


class _Batch:
    """The state of one call of :func:`deliver`."""

    def __init__(
        self, messages: Sequence[QueueMessage], ports: Ports, remaining: Callable[[], float]
    ) -> None:
        self._messages = messages
        self._ports = ports
        self._remaining = remaining
        self._now = ports.clock.now()
        self._result = BatchResult(received=len(messages))
        self._leases = Leases(states={}, busy={})
        self._pending: dict[int, WorkObject] = {}
        self._delay: dict[int, float] = {}
        self._tried: set[int] = set()
        self._refused: dict[int, list[tuple[int | None, Reason]]] = {}
        self._suspects: dict[int, tuple[WorkObject, Reason]] = {}
        self._guilty: dict[int, tuple[WorkObject, Reason]] = {}
        self._merge_states: dict[PersonKey, PersonState] = {}
        self._unlearnt: set[PersonKey] = set()
        self._parking_fails = False
        self._events_done: dict[int, set[int]] = {}
        self._unknown_events: dict[int, set[int]] = {}
        self._attributes_done: set[int] = set()
        self._refusals = _Refusals()
        self._successes = 0
        self._first_requests = 0
        self._closed: Closing | None = None
        self._closed_for = 0.0
        self._outcomes: dict[int, Outcome] = {}

    def run(self) -> BatchResult:
        parsed = self._parsed()
        self._deliver(parsed)
        self._tell_partners_apart(parsed)
        return self._result

    def _deliver(self, parsed: Sequence[Slot]) -> None:
        admission = self._ports.gate.admit(EndpointFamily.TRACK)
        # Also while the gate is closed, what grows too old for the queue must be parked.
        slots = self._fresh(parsed)
        if admission.closed_until is not None:
            for slot in slots:
                until = self._until(admission.closed_until)
                if admission.reason == UNREADABLE:
                    until = self._patience(slot.position, until)
                self._back(slot.position, until)
            self._result.held_up[admission.reason] = len(slots)
            # The alarms must not fall silent while everything waits behind the gate.
            self._result.oldest_wait += self._until(admission.closed_until)
            self._result.key_refused = int(admission.reason in KEY_REASONS)
            self._result.gate_closed = True
            return
        slots = self._leased(slots)
        merge = Merge(slots, self._merge_states)
        self._send(pack(merge))
        self._result.stale_attributes = merge.stale
        for refusal in merge.refused:
            self._refuse(refusal.slot, refusal.event, refusal.reason)
        self._judge_suspects()
        self._finish(slots)
        if admission.is_probe and self._result.requests == 0:
            self._ports.gate.release_probe()

    def _tell_partners_apart(self, slots: Sequence[Slot]) -> None:
        """Each job's outcome under its partner; a job without one goes back."""
        found = self._result.by_partner
        oldest: dict[str, datetime] = {}
        for slot in slots:
            job = slot.job
            figures = found.get(job.source)
            if figures is None:
                figures = found[job.source] = PartnerFigures()
                oldest[job.source] = job.received_at
            elif job.received_at < oldest[job.source]:
                oldest[job.source] = job.received_at
            outcome = self._outcomes.get(slot.position, "retried")
            figures.jobs[outcome].append(job.correlation_id)
        if found:
            # What the whole waits for beyond its oldest job, behind a closed gate, each waits for.
            first = min(oldest.values())
            for source, received_at in oldest.items():
                later = (received_at - first).total_seconds()
                found[source].oldest_wait = max(self._result.oldest_wait - later, 0.0)

    # -- before the send ---------------------------------------------------------------------

    def _until(self, instant: datetime) -> float:
        return max((instant - self._now).total_seconds(), 0.0)

    def _spread(self, seconds: float) -> float:
        """A little later than asked, never earlier: not everybody at the same instant."""
        return min(seconds + self._ports.jitter() * min(SHORT_RETRY, 1 + seconds / 10), MAX_RETRY)

    def _parsed(self) -> list[Slot]:
        slots = []
        for position, message in enumerate(self._messages):
            try:
                job = parse_job(message.body)
                slots.append(Slot(position, job, job.user.key))
            except UnreadableJobError as error:
                reasons = tuple(
                    Reason(code="unreadable_job", field=where, detail=what)
                    for where, what in error.reasons
                )
                self._park(position, _unreadable(message, reasons, self._now))
        if slots:
            oldest = min(slot.job.received_at for slot in slots)
            self._result.oldest_wait = max((self._now - oldest).total_seconds(), 0.0)
        return slots

    def _fresh(self, slots: Iterable[Slot]) -> list[Slot]:
        """Park what SQS would soon delete in silence."""
        limit = self._now - self._ports.retention * RETENTION_SHARE
        fresh = []
        for slot in slots:
            if slot.job.received_at < limit:
                reason = Reason(code="expired", detail="waited for most of the queue's retention")
                self._park(slot.position, _records(slot.job, (reason,), self._now, "~expired"))
            else:
                fresh.append(slot)
        return fresh

    def _leased(self, slots: Sequence[Slot]) -> list[Slot]:
        """Those whose people are ours now, without duplicates."""
        try:
            leases = self._ports.ledger.lease([slot.job for slot in slots])
        except LedgerUnavailableError as error:
            for slot in slots:
                self._back(slot.position, self._patience(slot.position, SHORT_RETRY))
            self._result.held_up[f"ledger: {error}"] = len(slots)
            return []
        self._result.held_up |= {f"ledger: {code}": n for code, n in leases.store_errors.items()}
        if leases.busy:
            self._result.held_up["busy"] = len(leases.busy)
        self._leases = leases
        self._merge_states = dict(leases.states)
        ours = []
        seen: set[tuple[PersonKey, str]] = set()
        for slot in slots:
            key = slot.key
            state = leases.states.get(key)
            if key in leases.full:
                # Under a row of its own: another of the job's may hold what Braze refused.
                self._park(slot.position, _records(slot.job, (_PERSON_FULL,), self._now, "~full"))
            elif state is None:
                seconds = leases.busy.get(key, SHORT_RETRY)
                self._back(slot.position, self._patience(slot.position, seconds))
            elif slot.job.job_id in state.delivered or (key, slot.job.job_id) in seen:
                self._result.duplicate += 1
                self._outcomes[slot.position] = "duplicate"
            else:
                seen.add((key, slot.job.job_id))
                ours.append(slot)
                if slot.job.job_id in state.interrupted:
                    self._hold_back_events(slot)
        return ours

    def _hold_back_events(self, slot: Slot) -> None:
        """Somebody died with this job: whether its events arrived is unknown."""
        if self._ports.on_unknown_outcome == "park" and slot.job.events:
            progress = self._progress(slot)
            everything = frozenset(range(len(slot.job.events)))
            unknown = everything - progress.settled_events
            self._unknown_events.setdefault(slot.position, set()).update(unknown)
            # Only for merging: what is recorded counts from what the ledger knows.
            state = self._merge_states[slot.key]
            held = replace(progress, settled_events=everything)
            self._merge_states[slot.key] = replace(
                state, progress={**state.progress, slot.job.job_id: held}
            )

    def _patience(self, position: int, seconds: float) -> float:
        """At least so long, and longer for a message that comes again and again.

        Where the ledger cannot be read no attempts are known, and 1,000 receives must outlast its
        longest outage: 5 s a few times, then doubling to 15 minutes.
        """
        doublings = min(max(self._messages[position].receive_count - PATIENT_RECEIVES, 0), 8)
        return max(seconds, min(SHORT_RETRY * 2.0**doublings, 900.0) if doublings else 0.0)

    def _back(self, position: int, seconds: float) -> None:
        self._result.retry[self._messages[position].message_id] = self._spread(seconds)

    # -- the send ----------------------------------------------------------------------------

    def _send(self, packs: Iterator[Pack]) -> None:
        """Post the packs as they come, and whatever Braze's answers make necessary.

        What is not posted, since time or the gate forbids it, is left pending.
        """
        smaller: deque[Pack] = deque()
        in_flight: dict[Future[TrackResponse], Pack] = {}
        while True:
            at_once = 1 if self._refusals.doubtful else self._ports.concurrency
            while len(in_flight) < at_once:
                if not self._may_start(len(in_flight)):
                    break
                following = self._next(smaller, packs)
                if following is None:
                    break
                sent, timeout = following
                future = self._submitted(sent, timeout)
                if future is None:
                    break
                in_flight[future] = sent
            if not in_flight:
                self._leave(smaller, packs)
                return
            patience = max(self._remaining() - DEADLINE_MARGIN, SHORTEST_READ)
            done, late = wait(in_flight, timeout=patience, return_when=FIRST_COMPLETED)
            if not done:
                # A timeout is per silence: a dripping answer can outlast it. Record what we know.
                for future in late:
                    self._apply(Settlement(unknown=in_flight.pop(future).objects), _LATE)
                continue
            for future in done:
                # To the front: going deep into one pack soon tells a bad object from a bad us.
                smaller.extendleft(self._answered(in_flight.pop(future), self._outcome(future)))

    def _submitted(self, sent: Pack, timeout: tuple[float, float]) -> Future[TrackResponse] | None:
        """Start a request; ``None`` where the machine has no thread left for it."""
        try:
            future = self._ports.executor.submit(self._ports.track, sent.request(), timeout=timeout)
        except RuntimeError:  # "can't start new thread": unsent, and so is the rest
            self._result.held_up["no thread"] = 1
            self._closed = Closing("family", SHORT_RETRY, "no_thread")
            return None
        self._result.requests += 1
        return future

    def _answered(self, sent: Pack, outcome: TrackResponse | BrazeError) -> list[Pack]:
        """Take in an answer; returns what must be sent because of it."""
        settlement = settle(sent, outcome)
        if isinstance(outcome, BrazeError):
            self._refusals.add(outcome, settlement)
            self._count_error(outcome)
        else:
            self._successes += 1
            self._refusals = _Refusals()
            self._guilty |= self._suspects
            self._suspects = {}
            self._ports.gate.record_success(EndpointFamily.TRACK, outcome.rate_limit)
        self._note_remaining(outcome.rate_limit)
        self._apply(settlement, outcome)
        if self._refusals.it_is_us:
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
        # A fault of ours. The rest of the batch must be recorded all the same, or it counts twice.
        name = f"failed: {type(error).__name__}"
        self._result.held_up[name] = self._result.held_up.get(name, 0) + 1
        return UnknownOutcomeError(name)

    def _follow_ups(self, sent: Pack, settlement: Settlement) -> list[Pack]:
        """What must be sent because of an answer: halves, parts, and what waited for this pack."""
        again = [each for pack in settlement.again for each in (replace(pack, then=()), *pack.then)]
        chains = [self._apart(merged) for merged in settlement.apart]
        if sent.then or (again and any(item.bond is not None for item in settlement.apart)):
            line = [*again, *(part for parts in chains for part in parts)]
            if line:
                return [Pack.chain(line, sent.then)]
            is_open = bool(settlement.retry or settlement.unknown)
            following = None if is_open else sent.following()
            return [] if following is None else [following]
        return [*settlement.again, *(Pack.chain(parts) for parts in chains if parts)]

    def _next(
        self, smaller: deque[Pack], packs: Iterator[Pack]
    ) -> tuple[Pack, tuple[float, float]] | None:
        """The next pack to post and its timeout; ``None`` where there is none or none may start."""
        timeout = self._timeout()
        if timeout is None or self._closed is not None:
            return None
        allowed = max(ISOLATION_REQUESTS, ISOLATION_SHARE * self._first_requests)
        extra = self._result.requests - self._first_requests
        if smaller and extra < allowed:
            return smaller.popleft(), timeout
        first = next(packs, None)
        if first is None:
            return None
        self._register(first)
        self._first_requests += 1
        return first, timeout

    def _may_start(self, in_flight: int) -> bool:
        """Whether the gate, which others may close or pace meanwhile, lets one more request out."""
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

    def _leave(self, smaller: deque[Pack], packs: Iterator[Pack]) -> None:
        """Nothing more is sent: what was never packed is as unsettled as what failed."""
        smaller.clear()
        for unsent in packs:
            self._register(unsent)

    def _register(self, first: Pack) -> None:
        for each in (first, *first.then):
            for item in each.objects:
                self._pending[id(item)] = item

    def _timeout(self) -> tuple[float, float] | None:
        """Connect and read seconds for a request that starts now, or ``None``: too late."""
        left = self._remaining() - DEADLINE_MARGIN - CONNECT_TIMEOUT
        return None if left < SHORTEST_READ else (CONNECT_TIMEOUT, min(READ_TIMEOUT, left))

    def _apart(self, merged: WorkObject) -> list[Pack]:
        self._pending.pop(id(merged), None)
        parts, refused = take_apart(merged, self._merge_states)
        for part in parts:
            self._pending[id(part)] = part
        for refusal in refused:
            self._refuse(refusal.slot, refusal.event, refusal.reason)
        return [Pack.of([part]) for part in parts]

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
        self._suspects |= {id(item): (item, reason) for item, reason in settlement.suspect}
        if isinstance(outcome, BrazeError):
            for item in settlement.retry:
                self._later(item, outcome, counts=settlement.closing is None)
            for item in settlement.unknown:
                if item.event is not None and self._ports.on_unknown_outcome == "park":
                    if self._pending.pop(id(item), None) is not None:
                        unknown = self._unknown_events.setdefault(item.slots[0].position, set())
                        unknown.add(item.event)
                else:
                    self._later(item, outcome, counts=True)

    def _delivered(self, item: WorkObject) -> None:
        if self._pending.pop(id(item), None) is None:
            return
        if item.event is None:
            for slot in item.slots:
                self._attributes_done.add(slot.position)
        else:
            self._events_done.setdefault(item.slots[0].position, set()).add(item.event)

    def _reject(self, item: WorkObject, reason: Reason) -> None:
        # An object that only creates stands for no job: what it was for is refused itself.
        if self._pending.pop(id(item), None) is not None and item.slots:
            self._refuse(item.slots[0], item.event, reason)

    def _refuse(self, slot: Slot, event: int | None, reason: Reason) -> None:
        where = "attributes" if event is None else f"events.{event}"
        if reason.field is not None:
            where = f"{where}.{reason.field}"
        located = reason.model_copy(update={"field": where})
        self._refused.setdefault(slot.position, []).append((event, located))

    def _later(self, item: WorkObject, error: BrazeError, *, counts: bool) -> None:
        """Leave the object pending, and note when to come again."""
        for slot in item.slots:
            seconds = retry_delay(error, self._progress(slot).attempts + 1, self._ports.jitter)
            if seconds is None:
                seconds = SHORT_RETRY
            self._delay[slot.position] = max(self._delay.get(slot.position, 0.0), seconds)
            if counts:
                self._tried.add(slot.position)

    def _progress(self, slot: Slot) -> JobProgress:
        state = self._leases.states.get(slot.key)
        return NO_PROGRESS if state is None else state.progress.get(slot.job.job_id, NO_PROGRESS)

    def _judge_suspects(self) -> None:
        """Objects that were refused alone and namelessly: guilty unless it may be us.

        A success since vindicates us, and convicts them. Without any, a batch that is one job
        proves nothing at first, but does not go round for ever.
        """
        us = "requests_refused" in self._result.closings
        slots = {slot.position: slot for item in self._pending.values() for slot in item.slots}
        is_old = len(slots) == 1 and all(
            self._progress(slot).attempts + 1 >= LONE_ATTEMPTS for slot in slots.values()
        )
        if (self._successes and not us) or (not self._successes and is_old):
            self._guilty |= self._suspects
            self._suspects = {}
        for item, _ in self._suspects.values():
            for slot in item.slots:
                self._tried.add(slot.position)
                self._delay.setdefault(slot.position, CLOSING_SECONDS)
        for item, reason in self._guilty.values():
            self._reject(item, reason)

    # -- after the send ----------------------------------------------------------------------

    def _finish(self, slots: Sequence[Slot]) -> None:
        """Record first what needs no parking: a table that hangs must not cost everybody's."""
        unsettled = {slot.position for item in self._pending.values() for slot in item.slots}
        troubled = {
            slot.key
            for slot in slots
            if slot.position in self._refused or slot.position in self._unknown_events
        }
        # Every lease we hold ends here, also of people for whom there was nothing to send.
        calm = [slot for slot in slots if slot.key not in troubled]
        self._settle_people(self._leases.states.keys() - troubled, calm, unsettled)
        if troubled:
            rest = [slot for slot in slots if slot.key in troubled]
            self._settle_people(troubled, rest, unsettled)

    def _settle_people(
        self, people: Iterable[PersonKey], slots: Sequence[Slot], unsettled: set[int]
    ) -> None:
        learnt: dict[PersonKey, PersonState] = dict.fromkeys(people, _NOTHING_LEARNT)
        for slot in slots:
            outcome = self._outcome_of(slot, is_unsettled=slot.position in unsettled)
            self._outcomes[slot.position] = outcome
            self._learn(slot, learnt, is_settled=outcome != "retried")
        for key in self._unlearnt:
            learnt.pop(key, None)
        self._result.unrecorded += len(self._ports.ledger.record(self._leases, learnt))

    def _outcome_of(
        self, slot: Slot, *, is_unsettled: bool
    ) -> Literal["delivered", "rejected", "retried"]:
        """Count the job, and park what must be parked of it."""
        position = slot.position
        unknown = self._unknown_events.get(position)
        if unknown:
            # Parked at once even if the rest of the job is retried: they must not be sent again.
            if not self._park_unknown(slot, unknown):
                # Nothing is recorded of the person: the lease runs out, and the job comes back as
                # one whose outcome is unknown, as it is.
                self._unlearnt.add(slot.key)
                return "retried"
            self._events_done.setdefault(position, set()).update(unknown)
        if is_unsettled:
            delay = self._delay.get(position, SHORT_RETRY)
            self._back(position, max(delay, self._closed_for))
            return "retried"
        refused = self._refused.get(position)
        if refused:
            reasons = tuple(reason for _, reason in refused)
            records = _records(_only(slot.job, refused), reasons, self._now)
            return "rejected" if self._park(position, records) else "retried"
        if unknown:
            self._result.rejected += 1
            return "rejected"
        self._result.delivered += 1
        return "delivered"

    def _park_unknown(self, slot: Slot, events: set[int]) -> bool:
        positions = sorted(events)
        # Of its own for each set of events: another set, parked later, must not replace this one.
        digest = hashlib.sha256(f"{slot.job.job_id} {positions}".encode()).hexdigest()[:12]
        parked = slot.job.model_copy(
            update={
                "job_id": f"{slot.job.job_id[:LONGEST_BASE_ID]}~unknown-{digest}",
                "attributes": {},
                "events": tuple(slot.job.events[index] for index in positions),
            }
        )
        reasons = tuple(
            _UNKNOWN_OUTCOME.model_copy(update={"field": f"events.{index}"}) for index in positions
        )
        return self._kept(slot.position, _records(parked, reasons, self._now))

    def _learn(self, slot: Slot, learnt: dict[PersonKey, PersonState], *, is_settled: bool) -> None:
        """Add one job's outcome to what the ledger shall know of its person."""
        job, position = slot.job, slot.position
        known = learnt[slot.key]
        newest: Mapping[str, datetime] = known.newest
        if job.attributes and position in self._attributes_done:
            sent = dict.fromkeys(job.attributes, job.occurred_at)
            newest = sent if not newest else _later_of(newest, sent)
        delivered, progress = known.delivered, known.progress
        if is_settled:
            # Also a rejected job: its row is the only copy, a resend by the vendor a duplicate.
            delivered |= {job.job_id}
        else:
            before = self._progress(slot)
            done = before.settled_events | frozenset(self._events_done.get(position, ()))
            attempts = before.attempts + (position in self._tried)
            progress = {**progress, job.job_id: JobProgress(attempts, done)}
        learnt[slot.key] = PersonState(delivered, newest, progress)

    def _park(self, position: int, records: Sequence[RejectedRecord]) -> bool:
        """Park a rejected job; where that fails, the message stays in the queue."""
        if not self._kept(position, records):
            return False
        self._result.rejected += 1
        self._outcomes[position] = "rejected"
        return True

    def _try_to_park(self, record: RejectedRecord, *, may_try: bool) -> None:
        if not may_try:
            raise RejectedStoreUnavailableError("not tried")
        self._ports.rejected.park(record)

    def _kept(self, position: int, records: Sequence[RejectedRecord]) -> bool:
        try:
            # After one failure no more time is spent on a table that may hang.
            may_try = not self._parking_fails and self._remaining() >= SHORTEST_READ
            for record in records:
                self._try_to_park(record, may_try=may_try)
        except RejectedStoreUnavailableError as error:
            self._parking_fails = True
            self._back(position, self._patience(position, SHORT_RETRY))
            held_up = self._result.held_up
            held_up[f"parking: {error}"] = held_up.get(f"parking: {error}", 0) + 1
            return False
        self._result.parked += [
            (record.correlation_id, record.id, record.reasons[0].code) for record in records
        ]
        return True


def _later_of(
    known: Mapping[str, datetime], sent: Mapping[str, datetime]
) -> Mapping[str, datetime]:
    return {**known} | {
        name: at for name, at in sent.items() if name not in known or at > known[name]
    }


class _Refusals:
    """Counts requests refused without a name since the last success: bad objects, or a bad us?"""

    def __init__(self) -> None:
        self._count = 0
        self._alone = 0
        self._texts: set[str] = set()

    def add(self, error: BrazeError, settlement: Settlement) -> None:
        if isinstance(error, BadRequestError) and not (settlement.rejected or error.errors):
            self._count += 1
            self._alone += len(settlement.suspect)
            self._texts.add(error.message)

    @property
    def doubtful(self) -> bool:
        return self._count >= ALIKE_REFUSALS

    @property
    def it_is_us(self) -> bool:
        return self._alone >= ALIKE_REFUSALS and len(self._texts) == 1
