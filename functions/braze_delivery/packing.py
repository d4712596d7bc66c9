"""Merge jobs per person, encode each object once, and pack them into few requests. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, Literal

from braze_bridge.braze.errors import InvalidInputError
from braze_bridge.braze.identifiers import UserAlias, UserIdentifier
from braze_bridge.braze.limits import MAX_OBJECTS_PER_REQUEST, SAFE_BODY_BYTES
from braze_bridge.braze.models import FRAME_BYTES, AttributesObject, EventObject, TrackRequest
from braze_bridge.ledger.port import PersonState, update_only
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.jobs.envelope import AttributeValue, DeliveryJob, JobUser
    from braze_bridge.ledger.port import PersonKey
    from braze_delivery.entry import BatchEntry

InputArray = Literal["attributes", "events"]

UNIQUE_KINDS: Final = frozenset({"external_id", "braze_id"})
"""With these identifiers no request can create a second profile of the person."""

_UNKNOWN_STATE: Final = PersonState()


@dataclass(frozen=True, slots=True)
class TrackObject:
    """One encoded Braze object and the jobs it came from.

    Attributes:
        array: The array of the request for it.
        body: Its JSON.
        entries: The jobs: several if attributes were merged, none if it only creates the person.
        event: The position of the event in its job, or ``None`` for attributes.
        group: The person, if its objects must stay in one request, in order. Without an
            ``external_id`` or ``braze_id`` a request may create the person, and two parallel
            requests could create two.
    """

    array: InputArray
    body: bytes
    entries: tuple[BatchEntry, ...]
    event: int | None = None
    group: PersonKey | None = None


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """The objects of one request, in order.

    Attributes:
        then: The same person's next requests. Each is sent after the one before is settled.
    """

    attributes: tuple[TrackObject, ...]
    events: tuple[TrackObject, ...]
    then: tuple[RequestPlan, ...] = ()

    @property
    def objects(self) -> tuple[TrackObject, ...]:
        """All objects, attributes first, as Braze processes them."""
        return self.attributes + self.events

    def request(self) -> TrackRequest:
        """Make the request."""
        return TrackRequest(
            attributes=[item.body for item in self.attributes],
            events=[item.body for item in self.events],
        )

    def find(self, input_array: str | None, index: int | None) -> TrackObject | None:
        """Find the object that an error of Braze names, if there is one."""
        if index is None or index < 0:
            return None
        array = {"attributes": self.attributes, "events": self.events}.get(input_array or "", ())
        return array[index] if index < len(array) else None

    @staticmethod
    def of(objects: Iterable[TrackObject]) -> RequestPlan:
        """Plan one request of these objects."""
        attributes: list[TrackObject] = []
        events: list[TrackObject] = []
        for item in objects:
            (events if item.array == "events" else attributes).append(item)
        return RequestPlan(tuple(attributes), tuple(events))

    @staticmethod
    def in_line(plans: Sequence[RequestPlan]) -> RequestPlan:
        """Put requests in a line: each is sent after the one before it is settled."""
        line = [each for plan in plans for each in (replace(plan, then=()), *plan.then)]
        return replace(line[0], then=tuple(line[1:]))


@dataclass(frozen=True, slots=True)
class InvalidPart:
    """A part of a job that breaks a limit of Braze.

    Attributes:
        event: Position of the event in the job, ``None`` for its attributes.
    """

    entry: BatchEntry
    event: int | None
    reason: Reason


class MergedObjects:
    """Iterates over the encoded objects of all people. Iterate it once.

    A person gets one attributes object with the newest values, and every event. The iteration
    merges person by person, so the first request can start early. People with a group come first,
    for :func:`pack`. A person's attributes come before the events, and events in the order of their
    jobs' times. A job without an object and without an invalid part has nothing left to send.

    Args:
        entries: The jobs that are leased and no duplicates.
        states: What the ledger knows of their people.

    Attributes:
        invalid: Parts that break a limit of Braze. Complete after the iteration.
        stale: Number of dropped attributes, older than what was already sent. Likewise.
    """

    def __init__(
        self, entries: Iterable[BatchEntry], states: Mapping[PersonKey, PersonState]
    ) -> None:
        self.invalid: list[InvalidPart] = []
        self.stale = 0
        self._states = states
        self._people: dict[PersonKey, list[BatchEntry]] = {}
        for entry in entries:
            self._people.setdefault(entry.key, []).append(entry)

    def __iter__(self) -> Iterator[TrackObject]:
        ungrouped: list[tuple[PersonKey, list[BatchEntry]]] = []
        for key, work in self._people.items():
            if len(work) > 1:
                work.sort(key=_order)
            if key[0] in UNIQUE_KINDS and not _is_mixed(work):
                ungrouped.append((key, work))
            else:
                yield from self._objects_of_person(key, work, group=key)
        for key, work in ungrouped:
            yield from self._objects_of_person(key, work, group=None)

    def _objects_of_person(
        self, key: PersonKey, work: Sequence[BatchEntry], group: PersonKey | None
    ) -> list[TrackObject]:
        """Merge the jobs that may create the person apart from those that may not.

        Those that may go first, with all their values: Braze drops the others if there is no such
        person. Both are in one request, in order, so the others contain only newer values.
        """
        if not _is_mixed(work):
            return self._objects_of(key, work, group, {})
        newest = {name: entry.position for entry in work for name in entry.job.attributes}
        creating = [entry for entry in work if entry.job.user.may_create]
        updating = [entry for entry in work if not entry.job.user.may_create]
        return self._objects_of(key, creating, group, {}) + self._objects_of(
            key, updating, group, newest
        )

    def _objects_of(  # noqa: C901 - one step after the other
        self,
        key: PersonKey,
        work: Sequence[BatchEntry],
        group: PersonKey | None,
        newest: Mapping[str, int],
    ) -> list[TrackObject]:
        user = work[0].job.user
        try:
            identifier = identifier_of(user)
        except InvalidInputError as error:
            reason = _limit_broken(error)
            for entry in work:
                if entry.job.attributes:
                    self.invalid.append(InvalidPart(entry, None, reason))
                self.invalid += [
                    InvalidPart(entry, n, reason) for n in range(len(entry.job.events))
                ]
            return []
        state = self._states.get(key, _UNKNOWN_STATE)
        existing_only = _update_existing_only(user)
        carriers: list[tuple[BatchEntry, Mapping[str, AttributeValue]]] = []
        events: list[TrackObject] = []
        for entry in work:
            job = entry.job
            if job.attributes:
                fresh = _fresh(job, state)
                if newest:
                    fresh = {n: v for n, v in fresh.items() if newest[n] == entry.position}
                self.stale += len(job.attributes) - len(fresh)
                if fresh:
                    carriers.append((entry, fresh))
            if job.events:
                events += self._event_objects(entry, identifier, existing_only, group)
        objects: list[TrackObject] = []
        if events and existing_only is False:
            # This object creates the alias; whether events do, Braze's pages contradict each other
            # (https://www.braze.com/docs/api/objects_filters/event_object). It has no attributes,
            # so no refused value affects the events, and a repetition changes nothing.
            body = AttributesObject(identifier, existing_only, {}).encode()
            objects.append(TrackObject("attributes", body, (), None, group))
        if carriers:
            objects += self._attributes_objects(identifier, existing_only, carriers, group)
        return objects + events

    def _event_objects(
        self,
        entry: BatchEntry,
        identifier: UserIdentifier,
        existing_only: bool | None,  # noqa: FBT001 - Braze's own three-valued switch
        group: PersonKey | None,
    ) -> list[TrackObject]:
        objects = []
        for index, event in enumerate(entry.job.events):
            if index in entry.settled_events:
                continue
            try:
                body = EventObject(
                    identifier, existing_only, event.name, event.time, event.properties
                ).encode()
            except InvalidInputError as error:
                self.invalid.append(InvalidPart(entry, index, _limit_broken(error)))
            else:
                objects.append(TrackObject("events", body, (entry,), index, group))
        return objects

    def _attributes_objects(
        self,
        identifier: UserIdentifier,
        existing_only: bool | None,  # noqa: FBT001 - Braze's own three-valued switch
        carriers: Sequence[tuple[BatchEntry, Mapping[str, AttributeValue]]],
        group: PersonKey | None,
    ) -> list[TrackObject]:
        """Make one object of all carriers, or one each if together they break a limit."""
        union = carriers[0][1]
        if len(carriers) > 1:
            union = {name: value for _, fresh in carriers for name, value in fresh.items()}
        try:
            body = AttributesObject(identifier, existing_only, union).encode()
        except InvalidInputError as error:
            if len(carriers) == 1:
                self.invalid.append(InvalidPart(carriers[0][0], None, _limit_broken(error)))
                return []
        else:
            if len(body) < SAFE_BODY_BYTES // 2 or len(carriers) == 1:
                entries = tuple(entry for entry, _ in carriers)
                return [TrackObject("attributes", body, entries, None, group)]
        return [
            item
            for carrier in carriers
            for item in self._attributes_objects(identifier, existing_only, [carrier], group)
        ]


def _is_mixed(work: Sequence[BatchEntry]) -> bool:
    return len({entry.job.user.may_create for entry in work}) > 1


def _order(entry: BatchEntry) -> tuple[datetime, datetime, str]:
    return (entry.job.occurred_at, entry.job.received_at, entry.job.job_id)


def _limit_broken(error: InvalidInputError) -> Reason:
    return Reason(code="limit_broken", field=error.name, detail=str(error.reason))


def _fresh(job: DeliveryJob, state: PersonState) -> Mapping[str, AttributeValue]:
    """Return the attributes that are not older than what was sent.

    What was sent to a person who perhaps does not exist counts only for jobs like that.
    """
    newest = state.newest
    if not newest:
        return job.attributes
    at = job.occurred_at
    fresh = {n: v for n, v in job.attributes.items() if n not in newest or at >= newest[n]}
    if job.user.may_create:
        return fresh
    return {n: v for n, v in fresh.items() if at >= newest.get(update_only(n), at)}


def _update_existing_only(user: JobUser) -> bool | None:
    """Choose Braze's switch: by default Braze creates a person, but none for an alias."""
    if not user.may_create:
        return True
    return False if user.user_alias is not None else None


