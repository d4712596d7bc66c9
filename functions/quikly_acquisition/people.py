"""Who signs up, and what is said of them: addresses and attributes, normalised or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.mapping.given import fit_given
from braze_bridge.mapping.identifiers import alias_fits, normal_email, normal_phone
from braze_bridge.mapping.profile_fields import attribute_name_problem
from braze_bridge.mapping.values import Misfit
from braze_bridge.partner_config.quikly_acquisitions import ADDRESS_FIELDS
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.jobs.envelope import AttributeValue

STATE_FIELDS: Final = frozenset({"email_subscribe", "marked_email_as_spam_at", "push_subscribe"})
"""Fields by which a sign-up for one thing would change another: an SMS sign-up that brings
``email_subscribe`` would subscribe somebody again who has unsubscribed from all e-mail."""

MAX_ATTRIBUTES: Final = 50
"""So many attributes one acquisition may bring: far more than a sign-up form asks."""


def acquired_email(text: str) -> str | None:
    """An e-mail address that can be a profile's alias as well: trimmed, in lower case.

    Args:
        text: What the caller sent.

    Returns:
        The address; ``None`` where it is none, or longer than an alias may be.
    """
    address = normal_email(text)
    return address if address is not None and alias_fits(address) else None


def acquired_phone(text: str) -> str | None:
    """A phone number in E.164 that can exist.

    Args:
        text: The number with its ``+`` and country code.

    Returns:
        The number; ``None`` where it is none, or where its country has no numbers of that length:
        Braze checks with the same library and would drop it without a word (which blocks of numbers
        are given out changes too often to be decided here)
        (https://www.braze.com/docs/user_guide/channels/sms_mms_and_rcs/message_setup/user_phone_numbers).
    """
    number = normal_phone(text)
    if number is None:
        return None
    # Loaded by the first acquisition that brings a number, not by each cold start.
    import phonenumbers

    try:
        read = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_possible_number(read) else None


def checked_attributes(
    given: Mapping[str, object],
) -> tuple[dict[str, AttributeValue], tuple[Reason, ...]]:
    """Check a caller's profile attributes: names and values that Braze takes as they are.

    Args:
        given: By name, JSON values.

    Returns:
        The attributes by their stripped names, and a reason for each that is refused, by its name
        and never with its value. Where there is a reason nothing should be kept.
    """
    values: dict[str, AttributeValue] = {}
    reasons: list[Reason] = []
    if len(given) > MAX_ATTRIBUTES:
        detail = f"more than {MAX_ATTRIBUTES} attributes"
        return {}, (Reason(code="too_many", field="attributes", detail=detail),)
    for written, value in given.items():
        name = written.strip()
        field = f"attributes.{name}"
        wrong = attribute_name_problem(name)
        if wrong is None and name in ADDRESS_FIELDS:
            wrong = "is set by the acquisition itself"
        if wrong is None and name in STATE_FIELDS:
            wrong = "is a state that only the person, or the brand itself, may change"
        if wrong is None and name in values:
            wrong = "comes twice: Braze strips the spaces around it"
        if wrong is not None:
            reasons.append(Reason(code="attribute_name", field=field, detail=wrong))
            continue
        fitted = fit_given(name, value)
        if isinstance(fitted, Misfit):
            reasons.append(Reason(code=fitted.value, field=field))
        else:
            values[name] = fitted
    return values, tuple(reasons)
