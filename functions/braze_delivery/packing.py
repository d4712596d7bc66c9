"""From jobs to ready-made `/users/track` requests: merge per person, encode once, pack tightly.

Pure: nothing here knows SQS, DynamoDB or HTTP.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, Literal

from braze_bridge.braze.errors import InvalidInputError
from braze_bridge.braze.identifiers import UserAlias, UserIdentifier
from braze_bridge.braze.limits import MAX_OBJECTS_PER_REQUEST, SAFE_BODY_BYTES
from braze_bridge.braze.models import AttributesObject, EventObject, TrackRequest
from braze_bridge.ledger.port import NO_PROGRESS, PersonState
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.jobs.envelope import AttributeValue, DeliveryJob, JobUser
    from braze_bridge.ledger.port import PersonKey

InputArray = Literal["attributes", "events"]

_UNKNOWN_STATE: Final = PersonState()


@dataclass(frozen=True, slots=True)
class Slot:
    """One job of a batch, as packing and settling refer to it.

    Attributes:
        position: Its place in the batch.
        job: What it says.
        key: Whom it is about.
    """

    position: int
    job: DeliveryJob
    key: PersonKey


@dataclass(frozen=True, slots=True)
class WorkObject:
    """One encoded Braze object and whom to thank or blame for it.

    Attributes:
        array: The array of the request that it goes into.
        body: Its JSON.
        slots: The jobs it carries: several where attributes were merged.
        event: The position of the event in its job, or ``None`` for attributes.
        bond: Objects of one bond stay in one request, in order: without an ``external_id`` or
            ``braze_id`` a person may be created by the request, and two requests side by side
            could create two.
    """

    array: InputArray
    body: bytes
    slots: tuple[Slot, ...]
    event: int | None = None
    bond: PersonKey | None = None


@dataclass(frozen=True, slots=True)
class Pack:
    """The objects of one request, findable by array and index as Braze's errors name them.

    Attributes:
        attributes: In the order they are sent, like the rest.
        events: The same.
        then: What may only be sent when this is settled: the same person's, in order. Side by side,
            an older value could arrive last, and two requests could each create the person.
    """

    attributes: tuple[WorkObject, ...]
    events: tuple[WorkObject, ...]
    then: tuple[Pack, ...] = ()

    @property
    def objects(self) -> tuple[WorkObject, ...]:
        """All of them, attributes first, as Braze processes them."""
        return self.attributes + self.events

    def request(self) -> TrackRequest:
        """The request for Braze."""
        return TrackRequest(
            attributes=[item.body for item in self.attributes],
            events=[item.body for item in self.events],
        )

    def named(self, input_array: str | None, index: int | None) -> WorkObject | None:
        """The object that an error of Braze's names, if it names one that exists."""
        if index is None or index < 0:
            return None
        array = {"attributes": self.attributes, "events": self.events}.get(input_array or "", ())
        return array[index] if index < len(array) else None

    @staticmethod
    def of(objects: Iterable[WorkObject], then: tuple[Pack, ...] = ()) -> Pack:
        """A pack of these objects, in their order."""
        attributes: list[WorkObject] = []
        events: list[WorkObject] = []
        for item in objects:
            (events if item.array == "events" else attributes).append(item)
        return Pack(tuple(attributes), tuple(events), then)

    @staticmethod
    def chain(packs: Sequence[Pack], then: tuple[Pack, ...] = ()) -> Pack:
        """One after the other: the first, with the others behind it."""
        first, *others = packs
        return replace(first, then=(*others, *then))

    def following(self) -> Pack | None:
        """What to send when this is settled, with what comes after it."""
        return Pack.chain(self.then) if self.then else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something of a job that can never become a Braze object.

    Attributes:
        slot: Whose.
        event: Position of the event in the job, ``None`` for its attributes.
        reason: Which limit it breaks.
    """

    slot: Slot
    event: int | None
    reason: Reason


class Merge:
    """Makes one attributes object per person, newest values winning, and keeps every event.

    Iterating it does the work, person by person, so that the first request can be under way while
    the last person is still being merged. People whose objects must stay together come first, as
    :func:`pack` wants them; a person's attributes come before their events, and events in the order
    of their jobs' times. A job of which neither an object nor a refusal is made had nothing left to
    send: all stale, or all sent before.

    Attributes:
        refused: What breaks a limit of Braze's before it is sent. Complete when iterated.
        stale: How many attributes were older than what was already sent, and were dropped. The
            same.
    """

    def __init__(self, slots: Iterable[Slot], states: Mapping[PersonKey, PersonState]) -> None:
        """Take the jobs that were claimed and are no duplicates, and what is known of people."""
        self.refused: list[Refusal] = []
        self.stale = 0
        self._states = states
        self._people: dict[PersonKey, list[Slot]] = {}
        for slot in slots:
            self._people.setdefault(slot.key, []).append(slot)

    def __iter__(self) -> Iterator[WorkObject]:
        """The encoded objects. Iterate once."""
        loose: list[tuple[PersonKey, list[Slot]]] = []
        for key, work in self._people.items():
            if len(work) > 1:
                work.sort(key=_order)
            if key[0] in _LOOSE_KINDS:
                loose.append((key, work))
            else:
                yield from self._objects_of_person(key, work, bond=key)
        for key, work in loose:
            yield from self._objects_of_person(key, work, bond=None)

    def _objects_of_person(
        self, key: PersonKey, work: Sequence[Slot], bond: PersonKey | None
    ) -> list[WorkObject]:
        """Those that may create the person and those that may not need objects of their own."""
        creating = [slot for slot in work if slot.job.user.may_create]
        if len(creating) in {0, len(work)}:
            return self._objects_of(key, work, bond, {})
        # Two objects, in no order: each name may only be in the one that has its newest value.
        newest = {name: slot.position for slot in work for name in slot.job.attributes}
        updating = [slot for slot in work if not slot.job.user.may_create]
        return self._objects_of(key, creating, bond, newest) + self._objects_of(
            key, updating, bond, newest
        )

    def _objects_of(  # noqa: C901 - one step after the other
        self,
        key: PersonKey,
        work: Sequence[Slot],
        bond: PersonKey | None,
        newest: Mapping[str, int],
    ) -> list[WorkObject]:
        user = work[0].job.user
        try:
            identifier = identifier_of(user)
        except InvalidInputError as error:
            reason = _limit_broken(error)
            for slot in work:
                if slot.job.attributes:
                    self.refused.append(Refusal(slot, None, reason))
                self.refused += [Refusal(slot, n, reason) for n in range(len(slot.job.events))]
            return []
        state = self._states.get(key, _UNKNOWN_STATE)
        existing_only = _update_existing_only(user)
        carriers: list[tuple[Slot, Mapping[str, AttributeValue]]] = []
        events: list[WorkObject] = []
        for slot in work:
            job = slot.job
            if job.attributes:
                fresh = _fresh(job, state)
                if newest:
                    fresh = {n: v for n, v in fresh.items() if newest[n] == slot.position}
                self.stale += len(job.attributes) - len(fresh)
                if fresh:
                    carriers.append((slot, fresh))
            if job.events:
                settled = state.progress.get(job.job_id, NO_PROGRESS).settled_events
                made, refused = _event_objects(slot, identifier, existing_only, bond, settled)
                events += made
                self.refused += refused
        objects: list[WorkObject] = []
        if events and existing_only is False:
            # An alias is created in the attributes array: of events, Braze's pages say both
            # (https://www.braze.com/docs/api/objects_filters/event_object). Without attributes, so
            # that no refused value takes the events along, and repeating it changes nothing.
            body = AttributesObject(identifier, existing_only, {}).encode()
            objects.append(WorkObject("attributes", body, (), None, bond))
        if carriers:
            objects += self._attributes_objects(identifier, existing_only, carriers, bond)
        return objects + events

    def _attributes_objects(
        self,
        identifier: UserIdentifier,
        existing_only: bool | None,  # noqa: FBT001 - Braze's own three-valued switch
        carriers: Sequence[tuple[Slot, Mapping[str, AttributeValue]]],
        bond: PersonKey | None,
    ) -> list[WorkObject]:
        """One object for all carriers, or one each where together they break a limit."""
        union = carriers[0][1]
        if len(carriers) > 1:
            union = {name: value for _, fresh in carriers for name, value in fresh.items()}
        try:
            body = AttributesObject(identifier, existing_only, union).encode()
        except InvalidInputError as error:
            if len(carriers) == 1:
                self.refused.append(Refusal(carriers[0][0], None, _limit_broken(error)))
                return []
        else:
            if len(body) < SAFE_BODY_BYTES // 2 or len(carriers) == 1:
                slots = tuple(slot for slot, _ in carriers)
                return [WorkObject("attributes", body, slots, None, bond)]
        return [
            item
            for carrier in carriers
            for item in self._attributes_objects(identifier, existing_only, [carrier], bond)
        ]


_LOOSE_KINDS: Final = frozenset({"external_id", "braze_id"})
"""With these no request can create a second profile of the person."""


def _order(slot: Slot) -> tuple[datetime, datetime, str]:
    return (slot.job.occurred_at, slot.job.received_at, slot.job.job_id)


def _event_objects(
    slot: Slot,
    identifier: UserIdentifier,
    existing_only: bool | None,  # noqa: FBT001 - Braze's own three-valued switch
    bond: PersonKey | None,
    settled: frozenset[int],
) -> tuple[list[WorkObject], list[Refusal]]:
    made: list[WorkObject] = []
    refused: list[Refusal] = []
    for index, event in enumerate(slot.job.events):
        if index in settled:
            continue
        try:
            body = EventObject(
                identifier, existing_only, event.name, event.time, event.properties
            ).encode()
        except InvalidInputError as error:
            refused.append(Refusal(slot, index, _limit_broken(error)))
        else:
            made.append(WorkObject("events", body, (slot,), index, bond))
    return made, refused


def _limit_broken(error: InvalidInputError) -> Reason:
    return Reason(code="limit_broken", field=error.name, detail=str(error.reason))


def _fresh(job: DeliveryJob, state: PersonState) -> Mapping[str, AttributeValue]:
    if not state.newest:
        return job.attributes
    return {
        name: value
        for name, value in job.attributes.items()
        if name not in state.newest or job.occurred_at >= state.newest[name]
    }


def _update_existing_only(user: JobUser) -> bool | None:
    """Braze's default is to create, but for an alias, where creating must be asked for."""
    if not user.may_create:
        return True
    return False if user.user_alias is not None else None


