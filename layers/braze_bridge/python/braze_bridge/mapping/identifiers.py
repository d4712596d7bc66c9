"""What counts as an e-mail address, a phone number, an external id: normalised, or refused."""

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
    # What nobody sees: an address with it looks like another one.
    r"\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+@"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_](?:[\w-]{0,61}[^\W_])"
)
_PHONE: Final = re.compile(r"\+[1-9][0-9]{1,14}")
_SEPARATORS: Final = re.compile(r"[\s().\-/\u00a0\u2010-\u2015\u2212]")


def holds_liquid(text: str) -> bool:
    """Whether a Liquid tag is in it that nobody rendered, plain or as a link carries it."""
    return "{{" in text or "${" in text or "%7B%7B" in text.upper()


def normal_email(text: str) -> str | None:
    """An e-mail address as it is compared and sent: trimmed, in lower case.

    Args:
        text: What the partner sent.

    Returns:
        The address; ``None`` where it is none by a conservative rule: one ``@``, no spaces, quotes
        or brackets, nothing invisible, a domain with a dot, at most 254 characters. Braze refuses
        the whole object for an address it holds invalid, so the doubtful stays out.
    """
    address = text.strip().lower()
    if len(address) > MAX_EMAIL_CHARS or ".." in address or _EMAIL.fullmatch(address) is None:
        return None
    local = address.partition("@")[0]
    return None if local.startswith(".") or local.endswith(".") else address


def one_spelling(address: str) -> str:
    """An e-mail address as two of them are compared where being somebody else would pay.

    Args:
        address: Of :func:`normal_email`.

    Returns:
        One text for what Unicode can write in several ways: an accent as a letter of its own or
        not, full-width letters (NFKC), and an international domain by its name or its ASCII form
        (RFC 3490). For comparing only: Braze is sent the address as it came.
    """
    if address.isascii():
        return address
    local, _, domain = unicodedata.normalize("NFKC", address).lower().rpartition("@")
    with contextlib.suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return f"{local}@{domain}"


def normal_phone(text: str) -> str | None:
    """A phone number in E.164, or ``None``.

    Args:
        text: The number with its ``+`` and country code; separators are taken out. A national
            number is never completed: Braze itself would take any ten digits for a U.S. number
            (https://www.braze.com/docs/user_guide/channels/sms_mms_and_rcs/message_setup/user_phone_numbers).
            Nor is ``+49 (0)170 …`` read: with the zero it is nobody's number.
    """
    if "(0)" in text:
        return None
    number = _SEPARATORS.sub("", text)
    return number if _PHONE.fullmatch(number) else None


def external_id_fits(text: str) -> bool:
    """Whether Braze takes an external id of this length: at most 987 bytes."""
    return len(text.encode()) <= MAX_EXTERNAL_ID_BYTES


def alias_fits(text: str) -> bool:
    """Whether Braze takes an alias name or label of this length: at most 236 bytes."""
    return len(text.encode()) <= MAX_ALIAS_BYTES
