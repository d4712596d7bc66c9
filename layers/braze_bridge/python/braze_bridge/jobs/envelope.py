"""The DeliveryJob: what an ingest function hands to delivery, and nothing else may.

One job is about one person. It travels as JSON in an SQS body, is parked as JSON when it can never
succeed, and may be read by newer code than the one that wrote it: every version ever shipped stays
readable (``tests/contract``).
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

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

MAX_JOB_BYTES: Final = 900_000
"""A job's JSON may be this long before it is split: since 2025 SQS takes 1 MiB (1,048,576 bytes) a
message, attributes included."""

EARLIEST_YEAR: Final = 1970

IDENTIFIER_NAMES: Final = frozenset({"external_id", "braze_id", "user_alias"})
"""Braze's primary identifiers; as attribute names they would change whom an object is about
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
"""Keys of an attributes object that steer Braze rather than describe a person
(https://www.braze.com/docs/api/objects_filters/user_attributes_object)."""

_RESERVED: Final = IDENTIFIER_NAMES | CONTROL_NAMES | {""}

_LONGEST_TIME: Final = datetime(2000, 1, 1, 0, 0, 0, 1, tzinfo=UTC)

_SQS_FORBIDDEN: Final = {"\ufffe": "\\ufffe", "\uffff": "\\uffff"}

Scalar = StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] | StrictStr
"""A value Braze stores as it is: JSON true/false, a number or a string."""

AttributeValue = Scalar | list[Scalar] | None
"""``None`` unsets the attribute at Braze."""


Text = Annotated[str, StringConstraints(pattern=r"\S")]
"""Not blank. A pattern, since pydantic checks it without a call into Python."""


class UserAlias(BaseModel):
    """A Braze user alias: the pair is unique in a workspace."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alias_name: Text
    alias_label: Text


class JobUser(BaseModel):
    """Whom a job is about: exactly one identifier, and whether an unknown person may be created."""

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
        """The identifier's kind and value, hashable: one per person *as identified*.

        The same human under an e-mail address and under an external id has two keys; only Braze
        knows that they are one.
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
            vendor's own identity of the event; never random.
        occurred_at: The vendor's time, never later than ``received_at``; orders updates.
        attributes: Name to scalar, array of scalars, or ``None`` (unset). Operators such as ``inc``
            are not job material: they could be neither resent nor merged.
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
        """The job as compact JSON that SQS accepts.

        SQS refuses U+FFFE and U+FFFF (and control characters, which JSON escapes anyway); as JSON
        escapes they pass.
        """
        text = self.model_dump_json(exclude_none=False, exclude_defaults=False)
        if "\ufffe" in text or "\uffff" in text:
            for character, escape in _SQS_FORBIDDEN.items():
                text = text.replace(character, escape)
        return text


_ADAPTER: Final[TypeAdapter[DeliveryJob]] = TypeAdapter(DeliveryJob)


class UnreadableJobError(Exception):
    """A queue message that is no DeliveryJob of any known version.

    Attributes:
        reasons: What is wrong, per field, without values.
    """

    def __init__(self, reasons: tuple[tuple[str, str], ...]) -> None:
        super().__init__(f"unreadable job: {len(reasons)} reason(s)")
        self.reasons = reasons


def parse_job(body: str | bytes) -> DeliveryJob:
    """Read a job of any shipped version.

    Args:
        body: The JSON text of an SQS message or of a parked record.

    Raises:
        UnreadableJobError: It is not JSON, of an unknown version, or breaks the contract.
    """
    try:
        return _ADAPTER.validate_json(body)
    except ValidationError as error:
        reasons = tuple(
            (".".join(str(step) for step in item["loc"]) or "job", str(item["type"]))
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise UnreadableJobError(reasons) from None


def canonical_hash(body: Any) -> str:  # noqa: ANN401 - any JSON value
    """The SHA-256 of a JSON value, in hex: equal for bodies that differ only in spelling.

    Args:
        body: A parsed JSON value. Key order and whitespace of the original do not matter.
    """
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def split_job(job: DeliveryJob, max_bytes: int = MAX_JOB_BYTES) -> list[DeliveryJob]:
    """Split a job whose JSON is too long into parts with ids ``job_id/1`` … ``job_id/n``.

    Args:
        job: The whole job.
        max_bytes: The most bytes a part's JSON may have. One attribute or event is never cut, so a
            single larger one makes a larger part.

    Returns:
        The job itself if it surely fits, else its parts in order: attributes first, then events.
        The same job always splits alike, so that a resend makes the same parts.
    """
    # What differs from resend to resend must move no cut, nor decide whether there is one: a part
    # is known by its number. (An event's time may be that of its arrival.)
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
    parts: list[tuple[dict[str, AttributeValue], tuple[JobEvent, ...]]] = []
    attributes: dict[str, AttributeValue] = {}
    events: list[JobEvent] = []
    used = 0

    def close() -> None:
        nonlocal attributes, events, used
        if attributes or events:
            parts.append((attributes, tuple(events)))
        attributes, events, used = {}, [], 0

    for name, value in job.attributes.items():
        size = len(json.dumps({name: value}))
        if used + size > room:
            close()
        attributes[name] = value
        used += size
    for event, as_long_as_any in zip(job.events, longest.events, strict=True):
        size = len(as_long_as_any.model_dump_json().encode()) + 1
        if used + size > room:
            close()
        events.append(event)
        used += size
    close()
    return [
        job.model_copy(
            update={
                "job_id": f"{job.job_id}/{number}",
                "attributes": part_attributes,
                "events": part_events,
            }
        )
        for number, (part_attributes, part_events) in enumerate(parts, start=1)
    ]
