"""The DeliveryJob: the only message that delivery takes. One job is about one person.

It travels as JSON in an SQS body. If it can never succeed, it is parked as JSON. A job may be read
by newer code than wrote it: every version ever shipped stays readable (``tests/contract``).
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from braze_bridge.braze.limits import MAX_INTEGER, MAX_OBJECTS_PER_REQUEST, MAX_PROPERTY_DEPTH
from braze_bridge.reasons import invalid_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION: Final = 2
"""What producers write. v1 stays readable for ever."""

MAX_JOB_BYTES: Final = 900_000
"""A longer job is split. Since 2025 SQS takes 1 MiB (1,048,576 bytes) a message, with its
attributes."""

MAX_OBJECT_BYTES: Final = 300_000
"""Of one Braze object's JSON. A door takes 262,144 bytes; a row of the rejected table has room for
350,000."""

IDENTIFIER_NAMES: Final = frozenset({"external_id", "braze_id", "user_alias"})
"""Braze's primary identifiers. As attribute names they would change the person of an object
(https://www.braze.com/docs/api/endpoints/user_data/post_user_track)."""

CONTROL_NAMES: Final = frozenset(
    {
        "_update_existing_only",
        "_merge_objects",
        "email_subscription_info",
        "push_token_import",
        "push_tokens",
        "subscription_groups",
    }
)
"""Keys of an attributes object that control Braze and do not describe a person
(https://www.braze.com/docs/api/objects_filters/user_attributes_object)."""

_RESERVED: Final = IDENTIFIER_NAMES | CONTROL_NAMES | {""}

_LONGEST_TIME: Final = datetime(2000, 1, 1, 0, 0, 0, 1, tzinfo=UTC)

Scalar = StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] | StrictStr
"""A value Braze stores as it is: JSON true/false, a number or a string."""

Instant = Annotated[
    AwareDatetime,
    Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(3000, 1, 1, tzinfo=UTC)),
]
"""A plausible time. Near year 1 or 9999, a change of the time zone raises OverflowError."""

AttributeValue = Scalar | list[Scalar] | None
"""``None`` unsets the attribute at Braze."""


Text = Annotated[str, StringConstraints(pattern=r"\S")]
"""Not blank. It is a pattern because pydantic checks that without a call into Python."""


class UserAlias(BaseModel):
    """A Braze user alias: the pair is unique in a workspace."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alias_name: Text
    alias_label: Text


class JobUser(BaseModel):
    """The person of a job: exactly one identifier, and whether an unknown one may be created."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    external_id: Text | None = None
    braze_id: Text | None = None
    user_alias: UserAlias | None = None
    email: Text | None = None
    phone: Text | None = None
    may_create: bool = True

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = (self.external_id, self.braze_id, self.user_alias, self.email, self.phone)
        if given.count(None) != len(given) - 1:
            raise ValueError("exactly one of external_id, braze_id, user_alias, email, phone")
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """The identifier's kind and value.

        A person known by an e-mail address and by an external id has two keys: only Braze knows
        that they are one person.
        """
        if self.external_id is not None:
            return ("external_id", self.external_id)
        if self.braze_id is not None:
            return ("braze_id", self.braze_id)
        if self.user_alias is not None:
            return ("user_alias", self.user_alias.alias_label, self.user_alias.alias_name)
        if self.email is not None:
            return ("email", self.email)
        return ("phone", str(self.phone))


MAX_ID_CHARS: Final = 240
"""Of an id when it is made. It may have 256; the rest is for the suffixes of parts and replays."""

OnceId = Annotated[str, Field(min_length=1, max_length=300)]
"""Of something that counts once. It may be the id of a job and a position."""


class JobEvent(BaseModel):
    """A custom event: flat properties, since Braze's pages disagree on nested ones.

    Attributes:
        id: Counts once, whatever job brings it. Required in v2, absent in v1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: OnceId | None = None
    name: Text
    time: Instant
    properties: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)


class JobObject(BaseModel):
    """A Braze object that cannot be merged: an operator, nested values, a purchase. v2 only.

    It is sent at most once: after an unknown outcome it is parked.

    Attributes:
        id: Counts once. By default it is made of the job's id and the position.
        object: Without an identifier and ``_update_existing_only``: delivery adds them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: OnceId | None = None
    array: Literal["attributes", "events", "purchases"]
    object: dict[str, JsonValue]

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        _check_json(self.object, MAX_PROPERTY_DEPTH)
        if len(json.dumps(self.object, ensure_ascii=False).encode()) > MAX_OBJECT_BYTES:
            raise ValueError(f"an object must not be longer than {MAX_OBJECT_BYTES} bytes")
        refused = IDENTIFIER_NAMES | {"", "_update_existing_only"}
        if self.array != "attributes":
            refused |= {"email", "phone"}
        if not self.object or not refused.isdisjoint(map(str.strip, self.object)):
            raise ValueError("an object must not be empty, and must not choose its person")
        return self


