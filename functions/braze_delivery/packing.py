"""Pack encoded objects into few requests. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from braze_bridge.braze.limits import MAX_OBJECTS_PER_REQUEST, SAFE_BODY_BYTES
from braze_bridge.braze.models import FRAME_BYTES, TrackRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from braze_bridge.braze.errors import InputArray
    from braze_bridge.jobs.envelope import AttributeValue
    from braze_bridge.ledger.port import PersonKey
    from braze_delivery.entry import BatchEntry

ARRAYS: Final[tuple[InputArray, ...]] = ("attributes", "events", "purchases")
"""In the order in which Braze processes them."""


class TrackObject(Struct, eq=False):
    """One encoded Braze object and the jobs it came from.

    Attributes:
        array: The array of the request for it.
        body: Its JSON.
        entries: The jobs: several if attributes were merged, none if it only creates the person.
        part: The number of the event or object in its job, or ``None`` for attributes.
        values: Of each job, if attributes were merged.
        group: The person, if its objects must stay in one request, in order.
        needs: The object that creates the person. It goes into the same request: without it Braze
            drops an event of an alias that is new, also for a moment after another request made it
            (https://www.braze.com/docs/api/endpoints/user_data/post_user_alias).
    """

    array: InputArray
    body: bytes
    entries: tuple[BatchEntry, ...]
    part: int | None = None
    values: tuple[Mapping[str, AttributeValue], ...] = ()
    group: PersonKey | None = None
    needs: TrackObject | None = None


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """The objects of one request, in order.

    Attributes:
        then: The same person's next requests. Each is sent after the one before is settled.
    """

    arrays: Mapping[InputArray, Sequence[TrackObject]]
    then: tuple[RequestPlan, ...] = ()

    @property
    def objects(self) -> tuple[TrackObject, ...]:
        """All objects, in the order in which Braze processes them."""
        return tuple([item for objects in self.arrays.values() for item in objects])

    @property
    def lone(self) -> TrackObject | None:
        """The object of a job, if the request has only one: what Braze answers is about it."""
        found = [item for item in self.objects if item.entries]
        return found[0] if len(found) == 1 else None

    def request(self) -> TrackRequest:
        """Make the request."""
        return TrackRequest(
            **{array: [item.body for item in objects] for array, objects in self.arrays.items()}
        )

    def find(self, input_array: InputArray | None, index: int | None) -> TrackObject | None:
        """Find the object that an error of Braze names, if there is one."""
        if input_array is None or index is None or index < 0:
            return None
        array = self.arrays.get(input_array, ())
        return array[index] if index < len(array) else None

    @staticmethod
    def of(objects: Iterable[TrackObject]) -> RequestPlan:
        """Plan one request of these objects, and of what they need."""
        arrays: dict[InputArray, list[TrackObject]] = {array: [] for array in ARRAYS}
        creating: dict[int, TrackObject] = {}
        for item in objects:
            if item.entries:
                arrays[item.array].append(item)
                if item.needs is not None:
                    creating[id(item.needs)] = item.needs
        if creating:
            arrays["attributes"][:0] = creating.values()
        return RequestPlan(arrays)

    @staticmethod
    def in_line(plans: Sequence[RequestPlan]) -> RequestPlan:
        """Put requests in a line: each is sent after the one before it is settled."""
        line = [each for plan in plans for each in (replace(plan, then=()), *plan.then)]
        return replace(line[0], then=tuple(line[1:]))


@dataclass(slots=True, eq=False)
class _Bin:
    objects: list[TrackObject] = field(default_factory=list)
    count: int = 0
    size: int = 0


def pack(
    pieces: Iterable[Sequence[TrackObject]],
    max_objects: int = MAX_OBJECTS_PER_REQUEST,
    max_bytes: int = SAFE_BODY_BYTES,
) -> Iterator[RequestPlan]:
    """Fill as few requests as the limits allow, and yield each as soon as it is full.

    Each piece goes into the first request with room for all of it. Pieces of one object fill the
    gaps that the others leave.

    Args:
        pieces: Objects that must be in one request. Of a piece that is too large for one, only the
            first objects are sent.
        max_objects: Of one request.
        max_bytes: Bytes of a request's body, the brackets included.
    """
    room = max_bytes - FRAME_BYTES
    bins: list[_Bin] = []
    for whole in pieces:
        count, size = 1, len(whole[0].body) + 1
        piece = whole
        if len(whole) > 1:
            piece = fitting(whole, max_objects, room)
            count = len(piece)
            size = sum([len(item.body) for item in piece]) + count
        for candidate in bins:
            if candidate.count + count <= max_objects and candidate.size + size <= room:
                break
        else:
            candidate = _Bin()
            bins.append(candidate)
        candidate.objects += piece
        candidate.count += count
        candidate.size += size
        if candidate.count == max_objects:
            bins.remove(candidate)
            yield RequestPlan.of(candidate.objects)
    for filled in bins:
        yield RequestPlan.of(filled.objects)


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


def apart(objects: Iterable[TrackObject]) -> list[RequestPlan]:
    """Send each object alone, with what it needs, to find those that Braze does not name.

    The objects of a group go one after the other, the others side by side.
    """
    plans: dict[object, list[RequestPlan]] = {}
    for item in objects:
        if item.entries:
            line = plans.setdefault(id(item) if item.group is None else item.group, [])
            line.append(RequestPlan.of([item]))
    return [RequestPlan.in_line(line) for line in plans.values()]
