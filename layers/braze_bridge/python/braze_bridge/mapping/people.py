"""Find the person of a body: the first usable identifier in the configured order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.jobs.envelope import JobUser, UserAlias
from braze_bridge.mapping.identifiers import IdentifierKind, Unusable, usable
from braze_bridge.mapping.link_signatures import no_signature_fits
from braze_bridge.mapping.paths import first_hit, hits
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from braze_bridge.mapping.link_signatures import SignatureCheck
    from braze_bridge.mapping.paths import Path

_WITHOUT_ADDRESS: Final = frozenset({IdentifierKind.EXTERNAL_ID, IdentifierKind.USER_ALIAS})
"""Kinds that may create a profile and do not say where its person can be written to."""


_UNSIGNED: Final = Unusable("unsigned", "no signature fits this identifier")


class Placeholders(NamedTuple):
    """A file's own words, in lower case.

    Attributes:
        more: What is no identifier besides the usual placeholders.
        not_placeholders: Identifiers although they look like a usual one.
    """

    more: frozenset[str] = frozenset()
    not_placeholders: frozenset[str] = frozenset()


NO_MORE: Final = Placeholders()


class PersonRule(NamedTuple):
    """Where a body names the person.

    Attributes:
        order: The kinds to try, first to last.
        paths: Of each kind; the first usable hit counts.
        alias_label: The label that belongs to a found alias name.
        may_create: Whether a person unknown to Braze becomes a profile.
        signature: Paths to the signature without which no identifier is usable; empty: every
            identifier is believed.
        write_email: Whether a person who is named by an external id or an alias also gets the
            e-mail address that is found beside it.
    """

    order: tuple[IdentifierKind, ...]
    paths: Mapping[IdentifierKind, tuple[Path, ...]]
    alias_label: str | None = None
    may_create: bool = True
    write_email: bool = False
    placeholders: Placeholders = NO_MORE
    signature: tuple[Path, ...] = ()


class Person(NamedTuple):
    """The result of :func:`find_person`.

    Attributes:
        user: ``None`` if no usable identifier was found.
        reasons: Why identifiers were unusable, each by its path.
        email: An attribute to write, if the rule wants it.
    """

    user: JobUser | None
    reasons: tuple[Reason, ...]
    email: str | None = None


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

    def is_proven(kind: IdentifierKind, found: str) -> bool:
        return not rule.signature or signature_fits(kind, found, signature)

    reasons: list[Reason] = []
    for kind in rule.order:
        found = _first_usable(kind, rule, body, reasons, is_proven)
        if found is None:
            continue
        email = None
        if rule.write_email and kind in _WITHOUT_ADDRESS:
            email = _first_usable(IdentifierKind.EMAIL, rule, body, reasons, lambda _, __: True)
        return Person(_user(kind, found, rule), tuple(reasons), email)
    return Person(None, tuple(reasons))


def _first_usable(
    kind: IdentifierKind,
    rule: PersonRule,
    body: object,
    reasons: list[Reason],
    is_proven: Callable[[IdentifierKind, str], bool],
) -> str | None:
    """Find the first usable value of a kind, and note the unusable ones before it."""
    for path, value in hits(rule.paths.get(kind, ()), body):
        found = usable(kind, value, *rule.placeholders)
        if not isinstance(found, Unusable):
            if is_proven(kind, found):
                return found
            found = _UNSIGNED
        reasons.append(Reason(code=found.code, field=path.text, detail=found.detail))
    return None


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