def identifier_of(user: JobUser) -> UserIdentifier:
    """The job's user in the client's terms."""
    alias = user.user_alias
    return UserIdentifier(
        external_id=user.external_id,
        braze_id=user.braze_id,
        user_alias=None if alias is None else UserAlias(alias.alias_name, alias.alias_label),
        email=user.email,
        phone=user.phone,
    )


def take_apart(
    merged: WorkObject, states: Mapping[PersonKey, PersonState]
) -> tuple[list[WorkObject], list[Refusal]]:
    """Undo a merge that Braze refused: each job's attributes in an object of their own.

    Args:
        merged: An attributes object that carries several jobs.
        states: As given to :class:`Merge`.

    Returns:
        One object a job, oldest first, to be sent one after the other: so they leave what the
        merged object would have left, less what Braze refuses. And the jobs whose own attributes
        break a limit, which a newer value had hidden.
    """
    parts: list[WorkObject] = []
    refused: list[Refusal] = []
    for slot in merged.slots:
        user = slot.job.user
        fresh = _fresh(slot.job, states.get(slot.key, _UNKNOWN_STATE))
        try:
            body = AttributesObject(
                identifier_of(user), _update_existing_only(user), fresh
            ).encode()
        except InvalidInputError as error:
            refused.append(Refusal(slot, None, _limit_broken(error)))
        else:
            parts.append(WorkObject("attributes", body, (slot,), None, slot.key))
    return parts, refused


