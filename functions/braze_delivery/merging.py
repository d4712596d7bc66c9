"""Merge the jobs of one person into as few Braze objects as possible."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from braze_bridge.braze.errors import InvalidInputError
from braze_bridge.braze.limits import SAFE_BODY_BYTES
from braze_bridge.jobs.envelope import JobObject
from braze_bridge.ledger.port import update_only
from braze_bridge.reasons import Reason
from braze_delivery.encoding import Addressee, is_plain
from braze_delivery.packing import TrackObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.braze.errors import InputArray
    from braze_bridge.jobs.envelope import AttributeValue, JobEvent
    from braze_bridge.ledger.port import Moment, PersonKey, PersonState
    from braze_delivery.entry import BatchEntry
    from braze_delivery.reading import PlainEvent

    Values = Mapping[str, AttributeValue]
    Carrier = tuple[BatchEntry, Values]

UNIQUE_KINDS: Final = frozenset({"external_id", "braze_id"})
"""With these identifiers no request can create a second profile of the person."""

_STALE: Final = Reason(code="stale", detail="a newer value of the attribute was sent")


class Merged(Struct, eq=False):
    """The objects of one person.

    Attributes:
        attributes: The first objects, in the order in which Braze must apply them.
        rest: Events and objects that cannot be merged, in the order of their jobs' times.
        is_group: All must stay in one request, in order: parallel requests could create the person
            twice, or let an older value arrive last.
        stale: Number of dropped attributes, older than what was already sent.
    """

    attributes: list[TrackObject] = []
    rest: list[TrackObject] = []
    is_group: bool = False
    stale: int = 0

    @property
    def pieces(self) -> list[list[TrackObject]]:
        """The objects that must stay together, each in the order of sending."""
        objects = self.attributes + self.rest if self.rest else self.attributes
        if self.is_group:
            return [objects] if objects else []
        return [[item] for item in objects]


def merge(key: PersonKey, entries: list[BatchEntry], state: PersonState) -> Merged:
    """Merge the jobs of one person.

    Attributes become one object with the newest values; every event and object stays. Jobs that may
    create the person go first, with all their values: Braze drops the others if there is no such
    person. The others bring only values that no newer creating job has.

    A part that can never be sent is refused at its job. A job without an object and without a
    refused part has nothing left to send.

    Args:
        key: The person.
        entries: The jobs that are leased and no duplicates. They are sorted by time.
        state: What the ledger knows of the person.
    """
    merged = Merged()
    if len(entries) == 1:
        _add_alike(merged, key, entries, {}, state, {})
    else:
        entries.sort(key=_order)
        creating = [entry for entry in entries if entry.job.user.may_create]
        updating = [entry for entry in entries if not entry.job.user.may_create]
        newest = {name: entry for entry in creating for name in entry.job.attributes}
        moments = _compare(entries)
        for alike, newer in ((creating, {}), (updating, newest)):
            if alike:
                _add_alike(merged, key, alike, moments, state, newer)
    if key[0] not in UNIQUE_KINDS or len(merged.attributes) > 1:
        merged.is_group = True
    if merged.is_group and len(merged.attributes) + len(merged.rest) > 1:
        for item in chain(merged.attributes, merged.rest):
            item.group = key
    if key[0] == "user_alias" and (merged.rest or len(merged.attributes) > 1):
        _create_alias(merged, key, entries)
    return merged


def _compare(entries: Sequence[BatchEntry]) -> Mapping[str, Moment]:
    """Note which events and objects of the jobs, sorted by time, an earlier one of them brings.

    Returns:
        Attribute name to the moment of its newest plain value.
    """
    seen: set[str] = set()
    newest: dict[str, Moment] = {}
    for entry in entries:
        ids = entry.job.once_ids
        entry.repeated = frozenset(part for part, id_ in enumerate(ids) if id_ in seen)
        seen.update(ids)
        newest |= dict.fromkeys(entry.job.attributes, entry.moment)
    return newest


def _create_alias(merged: Merged, key: PersonKey, entries: Sequence[BatchEntry]) -> None:
    """Put first an object that creates the alias, if one of the jobs may, for all that do not.

    Whether events create it, Braze's pages contradict each other
    (https://www.braze.com/docs/api/objects_filters/event_object). The object has no attributes, so
    no refused value affects the others, and a repetition changes nothing.
    """
    job = next((entry.job for entry in entries if entry.job.user.may_create), None)
    if job is None:
        return
    body = Addressee(job, key).attributes({}, plain=is_plain(job))
    creating = TrackObject("attributes", body, ())
    for item in chain(merged.attributes, merged.rest):
        if item.array != "attributes" or not item.entries[0].job.user.may_create:
            item.needs = creating
    merged.attributes.insert(0, creating)


def _add_alike(
    merged: Merged,
    key: PersonKey,
    entries: Sequence[BatchEntry],
    moments: Mapping[str, Moment],
    state: PersonState,
    newest: Mapping[str, BatchEntry],
) -> None:
    """Add jobs that agree on whether Braze may create the person."""
    person = Addressee(entries[0].job, key)
    carriers: list[Carrier] = []
    for entry in entries:
        job = entry.job
        if job.attributes:
            values = _fresh(entry, state) if state.newest else job.attributes
            if newest:
                values = _without_replaced(entry, values, newest)
            merged.stale += len(job.attributes) - len(values)
            if values:
                carriers.append((entry, values))
        if job.objects:
            merged.is_group = True
        if job.events or job.objects:
            _add_rest(merged, person, entry, moments, state)
    if carriers:
        merged.attributes += _attributes_objects(person, carriers)


def _add_rest(
    merged: Merged,
    person: Addressee,
    entry: BatchEntry,
    moments: Mapping[str, Moment],
    state: PersonState,
) -> None:
    """Add the events and objects that are to be sent."""
    job = entry.job
    items: Iterable[tuple[int, PlainEvent | JobEvent | JobObject]] = enumerate(
        chain(job.events, job.objects)
    )
    for part, item in items:
        if part in entry.settled or part in entry.repeated:
            continue
        array: InputArray = item.array if isinstance(item, JobObject) else "events"
        try:
            if not isinstance(item, JobObject):
                body = person.event(item)
            elif array == "attributes" and _is_overtaken(entry, item.object, moments, state):
                entry.refuse(part, _STALE)
                continue
            else:
                body = person.object(item)
        except InvalidInputError as error:
            entry.refuse(part, limit_broken(error))
        else:
            merged.rest.append(TrackObject(array, body, (entry,), part))


def _is_overtaken(
    entry: BatchEntry, names: Iterable[str], moments: Mapping[str, Moment], state: PersonState
) -> bool:
    """Check that a newer plain value of one of the attributes was sent, or is in this batch."""
    at = entry.moment
    return any(
        at < state.newest.get(name, at)
        or (not entry.job.user.may_create and at < state.newest.get(update_only(name), at))
        or at < moments.get(name, at)
        for name in names
    )


def _attributes_objects(person: Addressee, carriers: Sequence[Carrier]) -> list[TrackObject]:
    """Make one object of all carriers, or one each if together they break a limit."""
    entry, values = carriers[0]
    if len(carriers) == 1:
        try:
            body = person.attributes(values, plain=is_plain(entry.job))
        except InvalidInputError as error:
            entry.refuse(None, limit_broken(error))
            return []
        return [TrackObject("attributes", body, (entry,))]
    union = {name: value for _, values in carriers for name, value in values.items()}
    try:
        body = person.attributes(union, plain=all(is_plain(each.job) for each, _ in carriers))
    except InvalidInputError:
        pass
    else:
        if len(body) < SAFE_BODY_BYTES // 2:
            entries = tuple(entry for entry, _ in carriers)
            values_of = tuple(values for _, values in carriers)
            return [TrackObject("attributes", body, entries, values=values_of)]
    return [item for carrier in carriers for item in _attributes_objects(person, [carrier])]


def split_merged(merged: TrackObject) -> list[TrackObject]:
    """Undo a merge that Braze refused: one object for each job.

    Returns:
        The objects, oldest first. Sent one after the other, they leave the merged values, less what
        Braze refuses. A job is refused if its own attributes break a limit: a newer value had
        replaced the invalid one.
    """
    first = merged.entries[0]
    person = Addressee(first.job, first.key)
    parts = []
    for carrier in zip(merged.entries, merged.values, strict=True):
        for part in _attributes_objects(person, [carrier]):
            part.group, part.needs = first.key, merged.needs
            parts.append(part)
    return parts


def _order(entry: BatchEntry) -> tuple[datetime, datetime, str]:
    return (*entry.moment, entry.job.job_id)


def limit_broken(error: InvalidInputError) -> Reason:
    """Make the reason of a part that breaks a limit of Braze."""
    return Reason(code="limit_broken", field=error.name, detail=str(error.reason))


def _fresh(entry: BatchEntry, state: PersonState) -> Values:
    """Return the attributes that are not older than what was sent.

    What was sent to a person who perhaps does not exist counts only for jobs like that.
    """
    job, newest = entry.job, state.newest
    at = entry.moment
    if max(newest.values()) <= at:
        return job.attributes
    fresh = {n: v for n, v in job.attributes.items() if n not in newest or at >= newest[n]}
    if job.user.may_create:
        return fresh
    return {n: v for n, v in fresh.items() if at >= newest.get(update_only(n), at)}


def _without_replaced(
    entry: BatchEntry, values: Values, creating: Mapping[str, BatchEntry]
) -> Values:
    """Leave out values that a newer creating job of the batch brings; note these jobs."""
    newer = {
        name: creating[name]
        for name in values
        if name in creating and _order(creating[name]) > _order(entry)
    }
    if not newer:
        return values
    entry.replaced_by = tuple(newer.values())
    return {name: value for name, value in values.items() if name not in newer}
