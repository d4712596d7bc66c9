"""Read queue messages: plain jobs fast, all others with the contract's own parser.

A job is plain if it surely keeps the contract (:mod:`braze_bridge.jobs.envelope`) and all of
Braze's limits. Nearly all are: msgspec reads one in 3 microseconds, pydantic in 23, and its values
can be encoded without another check. A message with anything odd gets :func:`parse_job`, which
reads it or tells what is wrong. A test holds that both give the same requests and refusals.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from braze_bridge.braze.errors import InvalidInputError
from braze_bridge.braze.identifiers import UserAlias, UserIdentifier
from braze_bridge.braze.limits import (
    CONTROL_KEYS,
    IDENTIFIER_KEYS,
    MAX_ARRAY_ELEMENTS,
    MAX_EXTERNAL_ID_BYTES,
    MAX_INTEGER,
    MAX_PROPERTIES_BYTES,
    MAX_STRING_CHARS,
    REFUSED_ATTRIBUTES,
    RESERVED_PROPERTY_NAMES,
)
from braze_bridge.jobs.envelope import CONTROL_NAMES, DeliveryJob, JobUser, parse_job

if TYPE_CHECKING:
    from braze_bridge.ledger.port import PersonKey

MAX_PLAIN_CHARS: Final = MAX_PROPERTIES_BYTES // 4
"""Of a message. A character has at most 4 bytes, so no array and no properties are over 100 KB."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(3000, 1, 1, tzinfo=UTC)

_SOURCE: Final = re.compile(r"[a-z][a-z_]{0,31}")
_SENDER: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED: Final = IDENTIFIER_KEYS | CONTROL_KEYS | CONTROL_NAMES | REFUSED_ATTRIBUTES | {""}
_CONTACTS: Final = frozenset({"email", "phone"})

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Instant = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_STRING_CHARS)]
String = Annotated[str, Meta(max_length=MAX_STRING_CHARS)]
Integer = Annotated[int, Meta(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]
Scalar = bool | Integer | float | String
Array = Annotated[list[Scalar], Meta(max_length=MAX_ARRAY_ELEMENTS)]


class PlainAlias(Struct, forbid_unknown_fields=True, gc=False):
    """As :class:`braze_bridge.jobs.envelope.UserAlias`."""

    alias_name: str
    alias_label: str


class PlainUser(Struct, forbid_unknown_fields=True, gc=False):
    """As :class:`braze_bridge.jobs.envelope.JobUser`."""

    external_id: str | None = None
    braze_id: str | None = None
    user_alias: PlainAlias | None = None
    email: str | None = None
    phone: str | None = None
    may_create: bool = True

    @property
    def key(self) -> PersonKey:
        """As :attr:`braze_bridge.jobs.envelope.JobUser.key`."""
        if self.external_id is not None:
            return ("external_id", self.external_id)
        if self.email is not None:
            return ("email", self.email)
        if self.braze_id is not None:
            return ("braze_id", self.braze_id)
        if self.user_alias is not None:
            return ("user_alias", self.user_alias.alias_label, self.user_alias.alias_name)
        return ("phone", str(self.phone))


class PlainEvent(Struct, forbid_unknown_fields=True, gc=False):
    """As :class:`braze_bridge.jobs.envelope.JobEvent`."""

    name: Name
    time: Instant
    id: Id | None = None
    properties: dict[Name, Scalar | Array] = {}


class PlainJob(Struct, forbid_unknown_fields=True, gc=False):
    """As :class:`braze_bridge.jobs.envelope.DeliveryJob`, without objects."""

    job_id: Id
    source: str
    occurred_at: Instant
    received_at: Instant
    correlation_id: Annotated[str, Meta(min_length=1, max_length=128)]
    user: PlainUser
    schema_version: Literal[1, 2] = 1
    sender: str | None = None
    attributes: dict[Name, Scalar | Array | None] = {}
    events: tuple[PlainEvent, ...] = ()
    objects: tuple[()] = ()

    @property
    def once_ids(self) -> tuple[str, ...]:
        """As :attr:`braze_bridge.jobs.envelope.DeliveryJob.once_ids`."""
        if self.schema_version == 1:
            return tuple([f"{self.job_id}#{at}" for at in range(len(self.events))])
        return tuple([str(event.id) for event in self.events])


Job = PlainJob | DeliveryJob

_DECODER: Final = msgspec.json.Decoder(PlainJob)


def read_job(body: str) -> Job:
    """Read the JSON of a job of any shipped version.

    Raises:
        LaterJobError: Newer code may read it.
        UnreadableJobError: It is not JSON, or breaks the contract.
    """
    if len(body) <= MAX_PLAIN_CHARS:
        try:
            job = _DECODER.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass
        else:
            if _is_plain(job):
                return job
    return parse_job(body)


def _is_plain(job: PlainJob) -> bool:
    """Check what the decoder does not."""
    user = job.user
    given = (user.external_id, user.braze_id, user.user_alias, user.email, user.phone)
    if given.count(None) != len(given) - 1 or not _is_identifier(user):
        return False
    names = tuple(job.attributes)
    has_contact = user.email is not None or user.phone is not None
    return (
        EARLIEST <= job.occurred_at <= job.received_at < LATEST
        and _is_source(job.source)
        and (_are_attributes(names, contact=has_contact) if names else bool(job.events))
        and (not job.events or all(map(_is_event, job.events)))
        and _is_of_its_version(job)
    )


def _is_identifier(user: PlainUser) -> bool:
    value = user.external_id or user.email or user.braze_id
    if not value:
        try:
            identifier_of(user)
        except InvalidInputError:
            return False
        return True
    return len(value) * 4 <= MAX_EXTERNAL_ID_BYTES and not value.isspace()


@lru_cache(maxsize=1024)
def _is_source(source: str) -> bool:
    return _SOURCE.fullmatch(source) is not None


@lru_cache(maxsize=1024)
def _are_attributes(names: tuple[str, ...], *, contact: bool) -> bool:
    """Check names. Beside an e-mail or a phone as the identifier, these two mean the person."""
    stripped = set(map(str.strip, names))
    return _RESERVED.isdisjoint(stripped) and not (contact and stripped & _CONTACTS)


def _is_event(event: PlainEvent) -> bool:
    return (
        not event.name.isspace()
        and EARLIEST <= event.time < LATEST
        and (not event.properties or _are_properties(tuple(event.properties)))
    )


@lru_cache(maxsize=1024)
def _are_properties(names: tuple[str, ...]) -> bool:
    return all(
        name.strip() not in RESERVED_PROPERTY_NAMES | {""} and not name.startswith("$")
        for name in names
    )


def _is_of_its_version(job: PlainJob) -> bool:
    if job.schema_version == 1:
        return job.sender is None and not any(event.id for event in job.events)
    ids = {event.id for event in job.events}
    return (
        job.sender is not None
        and _is_sender(job.sender)
        and None not in ids
        and len(ids) == len(job.events)
    )


@lru_cache(maxsize=1024)
def _is_sender(sender: str) -> bool:
    return _SENDER.fullmatch(sender) is not None


def identifier_of(user: PlainUser | JobUser) -> UserIdentifier:
    """Convert the job's user for the client.

    Raises:
        InvalidInputError: It breaks a limit of Braze.
    """
    alias = user.user_alias
    return UserIdentifier(
        external_id=user.external_id,
        braze_id=user.braze_id,
        user_alias=None if alias is None else UserAlias(alias.alias_name, alias.alias_label),
        email=user.email,
        phone=user.phone,
    )
