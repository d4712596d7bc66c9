"""Actions of the acquisition workflow, and the observation that follows each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from braze_bridge.braze.subscriptions import SubscriptionStatus
    from braze_bridge.jobs.envelope import AttributeValue, DeliveryJob
    from braze_bridge.quikly import QuiklyCall
    from quikly_acquisition.models import PersonKey, Profile


# -- actions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadStatus:
    """Read the state of a number in a subscription group at Braze."""

    group: str
    phone: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LookUp:
    """Look up the profile of an address at Braze, unless it is remembered."""

    person: PersonKey


@dataclass(frozen=True, slots=True)
class WriteProfile:
    """Write one attributes object with ``/users/track``; ``may_create`` lets Braze create it."""

    profile: Profile
    may_create: bool
    attributes: Mapping[str, AttributeValue] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendJob:
    """Queue a job for delivery, which delivers it once."""

    job: DeliveryJob = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe a number to a group.

    Attributes:
        asks_first: Use Braze's double opt-in: the person's answer subscribes the number.
    """

    group: str
    phone: str = field(repr=False)
    asks_first: bool = False


@dataclass(frozen=True, slots=True)
class BeginCredit:
    """Store that a call to Quikly begins. Only the worker that stored it makes the call."""


@dataclass(frozen=True, slots=True)
class Credit:
    """Call Quikly, once."""

    call: QuiklyCall


@dataclass(frozen=True, slots=True)
class SkipStep:
    """Do nothing: the configuration changed after the step was chosen."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing before this time."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """The acquisition is over."""


Action: TypeAlias = (
    ReadStatus
    | LookUp
    | WriteProfile
    | SendJob
    | Subscribe
    | BeginCredit
    | Credit
    | SkipStep
    | Wait
    | Done
)

# -- observations ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StatusRead:
    """The state of the number in the group."""

    status: SubscriptionStatus


@dataclass(frozen=True, slots=True)
class ProfileFound:
    """A profile has the address.

    Attributes:
        phone: The profile's number compared with the number that signs up.
        is_unsubscribed: From all e-mail.
        written_at: When this system created or wrote the profile, if that was recent.
        is_remembered: It was remembered, so Braze was not asked.
    """

    profile: Profile
    phone: Literal["same", "other", "none"] = "none"
    is_unsubscribed: bool = False
    written_at: datetime | None = None
    is_remembered: bool = False


@dataclass(frozen=True, slots=True)
class ProfileNotFound:
    """No profile has the address."""


@dataclass(frozen=True, slots=True)
class Performed:
    """The action was carried out."""


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """Quikly was called, and its answer was lost or the invocation ended before it came."""

    detail: str


@dataclass(frozen=True, slots=True)
class Held:
    """No call may be made until a time, because of a closed gate, a rate limit or a refused key.

    Attributes:
        reason: A stable word.
    """

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The action failed and may succeed later.

    Attributes:
        detail: A word or a status, without personal data.
        after: Seconds that the answer asked to wait.
        most: Most failures in this step; 0: as many as ``give_up_at`` allows.
        longest: How long this step may fail; ``None``: until ``give_up_at``.
        reason: Why the acquisition fails after that.
    """

    detail: str
    after: float | None = None
    most: int = 0
    longest: timedelta | None = None
    reason: str = "gave_up"


@dataclass(frozen=True, slots=True)
class Refused:
    """The action can never succeed.

    Attributes:
        reason: A stable word.
        detail: A text for people, without personal data.
    """

    reason: str
    detail: str | None = None


Observation: TypeAlias = (
    StatusRead
    | ProfileFound
    | ProfileNotFound
    | Performed
    | OutcomeUnknown
    | Held
    | TryAgain
    | Refused
)
