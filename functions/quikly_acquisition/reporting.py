"""What an acquisition batch reports: counts, metrics and log lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from braze_bridge.observability import Meter, Metric
from quikly_acquisition.models import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools import Logger

from dataclasses import field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from quikly_acquisition.models import AcquisitionRecord

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quikly_acquisition.models import AcquisitionRecord

DECLINED: Final = frozenset({"unsubscribed", "phone_differs"})
"""Failures that the brand's own configuration asks for: no alarm is to ring for them."""


def report(result: BatchResult, meter: Meter, log: Logger) -> None:
    """Write a batch's figures, and a line for each acquisition that failed."""
    figures = result.figures
    meter.add(Metric.ACQUISITIONS_CREDITED, result.count(State.CREDITED))
    declined = sum(record.reason in DECLINED for record in result.finished)
    failed = result.count(State.FAILED) - declined
    # Nobody is credited for what cannot be read, either: counted whenever the sweep finds it.
    meter.add(Metric.ACQUISITIONS_FAILED, failed + len(result.unreadable_records))
    meter.add(Metric.ACQUISITIONS_DECLINED, declined)
    meter.add(Metric.ACQUISITIONS_EXPIRED, result.count(State.EXPIRED))
    meter.add(Metric.ACQUISITIONS_RESUMED, result.resumed)
    meter.add(Metric.OLDEST_WAIT, max(result.oldest_wait, 0.0))
    meter.add(Metric.PROFILES_CREATED, figures.created)
    meter.add(Metric.PROFILE_LOOK_UPS, figures.look_ups)
    meter.add(Metric.BRAZE_REQUESTS, figures.requests)
    meter.add(Metric.BRAZE_RATE_LIMITED, figures.rate_limited)
    meter.add(Metric.BRAZE_KEY_REFUSED, figures.key_refused)
    meter.add(Metric.QUIKLY_KEY_REFUSED, figures.quikly_key_refused)
    for id_ in result.unreadable_records:
        log.error("acquisition unreadable", extra={"acquisition": id_})
    for record in result.finished:
        if record.state is State.FAILED:
            write = log.info if record.reason in DECLINED else log.warning
            write(
                "acquisition failed",
                extra={
                    "acquisition": record.acquisition_id,
                    "q_scope": record.q_scope,
                    "reason": record.reason,
                    "correlation_id": record.correlation_id,
                },
            )
    strange = result.back or result.unreadable or result.unqueued or figures.closings
    level = log.warning if strange or figures.faults else log.info
    level("batch", extra=summary(result))


@dataclass(slots=True)
class Figures:
    """What was done, to be counted.

    Attributes:
        requests: To Braze.
        rate_limited: Answers 429.
        key_refused: Answers 401 and 403, and batches that waited behind such a closing.
        quikly_key_refused: Quikly's 401 and 403.
        created: Profiles written that may be new.
        look_ups: Exports.
        closings: Why gates were closed.
        unattributed: Errors of a success that named no object.
        faults: Of ours, by kind.
    """

    requests: int = 0
    rate_limited: int = 0
    key_refused: int = 0
    quikly_key_refused: int = 0
    created: int = 0
    look_ups: int = 0
    closings: list[str] = field(default_factory=list)
    unattributed: int = 0
    faults: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class BatchResult:
    """What became of a batch.

    Attributes:
        stale: Messages about what was done already, or of records that are gone.
        unreadable: Messages that are no step: dropped, since the sweep makes what is missing.
        unreadable_records: Ids of acquisitions whose record this code cannot read: a fault of ours.
        back: Ids of messages that SQS shall hand out again: the store failed.
        finished: Records that came to their end here.
        resumed: Records found in the middle of a credit.
        overtaken: Changes that were not stored, since somebody else's were.
        unqueued: Messages that the queue did not take: the sweep makes them.
        oldest_wait: Seconds for which the step had been due that was due longest, trouble included:
            whoever waits for a gate, or for Braze to come back, waits.
        figures: What was done at Braze and Quikly.
    """

    received: int = 0
    stale: int = 0
    unreadable: int = 0
    unreadable_records: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    finished: list[AcquisitionRecord] = field(default_factory=list)
    resumed: int = 0
    overtaken: int = 0
    unqueued: int = 0
    oldest_wait: float = 0.0
    figures: Figures = field(default_factory=Figures)

    def count(self, state: State) -> int:
        """How many came to this end."""
        return sum(record.state is state for record in self.finished)


def summary(result: BatchResult) -> Mapping[str, object]:
    """A batch's figures, for its line in the log."""
    figures = result.figures
    states: Iterable[State] = (State.CREDITED, State.FAILED, State.EXPIRED)
    return {
        "received": result.received,
        "stale": result.stale,
        "unreadable": result.unreadable,
        "unreadable_records": len(result.unreadable_records),
        "back": len(result.back),
        "resumed": result.resumed,
        "overtaken": result.overtaken,
        "unqueued": result.unqueued,
        **{state.value: result.count(state) for state in states},
        "requests": figures.requests,
        "look_ups": figures.look_ups,
        "profiles_created": figures.created,  # "created" is a log record's own
        "oldest_wait": round(result.oldest_wait, 1),
        "rate_limited": figures.rate_limited,
        "key_refused": figures.key_refused,
        "quikly_key_refused": figures.quikly_key_refused,
        "closings": figures.closings,
        "unattributed": figures.unattributed,
        "faults": figures.faults,
    }