def _check_json(value: JsonValue, depth: int) -> None:
    """Check what pydantic does not: the depth, and numbers that other JSON readers refuse."""
    if depth < 0:
        raise ValueError(f"an object must not be nested deeper than {MAX_PROPERTY_DEPTH}")
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _check_json(each, depth - 1)
    elif isinstance(value, float):
        if not isfinite(value):
            raise ValueError("a number of an object must be finite")
    elif isinstance(value, int) and not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise ValueError("a number of an object must fit 64 bits")


_ONLY_V2: Final[dict[str, Any]] = {
    "sender": True,
    "objects": True,
    "events": {"__all__": {"id": True}},
}


class DeliveryJob(BaseModel):
    """The contract between whatever queues jobs and delivery, in versions 1 and 2.

    Attributes:
        job_id: The same for every resend of the same response: source, content or survey, the
            partner's own id of the response and, in v2, a hash of its content. Never random.
        sender: What put the job into the queue: a function's name, or ``bridge`` for a replay.
            Required in v2, absent in v1.
        occurred_at: The partner's time, never later than ``received_at``; it orders updates. If the
            partner sent none: 50 years before ``received_at``, unless its file says otherwise.
        attributes: Name to scalar, array of scalars, or ``None`` (unset). Operators such as ``inc``
            are not allowed: they can be neither resent nor merged.
        objects: v2 only. They keep their order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1, 2] = 1
    job_id: Annotated[str, Field(min_length=1, max_length=256)]
    source: Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,31}$")]
    sender: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] | None = None
    occurred_at: Instant
    received_at: Instant
    correlation_id: Annotated[str, Field(min_length=1, max_length=128)]
    user: JobUser
    attributes: dict[str, AttributeValue] = Field(default_factory=dict)
    events: tuple[JobEvent, ...] = ()
    objects: Annotated[tuple[JobObject, ...], Field(max_length=MAX_OBJECTS_PER_REQUEST)] = ()

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if self.occurred_at > self.received_at:
            raise ValueError("occurred_at must not be later than received_at")
        if not (self.attributes or self.events or self.objects):
            raise ValueError("a job needs an attribute, an event or an object")
        # Braze strips names: " external_id" would arrive as the identifier.
        names = set(map(str.strip, self.attributes))
        if not _RESERVED.isdisjoint(names):
            raise ValueError("attributes must not hold identifiers, control keys or blank names")
        for each in self.objects:
            if each.array == "attributes":
                names |= set(map(str.strip, each.object))
        if "email" in names and (self.user.email, self.user.phone) != (None, None):
            # Braze would look the person up by this address, not by the job's identifier.
            raise ValueError(
                "a person identified by e-mail or phone cannot be given another e-mail"
            )
        if "phone" in names and self.user.phone is not None:
            raise ValueError("a person identified by phone cannot be given another phone")
        return self

    @model_validator(mode="after")
    def _is_of_its_version(self) -> Self:
        ids = [event.id for event in self.events]
        if self.schema_version == 1:
            if self.sender is not None or self.objects or any(ids):
                raise ValueError("version 1 has no sender, no objects and no ids of events")
        elif self.sender is None or None in ids:
            raise ValueError("version 2 needs a sender, and an id for each event")
        elif len(set(self.once_ids)) < len(self.once_ids):
            raise ValueError("two events or objects of a job must not have the same id")
        return self

    @property
    def once_ids(self) -> tuple[str, ...]:
        """The ids of what may count only once, in order: of the events, then of the objects."""
        if self.schema_version == 1:
            return tuple([f"{self.job_id}#{at}" for at in range(len(self.events))])
        return (
            *[str(event.id) for event in self.events],
            *[each.id or f"{self.job_id}!{at}" for at, each in enumerate(self.objects)],
        )

    def with_ids(self) -> Self:
        """Write :attr:`once_ids` into the objects, so that a part of the job keeps them."""
        ids = self.once_ids[len(self.events) :]
        objects = [
            each.model_copy(update={"id": id_}) for each, id_ in zip(self.objects, ids, strict=True)
        ]
        return self.model_copy(update={"objects": tuple(objects)}) if objects else self

    def part(self, once: Iterable[int], *, attributes: bool) -> Self:
        """Reduce the job to what counts once at these positions of :attr:`once_ids`.

        Args:
            once: Positions of events and objects. Those of v2 keep their ids.
            attributes: Whether the part has the job's attributes.
        """
        whole = self.with_ids()
        chosen = sorted(set(once))
        first = len(self.events)
        return whole.model_copy(
            update={
                "attributes": self.attributes if attributes else {},
                "events": tuple(self.events[at] for at in chosen if at < first),
                "objects": tuple(whole.objects[at - first] for at in chosen if at >= first),
            }
        )

    def sent_by(self, sender: str) -> Self:
        """Return the job as another sender queues it: in v2, with the same ids."""
        events = [
            event.model_copy(update={"id": id_})
            for event, id_ in zip(self.events, self.once_ids, strict=False)
        ]
        return self.model_copy(
            update={"schema_version": 2, "sender": sender, "events": tuple(events)}
        )

    def to_json(self) -> str:
        """Encode the job as compact JSON that SQS accepts.

        SQS refuses U+FFFE and U+FFFF, but takes their JSON escapes. (It also refuses control
        characters; JSON escapes them anyway.)
        """
        text = self.model_dump_json(exclude=_ONLY_V2 if self.schema_version == 1 else None)
        return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


class UnreadableJobError(Exception):
    """A queue message is not a DeliveryJob of a known version.

    Attributes:
        reasons: What is wrong, per field, without values.
    """

    def __init__(self, reasons: tuple[tuple[str, str], ...]) -> None:
        super().__init__(f"unreadable job: {len(reasons)} reason(s)")
        self.reasons = reasons


class LaterJobError(UnreadableJobError):
    """A queue message is a job that newer code wrote: of a later version, or with unknown fields.

    Attributes:
        received_at: When the door received it, if that can be read.
    """

    def __init__(self, reasons: tuple[tuple[str, str], ...], received_at: datetime | None) -> None:
        super().__init__(reasons)
        self.received_at = received_at


def parse_job(body: str | bytes) -> DeliveryJob:
    """Read the JSON of a job of any shipped version.

    Raises:
        LaterJobError: Newer code may read it.
        UnreadableJobError: It is not JSON, or breaks the contract.
    """
    try:
        return DeliveryJob.model_validate_json(body)
    except ValidationError as error:
        reasons = invalid_fields(error, whole="job")
        faults = {what for _, what in reasons}
        fields = {} if "json_invalid" in faults else _fields(body)
        version = fields.get("schema_version", VERSION)
        is_later = isinstance(version, int) and version > VERSION
        if is_later or faults == {"extra_forbidden"}:
            raise LaterJobError(reasons, _instant(fields.get("received_at"))) from None
        raise UnreadableJobError(reasons) from None


def _fields(body: str | bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _instant(value: object) -> datetime | None:
    try:
        return TypeAdapter(Instant).validate_python(value)
    except ValidationError:
        return None


def canonical_hash(body: object) -> str:
    """Hash a parsed JSON value: SHA-256 in hex, whatever the order of its keys."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def split_job(job: DeliveryJob, max_bytes: int = MAX_JOB_BYTES) -> list[DeliveryJob]:
    """Split a job whose JSON is too long into parts with ids ``job_id/1`` … ``job_id/n``.

    Args:
        max_bytes: Of a part's JSON. An attribute, event or object is never cut, so a larger one
            makes a larger part.

    Returns:
        The job itself if it surely fits, else its parts in order: attributes first, then events,
        then objects. A resend makes the same parts. Events and objects keep their ids.
    """
    # The cuts depend only on what every resend repeats: a part is known by its number. (The time of
    # an event may be that of its arrival.)
    whole = job.with_ids()
    longest = whole.model_copy(
        update={
            "events": tuple(
                event.model_copy(update={"time": _LONGEST_TIME}) for event in job.events
            ),
            "correlation_id": "x" * 128,
            "occurred_at": _LONGEST_TIME,
            "received_at": _LONGEST_TIME,
        }
    )
    if len(longest.to_json().encode()) <= max_bytes:
        return [job]
    bare = longest.model_copy(update={"attributes": {}, "events": (), "objects": ()})
    room = max_bytes - len(bare.to_json().encode()) - 16
    parts: list[_Part] = []
    used = room

    def part_with(size: int) -> _Part:
        nonlocal used
        if used + size > room:
            parts.append(_Part({}, [], []))
            used = 0
        used += size
        return parts[-1]

    for name, value in job.attributes.items():
        part_with(len(json.dumps({name: value}))).attributes[name] = value
    for event, sized in zip(job.events, longest.events, strict=True):
        part_with(_size(sized)).events.append(event)
    for each in whole.objects:
        part_with(_size(each)).objects.append(each)
    return [
        job.model_copy(
            update={
                "job_id": f"{job.job_id}/{number}",
                "attributes": part.attributes,
                "events": tuple(part.events),
                "objects": tuple(part.objects),
            }
        )
        for number, part in enumerate(parts, start=1)
    ]


class _Part(NamedTuple):
    attributes: dict[str, AttributeValue]
    events: list[JobEvent]
    objects: list[JobObject]


def _size(member: JobEvent | JobObject) -> int:
    return len(member.model_dump_json().encode()) + 1
