"""What becomes of an admitted body once it is mapped: queued, parked or forgotten, and answered."""

from __future__ import annotations

import hashlib
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from braze_bridge.jobs.queue import QueueUnavailableError
from braze_bridge.jobs.rejected import RejectedRecord, RejectedStoreUnavailableError
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

MOST_SKIPS_LOGGED: Final = 100
"""A line each for so many values of one body, the rest by number: a hostile body has 130,000, and
writing that many lines outlasts the function's timeout."""


class Intake:
    """The last step of an ingest function."""

    def __init__(
        self,
        *,
        source: str,
        queue: JobQueue,
        rejected: Callable[[], RejectedStore],
        meter: Meter,
        log: Logger,
    ) -> None:
        """Build one.

        Args:
            source: The partner, as in ``DeliveryJob.source``.
            queue: Takes the jobs.
            rejected: Makes or finds what keeps bodies that can be none; called when there is one,
                since its client costs a cold start 50 ms that most never need.
            meter: Counts both, and what was left out.
            log: Says so, by ids and codes.
        """
        self._source = source
        self._queue = queue
        self._rejected = rejected
        self._meter = meter
        self._log = log

    def settle(self, admitted: Admitted, outcome: Outcome) -> ProxyResponse:
        """Act on a mapping's outcome; a success is answered only after somebody else holds it.

        Returns:
            200 ``accepted`` after the queue took the job, or 200 ``ignored``.

        Raises:
            DoorError: 422 after the body was parked; 503 where queue or store did not take it, so
                that the sender comes again.
        """
        match outcome:
            case Mapped():
                return self._accept(admitted, outcome)
            case Unmappable(reasons, skips):
                self._park(admitted, reasons)
                self._report(admitted, skips)
                raise DoorError(HTTPStatus.UNPROCESSABLE_ENTITY, reasons)
            case Ignored(code):
                self._meter.add(Metric.RESPONSES_IGNORED)
                self._log.info(
                    "response ignored", code=code, correlation_id=admitted.correlation_id
                )
                return answer(HTTPStatus.OK, {"status": "ignored"})

    def _accept(self, admitted: Admitted, mapped: Mapped) -> ProxyResponse:
        job = mapped.job
        try:
            self._queue.send(job)
        except QueueUnavailableError as error:
            self._log.error(
                "queue refused a job",
                error=str(error),
                job_id=job.job_id,
                correlation_id=admitted.correlation_id,
            )
            raise unavailable("unavailable", "the queue did not take it; send it again") from error
        self._meter.add(Metric.JOBS_ACCEPTED)
        self._report(admitted, mapped.skips)
        if mapped.unanswered:
            self._meter.add(Metric.QUESTIONS_UNANSWERED, mapped.unanswered)
        self._log.info(
            "job accepted",
            job_id=job.job_id,
            attributes=len(job.attributes),
            events=len(job.events),
            unusable_identifiers=[f"{note.field}: {note.code}" for note in mapped.notes],
            correlation_id=admitted.correlation_id,
        )
        return answer(HTTPStatus.OK, {"status": "accepted", "job_id": job.job_id})

    def _park(self, admitted: Admitted, reasons: tuple[Reason, ...]) -> None:
        digest = hashlib.sha256(f"{admitted.path}\n{admitted.body_text}".encode()).hexdigest()
        record = RejectedRecord(
            id=f"body:{digest}",
            kind="body",
            source=self._source,
            route=admitted.path,
            payload=admitted.body_text,
            reasons=reasons,
            correlation_id=admitted.correlation_id,
            first_seen=admitted.received_at,
            last_seen=admitted.received_at,
        )
        try:
            self._rejected().park(record)
        except RejectedStoreUnavailableError as error:
            self._log.error(
                "body not parked", error=str(error), correlation_id=admitted.correlation_id
            )
            raise unavailable("unavailable", "it could not be kept; send it again") from error
        self._meter.add(Metric.BODIES_PARKED)
        self._log.warning(
            "body parked",
            id=record.id,
            reasons=[reason.model_dump(include={"code", "field"}) for reason in reasons],
            correlation_id=admitted.correlation_id,
        )

    def _report(self, admitted: Admitted, skips: Sequence[Skip]) -> None:
        lost = sum(not skip.default_used for skip in skips)
        if lost:
            self._meter.add(Metric.ATTRIBUTES_SKIPPED, lost)
        for skip in skips[:MOST_SKIPS_LOGGED]:
            self._log.warning(
                "value does not fit",
                attribute=skip.name,
                code=skip.code,
                default_used=skip.default_used,
                correlation_id=admitted.correlation_id,
            )
        if len(skips) > MOST_SKIPS_LOGGED:
            self._log.warning(
                "more values do not fit",
                codes=Counter(skip.code for skip in skips[MOST_SKIPS_LOGGED:]),
                correlation_id=admitted.correlation_id,
            )
