"""What an acquisition batch reports: counts, metrics and log lines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from braze_bridge.observability import Meter, Metric
from quikly_acquisition.models import DECLINED, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools import Logger

    from quikly_acquisition.models import AcquisitionRecord


def report(result: BatchResult, meter: Meter, log: Logger) -> None:
    """Write a batch's figures, and a line for each acquisition that failed."""
    figures = result.figures
    meter.add(Metric.ACQUISITIONS_CREDITED, result.count(State.CREDITED))
    # What the brand's own configuration asks for must raise no alarm.
    declined = sum(record.reason in DECLINED for record in result.finished)
    failed = result.count(State.FAILED) - declined
    # An unreadable record is not credited either: it counts each time the sweep finds it.
    meter.add(Metric.ACQUISITIONS_FAILED, failed + len(result.unreadable_records))
    meter.add(Metric.ACQUISITIONS_DECLINED, declined)
    meter.add(Metric.ACQUISITIONS_EXPIRED, result.count(State.EXPIRED))
    meter.add(Metric.OLDEST_WAIT, max(result.oldest_wait, 0.0))
    meter.add(Metric.PROFILE_LOOK_UPS, figures.look_ups)
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
    is_unusual = result.back or result.unreadable or result.unqueued or figures.closings
    level = log.warning if is_unusual or figures.faults else log.info
    level("batch", extra=_summary(result))


@dataclass(slots=True)
class Figures:
    """Counts of a batch's calls to Braze and Quikly.

    Attributes:
        look_ups: Requests to ``/users/export/ids``.
        profiles_created: Profiles written that may be new.
        rate_limited: Answers 429.
        key_refused: Answers 401 and 403, and gates found closed by one.
        quikly_key_refused: Quikly's 401 and 403.
        closings: Why gates were closed.
        unattributed: Errors of a success that named no object.
        faults: Bugs of ours, by exception.
    """

    requests: int = 0
    look_ups: int = 0
    profiles_created: int = 0
    rate_limited: int = 0
    key_refused: int = 0
    quikly_key_refused: int = 0
    closings: list[str] = field(default_factory=list)
    unattributed: int = 0
    faults: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class BatchResult:
    """The result of a batch.

    Attributes:
        stale: Messages of steps that were done before, or of records that are gone.
        unreadable: Messages that are no step; the sweep makes the missing ones.
        unreadable_records: Ids of acquisitions whose record this code cannot read: a bug of ours.
        back: Ids of messages that go back to SQS, because the store failed.
        finished: Records that ended here.
        resumed: Records whose call to Quikly an earlier invocation had begun.
        overtaken: Changes that were not stored, because another worker changed the record.
        unqueued: Messages that the queue did not take; the sweep makes them.
        oldest_wait: The longest time in seconds that a step had been due, failures included.
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
        """Count the finished records with this state."""
        return sum(record.state is state for record in self.finished)


def _summary(result: BatchResult) -> Mapping[str, object]:
    return {
        "received": result.received,
        "stale": result.stale,
        "unreadable": result.unreadable,
        "unreadable_records": len(result.unreadable_records),
        "back": len(result.back),
        "resumed": result.resumed,
        "overtaken": result.overtaken,
        "unqueued": result.unqueued,
        **{state.value: result.count(state) for state in State if state.is_final},
        "oldest_wait": round(result.oldest_wait, 1),
        **asdict(result.figures),
    }