def identifier_of(user: JobUser) -> UserIdentifier:
    """Convert the job's user for the client."""
    alias = user.user_alias
    return UserIdentifier(
        external_id=user.external_id,
        braze_id=user.braze_id,
        user_alias=None if alias is None else UserAlias(alias.alias_name, alias.alias_label),
        email=user.email,
        phone=user.phone,
    )


def split_merged(
    merged: TrackObject, states: Mapping[PersonKey, PersonState]
) -> tuple[list[TrackObject], list[InvalidPart]]:
    """Undo a merge that Braze refused: one object for each job.

    Args:
        merged: An attributes object of several jobs.
        states: As given to :class:`MergedObjects`.

    Returns:
        The objects, oldest first. Sent one after the other, they leave the merged values, less what
        Braze refuses. Then the jobs whose own attributes break a limit: a newer value had replaced
        the invalid one.
    """
    parts: list[TrackObject] = []
    refused: list[InvalidPart] = []
    for entry in merged.entries:
        user = entry.job.user
        fresh = _fresh(entry.job, states.get(entry.key, _UNKNOWN_STATE))
        try:
            body = AttributesObject(
                identifier_of(user), _update_existing_only(user), fresh
            ).encode()
        except InvalidInputError as error:
            refused.append(InvalidPart(entry, None, _limit_broken(error)))
        else:
            parts.append(TrackObject("attributes", body, (entry,), None, entry.key))
    return parts, refused


