"""What Braze's and Quikly's answers mean for an acquisition: pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
)
from braze_bridge.mapping.identifiers import normal_phone
from quikly_acquisition.actions import (
    Held,
    NobodyFound,
    Observation,
    OutcomeUnknown,
    PersonFound,
    Refused,
    TryAgain,
)
from quikly_acquisition.models import PersonKey, Profile
from quikly_acquisition.records import Known

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.braze.models import ExportedUser
    from braze_bridge.quikly import QuiklyError

CLOSING_SECONDS: Final = 60.0
"""For how long nobody asks where Braze, or Quikly, refuses and names no time."""

MAX_REFUSALS: Final = 3
"""So often one object alone is refused for no stated reason before it is the object's fault."""

RECENT: Final = timedelta(minutes=15)
"""A profile written this lately may not be readable yet."""

KEY_REASONS: Final = frozenset({"key_refused", "permission_missing"})
"""Closings that only a person with access to Braze can mend."""

UNSUBSCRIBED: Final = "unsubscribed"
WRONG_ADDRESS: Final = timedelta(days=1)
"""For how long Quikly's 404, redirect or the like is waited out: a mistyped ``QuiklyApiUrl`` must
not fail everybody who is subscribed meanwhile."""

_ABOUT_THE_CALL: Final = frozenset({400, 409, 410, 422})
"""Refusals that are about this one credit."""

_UNKNOWN_GROUP: Final = "invalid subscription group"


class Closing(NamedTuple):
    """Why nobody shall ask for a while.

    Attributes:
        scope: ``family`` for the endpoint's own, ``all`` for every one.
        until: When it is over.
        reason: As :meth:`braze_bridge.gate.port.Gate.close` takes it.
    """

    scope: Literal["family", "all"]
    until: datetime
    reason: str


class Verdict(NamedTuple):
    """What an error means for who asked, and for everybody."""

    observation: Observation
    closing: Closing | None = None


def judge(error: BrazeError, now: datetime) -> Verdict:
    """Read an error of any of Braze's endpoints.

    Args:
        error: Of a 400 of ``/users/track`` :func:`blamed` knows more.
        now: The time of the answer.
    """
    if isinstance(error, BadRequestError):
        is_group = _UNKNOWN_GROUP in error.message.lower()
        return Verdict(Refused("unknown_group" if is_group else "braze_refused", str(error)))
    if isinstance(error, PayloadTooLargeError):
        return Verdict(Refused("braze_refused", str(error)))
    closing = _closing(error, now)
    if closing is not None:
        return Verdict(Held(closing.until, closing.reason), closing)
    detail = "no_answer" if error.status is None else str(error.status)
    return Verdict(TryAgain(detail, after=error.retry_after))


def _closing(error: BrazeError, now: datetime) -> Closing | None:
    seconds = CLOSING_SECONDS if error.retry_after is None else error.retry_after
    until = now + timedelta(seconds=seconds)
    if isinstance(error, RateLimitedError):
        return Closing("family", until, "rate_limited")
    if isinstance(error, AuthenticationError):
        return Closing("all", until, "key_refused")
    if isinstance(error, PermissionDeniedError):
        return Closing("family", until, "permission_missing")
    if error.retryable:
        return None
    # A wrong address, a redirect, a content type refused: nothing that a person's data causes.
    return Closing("family", until, "requests_refused")


def judge_quikly(error: QuiklyError, now: datetime) -> Observation:
    """Read an error of Quikly's."""
    if error.key_refused:
        seconds = CLOSING_SECONDS if error.retry_after is None else error.retry_after
        return Held(now + timedelta(seconds=seconds), "quikly_key_refused")
    if error.outcome_unknown:
        return OutcomeUnknown("no_answer" if error.status is None else str(error.status))
    if error.retryable:
        detail = "quikly" if error.status is None else f"quikly_{error.status}"
        return TryAgain(detail, after=error.retry_after)
    if error.status in _ABOUT_THE_CALL:
        return Refused("credit_refused", str(error))
    return TryAgain(f"quikly_{error.status}", longest=WRONG_ADDRESS, reason="credit_refused")