def pack(
    objects: Iterable[WorkObject],
    max_objects: int = MAX_OBJECTS_PER_REQUEST,
    max_bytes: int = SAFE_BODY_BYTES,
) -> Iterator[Pack]:
    """Fill as few requests as the limits allow, each handed out as soon as it is full.

    Each bond goes where it still fits, the largest first; the others then fill the gaps, so that
    the number of requests is ``ceil(objects / max_objects)`` unless bytes or large bonds forbid it.
    A bond of more than a request is cut into a chain of packs, sent one after the other.

    Args:
        objects: Encoded objects: first those with a bond, each bond's next to each other.
        max_objects: Objects a request, attributes and events together.
        max_bytes: Bytes of a request's body, the brackets included.
    """
    room = max_bytes - _BRACKETS
    remaining = iter(objects)
    bonds: dict[PersonKey, list[WorkObject]] = {}
    first_loose: list[WorkObject] = []
    for item in remaining:
        if item.bond is None:
            first_loose.append(item)
            break
        bonds.setdefault(item.bond, []).append(item)
    whole: list[Sequence[WorkObject]] = []
    for bond in bonds.values():
        pieces = _cut_bond(bond, max_objects, room)
        if len(pieces) == 1:
            whole.append(bond)
        else:
            yield Pack.chain([Pack.of(piece) for piece in pieces])
    bins = deque(_place_bonds(whole, max_objects, room))
    current = bins.popleft() if bins else _Bin([], 0)
    for item in chain(first_loose, remaining):
        size = len(item.body) + 1
        while current.objects and not current.takes(1, size, max_objects, room):
            yield Pack.of(current.objects)
            current = bins.popleft() if bins else _Bin([], 0)
        current.objects.append(item)
        current.size += size
    if current.objects:
        yield Pack.of(current.objects)
    for filled in bins:
        yield Pack.of(filled.objects)


