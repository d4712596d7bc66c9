"""What goes to Braze and what comes back, typed.

Users, attributes, events and the two `/users` endpoints; `subscriptions.py` and `kpi.py` have the
others. Plain dataclasses, not pydantic: encoding is the hot path of delivery, and Braze's answers
have to be read leniently, not validated.

Every repr leaves personal data out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

from braze_bridge.braze import limits
from braze_bridge.braze.encoding import (
    attribute_key,
    attribute_value,
    event_name,
    event_properties,
    quote,
    timestamp,
    to_json,
    utf8,
)
from braze_bridge.braze.errors import (
    InvalidAttributeError,
    InvalidEventError,
    InvalidInputError,
    InvalidReason,
    InvalidRequestError,
)
from braze_bridge.braze.identifiers import (
    IdentifierKind,
    UserAlias,
    UserIdentifier,
    check_count,
    check_e164,
    check_identifier,
    check_identifiers,
)
from braze_bridge.braze.rate_limits import RateLimit, parse_rate_limit, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
from braze_bridge.braze.errors import InputArray, ObjectError

__all__ = [
    "AttributeValue",
    "AttributesObject",
    "EventObject",
    "ExportIdsRequest",
    "ExportIdsResponse",
    "ExportedUser",
    "IdentifierKind",
    "InputArray",
    "ObjectError",
    "PropertyValue",
    "RateLimit",
    "Scalar",
    "TrackRequest",
    "TrackResponse",
    "UserAlias",
    "UserIdentifier",
    "parse_rate_limit",
    "parse_retry_after",
]

Scalar: TypeAlias = str | int | float | bool
AttributeValue: TypeAlias = "Scalar | Sequence[Scalar] | None"
PropertyValue: TypeAlias = "Scalar | Sequence[Scalar] | Mapping[str, PropertyValue] | None"


# --- Objects of /users/track ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttributesObject:
    """One user's attributes. Encoding it enforces Braze's limits.

    Attributes:
        user: whose.
        update_existing_only: False may create the profile, True never does; None leaves it to
            Braze, which creates for an external_id and does not for an alias.
        attributes: by name. None removes the attribute. Standard fields (`email`, `first_name`,
            …) are attributes too.
    """

    user: UserIdentifier
    update_existing_only: bool | None
    attributes: Mapping[str, AttributeValue] = field(repr=False)

    def encode(self) -> bytes:
        """The object as compact UTF-8 JSON.

        Raises:
            InvalidAttributeError: a name or value breaks a limit of `limits.py`, or would act as
                an identifier or a control key.
        """
        parts = ["{", self.user.member()]
        if self.update_existing_only is not None:
            parts.append(_UPDATE_EXISTING_ONLY[self.update_existing_only])
        secondary = self.user.kind in _SECONDARY
        for name, value in self.attributes.items():
            key = attribute_key(name)
            if secondary and self._repeats_identifier(name.strip(), value):
                continue
            parts.append(key)
            parts.append(attribute_value(value, name))
        parts.append("}")
        return _whole("".join(parts), InvalidAttributeError)

    def _repeats_identifier(self, name: str, value: AttributeValue) -> bool:
        """Whether an e-mail or phone attribute only says again who the user is.

        With a phone as identifier an `email` attribute would become the identifier (e-mail takes
        precedence, post_user_track), and a second value for the identifier's own key would
        change who is meant.
        """
        if name == self.user.kind and value == self.user.value:
            return True
        if name in {self.user.kind, "email"}:
            raise InvalidAttributeError(
                InvalidReason.IDENTIFIER_AS_ATTRIBUTE,
                "this attribute would change which user is meant",
                name=name,
            )
        return False


_SECONDARY: Final = frozenset({"email", "phone"})
_UPDATE_EXISTING_ONLY: Final = {
    True: ',"_update_existing_only":true',
    False: ',"_update_existing_only":false',
}


@dataclass(frozen=True, slots=True)
class EventObject:
    """One custom event of one user. Encoding it enforces Braze's limits.

    Attributes:
        user: whose.
        update_existing_only: as in `AttributesObject`. Braze's pages contradict each other on
            whether an event can create an alias profile: create it with an attributes object in
            the same request.
        name: 1-255 characters.
        time: with a zone; a future time is stored as now.
        properties: flat ones are the safe choice; objects may nest, arrays hold scalars only. A
            None at the top is left out, as Braze knows no null property.
        app_id: Braze's app identifier.
    """

    user: UserIdentifier
    update_existing_only: bool | None
    name: str
    time: datetime
    properties: Mapping[str, PropertyValue] = field(repr=False)
    app_id: str | None = None

    def encode(self) -> bytes:
        """The object as compact UTF-8 JSON, its time as `2026-11-22T09:30:00.000Z`.

        Raises:
            InvalidEventError: name, time or a property breaks a limit of `limits.py`.
        """
        parts = ["{", self.user.member()]
        if self.update_existing_only is not None:
            parts.append(_UPDATE_EXISTING_ONLY[self.update_existing_only])
        if self.app_id is not None:
            parts.append(f',"app_id":{quote(self.app_id)}')
        parts.append(event_name(self.name))
        parts.append(f',"time":"{timestamp(self.time)}"')
        if self.properties:
            parts.append(f',"properties":{event_properties(self.properties)}')
        parts.append("}")
        return _whole("".join(parts), InvalidEventError)


def _whole(text: str, error: type[InvalidInputError]) -> bytes:
    encoded = utf8(text, error)
    if len(encoded) > limits.SAFE_BODY_BYTES - _FRAME_BYTES:
        raise error(
            InvalidReason.OBJECT_TOO_LARGE, "one object alone is over what a request may hold"
        )
    return encoded


# --- POST /users/track ------------------------------------------------------------------------

_FRAME_BYTES: Final = len(b'{"attributes":[],"events":[]}')
"""What a request adds to its objects besides the commas between them, at most."""


@dataclass(frozen=True)
class TrackRequest:
    """Ready-made objects of one `/users/track` call.

    Attributes:
        attributes: encoded `AttributesObject`s, in order: a rejection names their index.
        events: encoded `EventObject`s, likewise. Braze applies attributes first.

    Raises:
        InvalidRequestError: there is no object, there are over 75 in all, or the body would be
            over `limits.SAFE_BODY_BYTES`.
    """

    attributes: Sequence[bytes] = field(default=(), repr=False)
    events: Sequence[bytes] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.objects:
            raise InvalidRequestError(InvalidReason.REQUEST_EMPTY, "no object to send")
        if self.objects > limits.MAX_OBJECTS_PER_REQUEST:
            raise InvalidRequestError(
                InvalidReason.TOO_MANY_OBJECTS,
                f"{self.objects} objects, {limits.MAX_OBJECTS_PER_REQUEST} are allowed",
            )
        if self.size > limits.SAFE_BODY_BYTES:
            raise InvalidRequestError(
                InvalidReason.REQUEST_TOO_LARGE,
                f"{self.size} bytes, {limits.SAFE_BODY_BYTES} are allowed",
            )

    @property
    def objects(self) -> int:
        """How many objects, attributes and events together."""
        return len(self.attributes) + len(self.events)

    @cached_property
    def size(self) -> int:
        """Bytes of the body, exactly."""
        return len(self.body())

    def body(self) -> bytes:
        """The request's JSON: the objects joined, not parsed again."""
        arrays = []
        if self.attributes:
            arrays.append(b'"attributes":[' + b",".join(self.attributes) + b"]")
        if self.events:
            arrays.append(b'"events":[' + b",".join(self.events) + b"]")
        return b"{" + b",".join(arrays) + b"}"


