"""DeliveryJobs for tests, with everything that does not matter filled in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from braze_bridge.jobs.envelope import DeliveryJob, JobEvent, JobUser
from tests.fakes.clock import NOON


def job(
    name: str = "1",
    user: JobUser | str = "ada",
    *,
    attributes: dict[str, Any] | None = None,
    events: int | list[JobEvent] = 0,
    age: float = 60,
    **fields: Any,
) -> DeliveryJob:
    """A job.

    Args:
        name: Becomes ``job_id`` ``outgrow:default:<name>``.
        user: An ``external_id``, or a whole user.
        attributes: By default one, unless there are events.
        events: So many events named ``answered``, or these.
        age: Seconds before noon that it occurred and was received.
        fields: Any field of the job, as it shall be.
    """
    at = NOON - timedelta(seconds=age)
    if isinstance(events, int):
        events = [event(f"answered-{number}", at) for number in range(events)]
    if attributes is None:
        attributes = {} if events else {"outgrow_quiz_score": 87}
    given: dict[str, Any] = {
        "job_id": f"outgrow:default:{name}",
        "source": "outgrow",
        "occurred_at": at,
        "received_at": at,
        "correlation_id": f"correlation-{name}",
        "user": JobUser(external_id=user) if isinstance(user, str) else user,
        "attributes": attributes,
        "events": tuple(events),
    }
    return DeliveryJob(**(given | fields))


def event(name: str, at: datetime = NOON, **properties: Any) -> JobEvent:
    """A custom event."""
    return JobEvent(name=name, time=at, properties=properties)
