"""Actions of the acquisition workflow, and what the worker observes after each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from braze_bridge.braze.subscriptions import SubscriptionStatus
    from braze_bridge.jobs.envelope import AttributeValue, DeliveryJob
    from braze_bridge.quikly import QuiklyCall
    from quikly_acquisition.models import (
        PersonKey,
        Profile,
    )


# -- actions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadStatus:
    """Ask Braze for the state of a number in a group."""

    group: str
    phone: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask Braze who has an address, unless it is known."""

    person: PersonKey


@dataclass(frozen=True, slots=True)
class WriteProfile:
    """One attributes object of ``/users/track``.

    Attributes:
        profile: Whose.
        may_create: Whether Braze may make the profile.
        attributes: Standard fields and others.
    """

    profile: Profile
    may_create: bool
    attributes: Mapping[str, AttributeValue] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendJob:
    """Leave a job to delivery, which makes it once."""

    job: DeliveryJob = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Set a number's state in a group to subscribed.

    Attributes:
        asks_first: By Braze's double opt-in: the person is asked, and is subscribed by answering.
    """

    group: str
    phone: str = field(repr=False)
    asks_first: bool = False


@dataclass(frozen=True, slots=True)
class BeginCredit:
    """Store that Quikly is about to be told; whoever stores it first tells."""


@dataclass(frozen=True, slots=True)
class Credit:
    """Tell Quikly, once."""

    call: QuiklyCall


@dataclass(frozen=True, slots=True)
class Proceed:
    """Nothing to do in this step: the configuration has changed since it was decided on."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing before this time."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing any more."""


Action: TypeAlias = (
    ReadStatus
    | LookUp
    | WriteProfile
    | SendJob
    | Subscribe
    | BeginCredit
    | Credit
    | Proceed
    | Wait
    | Done
)

# -- observations ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StatusRead:
    """What Braze says of the number in the group."""

    status: SubscriptionStatus


@dataclass(frozen=True, slots=True)
class PersonFound:
    """Somebody has the address.

    Attributes:
        profile: Whom to write to.
        phone: What is known of the profile's number next to the one that was signed up.
        is_unsubscribed: From all e-mail.
        written_at: When this system made or wrote the profile, if it was lately.
        is_remembered: Nobody was asked.
    """

    profile: Profile
    phone: Literal["same", "other", "none"] = "none"
    is_unsubscribed: bool = False
    written_at: datetime | None = None
    is_remembered: bool = False


@dataclass(frozen=True, slots=True)
class NobodyFound:
    """Nobody has the address."""


@dataclass(frozen=True, slots=True)
class Performed:
    """The action was carried out.

    The profile is written, the job left, the state set, the mark made, or Quikly told.
    """


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The record was found in the middle of a credit: whether Quikly was told is unknown."""


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """Quikly was told and the answer was lost."""

    detail: str


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing was asked, or nobody may ask: a gate, a limit, a key.

    Attributes:
        until: When it is over.
        reason: A word.
    """

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """It went wrong, and may go right later.

    Attributes:
        detail: A word or a status; nothing personal.
        after: Seconds that were asked for.
        most: How often in all it may go wrong in this step; 0: as often as time allows.
        longest: For how long this step may be troubled; ``None``: as long as any trouble may last.
        reason: Why it fails after that.
    """

    detail: str
    after: float | None = None
    most: int = 0
    longest: timedelta | None = None
    reason: str = "gave_up"


@dataclass(frozen=True, slots=True)
class Refused:
    """It can never go right.

    Attributes:
        reason: A stable word.
        detail: More, for people; nothing personal.
    """

    reason: str
    detail: str | None = None


Observation: TypeAlias = (
    StatusRead
    | PersonFound
    | NobodyFound
    | Performed
    | Interrupted
    | OutcomeUnknown
    | Held
    | TryAgain
    | Refused
)