def _place_bonds(bonds: Iterable[Sequence[WorkObject]], max_objects: int, room: int) -> list[_Bin]:
    """First-fit decreasing: put each bond where it first fits."""
    pieces = sorted(bonds, key=len, reverse=True)
    bins: list[_Bin] = []
    first_open = 0
    for piece in pieces:
        size = sum(len(item.body) + 1 for item in piece)
        place = next(
            (
                candidate
                for candidate in islice(bins, first_open, None)
                if candidate.takes(len(piece), size, max_objects, room)
            ),
            None,
        )
        if place is None:
            place = _Bin([], 0)
            bins.append(place)
        place.objects += piece
        place.size += size
        while first_open < len(bins) and len(bins[first_open].objects) >= max_objects:
            first_open += 1
    return bins


_BRACKETS: Final = len(b'{"attributes":[],"events":[]}')


@dataclass(slots=True)
class _Bin:
    objects: list[WorkObject]
    size: int

    def takes(self, count: int, size: int, max_objects: int, room: int) -> bool:
        return len(self.objects) + count <= max_objects and self.size + size <= room


def _cut_bond(bond: Sequence[WorkObject], max_objects: int, room: int) -> list[list[WorkObject]]:
    """Cut a bond that no single request holds; an object that only creates leads each piece."""
    if len(bond) <= max_objects and sum(len(item.body) + 1 for item in bond) <= room:
        return [list(bond)]
    lead = [item for item in bond[:1] if not item.slots]
    lead_size = sum(len(item.body) + 1 for item in lead)
    pieces: list[list[WorkObject]] = []
    piece, used = list(lead), lead_size
    for item in bond[len(lead) :]:
        size = len(item.body) + 1
        if len(piece) > len(lead) and (len(piece) == max_objects or used + size > room):
            pieces.append(piece)
            piece, used = list(lead), lead_size
        piece.append(item)
        used += size
    pieces.append(piece)
    return pieces


def halves(whole: Pack) -> list[Pack]:
    """Cut a refused pack in two, to corner the object that Braze does not name.

    The objects of one bond stay together as long as there is another cut. A bond alone is cut too,
    since the guilty event in it must be found: its halves are a chain, and an object that only
    creates leads both.

    Args:
        whole: More than one object; what comes after it is the caller's concern.
    """
    objects = whole.objects
    groups: dict[object, list[WorkObject]] = {}
    for item in objects:
        groups.setdefault(id(item) if item.bond is None else item.bond, []).append(item)
    if len(groups) > 1:
        left: list[WorkObject] = []
        right: list[WorkObject] = []
        for group in groups.values():
            (left if len(left) < len(objects) // 2 else right).extend(group)
        if right:
            return [Pack.of(left), Pack.of(right)]
        last = list(groups.values())[-1]
        return [Pack.of(left[: -len(last)]), Pack.of(last)]
    lead = [item for item in objects[:1] if not item.slots and len(objects) > 2]  # noqa: PLR2004
    rest = objects[len(lead) :]
    middle = len(rest) // 2
    return [Pack.chain([Pack.of([*lead, *rest[:middle]]), Pack.of([*lead, *rest[middle:]])])]
