"""Telling Quikly what people did: which call is made, waits, is dropped or parked.

A call may be made again where nobody knows whether Quikly took it: the very same call made by Braze
itself, which Quikly's page asks for, is repeated by Braze after every timeout and 5xx.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.braze.retry import backoff
from braze_bridge.jobs.forward import SOURCE, UnreadableForwardError, parse_forward
from braze_bridge.jobs.rejected import RejectedRecord, RejectedStoreUnavailableError
from braze_bridge.quikly import QuiklyCall, QuiklyError
from braze_bridge.reasons import Reason
from quikly_forward.told_calls import ToldCallsUnavailableError, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from braze_bridge.clock import Clock
    from braze_bridge.jobs.forward import ForwardMessage
    from braze_bridge.jobs.rejected import RejectedStore
    from braze_bridge.quikly import QuiklyApi
    from quikly_forward.told_calls import ToldCalls

ROUTE: Final = "/quikly/webhook:forward"
"""What a parked call has for its route: a replay hands it to the forward queue again."""

RETENTION_SHARE: Final = 0.75
"""SQS deletes expired messages silently: a call older than this share of retention is parked."""

CALL_SECONDS: Final = 20.0
"""What one call may take: 3 s to connect, 10 s of silence, and the memory before and after it."""

KEY_WAIT_SECONDS: Final = 60.0
"""The least wait for a key that is refused: a person mends it, and Quikly need not be hammered."""

MAX_WAIT_SECONDS: Final = 36_000.0
"""SQS hides a message 12 h at most from its first receipt; two hours are left for the rest."""

_UNREADABLE_HASH_CHARS: Final = 32


class ForwardDelivery(NamedTuple):
    """A message as SQS handed it out.

    Attributes:
        receive_count: How often it was handed out, this time included.
    """

    message_id: str
    body: str
    receive_count: int


class ForwardPorts(NamedTuple):
    """The world.

    Attributes:
        jitter: A fresh random number in [0, 1) at each call.
        retention: Of the forward queue.
        lease: How long a call's turn lasts; longer than this function lives.
        time_left: Seconds until this invocation is killed.
    """

    api: QuiklyApi
    told: ToldCalls
    rejected: RejectedStore
    clock: Clock
    jitter: Callable[[], float]
    retention: timedelta
    lease: timedelta
    time_left: Callable[[], float]


@dataclass(slots=True)
class ForwardResult:
    """What became of a batch: every message is told, duplicate, parked or retried.

    Attributes:
        told: Forward ids that Quikly took.
        duplicate: Messages whose call was made before.
        parked: Forward id (or the body's hash) and the reason's code.
        retry: Message id to seconds until it comes again.
        causes: Why messages come again: a short text each, without an address.
        key_refused: Whether Quikly refused the key, or there is none.
        unnoted: Calls that Quikly took and the memory could not note: they may be made once more.
    """

    told: list[str] = field(default_factory=list)
    duplicate: int = 0
    parked: list[tuple[str, str]] = field(default_factory=list)
    retry: dict[str, float] = field(default_factory=dict)
    causes: list[str] = field(default_factory=list)
    key_refused: bool = False
    unnoted: int = 0


def forward(messages: Sequence[ForwardDelivery], ports: ForwardPorts) -> ForwardResult:
    """Tell Quikly, one call after the other.

    Where Quikly asks for time or refuses the key, the batch's remaining calls are not made: each
    would only be refused again.

    Args:
        messages: Each with a message id of its own.
        ports: The world.
    """
    return _Batch(ports).run(messages)


class _Batch:
    def __init__(self, ports: ForwardPorts) -> None:
        self._ports = ports
        self._result = ForwardResult()
        self._pause: float | None = None

    def run(self, messages: Sequence[ForwardDelivery]) -> ForwardResult:
        for message in messages:
            self._one(message)
        return self._result

    def _one(self, delivery: ForwardDelivery) -> None:
        try:
            message = parse_forward(delivery.body)
        except UnreadableForwardError as error:
            digest = hashlib.sha256(delivery.body.encode()).hexdigest()[:_UNREADABLE_HASH_CHARS]
            self._park(delivery, f"unreadable:{digest}", None, error.reasons)
            return
        age = self._ports.clock.now() - message.received_at
        if age > self._ports.retention * RETENTION_SHARE:
            reason = Reason(code="expired", detail="waited for most of the queue's retention")
            self._park(delivery, message.forward_id, message, (reason,))
        elif self._pause is not None:
            self._again(delivery, self._pause, "not tried")
        elif self._ports.time_left() < CALL_SECONDS:
            self._again(delivery, 0.0, "no time left")
        else:
            self._take_turn(delivery, message)

    def _take_turn(self, delivery: ForwardDelivery, message: ForwardMessage) -> None:
        now = self._ports.clock.now()
        try:
            turn = self._ports.told.take_turn(message.forward_id, now, self._ports.lease)
        except ToldCallsUnavailableError as error:
            self._again(delivery, self._backoff(delivery), f"memory: {error}")
            return
        match turn:
            case Turn.OURS:
                self._tell(delivery, message)
            case Turn.TOLD:
                self._result.duplicate += 1
            case Turn.BUSY:
                # The other Lambda may have died: the message stays until somebody has told.
                self._again(delivery, self._backoff(delivery), "told elsewhere just now")

    def _tell(self, delivery: ForwardDelivery, message: ForwardMessage) -> None:
        call = QuiklyCall(q_scope=message.q_scope, event=message.event, email=message.email)
        try:
            self._ports.api.tell(call)
        except QuiklyError as error:
            if error.retryable:
                self._wait(delivery, error)
            else:
                reason = Reason(code="quikly_refused", detail=str(error))
                self._park(delivery, message.forward_id, message, (reason,))
            # Parked calls, too: a replay has the same id, and must find its turn free.
            self._give_back(message)
            return
        self._result.told.append(message.forward_id)
        try:
            self._ports.told.keep(message.forward_id, self._ports.clock.now())
        except ToldCallsUnavailableError:
            self._result.unnoted += 1

    def _wait(self, delivery: ForwardDelivery, error: QuiklyError) -> None:
        wait = self._backoff(delivery)
        if error.key_refused:
            self._result.key_refused = True
            wait = self._pause = max(KEY_WAIT_SECONDS, wait)
        elif error.retry_after is not None:
            wait = self._pause = min(max(error.retry_after, 0.0), MAX_WAIT_SECONDS)
        elif error.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._pause = wait
        self._again(delivery, wait, str(error))

    def _give_back(self, message: ForwardMessage) -> None:
        try:
            self._ports.told.give_back(message.forward_id, self._ports.clock.now())
        except ToldCallsUnavailableError:
            # The lease ends by itself; until then the message finds its turn busy.
            self._result.causes.append("turn not given back")

    def _park(
        self,
        delivery: ForwardDelivery,
        known_as: str,
        message: ForwardMessage | None,
        reasons: tuple[Reason, ...],
    ) -> None:
        now = self._ports.clock.now()
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
            self._ports.rejected.park(record)
        except RejectedStoreUnavailableError as error:
            self._again(delivery, self._backoff(delivery), f"not parked: {error}")
            return
        self._result.parked.append((known_as, reasons[0].code))

    def _backoff(self, delivery: ForwardDelivery) -> float:
        return backoff(delivery.receive_count, self._ports.jitter)

    def _again(self, delivery: ForwardDelivery, seconds: float, cause: str) -> None:
        self._result.retry[delivery.message_id] = seconds
        self._result.causes.append(cause)
