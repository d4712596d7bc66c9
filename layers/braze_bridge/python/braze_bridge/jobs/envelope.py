"""The DeliveryJob: the only message that delivery takes. One job is about one person.

It travels as JSON in an SQS body. If it can never succeed, it is parked as JSON. A job may be read
by newer code than wrote it: every version ever shipped stays readable (``tests/contract``).
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from braze_bridge.reasons import invalid_fields

VERSION: Final = 1

MAX_JOB_BYTES: Final = 900_000
"""A longer job is split. Since 2025 SQS takes 1 MiB (1,048,576 bytes) a message, with its
attributes."""

EARLIEST_YEAR: Final = 1970

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


class JobEvent(BaseModel):
    """A custom event: flat properties, since Braze's pages disagree on nested ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    time: AwareDatetime
    properties: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)


class DeliveryJob(BaseModel):
    """Version 1 of the contract between the ingest functions and delivery.

    Attributes:
        job_id: The same for every resend of the same response: source, content or survey, and the
            partner's own id of the response; never random.
        occurred_at: The partner's time, never later than ``received_at``; it orders updates. If the
            partner sent none: 50 years before ``received_at``, unless its file says otherwise.
        attributes: Name to scalar, array of scalars, or ``None`` (unset). Operators such as ``inc``
            are not allowed: they can be neither resent nor merged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    job_id: Annotated[str, Field(min_length=1, max_length=256)]
    source: Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,31}$")]
    occurred_at: AwareDatetime
    received_at: AwareDatetime
    correlation_id: Annotated[str, Field(min_length=1, max_length=128)]
    user: JobUser
    attributes: dict[str, AttributeValue] = Field(default_factory=dict)
    events: tuple[JobEvent, ...] = ()

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if self.occurred_at > self.received_at:
            raise ValueError("occurred_at must not be later than received_at")
        if self.occurred_at.year < EARLIEST_YEAR:
            raise ValueError("occurred_at must not be before 1970")
        if not self.attributes and not self.events:
            raise ValueError("a job needs an attribute or an event")
        # Braze strips names: " external_id" would arrive as the identifier.
        names = set(map(str.strip, self.attributes))
        if not _RESERVED.isdisjoint(names):
            raise ValueError("attributes must not hold identifiers, control keys or blank names")
        if "email" in self.attributes and (self.user.email, self.user.phone) != (None, None):
            # Braze would look the person up by this address, not by the job's identifier.
            raise ValueError(
                "a person identified by e-mail or phone cannot be given another e-mail"
            )
        if "phone" in self.attributes and self.user.phone is not None:
            raise ValueError("a person identified by phone cannot be given another phone")
        return self

    def to_json(self) -> str:
        """Encode the job as compact JSON that SQS accepts.

        SQS refuses U+FFFE and U+FFFF, but takes their JSON escapes. (It also refuses control
        characters; JSON escapes them anyway.)
        """
        text = self.model_dump_json()
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
        if is_later or (faults == {"extra_forbidden"} and version == VERSION):
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
        return TypeAdapter(AwareDatetime).validate_python(value)
    except ValidationError:
        return None


def canonical_hash(body: object) -> str:
    """Hash a parsed JSON value: SHA-256 in hex, whatever the order of its keys."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def split_job(job: DeliveryJob, max_bytes: int = MAX_JOB_BYTES) -> list[DeliveryJob]:
    """Split a job whose JSON is too long into parts with ids ``job_id/1`` … ``job_id/n``.

    Args:
        max_bytes: Of a part's JSON. An attribute or event is never cut, so a larger one makes a
            larger part.

    Returns:
        The job itself if it surely fits, else its parts in order: attributes first, then events.
        A resend makes the same parts.
    """
    # The cuts depend only on what every resend repeats: a part is known by its number. (The time of
    # an event may be that of its arrival.)
    longest = job.model_copy(
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
    bare = longest.model_copy(update={"attributes": {}, "events": ()})
    room = max_bytes - len(bare.to_json().encode()) - 16
    parts: list[tuple[dict[str, AttributeValue], list[JobEvent]]] = []
    used = room

    def part_with(size: int) -> tuple[dict[str, AttributeValue], list[JobEvent]]:
        nonlocal used
        if used + size > room:
            parts.append(({}, []))
            used = 0
        used += size
        return parts[-1]

    for name, value in job.attributes.items():
        attributes, _ = part_with(len(json.dumps({name: value})))
        attributes[name] = value
    for event, sized in zip(job.events, longest.events, strict=True):
        _, events = part_with(len(sized.model_dump_json().encode()) + 1)
        events.append(event)
    return [
        job.model_copy(
            update={
                "job_id": f"{job.job_id}/{number}",
                "attributes": attributes,
                "events": tuple(events),
            }
        )
        for number, (attributes, events) in enumerate(parts, start=1)
    ]
