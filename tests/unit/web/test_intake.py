"""The last step of an ingest function: it queues, parks or ignores a mapped body."""

from __future__ import annotations

import contextlib
import json
from http import HTTPStatus
from typing import Any

import pytest

from braze_bridge.jobs.envelope import DeliveryJob, JobUser
from braze_bridge.mapping.attributes import Skip
from braze_bridge.mapping.outcomes import Ignored, Mapped, Unmappable
from braze_bridge.observability import Metric
from braze_bridge.reasons import Reason
from braze_bridge.web.door import Admitted, DoorError, Route
from braze_bridge.web.intake import MOST_SKIPS_NAMED, Intake
from tests.fakes.clock import NOON
from tests.fakes.jobs import InMemoryJobQueue, InMemoryRejectedStore
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter

TEXT = '{"email": "ada@example.com"}'
JOB = DeliveryJob(
    job_id="outgrow:c:1",
    source="outgrow",
    occurred_at=NOON,
    received_at=NOON,
    correlation_id="r-1",
    user=JobUser(email="ada@example.com"),
    attributes={"score": 1},
)
REFUSED = Unmappable(
    (Reason(code="no_identity", field="person", detail="none"),), (Skip("score", "wrong_type"),)
)


def admitted(path: str = "c", correlation_id: str = "r-1", **changes: Any) -> Admitted:
    return Admitted(
        route=Route("POST", "/outgrow/{content_id}"),
        path_parameters={"content_id": path},
        body=json.loads(TEXT),
        body_text=TEXT,
        correlation_id=correlation_id,
        received_at=NOON,
    )._replace(**changes)


class Step:
    """An intake and what it touches."""

    def __init__(self) -> None:
        self.queue = InMemoryJobQueue()
        self.rejected = InMemoryRejectedStore()
        self.meter = RecordingMeter()
        self.log = RecordingLog()
        self.openings = 0
        self.intake = Intake(
            source="outgrow",
            queue=self.queue,
            rejected=self.open,
            meter=self.meter,
            log=self.log.logger,
        )

    def open(self) -> InMemoryRejectedStore:
        self.openings += 1
        return self.rejected

    def refusal(self, outcome: Mapped | Unmappable) -> DoorError:
        with pytest.raises(DoorError) as raised:
            self.intake.settle(admitted(), outcome)
        return raised.value


def test_job_is_queued_then_answered_and_counted() -> None:
    """A job is answered by its id once queued; skips are counted, used defaults only logged."""
    step = Step()
    skips = (Skip("a", "too_long"), Skip("b", "wrong_type", default_used=True))
    note = Reason(code="invalid_email", field="email")

    response = step.intake.settle(admitted(), Mapped(JOB, skips, (note,)))

    assert json.loads(response["body"]) == {
        "status": "accepted",
        "job_id": "outgrow:c:1",
        "warnings": [{"code": "too_long", "field": "a"}],
    }
    assert step.queue.jobs == [JOB]
    assert step.meter.totals == {Metric.JOBS_ACCEPTED: 1, Metric.ATTRIBUTES_SKIPPED: 1}
    logged = [(line.get("attribute"), line.get("code")) for line in step.log.lines]
    assert logged == [("a", "too_long"), ("b", "wrong_type"), (None, None)]
    assert step.log.lines[-1]["unusable_identifiers"] == ["email: invalid_email"]
    assert step.openings == 0


def test_so_many_skips_are_counted_in_full_and_logged_in_part() -> None:
    """A body of 130,000 values that do not fit must not outlast the function by its log lines."""
    step = Step()
    named = tuple(Skip(f"responses[{n}]", "wrong_type") for n in range(MOST_SKIPS_NAMED))
    more = (*[Skip("x", "too_long")] * 3, Skip("y", "same_name", default_used=True))

    step.intake.settle(admitted(), Mapped(JOB, named))
    lines = len(step.log.lines)
    answered = step.intake.settle(admitted(), Mapped(JOB, named + more))

    assert len(json.loads(answered["body"])["warnings"]) == MOST_SKIPS_NAMED
    assert step.meter.totals[Metric.ATTRIBUTES_SKIPPED] == 2 * MOST_SKIPS_NAMED + 3
    assert lines == MOST_SKIPS_NAMED + 1
    assert len(step.log.lines) == 2 * lines + 1
    assert step.log.lines[-2]["codes"] == {"too_long": 3, "same_name": 1}


def test_refusing_queue_is_503_and_counts_nothing() -> None:
    """If the queue does not take a job, the job is not accepted: the sender must try again."""
    step = Step()
    step.queue.refusing = True

    refusal = step.refusal(Mapped(JOB, (Skip("a", "too_long"),)))

    assert refusal.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "Retry-After" in refusal.headers
    assert step.meter.figures == []


def test_unmappable_body_is_parked_whole_then_answered_422() -> None:
    """The body is kept as it came, with its route and reasons, before the sender is answered."""
    step = Step()

    refusal = step.refusal(REFUSED)

    assert (refusal.status, refusal.reasons) == (422, REFUSED.reasons)
    [record] = step.rejected.records.values()
    assert (record.kind, record.source, record.route) == ("body", "outgrow", "/outgrow/c")
    assert (record.payload, record.reasons) == (TEXT, REFUSED.reasons)
    assert (record.first_seen, record.last_seen) == (NOON, NOON)
    assert step.meter.totals == {Metric.BODIES_PARKED: 1, Metric.ATTRIBUTES_SKIPPED: 1}
    assert step.queue.jobs == []


def test_resent_body_is_parked_once() -> None:
    """The same body on the same route is one record; another route or body is another."""
    step = Step()
    calls = [
        admitted(),
        admitted(correlation_id="r-2"),
        admitted("other"),
        admitted(body_text=TEXT + " "),
    ]

    for call in calls:
        with pytest.raises(DoorError):
            step.intake.settle(call, REFUSED)

    assert sorted(step.rejected.sightings.values()) == [1, 1, 2]
    assert all(
        identity.startswith("body:") and len(identity) == 69 for identity in step.rejected.records
    )


def test_body_that_cannot_be_parked_is_503() -> None:
    """After a 422 the sender would not send again, and the body would be lost."""
    step = Step()
    step.rejected.refusing = True

    refusal = step.refusal(REFUSED)

    assert refusal.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert step.meter.figures == []


def test_ignored_body_leaves_nothing_behind() -> None:
    """Refused consent is answered 200; nothing of the body is queued, parked or logged."""
    step = Step()

    response = step.intake.settle(admitted(), Ignored("no_consent"))

    assert (response["statusCode"], response["body"]) == (200, '{"status":"ignored"}')
    assert step.meter.totals == {Metric.RESPONSES_IGNORED: 1}
    assert (step.queue.jobs, step.rejected.records) == ([], {})


@pytest.mark.parametrize("outcome", [Mapped(JOB), REFUSED, Ignored("no_consent")])
@pytest.mark.parametrize("refusing", [False, True])
def test_nothing_personal_is_logged(outcome: Mapped | Unmappable | Ignored, refusing: bool) -> None:
    """In every case the log has ids and codes, and no address."""
    step = Step()
    step.queue.refusing = step.rejected.refusing = refusing

    with contextlib.suppress(DoorError):
        step.intake.settle(admitted(), outcome)

    assert step.log.lines
    assert "ada" not in step.log.text
