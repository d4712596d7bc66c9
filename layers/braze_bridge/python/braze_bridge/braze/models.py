"""Typed requests and responses of the two `/users` endpoints.

Dataclasses, not pydantic: encoding is the hot path of delivery, and Braze's answers must be read
leniently, not validated. No repr shows personal data.
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
    check_count,
    check_e164,
    check_identifier,
    check_identifiers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from braze_bridge.braze.errors import InputArray, ObjectError
    from braze_bridge.braze.identifiers import UserAlias, UserIdentifier
    from braze_bridge.braze.rate_limits import RateLimit

Scalar: TypeAlias = str | int | float | bool
AttributeValue: TypeAlias = "Scalar | Sequence[Scalar] | None"
PropertyValue: TypeAlias = "Scalar | Sequence[Scalar] | Mapping[str, PropertyValue] | None"


# --- Objects of /users/track ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttributesObject:
    """One user's attributes.

    Attributes:
        update_existing_only: False may create the profile, True never does. With None, Braze
            creates one for an external_id and none for an alias.
        attributes: by name. None removes the attribute. Standard fields (`email`, `first_name`,
            …) are attributes too.
    """

    user: UserIdentifier
    update_existing_only: bool | None
    attributes: Mapping[str, AttributeValue] = field(repr=False)

    def encode(self) -> bytes:
        """Encode the object as compact UTF-8 JSON.

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
        """Check whether an e-mail or phone attribute equals the identifier.

        Beside a phone, an `email` attribute would become the identifier (e-mail takes precedence,
        post_user_track). Another value for the identifier's own key would change the user.
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
    """One custom event of one user.

    Attributes:
        update_existing_only: as in `AttributesObject`. Braze's pages contradict each other on
            whether an event can create an alias profile: create it with an attributes object in
            the same request.
        name: 1-255 characters.
        time: with a zone. Braze stores a future time as now.
        properties: flat ones are the safe choice. Objects may nest; arrays contain only scalars. A
            None at the top is left out, since Braze has no null property.
    """

    user: UserIdentifier
    update_existing_only: bool | None
    name: str
    time: datetime
    properties: Mapping[str, PropertyValue] = field(repr=False)

    def encode(self) -> bytes:
        """Encode the object as compact UTF-8 JSON, its time as `2026-11-22T09:30:00.000Z`.

        Raises:
            InvalidEventError: name, time or a property breaks a limit of `limits.py`.
        """
        parts = ["{", self.user.member()]
        if self.update_existing_only is not None:
            parts.append(_UPDATE_EXISTING_ONLY[self.update_existing_only])
        parts.append(event_name(self.name))
        parts.append(f',"time":"{timestamp(self.time)}"')
        if self.properties:
            parts.append(f',"properties":{event_properties(self.properties)}')
        parts.append("}")
        return _whole("".join(parts), InvalidEventError)


def _whole(text: str, error: type[InvalidInputError]) -> bytes:
    encoded = utf8(text, error)
    if len(encoded) > limits.SAFE_BODY_BYTES - FRAME_BYTES:
        raise error(
            InvalidReason.OBJECT_TOO_LARGE, "one object alone is over what a request may hold"
        )
    return encoded


# --- POST /users/track ------------------------------------------------------------------------

FRAME_BYTES: Final = len(b'{"attributes":[],"events":[],"purchases":[]}')
"""The most bytes of a request besides its objects and the commas between them."""


@dataclass(frozen=True)
class TrackRequest:
    """Encoded objects of one `/users/track` call.

    Attributes:
        attributes: encoded `AttributesObject`s. Braze's errors name their index.
        events: encoded `EventObject`s, likewise. Braze applies attributes first.
        purchases: encoded purchase objects, likewise.

    Raises:
        InvalidRequestError: there is no object, there are over 75 in all, or the body would be
            over `limits.SAFE_BODY_BYTES`.
    """

    attributes: Sequence[bytes] = field(default=(), repr=False)
    events: Sequence[bytes] = field(default=(), repr=False)
    purchases: Sequence[bytes] = field(default=(), repr=False)

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
        """Number of objects of all kinds together."""
        return len(self.attributes) + len(self.events) + len(self.purchases)

    @cached_property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.body())

    def body(self) -> bytes:
        """Join the objects, without parsing them."""
        arrays = []
        if self.attributes:
            arrays.append(b'"attributes":[' + b",".join(self.attributes) + b"]")
        if self.events:
            arrays.append(b'"events":[' + b",".join(self.events) + b"]")
        if self.purchases:
            arrays.append(b'"purchases":[' + b",".join(self.purchases) + b"]")
        return b"{" + b",".join(arrays) + b"}"


@dataclass(frozen=True, slots=True)
class TrackResponse:
    """Braze accepted the request. Accepted means queued, not applied.

    Attributes:
        status: 201, or 202 during maintenance; any 2xx counts.
        message: `success` or `queued`; empty if the body cannot be read.
        attributes_processed: number queued; None if Braze does not say.
        events_processed: likewise.
        purchases_processed: likewise.
        errors: the objects that were *not* queued.
    """

    status: int
    message: str
    attributes_processed: int | None
    events_processed: int | None
    errors: tuple[ObjectError, ...]
    rate_limit: RateLimit | None
    purchases_processed: int | None = None

    def processed(self, array: InputArray) -> int | None:
        """Return the number queued of an array."""
        match array:
            case "attributes":
                return self.attributes_processed
            case "events":
                return self.events_processed
            case "purchases":
                return self.purchases_processed


# --- POST /users/export/ids -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExportIdsRequest:
    """The profiles to read, and their fields.

    Attributes:
        fields_to_export: at least one of `limits.EXPORT_FIELDS`. Customers onboarded since
            22 August 2024 must give them; they also keep personal data out of the answer.
        external_ids: with `user_aliases` at most 50.
        email_address: Braze returns every profile with it. Not together with `phone`.
        phone: E.164.

    Raises:
        InvalidRequestError: one of these rules is broken.
        InvalidIdentifierError: an identifier is blank or too long.
    """

    fields_to_export: Sequence[str]
    external_ids: Sequence[str] = field(default=(), repr=False)
    user_aliases: Sequence[UserAlias] = field(default=(), repr=False)
    braze_id: str | None = field(default=None, repr=False)
    email_address: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check_fields(self.fields_to_export)
        check_identifiers("external_id", self.external_ids)
        singles = self._singles()
        for name, value in singles.items():
            check_identifier(name, value)
        if self.phone is not None:
            check_e164(self.phone)
        if not (singles or self.external_ids or self.user_aliases):
            raise InvalidRequestError(InvalidReason.IDENTIFIER_COUNT, "no identifier to look up")
        if {"email_address", "phone"} <= singles.keys():
            raise InvalidRequestError(
                InvalidReason.IDENTIFIER_COUNT,
                "only one of email_address and phone may be asked for",
            )
        check_count(len(self.external_ids) + len(self.user_aliases))

    def body(self) -> bytes:
        """The request's JSON."""
        document: dict[str, object] = {"fields_to_export": list(self.fields_to_export)}
        if self.external_ids:
            document["external_ids"] = list(self.external_ids)
        if self.user_aliases:
            document["user_aliases"] = [alias.as_json() for alias in self.user_aliases]
        return to_json(document | self._singles()).encode()

    def _singles(self) -> dict[str, object]:
        names = ("braze_id", "email_address", "phone")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


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
    """One exported profile. What the answer leaves out is None or empty.

    Attributes:
        external_id: None for alias-only and e-mail-only profiles.
        user_aliases: the readable ones.
        email_subscribe: `opted_in`, `subscribed` or `unsubscribed`.
        custom_attributes: JSON values by name.
        other: JSON values of all other fields, under Braze's names.
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
        users: empty means that no profile exists *yet*: reads lag writes by seconds. Braze may also
            list `invalid_user_ids`, but not always.
    """

    users: list[ExportedUser] = field(repr=False)
    rate_limit: RateLimit | None = None

    def preferred(self) -> ExportedUser | None:
        """Choose the first profile with an external_id, or else the first profile."""
        identified = (user for user in self.users if user.external_id is not None)
        return next(identified, self.users[0] if self.users else None)
