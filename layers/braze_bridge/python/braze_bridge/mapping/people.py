"""Whom a body is about: identifiers tried in the configured order, first usable one wins."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from braze_bridge.jobs.envelope import JobUser, UserAlias
from braze_bridge.mapping.identifiers import (
    alias_fits,
    external_id_fits,
    holds_liquid,
    normal_email,
    normal_phone,
)
from braze_bridge.mapping.paths import hits
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """Where the person is named.

    Attributes:
        order: Which kinds are tried, first to last.
        paths: Of each kind, first usable hit wins.
        alias_label: The label under which a found alias name is one.
        may_create: Whether a person unknown to Braze becomes a profile.
    """

    order: tuple[IdentifierKind, ...]
    paths: Mapping[IdentifierKind, tuple[Path, ...]]
    alias_label: str | None = None
    may_create: bool = True


class Person(NamedTuple):
    """What was found.

    Attributes:
        user: The person, or ``None`` where nothing usable was there.
        reasons: Each identifier that was there but unusable, by its path.
    """

    user: JobUser | None
    reasons: tuple[Reason, ...]


def find_person(rule: PersonRule, body: object) -> Person:
    """Find whom a body is about.

    Args:
        rule: The configured order and places.
        body: A parsed JSON value.

    Returns:
        The first usable identifier, and why those before it were not.
    """
    reasons: list[Reason] = []
    for kind in rule.order:
        for path, value in hits(rule.paths.get(kind, ()), body):
            found = _usable(kind, value)
            if isinstance(found, str):
                return Person(_user(kind, found, rule), tuple(reasons))
            reasons.append(found.model_copy(update={"field": path.text}))
    return Person(None, tuple(reasons))


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
