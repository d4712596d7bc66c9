"""Encode a job's parts as Braze objects. A plain job's values need no further check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from braze_bridge.braze.encoding import event_name, quote, timestamp
from braze_bridge.braze.models import AttributesObject, EventObject
from braze_delivery.reading import PlainEvent, PlainJob, PlainUser, identifier_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.braze.identifiers import UserIdentifier
    from braze_bridge.jobs.envelope import AttributeValue, JobEvent, JobObject
    from braze_bridge.ledger.port import PersonKey
    from braze_delivery.reading import Job

_encode: Final = msgspec.json.Encoder().encode

_SINGLE: Final = frozenset({"external_id", "braze_id", "email"})
_SWITCH: Final = {
    None: "",
    True: ',"_update_existing_only":true',
    False: ',"_update_existing_only":false',
}


class Addressee:
    """Encodes objects of one person, for jobs that agree on whether Braze may create it.

    Attributes:
        existing_only: Braze's switch. By default Braze creates a person, but none for an alias.
    """

    __slots__ = ("_head", "_key", "_user", "existing_only")

    def __init__(self, job: Job, key: PersonKey) -> None:
        self._user = job.user
        self._key = key
        self.existing_only: bool | None = True
        if job.user.may_create:
            self.existing_only = False if key[0] == "user_alias" else None
        self._head = b""

    def head(self) -> bytes:
        """Encode what every object of the person begins with.

        Raises:
            InvalidInputError: The identifier breaks a limit of Braze.
        """
        if not self._head:
            key = self._key
            is_single = key[0] in _SINGLE and type(self._user) is PlainUser
            member = f'"{key[0]}":{quote(key[1])}' if is_single else self.identifier().member()
            self._head = f"{{{member}{_SWITCH[self.existing_only]}".encode()
        return self._head

    def identifier(self) -> UserIdentifier:
        """Make the person's identifier, for the client's own checks.

        Raises:
            InvalidInputError: It breaks a limit of Braze.
        """
        return identifier_of(self._user)

    def attributes(self, values: Mapping[str, AttributeValue], *, plain: bool) -> bytes:
        """Encode attributes.

        Args:
            values: By name.
            plain: All are of plain jobs.

        Raises:
            InvalidInputError: They break a limit of Braze.
        """
        if plain:
            return self.head() + (b"," + _encode(values)[1:] if values else b"}")
        return AttributesObject(self.identifier(), self.existing_only, values).encode()

    def event(self, event: JobEvent | PlainEvent) -> bytes:
        """Encode an event.

        Raises:
            InvalidInputError: It breaks a limit of Braze.
        """
        if not isinstance(event, PlainEvent):
            return EventObject(
                self.identifier(), self.existing_only, event.name, event.time, event.properties
            ).encode()
        rest = f'{event_name(event.name)},"time":"{timestamp(event.time)}"'.encode()
        if event.properties:
            return self.head() + rest + b',"properties":' + _encode(event.properties) + b"}"
        return self.head() + rest + b"}"

    def object(self, item: JobObject) -> bytes:
        """Encode an object that cannot be merged.

        Raises:
            InvalidInputError: The identifier breaks a limit of Braze.
        """
        return self.head() + b"," + _encode(item.object)[1:]


def is_plain(job: Job) -> bool:
    """Check that its values need no further check."""
    return type(job) is PlainJob
