"""Braze's user identifiers, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from braze_bridge.braze import limits
from braze_bridge.braze.encoding import quote, to_json, utf8, wrong_type
from braze_bridge.braze.errors import InvalidIdentifierError, InvalidReason, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

IdentifierKind: TypeAlias = Literal["external_id", "braze_id", "user_alias", "email", "phone"]

_KINDS: Final[tuple[IdentifierKind, ...]] = get_args(IdentifierKind)

_E164: Final = re.compile(r"\+[1-9][0-9]{1,14}")


@dataclass(frozen=True, slots=True)
class UserAlias:
    """An alias. It is unique in the workspace; `alias_name` is case-sensitive.

    Raises:
        InvalidIdentifierError: a part is blank, over 236 bytes, or not Unicode text.
    """

    alias_name: str = field(repr=False)
    alias_label: str

    def __post_init__(self) -> None:
        check_identifier("alias_name", self.alias_name, limits.MAX_ALIAS_BYTES)
        check_identifier("alias_label", self.alias_label, limits.MAX_ALIAS_BYTES)

    def as_json(self) -> dict[str, str]:
        """Make Braze's object."""
        return {"alias_name": self.alias_name, "alias_label": self.alias_label}


@dataclass(frozen=True, slots=True, repr=False)
class UserIdentifier:
    """Exactly one identifier of one user. Its repr names the kind only.

    Braze rejects objects with two primary identifiers (external_id, braze_id, user_alias), and
    uses e-mail or phone only without one: docs/api/endpoints/user_data/post_user_track.

    Raises:
        InvalidIdentifierError: none or several are given, one is blank, over its byte limit, or
            not Unicode text, or a phone number is not E.164.
    """

    external_id: str | None = None
    braze_id: str | None = None
    user_alias: UserAlias | None = None
    email: str | None = None
    phone: str | None = None

    def __post_init__(self) -> None:
        # A blank one counts as given and is refused below.
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise InvalidIdentifierError(
                InvalidReason.IDENTIFIER_COUNT,
                f"exactly one identifier is needed, not {len(given)}",
            )
        if self.user_alias is None:
            check_identifier(given[0], getattr(self, given[0]))
        elif not isinstance(self.user_alias, UserAlias):
            raise wrong_type(InvalidIdentifierError, "user_alias")
        if self.phone is not None:
            check_e164(self.phone)

    @property
    def kind(self) -> IdentifierKind:
        """Braze's key of the identifier."""
        if self.external_id is not None:
            return "external_id"
        if self.braze_id is not None:
            return "braze_id"
        if self.user_alias is not None:
            return "user_alias"
        return "email" if self.email is not None else "phone"

    @property
    def value(self) -> str:
        """The identifier; of an alias, its name."""
        if self.user_alias is not None:
            return self.user_alias.alias_name
        return self.external_id or self.braze_id or self.email or self.phone or ""

    def member(self) -> str:
        """Encode the JSON member, `"external_id":"…"`, without braces."""
        if self.user_alias is not None:
            return f'"user_alias":{to_json(self.user_alias.as_json())}'
        return f'"{self.kind}":{quote(self.value)}'

    def __repr__(self) -> str:
        return f"UserIdentifier({self.kind})"


def check_identifier(
    name: str, value: object, max_bytes: int = limits.MAX_EXTERNAL_ID_BYTES
) -> None:
    """Check that a value is a string, not blank, and not over the limit.

    Only external_ids and aliases have a documented limit. The others get that of an external_id,
    which is far above real e-mail addresses and phone numbers.

    Raises:
        InvalidIdentifierError: naming the field, never the value.
    """
    if not isinstance(value, str):
        raise wrong_type(InvalidIdentifierError, name)
    if not value.strip():
        raise InvalidIdentifierError(
            InvalidReason.IDENTIFIER_BLANK, "an identifier must not be blank", name=name
        )
    # ASCII, the usual case, has one byte a character.
    size = len(value) if value.isascii() else len(utf8(value, InvalidIdentifierError, name))
    if size > max_bytes:
        raise InvalidIdentifierError(
            InvalidReason.IDENTIFIER_TOO_LONG, f"over {max_bytes} bytes of UTF-8", name=name
        )


def check_e164(phone: str) -> None:
    """Check for `+` and 2 to 15 digits.

    Braze reads ten digits without `+` as a number of the United States:
    docs/user_guide/channels/sms_mms_and_rcs/message_setup/user_phone_numbers.

    Raises:
        InvalidIdentifierError: with reason `phone_not_e164`.
    """
    if not _E164.fullmatch(phone):
        raise InvalidIdentifierError(
            InvalidReason.PHONE_NOT_E164, "a phone number is + and 2 to 15 digits", name="phone"
        )


def check_identifiers(name: str, values: Sequence[str]) -> None:
    """Check a list of identifiers, phones as E.164.

    Raises:
        InvalidIdentifierError: naming the field, never the value.
    """
    if isinstance(values, str):
        raise wrong_type(InvalidIdentifierError, name)
    for value in values:
        check_identifier(name, value)
        if name == "phone":
            check_e164(value)


def check_count(count: int) -> None:
    """Check that one call has at most 50 identifiers.

    Raises:
        InvalidRequestError: with reason `too_many_ids`.
    """
    if count > limits.MAX_IDS_PER_REQUEST:
        raise InvalidRequestError(
            InvalidReason.TOO_MANY_IDS,
            f"{count} identifiers, {limits.MAX_IDS_PER_REQUEST} are allowed",
        )
