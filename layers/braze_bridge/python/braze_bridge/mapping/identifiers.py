"""Is this a usable identifier: the rules of every door, for each kind of identifier."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from braze_bridge.braze.limits import MAX_ALIAS_BYTES, MAX_EXTERNAL_ID_BYTES
from braze_bridge.mapping.phones import normal_phone
from braze_bridge.mapping.texts import BLANK, INVISIBLE, one_form

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

MAX_EMAIL_CHARS: Final = 254
"""RFC 5321, 4.5.3.1.3: a path of 256 octets less its angle brackets."""

PLACEHOLDERS: Final = frozenset(
    {
        *("undefined", "null", "none", "nil", "nan", "void", "unknown", "anonymous", "notset"),
        *("n/a", "n.a.", "na", "#n/a", "[objectobject]", "true", "false"),
        "-1",
    }
)
"""What systems and people write in place of an identifier they do not have, in lower case and
without spaces. Two people with the same placeholder would become one profile. Spaces, width, and
brackets and quotes around it do not count. A text of signs and zeros only (``0``, ``-``, ``?``, the
nil UUID) is a placeholder, too."""

_TEMPLATE: Final = re.compile(
    r"\{\{|[$#]\{|<%|\*\||\[\[|%%.*%%|\A(?:\{[A-Za-z_.]+\}|%[A-Za-z_.]+%)\Z", re.DOTALL
)
"""Tags of Liquid and Handlebars, of shells, of ERB, of Mailchimp, and what other senders
use. A GUID in braces is none."""

_SIGNS_AROUND: Final = re.compile(r"\A[<>()\[\]{}'\"`]+|[<>()\[\]{}'\"`]+\Z")
_LETTER_OR_DIGIT: Final = re.compile(r"[^\W_0]")
_BRAZE_ID: Final = re.compile(r"[0-9a-f]{24}")
_EMAIL: Final = re.compile(
    # An address with an invisible character looks like another address.
    rf"(?=[^@]{{1,64}}@)[^{BLANK}@<>()\[\]\\,;:\"\x00-\x1f\x7f-\x9f{INVISIBLE}]+@"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_](?:[\w-]{0,61}[^\W_])"
)
_LONGEST_NUMBER: Final = 10**300


class IdentifierKind(StrEnum):
    """Braze's ways to name a person.

    Source: https://www.braze.com/docs/api/endpoints/user_data/post_user_track
    """

    EXTERNAL_ID = "external_id"
    BRAZE_ID = "braze_id"
    USER_ALIAS = "user_alias"
    EMAIL = "email"
    PHONE = "phone"


class Unusable(NamedTuple):
    """Why a value is no identifier; it never quotes the value."""

    code: str
    detail: str


def usable(
    kind: IdentifierKind,
    value: object,
    more_placeholders: AbstractSet[str] = frozenset(),
    not_placeholders: AbstractSet[str] = frozenset(),
) -> str | Unusable:
    """Return an identifier as it is compared and sent, or why the value is none.

    Args:
        value: A JSON value; a whole number counts as its digits.
        more_placeholders: Of the partner's file, in lower case.
        not_placeholders: The same: identifiers that look like placeholders.
    """
    text = _id_text(value)
    if text is None:
        return Unusable("wrong_type", f"a text or a whole number can be a {kind}")
    if holds_liquid(text):
        return Unusable("unrendered_liquid", "a tag of a template that nobody rendered")
    if text.casefold() not in not_placeholders and is_placeholder(text, more_placeholders):
        return Unusable("placeholder", "a placeholder is no identifier")
    return _of_kind(kind, text)


def _id_text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LONGEST_NUMBER:
        return str(value)
    return one_form(value) if isinstance(value, str) else None


def _of_kind(kind: IdentifierKind, text: str) -> str | Unusable:
    match kind:
        case IdentifierKind.EMAIL:
            return normal_email(text) or Unusable("invalid_email", "not an e-mail address")
        case IdentifierKind.PHONE:
            wrong = Unusable("invalid_phone", "not an international number such as +4930123456")
            return normal_phone(text) or wrong
        case IdentifierKind.BRAZE_ID:
            fits = _BRAZE_ID.fullmatch(text.lower()) is not None
            return text.lower() if fits else Unusable("invalid_braze_id", "not 24 hex digits")
        case IdentifierKind.USER_ALIAS | IdentifierKind.EXTERNAL_ID:
            fits = (alias_fits if kind is IdentifierKind.USER_ALIAS else external_id_fits)(text)
            return text if fits else Unusable("too_long", f"longer than Braze takes a {kind}")


def is_placeholder(text: str, more: AbstractSet[str] = frozenset()) -> bool:
    """Check whether a text stands for "there is none", in any case.

    Args:
        more: Further placeholders, in lower case.
    """
    word = unicodedata.normalize("NFKC", text).casefold()
    return (
        text.casefold() in more
        or _SIGNS_AROUND.sub("", "".join(word.split())) in PLACEHOLDERS
        or "".join(word.split()) in PLACEHOLDERS
        or _LETTER_OR_DIGIT.search(word) is None
        or holds_liquid(text)
    )


def holds_liquid(text: str) -> bool:
    """Check whether the text has an unrendered tag of Liquid or another template.

    It may be URL-encoded: a link carries it that way.
    """
    return _TEMPLATE.search(text) is not None or _TEMPLATE.search(unquote(text)) is not None


def normal_email(text: str) -> str | None:
    """Return an e-mail address as it is compared and sent: trimmed, NFC, in lower case.

    The rule is strict: one ``@``, no spaces, quotes, brackets or invisible characters, a domain
    with a dot, at most 254 characters. Braze refuses the whole object if it finds the address
    invalid, so a doubtful address is left out.

    Returns:
        ``None`` if the text is no such address.
    """
    address = one_form(one_form(text).lower())
    if len(address) > MAX_EMAIL_CHARS or ".." in address or _EMAIL.fullmatch(address) is None:
        return None
    local = address.partition("@")[0]
    return None if local.startswith(".") or local.endswith(".") else address


def one_spelling(address: str) -> str:
    """Return the one spelling that tells whether two addresses are the same person's.

    Otherwise one person could claim an award twice. Unicode writes some addresses in several ways:
    combined or separate accents, and full-width letters (NFKC). An international domain has a name
    and an ASCII form (RFC 3490). This is for comparing: Braze gets the address as it came.

    Args:
        address: A result of :func:`normal_email`.
    """
    if address.isascii():
        return address
    local, _, domain = unicodedata.normalize("NFKC", address).lower().rpartition("@")
    with contextlib.suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return f"{local}@{domain}"


def external_id_fits(text: str) -> bool:
    """Check whether Braze takes an external id of this length: at most 987 bytes."""
    return len(text.encode("utf-8", "surrogatepass")) <= MAX_EXTERNAL_ID_BYTES


def alias_fits(text: str) -> bool:
    """Check whether Braze takes an alias name or label of this length: at most 236 bytes."""
    return len(text.encode("utf-8", "surrogatepass")) <= MAX_ALIAS_BYTES
