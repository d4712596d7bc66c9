"""The stores of acquisitions as protocols, and the keyed hashes of their rows.

:mod:`quikly_acquisition.dynamo_records` implements them. Decisions about an acquisition are in
:mod:`quikly_acquisition.workflow`.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from quikly_acquisition.models import AcquisitionRecord, PersonKey, StepMessage

GRACE: Final = timedelta(seconds=60)
"""How long after a step is due the sweep takes its message for lost. If the message only waits in
the queue, the sweep makes a second one. That costs little: the first one taken makes the other
stale."""

REQUEUED: Final = timedelta(minutes=5)
"""How long after the sweep made a message it waits before it makes another."""

KNOWN_RETENTION: Final = timedelta(days=7)
"""How long a profile is remembered instead of looked up. Writes to a profile that Braze deleted or
merged in that time are lost, so a longer time would cost more than the look-ups it saves."""


class RecordsUnavailableError(Exception):
    """The store did not answer, or not as expected: assume that nothing was stored."""


class IdempotencyKeyReusedError(Exception):
    """The key came before with another person, scope or channel."""


class Begun(NamedTuple):
    """The acquisition that a request belongs to.

    Attributes:
        is_new: This request began it, so its first step must be queued.
    """

    acquisition_id: str
    is_new: bool


class Known(BaseModel):
    """The profile that was recently found or created for an address.

    Attributes:
        kind: Of the identifier.
        value: The identifier; ``None`` if it equals the address, which is not stored.
        label: The alias's label.
        phone: Keyed hash of the phone number on the profile, if we know of one.
        written_at: When we created the profile or wrote a number to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["external_id", "braze_id", "user_alias", "email", "phone"]
    value: str | None = Field(default=None, repr=False)
    label: str | None = None
    phone: str | None = None
    written_at: AwareDatetime | None = None
    seen_at: AwareDatetime


class Loaded(NamedTuple):
    """Records that were read.

    Attributes:
        found: By id; ``None`` for one that does not exist. An id that the store left out of its
            answer is missing.
        unreadable: Ids of rows that are no record of a known version.
    """

    found: Mapping[str, AcquisitionRecord | None]
    unreadable: frozenset[str] = frozenset()


class DueStep(NamedTuple):
    """A step that is due and has no message."""

    message: StepMessage
    due_at: datetime


class AcquisitionRecords(Protocol):
    """The store of acquisitions, for intake, the worker and the commands.

    Each method may raise :class:`RecordsUnavailableError` unless it says otherwise.
    """

    def begin(self, record: AcquisitionRecord, idempotency_key: str | None) -> Begun:
        """Store a new acquisition, unless the request has one already.

        The same key gives the same acquisition. So do the same scope, channel and person while an
        acquisition of theirs is pending.

        Raises:
            IdempotencyKeyReusedError: The key belongs to another request.
        """
        ...

    def get(self, acquisition_id: str) -> AcquisitionRecord | None:
        """Read one record; ``None`` if it does not exist or has expired."""
        ...

    def load(self, ids: Collection[str]) -> Loaded:
        """Read many records. An unreadable one does not affect the others."""
        ...

    def save(self, record: AcquisitionRecord, overdue_at: datetime) -> bool:
        """Replace a record by its next version.

        A final state also lets the person begin another acquisition.

        Args:
            record: Its version is one above the version that was read.
            overdue_at: When the sweep looks for it; ignored for a final state.

        Returns:
            Whether it was replaced; false if another worker was first or it was erased.
        """
        ...

    def recall(self, people: Collection[PersonKey]) -> Mapping[PersonKey, Known]:
        """Read which profiles are remembered.

        Never raises: a failed read costs a look-up.
        """
        ...

    def remember(self, people: Mapping[PersonKey, Known]) -> None:
        """Store profiles.

        Never raises: a failed write costs a look-up.
        """
        ...

    def fingerprint(self, person: PersonKey) -> str:
        """Return the keyed hash of an address."""
        ...

    def about(self, person: PersonKey) -> Sequence[str]:
        """Return the ids of a person's acquisitions, in no order."""
        ...

    def erase(self, person: PersonKey) -> int:
        """Erase every acquisition of a person, readable or not, and the remembered profiles.

        Returns:
            How many acquisitions there were.
        """
        ...


class DueSteps(Protocol):
    """The store of due steps, for the sweep, which reads no record.

    Each method may raise :class:`RecordsUnavailableError`.
    """

    def due(self, now: datetime, limit: int) -> Sequence[DueStep]:
        """Return steps that are due and have no message, the longest due first.

        So every step is reached, even if more than the limit are due.
        """
        ...

    def queued(self, steps: Sequence[StepMessage], now: datetime) -> None:
        """Store that these steps have a message now, so that the next sweep makes no other."""
        ...


class Fingerprints:
    """Keyed hashes of addresses and requests. An address cannot be recovered from them.

    Args:
        key: Up to 64 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def person(self, person: PersonKey) -> str:
        """Hash an e-mail address or a phone number."""
        return self._of(b"address", person.kind, person.value)

    def request(self, record: AcquisitionRecord) -> str:
        """Hash what an idempotency key belongs to: scope, channel and both addresses."""
        return self._of(
            b"request", record.q_scope, record.channel, record.email or "", record.phone or ""
        )

    def pending(self, record: AcquisitionRecord) -> str:
        """Hash scope, channel and person, which have one pending acquisition at a time.

        The person is the number on the SMS channel and the e-mail address on the other.
        """
        who = record.phone if record.channel == "sms" else record.email
        return self._of(b"pending", record.q_scope, record.channel, who or "")

    def idempotency(self, q_scope: str, key: str) -> str:
        """Hash a caller's key, which may be an address."""
        return self._of(b"key", q_scope, key)

    def _of(self, kind: bytes, *parts: str) -> str:
        digest = hashlib.blake2b(key=self._key, digest_size=16, person=kind)
        for part in parts:
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
        return digest.hexdigest()