def pack(
    objects: Iterable[TrackObject],
    max_objects: int = MAX_OBJECTS_PER_REQUEST,
    max_bytes: int = SAFE_BODY_BYTES,
) -> Iterator[RequestPlan]:
    """Fill as few requests as the limits allow, and yield each as soon as it is full.

    Groups go first, the largest one first, each into the first request with room. The other objects
    fill the gaps. So there are ``ceil(objects / max_objects)`` requests, unless bytes or large
    groups need more. Of a group that is too large for one request, only the first objects are sent.

    Args:
        objects: Encoded objects: first those with a group, each group's next to each other.
        max_objects: Attributes and events of one request.
        max_bytes: Bytes of a request's body, the brackets included.
    """
    room = max_bytes - FRAME_BYTES
    remaining = iter(objects)
    groups: dict[PersonKey, list[TrackObject]] = {}
    first_ungrouped: list[TrackObject] = []
    for item in remaining:
        if item.group is None:
            first_ungrouped.append(item)
            break
        groups.setdefault(item.group, []).append(item)
    whole = [fitting(group, max_objects, room) for group in groups.values()]
    bins = deque(_place_groups(whole, max_objects, room))
    current = bins.popleft() if bins else _Bin([], 0)
    for item in chain(first_ungrouped, remaining):
        size = len(item.body) + 1
        while current.objects and not current.takes(1, size, max_objects, room):
            yield RequestPlan.of(current.objects)
            current = bins.popleft() if bins else _Bin([], 0)
        current.objects.append(item)
        current.size += size
    if current.objects:
        yield RequestPlan.of(current.objects)
    for filled in bins:
        yield RequestPlan.of(filled.objects)


