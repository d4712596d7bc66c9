"""Sends Braze's calls on to Quikly: each is sent, retried, dropped as a duplicate or parked.

A call whose outcome is unknown may be made twice. Quikly's page asks Braze to make the same call
itself, and Braze repeats it after every timeout and 5xx.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from braze_bridge.braze.retry import backoff
from braze_bridge.braze.transport import Deadline
from braze_bridge.jobs.forward import SOURCE, UnreadableForwardError, parse_forward
from braze_bridge.jobs.rejected import RejectedRecord, RejectedStoreUnavailableError
from braze_bridge.quikly import QuiklyCall, QuiklyError
from braze_bridge.reasons import Reason
from quikly_forward.sent_calls import Lease, SentCallsUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from aws_lambda_powertools import Logger

    from braze_bridge.aws.secrets import SecretSource
    from braze_bridge.clock import Clock
    from braze_bridge.handlers import SqsMessage
    from braze_bridge.jobs.forward import ForwardMessage
    from braze_bridge.jobs.queue import MessageHider
    from braze_bridge.jobs.rejected import RejectedStore
    from braze_bridge.observability import Meter
    from braze_bridge.quikly import QuiklyApi
    from quikly_forward.sent_calls import SentCalls

ROUTE: Final = "/quikly/webhook:forward"
"""The route of a parked call: a replay sends it to the forward queue again."""

RETENTION_SHARE: Final = 0.75
"""SQS deletes expired messages silently: a call older than this share of retention is parked."""

CALL_SECONDS: Final = 20.0
"""The least time left with which a call is begun. Its deadline lies within it."""

WRITE_SECONDS: Final = 7.0
"""A call ends so long before, to note its outcome: DynamoDB has 2 s to connect, 5 s to answer."""

KEY_WAIT_SECONDS: Final = 60.0
"""The least wait after a refused key: a person must replace it, so more calls are useless."""

MAX_WAIT_SECONDS: Final = 36_000.0
"""SQS hides a message 12 h at most from its first receipt; two hours are left for the rest."""

_UNREADABLE_HASH_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the function needs, built once an execution environment.

    Attributes:
        jitter: Makes random numbers in [0, 1).
        retention: Of the forward queue.
        lease: How long only one Lambda may make a call: longer than this function lives.
        secret: Quikly's key.
    """

    api: QuiklyApi
    sent_calls: SentCalls
    rejected: RejectedStore
    clock: Clock
    jitter: Callable[[], float]
    retention: timedelta
    lease: timedelta
    hider: MessageHider
    secret: SecretSource
    meter: Meter
    log: Logger


@dataclass(slots=True)
class ForwardResult:
    """The result of a batch: every message is sent, a duplicate, parked or retried.

    Attributes:
        sent: Forward ids that Quikly took.
        duplicate: How many messages' calls were made before.
        parked: Forward id (or the body's hash) and the reason's code.
        retry: Message id to seconds until it comes again.
        causes: Why messages are retried: short texts without an address.
        key_refused: Quikly refused the key, or there is none.
        unnoted: Calls that Quikly took and that could not be marked: they may be made once more.
    """

    sent: list[str] = field(default_factory=list)
    duplicate: int = 0
    parked: list[tuple[str, str]] = field(default_factory=list)
    retry: dict[str, float] = field(default_factory=dict)
    causes: list[str] = field(default_factory=list)
    key_refused: bool = False
    unnoted: int = 0


def forward(
    messages: Sequence[SqsMessage], deps: Dependencies, time_left: Callable[[], float]
) -> ForwardResult:
    """Send the calls to Quikly, one after the other.

    If Quikly asks for time or refuses the key, the batch's other calls are not made: it would
    refuse each of them again.

    Args:
        messages: Their message ids differ.
        time_left: Seconds left to this invocation.
    """
    batch = _Batch(deps, time_left)
    for message in messages:
        batch.take(message)
    return batch.result