@dataclass(frozen=True, slots=True)
class TrackResponse:
    """Braze accepted the request. Accepted means queued, never applied.

    Attributes:
        status: 201; 202 during maintenance; any 2xx counts.
        message: Braze's, `success` or `queued`; empty if the body cannot be read.
        attributes_processed: objects queued; None if Braze does not say.
        events_processed: likewise.
        errors: the objects that were *not* queued; the others were.
        rate_limit: of this call's family, None without headers.
    """

    status: int
    message: str
    attributes_processed: int | None
    events_processed: int | None
    errors: tuple[ObjectError, ...]
    rate_limit: RateLimit | None


# --- POST /users/export/ids -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExportIdsRequest:
    """Which profiles to read, and which of their fields.

    Attributes:
        fields_to_export: of `limits.EXPORT_FIELDS`, at least one: required of customers onboarded
            since 22 August 2024, and it keeps personal data out of the answer.
        external_ids: with `user_aliases` at most 50 in all.
        user_aliases: see `external_ids`.
        braze_id: one.
        device_id: one; only one of device, e-mail and phone may be asked for in a call.
        email_address: one. Every profile sharing it is returned.
        phone: one, E.164.

    Raises:
        InvalidRequestError: one of these rules is broken.
        InvalidIdentifierError: an identifier is blank or too long.
    """

    fields_to_export: Sequence[str]
    external_ids: Sequence[str] = field(default=(), repr=False)
    user_aliases: Sequence[UserAlias] = field(default=(), repr=False)
    braze_id: str | None = field(default=None, repr=False)
    device_id: str | None = field(default=None, repr=False)
    email_address: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check_fields(self.fields_to_export)
        check_identifiers("external_id", self.external_ids)
        singles = ("braze_id", "device_id", "email_address", "phone")
        given = [name for name in singles if getattr(self, name) is not None]
        for name in given:
            check_identifier(name, getattr(self, name))
        if self.phone is not None:
            check_e164(self.phone)
        if not (given or self.external_ids or self.user_aliases):
            raise InvalidRequestError(InvalidReason.IDENTIFIER_COUNT, "no identifier to look up")
        if len(set(given) - {"braze_id"}) > 1:
            raise InvalidRequestError(
                InvalidReason.IDENTIFIER_COUNT,
                "only one of device_id, email_address and phone may be asked for",
            )
        check_count(len(self.external_ids) + len(self.user_aliases))

    def body(self) -> bytes:
        """The request's JSON."""
        document: dict[str, object] = {"fields_to_export": list(self.fields_to_export)}
        if self.external_ids:
            document["external_ids"] = list(self.external_ids)
        if self.user_aliases:
            document["user_aliases"] = [alias.as_json() for alias in self.user_aliases]
        for name in ("braze_id", "device_id", "email_address", "phone"):
            if getattr(self, name) is not None:
                document[name] = getattr(self, name)
        return to_json(document).encode()