def _place_groups(
    groups: Iterable[Sequence[TrackObject]], max_objects: int, room: int
) -> list[_Bin]:
    """Pack the groups by first-fit decreasing."""
    pieces = sorted(groups, key=len, reverse=True)
    bins: list[_Bin] = []
    first_open = 0
    for piece in pieces:
        size = sum(len(item.body) + 1 for item in piece)
        for candidate in islice(bins, first_open, None):
            if candidate.takes(len(piece), size, max_objects, room):
                break
        else:
            candidate = _Bin([], 0)
            bins.append(candidate)
        candidate.objects += piece
        candidate.size += size
        while first_open < len(bins) and len(bins[first_open].objects) >= max_objects:
            first_open += 1
    return bins


@dataclass(slots=True)
class _Bin:
    objects: list[TrackObject]
    size: int

    def takes(self, count: int, size: int, max_objects: int, room: int) -> bool:
        return len(self.objects) + count <= max_objects and self.size + size <= room


def fitting(
    objects: Sequence[TrackObject],
    max_objects: int = MAX_OBJECTS_PER_REQUEST,
    room: int = SAFE_BODY_BYTES - FRAME_BYTES,
) -> Sequence[TrackObject]:
    """Return the first objects, as many as fit into one request; at least one."""
    used = 0
    for count, item in enumerate(objects):
        used += len(item.body) + 1
        if count and (count == max_objects or used > room):
            return objects[:count]
    return objects


def apart(whole: RequestPlan) -> list[RequestPlan]:
    """Send each object of a refused request alone, to find those that Braze does not name.

    The objects of a group go one after the other, the others side by side.

    Args:
        whole: Its ``then`` is left to the caller.
    """
    plans: dict[object, list[RequestPlan]] = {}
    for item in whole.objects:
        line = plans.setdefault(id(item) if item.group is None else item.group, [])
        line.append(RequestPlan.of([item]))
    return [RequestPlan.in_line(line) for line in plans.values()]
