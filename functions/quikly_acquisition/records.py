"""Where acquisitions are kept: the port, its words, and what its form on DynamoDB is built of.

:mod:`quikly_acquisition.dynamo_records` has the table. Nothing decides about an acquisition here:
that is :mod:`quikly_acquisition.workflow`.
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
"""How long after a step is due the sweep takes its message for lost. A message that merely waits in
the queue is then made a second time, which costs little: the first that is taken makes the other
one old."""

REQUEUED: Final = timedelta(minutes=5)
"""How long after the sweep made a message it waits before it makes another."""

KNOWN_RETENTION: Final = timedelta(days=7)
"""How long a person found or made at Braze is not looked up again. A profile deleted or merged at
Braze meanwhile is missed by what goes to it; a year of saved look-ups is not worth more of that."""


class RecordsUnavailableError(Exception):
    """The store did not answer, or not as expected: nothing is known to have been kept."""


class IdempotencyKeyReusedError(Exception):
    """The key came before with another person, scope or channel."""


class Begun(NamedTuple):
    """What intake is told.

    Attributes:
        acquisition_id: Of the record that stands for this request.
        is_new: It was made just now; its first step must be queued.
    """

    acquisition_id: str
    is_new: bool


class Known(BaseModel):
    """Whom we found or made at Braze lately, under an address.

    The address itself is not in it: an alias made here has it as its name.

    Attributes:
        kind: Of the identifier.
        value: The identifier; ``None`` where it is the address.
        label: Of an alias.
        phone: Keyed hash of the phone number on the profile, where there is one that we know of.
        written_at: When we made the profile or wrote a number to it.
        seen_at: When this was learnt.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["external_id", "braze_id", "user_alias", "email", "phone"]
    value: str | None = Field(default=None, repr=False)
    label: str | None = None
    phone: str | None = None
    written_at: AwareDatetime | None = None
    seen_at: AwareDatetime


class Loaded(NamedTuple):
    """Records that were asked for.

    Attributes:
        found: By id; ``None`` for one that does not exist. What the store did not hand out this
            time is left out.
        unreadable: Ids of rows that are no record of any version this code knows.
    """

    found: Mapping[str, AcquisitionRecord | None]
    unreadable: frozenset[str] = frozenset()


class DueStep(NamedTuple):
    """An acquisition whose time has come and that nobody took up.

    Attributes:
        message: The step.
        due_at: Since when; what the oldest wait is counted from.
    """

    message: StepMessage
    due_at: datetime


class AcquisitionRecords(Protocol):
    """Where acquisitions are kept, for intake and the worker.

    Each method but those that say otherwise may raise :class:`RecordsUnavailableError`.
    """

    def begin(self, record: AcquisitionRecord, idempotency_key: str | None) -> Begun:
        """Keep a new acquisition, unless one stands for the request already.

        The same key, or the same scope, channel and person while one is pending, gives that one.

        Raises:
            IdempotencyKeyReusedError: The key belongs to another request.
        """
        ...

    def get(self, acquisition_id: str) -> AcquisitionRecord | None:
        """One record, if there is one and its time is not over."""
        ...

    def load(self, ids: Collection[str]) -> Loaded:
        """Many records; one that is unreadable keeps nobody else's back."""
        ...

    def save(self, record: AcquisitionRecord, overdue_at: datetime) -> bool:
        """Replace a record by its next version.

        One in a final state lets go of its person: they may begin another acquisition.

        Args:
            record: Its version is one above that which was read.
            overdue_at: When the sweep shall look for it; a final one is never looked for.

        Returns:
            Whether it was replaced: not, where somebody else did so first or it was erased.
        """
        ...

    def recall(self, people: Collection[PersonKey]) -> Mapping[PersonKey, Known]:
        """Who of them is known.

        Never raises: who cannot be read is not known, which costs a look-up.
        """
        ...

    def remember(self, people: Mapping[PersonKey, Known]) -> None:
        """Keep who is known.

        Never raises: where it fails, nothing is lost but a look-up.
        """
        ...

    def fingerprint(self, person: PersonKey) -> str:
        """The keyed hash a person is known by."""
        ...

    def about(self, person: PersonKey) -> Sequence[str]:
        """The ids of a person's acquisitions, for people's commands: in no order."""
        ...

    def erase(self, person: PersonKey) -> int:
        """Remove every acquisition of a person, readable or not, and what is known of them.

        Returns:
            How many acquisitions there were.
        """
        ...


class DueSteps(Protocol):
    """What the sweep needs; it reads no record.

    Each method may raise :class:`RecordsUnavailableError`.
    """

    def due(self, now: datetime, limit: int) -> Sequence[DueStep]:
        """Up to so many steps that are due and have no message that should still come.

        Those that are due longest come first: with more than the limit, nobody waits for ever.
        """
        ...

    def queued(self, steps: Sequence[StepMessage], now: datetime) -> None:
        """Note that these have a message now, so that the next minute does not make another."""
        ...


class Fingerprints:
    """Keyed hashes of whom and what intake compares: they cannot be read back into an address.

    Args:
        key: Up to 64 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def person(self, person: PersonKey) -> str:
        """Of an e-mail address or a phone number."""
        return self._of(b"address", person.kind, person.value)

    def request(self, record: AcquisitionRecord) -> str:
        """Of what an idempotency key stands for: scope, channel, and both addresses."""
        return self._of(
            b"request", record.q_scope, record.channel, record.email or "", record.phone or ""
        )

    def pending(self, record: AcquisitionRecord) -> str:
        """Of scope, channel and person: one acquisition at a time.

        On the SMS channel the number is what is signed up, so it is the person; else the e-mail.
        """
        who = record.phone if record.channel == "sms" else record.email
        return self._of(b"pending", record.q_scope, record.channel, who or "")

    def idempotency(self, q_scope: str, key: str) -> str:
        """Of a caller's key, which may itself be an address."""
        return self._of(b"key", q_scope, key)

    def _of(self, kind: bytes, *parts: str) -> str:
        digest = hashlib.blake2b(key=self._key, digest_size=16, person=kind)
        for part in parts:
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
        return digest.hexdigest()
