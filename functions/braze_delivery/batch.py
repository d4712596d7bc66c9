"""What the steps of one batch share: the ports, the time left and the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from braze_bridge.jobs.envelope import DeliveryJob, parse_job
from braze_delivery.reporting import BatchResult, PartnerFigures
from braze_delivery.senders import ANY_SENDER
from braze_delivery.verifying import LAG

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from datetime import timedelta

    from braze_bridge.braze.models import ExportIdsResponse, TrackResponse
    from braze_bridge.clock import Clock
    from braze_bridge.gate.port import Gate
    from braze_bridge.handlers import SqsMessage
    from braze_bridge.jobs.rejected import RejectedRecord, RejectedStore
    from braze_bridge.ledger.port import Ledger
    from braze_delivery.entry import BatchEntry
    from braze_delivery.senders import Senders

SHORT_RETRY: Final = 5.0
"""Seconds, for jobs that were not sent."""

MAX_RETRY: Final = 36_000.0
"""Seconds. A message may be hidden for 12 h in all, the time in flight included:
docs.aws.amazon.com/AWSSimpleQueueService, developer guide, sqs-visibility-timeout."""

RETENTION_SHARE: Final = 0.75
"""A job older than this share of the retention is parked: SQS deletes expired messages silently."""

DEADLINE_MARGIN: Final = 6.5
"""Seconds of the invocation after the last request's deadline: to report it, record, park and hide
messages. So every request ends before its lease does."""

QUICK_RECEIVES: Final = 6
"""Receives of a message with a short delay. Each later receive doubles the delay."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The clients, stores and settings of delivery.

    Attributes:
        track: ``BrazeClient.track``, or the like.
        executor: Runs requests in parallel.
        concurrency: Maximum parallel requests.
        jitter: Random numbers in [0, 1).
        retention: Of the delivery queue.
        on_unknown_outcome: Whether events of a request that timed out are looked up before they are
            sent again, sent again at once, or parked.
        tail: Leases, records and parks beside the requests; without it, one after the other.
        export_ids: ``BrazeClient.export_ids``, or the like; without it nothing is looked up.
        on_unverified: Whether events are sent again or parked if a look-up cannot tell.
        verify_lag: After an unknown outcome, until an export is complete.
        senders: Who may send which jobs.
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
    on_unknown_outcome: Literal["verify", "resend", "park"]
    tail: Executor | None = None
    export_ids: Callable[..., ExportIdsResponse] | None = None
    on_unverified: Literal["resend", "park"] = "resend"
    verify_lag: timedelta = LAG
    senders: Senders = ANY_SENDER


class Batch:
    """One batch of messages.

    Attributes:
        now: The start of the batch.
        seconds_left: Gives the seconds left of this invocation.
        oldest_kept: A job that waits since an earlier time is parked.
        unreadable: Messages that are no job, with their rows.
        closed_for: Seconds that all jobs wait if the gate closed during the batch.
        looked_up: Seconds that look-ups took.
    """

    def __init__(
        self, messages: Sequence[SqsMessage], ports: Ports, seconds_left: Callable[[], float]
    ) -> None:
        self.messages = messages
        self.ports = ports
        self.seconds_left = seconds_left
        self.now = ports.clock.now()
        self.oldest_kept = self.now - ports.retention * RETENTION_SHARE
        self.result = BatchResult(received=len(messages))
        self.unreadable: list[tuple[SqsMessage, list[RejectedRecord]]] = []
        self.closed_for = 0.0
        self.looked_up = 0.0

    def full_job(self, entry: BatchEntry) -> DeliveryJob:
        """Return the job as the contract has it, to park it."""
        job = entry.job
        return (
            job if isinstance(job, DeliveryJob) else parse_job(self.messages[entry.position].body)
        )

    def hold_up(self, why: str, count: int = 1) -> None:
        """Note why so many jobs or people wait."""
        self.result.held_up[why] = self.result.held_up.get(why, 0) + count

    def growing(self, message: SqsMessage, seconds: float = SHORT_RETRY) -> float:
        """Compute a delay that grows with the receives of the message.

        Without the ledger the attempts are unknown, and 1,000 receives must outlast its longest
        outage: 5 s a few times, then doubling to 15 minutes.
        """
        doublings = min(max(message.receive_count - QUICK_RECEIVES, 0), 8)
        return max(seconds, min(SHORT_RETRY * 2.0**doublings, 900.0) if doublings else 0.0)

    def send_back(self, message: SqsMessage, seconds: float) -> None:
        """Return a message to the queue, a little later than asked, so that retries spread."""
        spread = self.ports.jitter() * min(SHORT_RETRY, 1 + seconds / 10)
        self.result.retry[message.message_id] = min(seconds + spread, MAX_RETRY)

    def count(self, entries: Sequence[BatchEntry]) -> None:
        """Count each job's outcome, also for its partner, and send back the retried ones."""
        found = self.result.by_partner
        for entry in entries:
            job = entry.job
            if job.source not in found:
                found[job.source] = PartnerFigures()
            found[job.source].jobs[entry.outcome].append(job.correlation_id)
            if entry.outcome == "retried":
                seconds = max(entry.delay or SHORT_RETRY, self.closed_for)
                self.send_back(self.messages[entry.position], seconds)
        for figures in found.values():
            self.result.delivered += len(figures.jobs["delivered"])
            self.result.duplicate += len(figures.jobs["duplicate"])
            self.result.rejected += len(figures.jobs["rejected"])
