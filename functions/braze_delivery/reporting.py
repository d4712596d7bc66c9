"""The counts, metrics and log lines of a delivery batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from braze_bridge.observability import Metric, PartnerMeter
from braze_delivery.senders import REFUSED, UNKNOWN
from braze_delivery.verifying import Verdict

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from braze_delivery.entry import Outcome


@dataclass(slots=True)
class PartnerFigures:
    """The outcomes of one partner's jobs in a batch.

    Attributes:
        jobs: Outcome to correlation ids. Each job has one outcome.
    """

    jobs: dict[Outcome, list[str]] = field(
        default_factory=lambda: {"delivered": [], "duplicate": [], "rejected": [], "retried": []}
    )


@dataclass(slots=True)
class BatchResult:
    """The outcomes of a batch.

    Attributes:
        retry: Message id to the seconds until SQS shows it again.
        parked: Correlation id, job or message id, and reason code of each rejected job.
        oldest_wait: Seconds since the door received the oldest job. If the gate is closed, until it
            opens.
        stale_attributes: Attributes dropped, since newer ones are sent.
        erased: Jobs dropped, since their person was erased after they came. They count as
            duplicates.
        unclear_answers: Braze's words, cleaned, in each success that does not add up.
        closings: Reasons for which this batch closed the gate.
        unrecorded: People whose update the ledger did not store.
        held_up: Why nothing was sent, and for how many jobs or people: the gate's reason, the
            ledger's errors, people leased to other Lambdas.
        gate_closed: The gate was closed, or an answer closed it.
        look_ups: Requests to find out whether events arrived.
        verified: Number of events by what a look-up showed.
        remaining: The smallest remainder of Braze's limit in the answers.
        by_partner: By ``DeliveryJob.source``, without messages that are no job.
    """

    received: int = 0
    delivered: int = 0
    duplicate: int = 0
    rejected: int = 0
    retry: dict[str, float] = field(default_factory=dict)
    parked: list[tuple[str, str, str]] = field(default_factory=list)
    requests: int = 0
    rate_limited: int = 0
    key_refused: int = 0
    oldest_wait: float = 0.0
    stale_attributes: int = 0
    erased: int = 0
    unclear_answers: list[str] = field(default_factory=list)
    closings: list[str] = field(default_factory=list)
    unrecorded: int = 0
    held_up: dict[str, int] = field(default_factory=dict)
    gate_closed: bool = False
    look_ups: int = 0
    verified: Counter[Verdict] = field(default_factory=Counter)
    remaining: int | None = None
    by_partner: dict[str, PartnerFigures] = field(default_factory=dict)

    @property
    def retried(self) -> int:
        """Number of messages that go back."""
        return len(self.retry)


IDS_PER_LINE = 500
"""Correlation ids of a log line: 20 KB; CloudWatch Logs takes 256 KB."""

VERIFIED: Final = {
    Verdict.ARRIVED: Metric.EVENTS_ARRIVED,
    Verdict.NOT_ARRIVED: Metric.EVENTS_NOT_ARRIVED,
    Verdict.UNKNOWN: Metric.EVENTS_UNVERIFIED,
}

LOGGED: Final = (
    *("received", "delivered", "duplicate", "rejected", "retried", "requests", "rate_limited"),
    "remaining",
    *("key_refused", "stale_attributes", "erased", "closings", "held_up", "unrecorded", "look_ups"),
)
"""Fields of a batch's result in its log line."""

TEXTS_PER_LINE = 5
"""Different texts of Braze in a log line."""


def report(result: BatchResult, meter: PartnerMeter, log: Logger, *, unhidden: int) -> None:
    """Write a batch's figures, each job's correlation id, and a line for each rejected job.

    Args:
        result: Of the batch.
        meter: For the figures.
        log: For the lines.
        unhidden: Messages whose visibility could not be changed; they return after the queue's
            default.
    """
    meter.add(Metric.JOBS_REJECTED, result.rejected)
    refused = sum(code == REFUSED.code for _, _, code in result.parked)
    if refused := refused + result.held_up.get(UNKNOWN, 0):
        meter.add(Metric.SENDERS_REFUSED, refused)
    meter.add(Metric.OLDEST_WAIT, result.oldest_wait)
    meter.add(Metric.BRAZE_REQUESTS, result.requests)
    meter.add(Metric.BRAZE_RATE_LIMITED, result.rate_limited)
    meter.add(Metric.BRAZE_KEY_REFUSED, result.key_refused)
    meter.add(Metric.GATE_CLOSED, result.gate_closed)
    meter.add(Metric.UNCLEAR_ANSWERS, len(result.unclear_answers))
    meter.add(Metric.PEOPLE_UNRECORDED, result.unrecorded)
    meter.add(Metric.PROFILE_LOOK_UPS, result.look_ups)
    for verdict, count in result.verified.items():
        meter.add(VERIFIED[verdict], count)
    for partner, figures in result.by_partner.items():
        meter.add_for(
            partner,
            {
                Metric.JOBS_DELIVERED: len(figures.jobs["delivered"]),
                Metric.JOBS_REJECTED: len(figures.jobs["rejected"]),
            },
        )
    write_correlation_ids(result, log)
    for correlation_id, record_id, code in result.parked:
        log.warning(
            "job rejected",
            extra={"job": record_id, "reason": code, "correlation_id": correlation_id},
        )
    problems = result.closings or result.held_up or result.unclear_answers or result.unrecorded
    level = log.warning if problems else log.info
    level(
        "batch",
        extra={name: getattr(result, name) for name in LOGGED}
        | {
            "unclear_answers": len(result.unclear_answers),
            "unclear_texts": sorted(set(result.unclear_answers))[:TEXTS_PER_LINE],
            "verified": dict(result.verified),
            "unhidden": unhidden,
        },
    )


def write_correlation_ids(result: BatchResult, log: Logger) -> None:
    """Write the jobs' correlation ids by outcome, many in a line.

    A line for each job would cost more than sending it. Rejected jobs have their own lines.
    """
    for partner, figures in result.by_partner.items():
        for outcome, ids in figures.jobs.items():
            for at in range(0, len(ids) if outcome != "rejected" else 0, IDS_PER_LINE):
                log.info(
                    "jobs %s",
                    outcome,
                    extra={"partner": partner, "correlation_ids": ids[at : at + IDS_PER_LINE]},
                )