def found(
    user: ExportedUser | None, person: PersonKey, phone: str | None
) -> PersonFound | NobodyFound:
    """Read the preferred profile of an export.

    Args:
        user: With an external id, else the first (docs/partners/isv_partners/best_practices).
        person: By what it was looked up.
        phone: The number that is signed up.
    """
    if user is None:
        return NobodyFound()
    return PersonFound(
        _profile(user, person),
        phone="same" if person.kind == "phone" else _compared(user.phone, phone),
        is_unsubscribed=(user.email_subscribe or "").lower() == UNSUBSCRIBED,
    )


def _profile(user: ExportedUser, person: PersonKey) -> Profile:
    if user.external_id is not None:
        return Profile(kind="external_id", value=user.external_id)
    if user.braze_id is not None:
        return Profile(kind="braze_id", value=user.braze_id)
    if user.user_aliases:
        alias = user.user_aliases[0]
        return Profile(kind="user_alias", value=alias.alias_name, label=alias.alias_label)
    return Profile(kind=person.kind, value=person.value)


def number_of(user: ExportedUser, person: PersonKey) -> str | None:
    """The number that a found profile has, to be remembered by its hash.

    Also one that is not the signed-up one, or is no number by our rules: whoever is remembered with
    none would get the next number written, whatever ``replace_phone`` says.

    Args:
        user: The preferred profile.
        person: By what it was looked up; a number that finds a profile is on it.
    """
    if person.kind == "phone":
        return person.value
    stored = (user.phone or "").strip()
    return normal_phone(stored) or stored or None


def _compared(stored: str | None, phone: str | None) -> Literal["same", "other", "none"]:
    if stored is None or not stored.strip():
        return "none"
    return "same" if phone is not None and normal_phone(stored) == phone else "other"


def known_of(
    profile: Profile,
    person: PersonKey,
    *,
    phone: str | None,
    written_at: datetime | None,
    now: datetime,
) -> Known:
    """What to remember of a profile that was found or written.

    Args:
        profile: Which.
        person: By whose address it will be asked for; an identifier that is the address is left
            out.
        phone: The keyed hash of its number, where it is known.
        written_at: When it was written, if it was.
        now: The present.
    """
    return Known(
        kind=profile.kind,
        value=None if profile.value == person.value else profile.value,
        label=profile.label,
        phone=phone,
        written_at=written_at,
        seen_at=now,
    )


def still_counts(known: Known, now: datetime) -> bool:
    """Whether what is remembered may stand for a look-up.

    Where nobody was looked up (``lookup = "none"``), only the address is known: neither the
    profile's number nor whether the person is unsubscribed. That counts just as long as a look-up
    might miss the new profile and make a second one.

    Args:
        known: What was remembered.
        now: The present.
    """
    return known.kind not in {"email", "phone"} or _is_recent(known.written_at, now)


def _is_recent(written_at: datetime | None, now: datetime) -> bool:
    return written_at is not None and now - written_at < RECENT


def remembered(known: Known, person: PersonKey, phone: str | None, now: datetime) -> PersonFound:
    """What is known of a person, as if they had been looked up.

    Args:
        known: Of this person; it :func:`still_counts`.
        person: Whose address stands where an identifier is left out.
        phone: The keyed hash of the number that is signed up.
        now: The present.
    """
    is_recent = _is_recent(known.written_at, now)
    profile = Profile(
        kind=known.kind,
        value=person.value if known.value is None else known.value,
        label=known.label,
        is_new=is_recent,
    )
    same: Literal["same", "other", "none"] = "other"
    if person.kind == "phone" or (known.phone is not None and known.phone == phone):
        same = "same"
    elif known.phone is None:
        same = "none"
    return PersonFound(
        profile,
        phone=same,
        written_at=known.written_at if is_recent else None,
        is_remembered=True,
    )
