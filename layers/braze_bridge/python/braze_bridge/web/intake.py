"""The last step of an ingest function: it queues, parks or ignores a mapped body, and answers."""

from __future__ import annotations

import hashlib
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.jobs.queue import QueueUnavailableError
from braze_bridge.jobs.rejected import RejectedRecord, RejectedStoreUnavailableError
from braze_bridge.mapping.attributes import UNREADABLE_TIME
from braze_bridge.mapping.outcomes import Ignored, Mapped, Unmappable
from braze_bridge.observability import Metric
from braze_bridge.web.door import DoorError, answer, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aws_lambda_powertools import Logger

    from braze_bridge.jobs.queue import JobQueue
    from braze_bridge.jobs.rejected import RejectedStore
    from braze_bridge.mapping.attributes import Skip
    from braze_bridge.mapping.outcomes import Outcome
    from braze_bridge.observability import Meter
    from braze_bridge.reasons import Reason
    from braze_bridge.web.door import Admitted, ProxyResponse

MOST_SKIPS_NAMED: Final = 100
"""So many values of one body have a log line and a warning each; the rest are counted. A hostile
body has 130,000, and so many lines take longer than the function's timeout."""


class Intake(NamedTuple):
    """What the last step needs.

    Attributes:
        source: The partner, as in ``DeliveryJob.source``.
        rejected: Makes the store on first use, since its client costs a cold start 50 ms and most
            never need it.
    """

    source: str
    queue: JobQueue
    rejected: Callable[[], RejectedStore]
    meter: Meter
    log: Logger

    def settle(self, admitted: Admitted, outcome: Outcome) -> ProxyResponse:
        """Act on a mapping's outcome. A success is answered only after the queue has the job.

        Returns:
            200 ``accepted`` after the queue took the job, or 200 ``ignored``.

        Raises:
            DoorError: 422 after the body was parked; 503 if queue or store did not take it, so
                that the sender tries again.
        """
        match outcome:
            case Mapped():
                return self._accept(admitted, outcome)
            case Unmappable(reasons, skips):
                self._park(admitted, reasons)
                self._report(admitted, skips)
                raise DoorError(HTTPStatus.UNPROCESSABLE_ENTITY, reasons)
            case Ignored(code):
                self.meter.add(Metric.RESPONSES_IGNORED)
                self.log.info("response ignored", code=code, correlation_id=admitted.correlation_id)
                return answer(HTTPStatus.OK, {"status": "ignored"})

    def _accept(self, admitted: Admitted, mapped: Mapped) -> ProxyResponse:
        job = mapped.job
        try:
            self.queue.send(job)
        except QueueUnavailableError as error:
            self.log.error(  # noqa: TRY400 - a traceback could quote the body
                "queue refused a job",
                error=str(error),
                job_id=job.job_id,
                correlation_id=admitted.correlation_id,
            )
            raise unavailable("unavailable", "the queue did not take it; send it again") from error
        self.meter.add(Metric.JOBS_ACCEPTED)
        self._report(admitted, mapped.skips)
        if job.user.braze_id is not None:
            # Braze answers 201 for an unknown one, too, and drops what came with it.
            self.meter.add(Metric.JOBS_BY_BRAZE_ID)
        if mapped.unanswered:
            self.meter.add(Metric.QUESTIONS_UNANSWERED, mapped.unanswered)
        self.log.info(
            "job accepted",
            job_id=job.job_id,
            attributes=len(job.attributes),
            events=len(job.events),
            identifier=job.user.key[0],
            unusable_identifiers=[f"{note.field}: {note.code}" for note in mapped.notes],
            correlation_id=admitted.correlation_id,
        )
        left_out = [skip for skip in mapped.skips if not skip.default_used][:MOST_SKIPS_NAMED]
        warnings = [{"code": skip.code, "field": skip.name} for skip in left_out]
        return answer(
            HTTPStatus.OK,
            {"status": "accepted", "job_id": job.job_id}
            | ({"warnings": warnings} if warnings else {}),
        )

    def _park(self, admitted: Admitted, reasons: tuple[Reason, ...]) -> None:
        digest = hashlib.sha256(f"{admitted.path}\n{admitted.body_text}".encode()).hexdigest()
        record = RejectedRecord(
            id=f"body:{digest}",
            kind="body",
            source=self.source,
            route=admitted.path,
            payload=admitted.body_text,
            reasons=reasons,
            correlation_id=admitted.correlation_id,
            first_seen=admitted.received_at,
            last_seen=admitted.received_at,
        )
        try:
            self.rejected().park(record)
        except RejectedStoreUnavailableError as error:
            self.log.error(  # noqa: TRY400 - as above
                "body not parked", error=str(error), correlation_id=admitted.correlation_id
            )
            raise unavailable("unavailable", "it could not be kept; send it again") from error
        self.meter.add(Metric.BODIES_PARKED)
        self.log.warning(
            "body parked",
            id=record.row_id,
            reasons=[reason.model_dump(include={"code", "field"}) for reason in reasons],
            correlation_id=admitted.correlation_id,
        )

    def _report(self, admitted: Admitted, skips: Sequence[Skip]) -> None:
        lost = sum(not skip.default_used for skip in skips)
        if lost:
            self.meter.add(Metric.ATTRIBUTES_SKIPPED, lost)
        unreadable = sum(skip.code == UNREADABLE_TIME for skip in skips)
        if unreadable:
            self.meter.add(Metric.TIMES_UNREADABLE, unreadable)
        for skip in skips[:MOST_SKIPS_NAMED]:
            self.log.warning(
                "value does not fit",
                attribute=skip.name,
                code=skip.code,
                default_used=skip.default_used,
                correlation_id=admitted.correlation_id,
            )
        if len(skips) > MOST_SKIPS_NAMED:
            self.log.warning(
                "more values do not fit",
                codes=Counter(skip.code for skip in skips[MOST_SKIPS_NAMED:]),
                correlation_id=admitted.correlation_id,
            )
