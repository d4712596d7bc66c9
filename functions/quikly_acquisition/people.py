"""The addresses and attributes of a person who signs up: normalised or refused."""

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
"""Fields that a sign-up must not change: an SMS sign-up with ``email_subscribe`` would subscribe a
person again who has unsubscribed from all e-mail."""

MAX_ATTRIBUTES: Final = 50
"""Most attributes of one acquisition: far more than a sign-up form asks."""


def acquired_email(text: str) -> str | None:
    """Normalise an e-mail address that can be a profile's alias as well.

    Returns:
        The address, trimmed and in lower case; ``None`` if it is none, or too long for an alias.
    """
    address = normal_email(text)
    return address if address is not None and alias_fits(address) else None


def acquired_phone(text: str) -> str | None:
    """Normalise a phone number with its ``+`` and country code.

    Returns:
        The number in E.164; ``None`` if it is none, or its country has no numbers of that length.
        Braze checks with the same library and would drop it silently
        (https://www.braze.com/docs/user_guide/channels/sms_mms_and_rcs/message_setup/user_phone_numbers).
        Which blocks of numbers are in use changes too often to be checked here.
    """
    number = normal_phone(text)
    if number is None:
        return None
    # The first acquisition with a number pays for this import, not each cold start.
    import phonenumbers

    try:
        read = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_possible_number(read) else None


def checked_attributes(
    given: Mapping[str, object],
) -> tuple[dict[str, AttributeValue], tuple[Reason, ...]]:
    """Check that Braze takes the names and values of a caller's profile attributes.

    Returns:
        The attributes by their stripped names, and a reason for each refused one, without its
        value. If there is a reason, keep nothing.
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
