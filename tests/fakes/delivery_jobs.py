"""DeliveryJobs for tests, with everything that does not matter filled in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from braze_bridge.jobs.envelope import DeliveryJob, JobEvent, JobObject, JobUser
from tests.fakes.clock import NOON


def job(
    name: str = "1",
    user: JobUser | str = "ada",
    *,
    attributes: dict[str, Any] | None = None,
    events: int | list[JobEvent] = 0,
    objects: list[JobObject] | None = None,
    age: float = 60,
    version: Literal[1, 2] = 1,
    **fields: Any,
) -> DeliveryJob:
    """A job.

    Args:
        name: Becomes ``job_id`` ``outgrow:default:<name>``.
        user: An ``external_id``, or a whole user.
        attributes: By default one, unless there are events or objects.
        events: So many events named ``answered``, or these.
        age: Seconds before noon that it occurred and was received.
        version: In v2 an event without an id gets one of the job's id and its position.
        fields: Any field of the job, as it shall be.
    """
    at = NOON - timedelta(seconds=age)
    if isinstance(events, int):
        events = [event(f"answered-{number}", at) for number in range(events)]
    if attributes is None:
        attributes = {} if events or objects else {"outgrow_quiz_score": 87}
    given: dict[str, Any] = {
        "job_id": f"outgrow:default:{name}",
        "source": "outgrow",
        "occurred_at": at,
        "received_at": at,
        "correlation_id": f"correlation-{name}",
        "user": JobUser(external_id=user) if isinstance(user, str) else user,
        "attributes": attributes,
        "events": tuple(events),
        **fields,
    }
    if version == 2:
        own = [
            each if each.id else each.model_copy(update={"id": f"{given['job_id']}:{at}"})
            for at, each in enumerate(given["events"])
        ]
        given = {
            "schema_version": 2,
            "sender": "outgrow_ingest",
            "objects": tuple(objects or ()),
            **given,
            "events": tuple(own),
        }
    return DeliveryJob(**given)


def event(
    name: str, at: datetime = NOON, *, event_id: str | None = None, **properties: Any
) -> JobEvent:
    """A custom event."""
    return JobEvent(id=event_id, name=name, time=at, properties=properties)


def increment(name: str = "points", by: int = 1, object_id: str | None = None) -> JobObject:
    """An attributes object with an operator: it may be sent only once."""
    return JobObject(id=object_id, array="attributes", object={name: {"inc": by}})
