"""Normalise or refuse e-mail addresses, phone numbers, external ids and aliases."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from typing import Final

from braze_bridge.braze.limits import MAX_ALIAS_BYTES, MAX_EXTERNAL_ID_BYTES

MAX_EMAIL_CHARS: Final = 254
"""RFC 5321, 4.5.3.1.3: a path of 256 octets less its angle brackets."""

_EMAIL: Final = re.compile(
    r"(?=[^@]{1,64}@)[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f-\x9f"
    # Invisible characters: an address with one of them looks like another address.
    r"\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+@"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_](?:[\w-]{0,61}[^\W_])"
)
_PHONE: Final = re.compile(r"\+[1-9][0-9]{1,14}")
_SEPARATORS: Final = re.compile(r"[\s().\-/\u00a0\u2010-\u2015\u2212]")


def holds_liquid(text: str) -> bool:
    """Check whether the text has an unrendered Liquid tag, plain or URL-encoded."""
    return "{{" in text or "${" in text or "%7B%7B" in text.upper()


def normal_email(text: str) -> str | None:
    """Return an e-mail address as it is compared and sent: trimmed, in lower case.

    The rule is strict: one ``@``, no spaces, quotes, brackets or invisible characters, a domain
    with a dot, at most 254 characters. Braze refuses the whole object if it finds the address
    invalid, so a doubtful address is left out.

    Returns:
        ``None`` if the text is no such address.
    """
    address = text.strip().lower()
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


def normal_phone(text: str) -> str | None:
    """Return a phone number in E.164, or ``None``.

    The text needs ``+`` and the country code; separators are removed. A national number is never
    completed: Braze takes any ten digits as a U.S. number
    (https://www.braze.com/docs/user_guide/channels/sms_mms_and_rcs/message_setup/user_phone_numbers).
    ``+49 (0)170 …`` is refused: with the zero the number does not exist.
    """
    if "(0)" in text:
        return None
    number = _SEPARATORS.sub("", text)
    return number if _PHONE.fullmatch(number) else None


def external_id_fits(text: str) -> bool:
    """Check whether Braze takes an external id of this length: at most 987 bytes."""
    return len(text.encode()) <= MAX_EXTERNAL_ID_BYTES


def alias_fits(text: str) -> bool:
    """Check whether Braze takes an alias name or label of this length: at most 236 bytes."""
    return len(text.encode()) <= MAX_ALIAS_BYTES