def _check_fields(fields: Sequence[str]) -> None:
    if isinstance(fields, str) or not fields:
        raise InvalidRequestError(InvalidReason.FIELD_MISSING, "fields_to_export must be given")
    unknown = sorted(set(fields) - limits.EXPORT_FIELDS)
    if unknown:
        raise InvalidRequestError(
            InvalidReason.FIELD_UNKNOWN, "not a field of /users/export/ids", name=unknown[0]
        )


@dataclass(frozen=True, slots=True)
class ExportedUser:
    """One profile as exported. What is missing in the answer is None or empty here.

    Attributes:
        external_id: None for alias-only and e-mail-only profiles.
        braze_id: Braze's own id.
        user_aliases: readable ones.
        email: as stored.
        phone: as stored.
        email_subscribe: `opted_in`, `subscribed` or `unsubscribed`.
        custom_attributes: by name, JSON values.
        other: every other field of the profile, JSON values under Braze's names.
    """

    external_id: str | None = field(default=None, repr=False)
    braze_id: str | None = field(default=None, repr=False)
    user_aliases: tuple[UserAlias, ...] = field(default=(), repr=False)
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    email_subscribe: str | None = field(default=None, repr=False)
    custom_attributes: Mapping[str, object] = field(default_factory=dict, repr=False)
    other: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ExportIdsResponse:
    """The profiles found.

    Attributes:
        users: empty means that no profile exists *yet*: reads lag writes by seconds. Decide by
            this, never by `invalid_user_ids`, which Braze may leave out.
        invalid_user_ids: identifiers without a profile, when Braze lists them.
        rate_limit: of this call's family.
    """

    users: list[ExportedUser] = field(repr=False)
    invalid_user_ids: tuple[str, ...] = field(default=(), repr=False)
    rate_limit: RateLimit | None = None

    def preferred(self) -> ExportedUser | None:
        """Of several profiles that share an e-mail, the one with an external_id, else the first.

        None if there is no profile.
        """
        identified = (user for user in self.users if user.external_id is not None)
        return next(identified, self.users[0] if self.users else None)