@dataclass(slots=True)
class _Batch:
    deps: Dependencies
    time_left: Callable[[], float]
    result: ForwardResult = field(default_factory=ForwardResult)
    pause: float | None = None

    def take(self, delivery: SqsMessage) -> None:
        try:
            message = parse_forward(delivery.body)
        except UnreadableForwardError as error:
            digest = hashlib.sha256(delivery.body.encode()).hexdigest()[:_UNREADABLE_HASH_CHARS]
            self._park(delivery, f"unreadable:{digest}", None, error.reasons)
            return
        age = self.deps.clock.now() - message.received_at
        if age > self.deps.retention * RETENTION_SHARE:
            reason = Reason(code="expired", detail="waited for most of the queue's retention")
            self._park(delivery, message.forward_id, message, (reason,))
        elif self.pause is not None:
            self._again(delivery, self.pause, "not tried")
        elif self.time_left() < CALL_SECONDS:
            self._again(delivery, 0.0, "no time left")
        else:
            self._lease(delivery, message)

    def _lease(self, delivery: SqsMessage, message: ForwardMessage) -> None:
        now = self.deps.clock.now()
        try:
            lease = self.deps.sent_calls.take_lease(message.forward_id, now, self.deps.lease)
        except SentCallsUnavailableError as error:
            self._again(delivery, self._backoff(delivery), f"memory: {error}")
            return
        match lease:
            case Lease.GRANTED:
                self._send(delivery, message)
            case Lease.SENT:
                self.result.duplicate += 1
            case Lease.BUSY:
                # The other Lambda may have crashed: the message stays until the call is sent.
                self._again(delivery, self._backoff(delivery), "told elsewhere just now")

    def _send(self, delivery: SqsMessage, message: ForwardMessage) -> None:
        call = QuiklyCall(q_scope=message.q_scope, event=message.event, email=message.email)
        try:
            left = min(self.time_left(), CALL_SECONDS) - WRITE_SECONDS
            self.deps.api.send(call, Deadline.after(left))
        except QuiklyError as error:
            if error.retryable:
                self._wait(delivery, error)
            else:
                reason = Reason(code="quikly_refused", detail=str(error))
                self._park(delivery, message.forward_id, message, (reason,))
            # After parking, too: a replay has the same id and needs the lease.
            self._release(message)
            return
        self.result.sent.append(message.forward_id)
        try:
            self.deps.sent_calls.mark_sent(message.forward_id, self.deps.clock.now())
        except SentCallsUnavailableError:
            self.result.unnoted += 1

    def _wait(self, delivery: SqsMessage, error: QuiklyError) -> None:
        wait = self._backoff(delivery)
        if error.key_refused:
            self.result.key_refused = True
            wait = self.pause = max(KEY_WAIT_SECONDS, wait)
        elif error.retry_after is not None:
            wait = self.pause = min(max(error.retry_after, 0.0), MAX_WAIT_SECONDS)
        elif error.status == HTTPStatus.TOO_MANY_REQUESTS:
            self.pause = wait
        self._again(delivery, wait, str(error))

    def _release(self, message: ForwardMessage) -> None:
        try:
            self.deps.sent_calls.release(message.forward_id, self.deps.clock.now())
        except SentCallsUnavailableError:
            # The lease ends by itself; until then the message finds it BUSY.
            self.result.causes.append("turn not given back")

    def _park(
        self,
        delivery: SqsMessage,
        known_as: str,
        message: ForwardMessage | None,
        reasons: tuple[Reason, ...],
    ) -> None:
        now = self.deps.clock.now()
        record = RejectedRecord(
            id=f"forward:{known_as}",
            kind="body",
            source=SOURCE,
            route=ROUTE,
            payload=delivery.body,
            reasons=reasons,
            correlation_id=known_as[:128] if message is None else message.correlation_id,
            first_seen=now,
            last_seen=now,
        )
        try:
            self.deps.rejected.park(record)
        except RejectedStoreUnavailableError as error:
            self._again(delivery, self._backoff(delivery), f"not parked: {error}")
            return
        self.result.parked.append((known_as, reasons[0].code))

    def _backoff(self, delivery: SqsMessage) -> float:
        return backoff(delivery.receive_count, self.deps.jitter)

    def _again(self, delivery: SqsMessage, seconds: float, cause: str) -> None:
        self.result.retry[delivery.message_id] = seconds
        self.result.causes.append(cause)
