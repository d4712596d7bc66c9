"""Find the person of a body: the first usable identifier in the configured order."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.jobs.envelope import JobUser, UserAlias
from braze_bridge.mapping.identifiers import (
    alias_fits,
    external_id_fits,
    holds_liquid,
    normal_email,
    normal_phone,
)
from braze_bridge.mapping.link_signatures import no_signature_fits
from braze_bridge.mapping.paths import first_hit, hits
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.mapping.link_signatures import SignatureCheck
    from braze_bridge.mapping.paths import Path

_LONGEST_NUMBER = 10**300


class IdentifierKind(StrEnum):
    """Braze's ways to name a person.

    Source: https://www.braze.com/docs/api/endpoints/user_data/post_user_track
    """

    EXTERNAL_ID = "external_id"
    BRAZE_ID = "braze_id"
    USER_ALIAS = "user_alias"
    EMAIL = "email"
    PHONE = "phone"


class PersonRule(NamedTuple):
    """Where a body names the person.

    Attributes:
        order: The kinds to try, first to last.
        paths: Of each kind; the first usable hit counts.
        alias_label: The label that belongs to a found alias name.
        may_create: Whether a person unknown to Braze becomes a profile.
        signature: Paths to the signature without which no identifier is usable; empty: every
            identifier is believed.
    """

    order: tuple[IdentifierKind, ...]
    paths: Mapping[IdentifierKind, tuple[Path, ...]]
    alias_label: str | None = None
    may_create: bool = True
    signature: tuple[Path, ...] = ()


class Person(NamedTuple):
    """The result of :func:`find_person`.

    Attributes:
        user: ``None`` if no usable identifier was found.
        reasons: Why identifiers were unusable, each by its path.
    """

    user: JobUser | None
    reasons: tuple[Reason, ...]


def find_person(
    rule: PersonRule, body: object, signature_fits: SignatureCheck = no_signature_fits
) -> Person:
    """Find the person of a parsed JSON body: the first usable identifier.

    Args:
        rule: Where they are.
        body: A parsed JSON value.
        signature_fits: Asked if the rule wants a signature.
    """
    given = first_hit(rule.signature, body)
    signature = None if given is None else given.value
    reasons: list[Reason] = []
    for kind in rule.order:
        for path, value in hits(rule.paths.get(kind, ()), body):
            found = _usable(kind, value)
            needs_signature = bool(rule.signature) and isinstance(found, str)
            if needs_signature and not signature_fits(kind, str(found), signature):
                found = _UNSIGNED
            if isinstance(found, str):
                return Person(_user(kind, found, rule), tuple(reasons))
            reasons.append(found.model_copy(update={"field": path.text}))
    return Person(None, tuple(reasons))


_UNSIGNED: Final = Reason(code="unsigned", detail="no signature fits this identifier")


def _usable(kind: IdentifierKind, value: object) -> str | Reason:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LONGEST_NUMBER:
        text = str(value)
    elif isinstance(value, str):
        text = value
    else:
        return Reason(code="wrong_type", detail=f"a text or a whole number can be a {kind}")
    if holds_liquid(text):
        return Reason(code="unrendered_liquid", detail="a Liquid tag that nobody rendered")
    match kind:
        case IdentifierKind.EMAIL:
            return normal_email(text) or Reason(
                code="invalid_email", detail="not an e-mail address"
            )
        case IdentifierKind.PHONE:
            return normal_phone(text) or Reason(
                code="invalid_phone", detail="not an international number such as +4930123456"
            )
        case IdentifierKind.USER_ALIAS | IdentifierKind.EXTERNAL_ID | IdentifierKind.BRAZE_ID:
            fits = alias_fits if kind is IdentifierKind.USER_ALIAS else external_id_fits
            return (
                text
                if fits(text)
                else Reason(code="too_long", detail=f"longer than Braze takes a {kind}")
            )


def _user(kind: IdentifierKind, found: str, rule: PersonRule) -> JobUser:
    match kind:
        case IdentifierKind.EXTERNAL_ID:
            return JobUser(external_id=found, may_create=rule.may_create)
        case IdentifierKind.BRAZE_ID:
            return JobUser(braze_id=found, may_create=rule.may_create)
        case IdentifierKind.USER_ALIAS:
            # The loader refuses a rule with aliases and no label.
            alias = UserAlias(alias_name=found, alias_label=rule.alias_label or "")
            return JobUser(user_alias=alias, may_create=rule.may_create)
        case IdentifierKind.EMAIL:
            return JobUser(email=found, may_create=rule.may_create)
        case IdentifierKind.PHONE:
            return JobUser(phone=found, may_create=rule.may_create)
