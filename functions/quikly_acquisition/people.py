"""The addresses and attributes of a person who signs up: normalised or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.mapping.given import fit_given
from braze_bridge.mapping.identifiers import alias_fits, normal_email
from braze_bridge.mapping.names import ANY_NAME, NameGuard
from braze_bridge.mapping.paths import is_blank
from braze_bridge.mapping.profile_fields import attribute_name_problem
from braze_bridge.mapping.texts import bare_name, one_form, plain_name
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


class CheckedAttributes(NamedTuple):
    """A caller's profile attributes, by their names in one form.

    Attributes:
        values: What Braze takes.
        warnings: Attributes that are left out.
        reasons: Why the sign-up is refused: names that a caller must not set.
    """

    values: dict[str, AttributeValue]
    warnings: tuple[Reason, ...] = ()
    reasons: tuple[Reason, ...] = ()


def checked_attributes(
    given: Mapping[str, object], guard: NameGuard = ANY_NAME
) -> CheckedAttributes:
    """Check that Braze takes the names and values of a caller's profile attributes.

    A blank value is no answer. A value that does not fit is left out, and so is a name of another
    partner, one that means consent, or one with a character that is not shown: the sign-up counts
    more.

    Args:
        given: By name.
        guard: Names that no sign-up may write.
    """
    values: dict[str, AttributeValue] = {}
    warnings: list[Reason] = []
    reasons: list[Reason] = []
    if len(given) > MAX_ATTRIBUTES:
        detail = f"more than {MAX_ATTRIBUTES} attributes"
        too_many = Reason(code="too_many", field="attributes", detail=detail)
        return CheckedAttributes({}, reasons=(too_many,))
    for written, value in given.items():
        if is_blank(value):
            continue
        name = one_form(written)
        field = f"attributes.{name}"
        wrong = _refused(name)
        if wrong is None and name in values:
            wrong = "comes twice: Braze strips the spaces around it"
        if wrong is not None:
            reasons.append(Reason(code="attribute_name", field=field, detail=wrong))
            continue
        unwanted = _left_out(name, guard)
        if unwanted is not None:
            warnings.append(Reason(code="attribute_name", field=field, detail=unwanted))
            continue
        fitted = fit_given(name, value)
        if isinstance(fitted, Misfit):
            warnings.append(Reason(code=fitted.value, field=field))
        else:
            values[name] = fitted
    return CheckedAttributes(values, tuple(warnings), tuple(reasons))


def _refused(name: str) -> str | None:
    """Say why a sign-up with this name is refused."""
    shown = plain_name(name)
    bare = bare_name(shown)
    if bare in ADDRESS_FIELDS:
        return "is set by the acquisition itself"
    if bare in STATE_FIELDS:
        return "is a state that only the person, or the brand itself, may change"
    return attribute_name_problem(shown)


def _left_out(name: str, guard: NameGuard) -> str | None:
    """Say why an attribute of this name is left out."""
    shown = plain_name(name)
    if name != shown:
        return "has a character that is not shown, or a special space"
    return guard.objection(shown)
