"""The call of a Braze webhook campaign: ``{"q_scope", "event", "email", …}``."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from braze_bridge.mapping.identifiers import (
    IdentifierKind,
    Unusable,
    holds_liquid,
    normal_email,
    usable,
)
from braze_bridge.mapping.instants import read_instant
from braze_bridge.mapping.texts import one_form
from braze_bridge.reasons import Reason
from braze_bridge.web.door import DoorError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_LONGEST_NUMBER: Final = 10**300
_MOST_DISPATCH_CHARS: Final = 987

SINCE_AHEAD: Final = timedelta(minutes=5)
"""Clocks differ by less. A later time lacks its zone or is wrong; if it were taken for now, every
person would win the fastest tier."""

_DETAILS: Final = {
    "missing": "is missing",
    "string_type": "must be a text",
    "blank": "is blank: did its Liquid render nothing?",
    "no_email": "is no e-mail address",
    "unrendered_liquid": "holds a Liquid tag that nobody rendered: are its braces right?",
    "no_time": "must be a certain time: ISO 8601, RFC 1123, or seconds since 1970",
    "placeholder": "is a placeholder of quikly.toml",
    "model_type": "the body must be a JSON object",
    "string_too_long": "is too long",
}


def _filled(value: object) -> object:
    if isinstance(value, str):
        value = one_form(value)
        if not value:
            raise PydanticCustomError("blank", "blank")
    return value


def _optional(value: object) -> object:
    """Read an empty text as absent: Braze renders a missing value that way."""
    if isinstance(value, str):
        return one_form(value) or None
    return value


def _digits(value: object) -> object:
    """Read a whole number as the text of its digits, as every door does."""
    return str(value) if type(value) is int and abs(value) < _LONGEST_NUMBER else _optional(value)


def _rendered(value: str | None) -> str | None:
    """Refuse an id with an unrendered tag: Braze would find no profile and drop the award."""
    if value is not None and holds_liquid(value):
        raise PydanticCustomError("unrendered_liquid", "unrendered_liquid")
    return value


def _email(value: str) -> str:
    _rendered(value)
    address = normal_email(value)
    if address is None:
        raise PydanticCustomError("no_email", "no_email")
    return address


def _instant(value: object) -> datetime | None:
    value = _optional(value)
    instant = read_instant(value)
    if instant is None and value is not None:
        raise PydanticCustomError("no_time", "no_time")
    return instant


_Needed = Annotated[StrictStr, Field(max_length=255), BeforeValidator(_filled)]
_Id = Annotated[
    StrictStr | None, BeforeValidator(_digits), AfterValidator(_rendered), Field(repr=False)
]


class WebhookCall(BaseModel):
    """The body of a campaign's call; other keys are ignored.

    Attributes:
        event: What the person did.
        email: The claimant, trimmed and in lower case, whatever other ids there are.
        dispatch_id: Braze's id of the sending, for the log.
        external_id: Finds the profile before the e-mail address does.
        braze_id: Only to erase a claim by it. Braze does not say that it does not know a
            ``braze_id``, and drops the award.
        since: When the person could first respond; for response times.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    q_scope: _Needed
    event: _Needed
    email: Annotated[_Needed, AfterValidator(_email), Field(repr=False)]
    dispatch_id: Annotated[
        StrictStr | None, Field(max_length=_MOST_DISPATCH_CHARS), BeforeValidator(_optional)
    ] = None
    external_id: _Id = None
    braze_id: _Id = None
    since: Annotated[datetime | None, BeforeValidator(_instant)] = None


def read_call(body: object) -> WebhookCall:
    """Read the body of a call, which may be any JSON value.

    Raises:
        DoorError: 422 with a reason per field, without its value.
    """
    try:
        return WebhookCall.model_validate(body)
    except ValidationError as error:
        reasons = [
            _reason(str(item["type"]), ".".join(str(step) for step in item["loc"][:1]))
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise unprocessable(*reasons) from None


def with_usable_ids(
    call: WebhookCall, placeholders: AbstractSet[str]
) -> tuple[WebhookCall, tuple[str, ...]]:
    """Leave out ids that are none.

    Args:
        call: As it was read.
        placeholders: Of the file, in lower case.

    Returns:
        The call, and which id is left out for which reason.

    Raises:
        DoorError: 422: the e-mail address is a placeholder.
    """
    if call.email in placeholders:
        raise unprocessable(_reason("placeholder", "email"))
    ids: dict[str, str | None] = {}
    unusable = []
    for kind in (IdentifierKind.EXTERNAL_ID, IdentifierKind.BRAZE_ID):
        given = getattr(call, kind)
        found = None if given is None else usable(kind, given, placeholders)
        if isinstance(found, Unusable):
            unusable.append(f"{kind}: {found.code}")
            found = None
        ids[kind.value] = found
    return call.model_copy(update=ids), tuple(unusable)


def check_since(call: WebhookCall, arrived_at: datetime) -> None:
    """Refuse a ``since`` in the future.

    Raises:
        DoorError: 422: it is over five minutes after ``arrived_at``.
    """
    if call.since is not None and call.since - arrived_at > SINCE_AHEAD:
        detail = "is ahead of now: does it lack its zone?"
        raise unprocessable(Reason(code="in_future", field="since", detail=detail))


def _reason(code: str, field: str) -> Reason:
    return Reason(code=code, field=field or None, detail=_DETAILS.get(code, "cannot be read"))


def unprocessable(*reasons: Reason) -> DoorError:
    """Make a 422, which Braze does not retry."""
    return DoorError(HTTPStatus.UNPROCESSABLE_ENTITY, reasons)
