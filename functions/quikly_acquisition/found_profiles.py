"""Profiles that were looked up at Braze or are remembered: pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from braze_bridge.mapping.phones import normal_phone
from quikly_acquisition.actions import ProfileFound, ProfileNotFound
from quikly_acquisition.models import PersonKey, Profile
from quikly_acquisition.records import Known

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.braze.models import ExportedUser

RECENT: Final = timedelta(minutes=15)
"""How long Braze may not show a profile after it was written."""

UNSUBSCRIBED: Final = "unsubscribed"


def found(
    user: ExportedUser | None, person: PersonKey, phone: str | None
) -> ProfileFound | ProfileNotFound:
    """Read the preferred profile of an export.

    Args:
        user: With an external id, else the first (docs/partners/isv_partners/best_practices).
        person: The address that was looked up.
        phone: The number that signs up.
    """
    if user is None:
        return ProfileNotFound()
    return ProfileFound(
        _profile(user, person),
        phone=_compared(person, number_of(user, person), phone),
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
    """Return the number on a found profile, to remember its hash.

    That includes a number that differs from the one that signs up, or is no number by our rules:
    otherwise the next number would be written to the profile, whatever ``replace_phone`` says.

    Args:
        person: The address that was looked up. A number that finds a profile is on it.
    """
    if person.kind == "phone":
        return person.value
    stored = (user.phone or "").strip()
    return normal_phone(stored) or stored or None


def _compared(
    person: PersonKey, stored: str | None, phone: str | None
) -> Literal["same", "other", "none"]:
    """Compare two numbers, or their hashes."""
    if person.kind == "phone":
        return "same"
    if stored is None:
        return "none"
    return "same" if stored == phone else "other"


def known_of(
    profile: Profile,
    person: PersonKey,
    *,
    phone: str | None,
    written_at: datetime | None,
    now: datetime,
) -> Known:
    """Make what to remember of a profile that was found or written.

    Args:
        person: Its address; an identifier that equals it is left out.
        phone: The keyed hash of its number, if known.
        written_at: When it was written, if it was.
    """
    return Known(
        kind=profile.kind,
        value=None if profile.value == person.value else profile.value,
        label=profile.label,
        phone=phone,
        written_at=written_at,
        seen_at=now,
    )


def replaces_look_up(known: Known, now: datetime) -> bool:
    """Return whether a remembered profile makes a look-up unnecessary.

    With ``lookup = "none"`` only the address is known: neither the profile's number nor whether the
    person is unsubscribed. Such an entry counts only as long as a look-up might miss the new
    profile and create a second one.
    """
    return known.kind not in {"email", "phone"} or _is_recent(known.written_at, now)


def _is_recent(written_at: datetime | None, now: datetime) -> bool:
    return written_at is not None and now - written_at < RECENT


def remembered(known: Known, person: PersonKey, phone: str | None, now: datetime) -> ProfileFound:
    """Read a remembered profile as if it had been looked up.

    Args:
        known: One that :func:`replaces_look_up`.
        person: Its address, used for an identifier that was left out.
        phone: The keyed hash of the number that signs up.
    """
    is_recent = _is_recent(known.written_at, now)
    profile = Profile(
        kind=known.kind,
        value=person.value if known.value is None else known.value,
        label=known.label,
        is_new=is_recent,
    )
    return ProfileFound(
        profile,
        phone=_compared(person, known.phone, phone),
        written_at=known.written_at if is_recent else None,
        is_remembered=True,
    )
