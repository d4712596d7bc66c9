"""Which phone number is this: E.164 by the phone-number library, or none."""

from __future__ import annotations

import re
from typing import Final

from braze_bridge.mapping.texts import ascii_digits, trimmed

_TYPED: Final = re.compile(r"(?:tel:)?\+[0-9 ().\-/\u2010-\u2015]{2,40}", re.IGNORECASE)
"""What people write around digits. The library would also read letters, and search a sentence."""

_OLD_MEXICAN: Final = re.compile("52 1([0-9]{10})")
"""Until August 2019 callers from abroad dialled a 1 before a Mexican mobile number. It is no part
of the number, which has ten digits (https://www.twilio.com/guidelines/mx/voice)."""

_SEPARATORS: Final = re.compile(r"[\s().\-/\u2010-\u2015\u2212]")
_DIGITS: Final = re.compile(r"\+[1-9][0-9]{1,14}")


def earlier_phone(text: str) -> str | None:
    """Return a number as versions before November 2026 stored it: only without separators."""
    number = _SEPARATORS.sub("", text)
    return number if _DIGITS.fullmatch(number) else None


def normal_phone(text: str) -> str | None:
    """Return a phone number in E.164, or ``None``.

    The text needs ``+`` and the country code. A national number is never completed: Braze takes any
    ten digits as a U.S. number. Braze checks with the same library, and drops a number that its
    country cannot have
    (https://www.braze.com/docs/user_guide/channels/sms_mms_and_rcs/message_setup/user_phone_numbers).
    The number must be possible: which blocks are in use changes too often to be checked here.

    Args:
        text: A zero that belongs to national calls does not count: ``+49 (0)170 …`` is
            ``+49 0170 …`` is ``+49 170 …``.
    """
    # The library does not read digits with a tab or a narrow space between them.
    typed = " ".join(ascii_digits(trimmed(text)).split())
    if _TYPED.fullmatch(typed) is None:
        return None
    # The first number pays for this import (0.2 s), not each cold start.
    import phonenumbers

    try:
        read = phonenumbers.parse(typed.lower().removeprefix("tel:"))
        if old := _OLD_MEXICAN.fullmatch(f"{read.country_code} {read.national_number}"):
            read = phonenumbers.parse(f"+52{old[1]}")
        number = phonenumbers.format_number(read, phonenumbers.PhoneNumberFormat.E164)
        again = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
    reason = phonenumbers.is_possible_number_with_reason(read)
    # Several leading zeros lose one at each reading: such a number is not certain.
    is_certain = again == read and reason == phonenumbers.ValidationResult.IS_POSSIBLE
    return number if is_certain else None
