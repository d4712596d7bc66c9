"""The identifier of an object, read strictly (reference §1.3, §3.5)."""

import re
from collections.abc import Mapping

from pydantic import JsonValue

from sandbox.braze.profiles import Identifier

MAX_EXTERNAL_ID_BYTES = 987
MAX_ALIAS_BYTES = 236

IDENTIFIER_REQUIRED = "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"
EXTERNAL_ID_TOO_LARGE = "'external_id' must be fewer than 988 bytes"
BAD_EMAIL = "The value provided for the 'email' field is not a valid email."
# We chose the texts below: the documentation says that it is an error, without the words.
ONE_PRIMARY_ONLY = "Only one of 'external_id', 'braze_id' or 'user_alias' is allowed"
BAD_EXTERNAL_ID = "'external_id' is not valid"
BAD_BRAZE_ID = "'braze_id' is not valid"
BAD_ALIAS = "'user_alias' is not valid"
BAD_PHONE = "'phone' is not valid"

_EMAIL = re.compile(
    r"[^@\s\"(),:;<>\[\]\\]+@(?:[^@\s.,;:<>\"()\[\]\\]+\.)+[^@\s.,;:<>\"()\[\]\\]{2,}"
)
_E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_NOT_DIGIT = re.compile(r"\D", re.ASCII)
_MAX_EMAIL = 255
_LARGEST_ID = 10**100
"""A number of more digits is no id. Python refuses to write one of 4,300."""


class ObjectRejectedError(Exception):
    """An object that Braze names in `errors`; the text is the error's `type`."""


def is_email(value: object) -> bool:
    """Check whether Braze would take a value as an e-mail address."""
    return isinstance(value, str) and len(value) <= _MAX_EMAIL and bool(_EMAIL.fullmatch(value))


def normalise_phone(value: object) -> str | None:
    """Bring a phone number into E.164 the way Braze does.

    Returns:
        The number, or None when it cannot be one. Everything but digits and a leading `+` is
        removed; ten digits without a country code are a U.S. number.
    """
    if not isinstance(value, str):
        return None
    digits = _NOT_DIGIT.sub("", value)
    if not value.lstrip().startswith("+"):
        if len(digits) == len("5555550123"):
            digits = f"1{digits}"
        elif len(digits) != len("15555550123") or digits[0] != "1":
            return None
    number = f"+{digits}"
    return number if _E164.fullmatch(number) else None


def is_e164(value: object) -> bool:
    """Check whether a value is a phone number in E.164 already."""
    return isinstance(value, str) and bool(_E164.fullmatch(value))


def id_text(value: object) -> str | None:
    """Read an `external_id` or a `product_id`: a text, or a whole number (reference, 2026-11-28).

    Returns:
        The text that an export shows, or None if it is empty or neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < _LARGEST_ID else None
    return value if isinstance(value, str) and value else None


def _primary(kind: str, value: JsonValue) -> Identifier:
    if kind == "external_id":
        return read_external_id(value)
    if kind == "braze_id":
        if not isinstance(value, str) or not value:
            raise ObjectRejectedError(BAD_BRAZE_ID)
        return Identifier("braze_id", value)
    return read_alias(value)


def read_external_id(value: JsonValue) -> Identifier:
    """Read an external id.

    Raises:
        ObjectRejectedError: It is no text and no whole number, empty, or over 987 bytes.
    """
    text = id_text(value)
    if text is None:
        raise ObjectRejectedError(BAD_EXTERNAL_ID)
    # An id of up to 246 characters fits whatever they are: spares the encoding.
    if len(text) * 4 > MAX_EXTERNAL_ID_BYTES and len(text.encode()) > MAX_EXTERNAL_ID_BYTES:
        raise ObjectRejectedError(EXTERNAL_ID_TOO_LARGE)
    return Identifier("external_id", text)


def read_alias(value: JsonValue) -> Identifier:
    """Read `{"alias_name": …, "alias_label": …}`.

    Raises:
        ObjectRejectedError: A part is missing, empty, or over 236 bytes.
    """
    if not isinstance(value, dict):
        raise ObjectRejectedError(BAD_ALIAS)
    name, label = value.get("alias_name"), value.get("alias_label")
    for part in (name, label):
        if not isinstance(part, str) or not part or len(part.encode()) > MAX_ALIAS_BYTES:
            raise ObjectRejectedError(BAD_ALIAS)
    return Identifier("user_alias", str(name), str(label))


def read_identifier(item: Mapping[str, JsonValue]) -> Identifier:
    """Find the one identifier of a track object.

    Returns:
        The primary identifier, else the e-mail, else the phone.

    Raises:
        ObjectRejectedError: None, more than one primary, or one that is not valid. A primary
            identifier that is present as null counts as present (documentation silent; stricter).
    """
    found: Identifier | None = None
    for kind in ("external_id", "user_alias", "braze_id"):
        if kind in item:
            if found is not None:
                raise ObjectRejectedError(ONE_PRIMARY_ONLY)
            found = _primary(kind, item[kind])
    if found is not None:
        return found
    email = item.get("email")
    if email is not None:
        if not is_email(email):
            raise ObjectRejectedError(BAD_EMAIL)
        return Identifier("email", str(email))
    if item.get("phone") is None:
        raise ObjectRejectedError(IDENTIFIER_REQUIRED)
    number = normalise_phone(item["phone"])
    if number is None:
        raise ObjectRejectedError(BAD_PHONE)
    return Identifier("phone", number)


def may_create(identifier: Identifier, item: Mapping[str, JsonValue], input_array: str) -> bool:
    """Check whether an object may create the profile it names (reference §1.4).

    Only real booleans count. A `braze_id` never creates: Braze gives it. An alias creates only
    from the attributes array and only with an explicit false: the event and purchase pages
    contradict themselves, and "always true" is the harder reading.
    """
    flag = item.get("_update_existing_only")
    if identifier.kind == "braze_id":
        return False
    if identifier.kind == "user_alias":
        return input_array == "attributes" and flag is False
    return flag is not True
