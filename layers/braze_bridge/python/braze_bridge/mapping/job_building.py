"""From a response to a job, for every source: the reasons against one, and how it is made."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.jobs.envelope import (
    MAX_ID_CHARS,
    VERSION,
    DeliveryJob,
    JobEvent,
    canonical_hash,
)
from braze_bridge.mapping.attributes import (
    UNREADABLE_TIME,
    Skip,
    collect,
    collect_properties,
    without_conflicts,
)
from braze_bridge.mapping.identities import HASH_CHARS, loggable
from braze_bridge.mapping.outcomes import Mapped, Unmappable
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from braze_bridge.jobs.envelope import JobUser
    from braze_bridge.mapping.attributes import ValueRule
    from braze_bridge.mapping.instants import FoundTime
    from braze_bridge.mapping.people import Person
    from braze_bridge.mapping.values import Fitted


_CONTENT_HASH_CHARS: Final = 12
"""48 bits: it tells apart the few contents of one response."""


class Origin(NamedTuple):
    """Where a job comes from.

    Attributes:
        sender: The function.
        response: The identity of the response, which every resend repeats; safe to log.
    """

    source: str
    sender: str
    response: str


class Event(NamedTuple):
    """A custom event of a response.

    Attributes:
        id: As :func:`event_id` makes it.
        occurred_at: The partner's time, if it is readable.
    """

    id: str
    name: str
    occurred_at: datetime | None
    properties: dict[str, Fitted]


class Content(NamedTuple):
    """What a response holds for a profile, read by its rules.

    Attributes:
        attributes: By name.
        skips: Values that are left out or replaced.
        rejects: Values for which the configuration refuses the response.
    """

    attributes: dict[str, Fitted]
    events: tuple[Event, ...]
    skips: tuple[Skip, ...]
    rejects: tuple[Skip, ...]

    def __repr__(self) -> str:
        # A repr ends up in tracebacks and logs, where no answer belongs.
        return f"Content({len(self.attributes)} attributes, {len(self.events)} events)"

    def for_user(self, user: JobUser | None) -> Content:
        """Leave out attributes that would change the person that Braze updates."""
        attributes, conflicts = without_conflicts(self.attributes, user)
        return self._replace(attributes=attributes, skips=(*self.skips, *conflicts))

    def noting(self, time: FoundTime) -> Content:
        """Note where a time is unreadable."""
        noted = (Skip(place, UNREADABLE_TIME, default_used=True) for place in time.unreadable)
        return self._replace(skips=(*self.skips, *noted))


def read_content(
    attributes: Iterable[ValueRule],
    event: tuple[str, Iterable[ValueRule]] | None,
    body: object,
    occurred_at: datetime | None,
    response: str,
) -> Content:
    """Read the content of a response that has one event at most.

    Args:
        event: Its name and the rules of its properties.
        response: Its identity, as in :class:`Origin`.
        body: A parsed JSON value.
        occurred_at: The event's time.
    """
    found = collect(attributes, body)
    if event is None:
        return Content(found.values, (), tuple(found.skips), tuple(found.rejects))
    name, rules = event
    properties = collect_properties(rules, body)
    return Content(
        attributes=found.values,
        events=(Event(event_id(response, name), name, occurred_at, properties.values),),
        skips=(*found.skips, *properties.skips),
        rejects=(*found.rejects, *properties.rejects),
    )


def make_job(
    content: Content,
    person: Person,
    *,
    origin: Origin,
    occurred_at: FoundTime,
    received_at: datetime,
    correlation_id: str,
    if_empty: str,
    untimed_is_newest: bool = False,
) -> Mapped | Unmappable:
    """Make the job of a response, or give every reason against it.

    Args:
        origin: The job's id is the response's with a hash of the mapped content. So a resend with
            other content is another job, which updates attributes; its events have the ids they
            had. What the configuration does not read, such as a counter of attempts, makes no
            other job.
        occurred_at: The partner's time.
        if_empty: The detail of ``nothing_to_send``.
        untimed_is_newest: What a response without that time is worth.
    """
    user = person.user
    content = content.for_user(user).noting(occurred_at)
    instant = occurred_at.instant
    reasons: list[Reason] = []
    if user is None:
        detail = "no usable identifier was found"
        reasons = [Reason(code="no_identity", field="person", detail=detail), *person.reasons]
    reasons += [reject.reason() for reject in content.rejects]
    if not (content.attributes or content.events or content.rejects):
        reasons.append(Reason(code="nothing_to_send", detail=if_empty))
        reasons += [skip.reason() for skip in content.skips]
    if reasons or user is None:
        return Unmappable(tuple(reasons), content.skips)
    if person.email is not None:
        content = content._replace(attributes={"email": person.email} | content.attributes)
    job = DeliveryJob(
        schema_version=VERSION,
        job_id=f"{origin.response}:{_content_hash(content, user, instant)}",
        source=origin.source,
        sender=origin.sender,
        occurred_at=ordering_time(instant, received_at, untimed_is_newest=untimed_is_newest),
        received_at=received_at,
        correlation_id=correlation_id,
        user=user,
        attributes=content.attributes,
        events=tuple(
            JobEvent(
                id=event.id,
                name=event.name,
                time=earliest(event.occurred_at, received_at),
                properties=event.properties,
            )
            for event in content.events
        ),
    )
    return Mapped(job, content.skips, person.reasons)


UNTIMED: Final = timedelta(days=50 * 365)
"""So long before its arrival a response without the partner's time is placed in the order: before
every time that a partner sends, and after the untimed ones that came earlier."""


def ordering_time(
    occurred_at: datetime | None, received_at: datetime, *, untimed_is_newest: bool
) -> datetime:
    """Return the time that orders a job's attributes.

    Without the partner's time nobody knows how old an answer is: anyone who saw it can send it
    again. So it does not overwrite a value that has a time.
    """
    if occurred_at is None and not untimed_is_newest:
        return received_at - UNTIMED
    return earliest(occurred_at, received_at)


def earliest(occurred_at: datetime | None, received_at: datetime) -> datetime:
    """Return the partner's time, but never later than the arrival."""
    return received_at if occurred_at is None else min(occurred_at, received_at)


def event_id(response: str, name: str, place: str = "0") -> str:
    """Name an event by what every resend of it repeats: it counts once.

    Args:
        response: The identity of its response; safe to log.
        place: Its position in the response, or the partner's own id of it.
    """
    whole = f"{response}:{loggable(name)}:{place}"
    if len(whole) <= MAX_ID_CHARS:
        return whole
    return f"h-{hashlib.sha256(whole.encode()).hexdigest()[:HASH_CHARS]}"


def _content_hash(content: Content, user: JobUser, occurred_at: datetime | None) -> str:
    """Hash what is sent, without the time of arrival.

    The partner's time belongs to it: an answer that changes, and later changes back, is newer.
    """
    events = [[event.id, _text(event.occurred_at), event.properties] for event in content.events]
    values = [user.model_dump(), content.attributes, events, _text(occurred_at)]
    return canonical_hash(values)[:_CONTENT_HASH_CHARS]


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def hashed(kind: str, value: object) -> str:
    """Make an identity for a response that names none: equal JSON values make equal ones.

    Args:
        kind: What is hashed: ``b`` a whole body, ``r`` the ids of its answers.
        value: A parsed JSON value.
    """
    return f"{kind}-{canonical_hash(value)[:HASH_CHARS]}"
