"""The call of a Braze webhook campaign: ``{"q_scope", "event", "email", …}``."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Final

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

from braze_bridge.mapping.identifiers import holds_liquid, normal_email
from braze_bridge.mapping.instants import read_instant
from braze_bridge.reasons import Reason
from braze_bridge.web.door import DoorError

SINCE_AHEAD: Final = timedelta(minutes=5)
"""Clocks differ by less. A later time lacks its zone or is wrong; if it were taken for now, every
person would win the fastest tier."""

_DETAILS: Final = {
    "missing": "is missing",
    "string_type": "must be a text",
    "blank": "is blank: did its Liquid render nothing?",
    "no_email": "is no e-mail address",
    "unrendered_liquid": "holds a Liquid tag that nobody rendered: are its braces right?",
    "no_time": "must be ISO 8601, or seconds or milliseconds since 1970",
    "model_type": "the body must be a JSON object",
    "string_too_long": "is too long",
}


def _filled(value: object) -> object:
    if isinstance(value, str):
        value = value.strip()
        if not value:
            raise PydanticCustomError("blank", "blank")
    return value


def _optional(value: object) -> object:
    """Read an empty text as absent: Braze renders a missing value that way."""
    if isinstance(value, str):
        return value.strip() or None
    return value


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
_Wanted = Annotated[StrictStr | None, Field(max_length=987), BeforeValidator(_optional)]


class WebhookCall(BaseModel):
    """The body of a campaign's call; other keys are ignored.

    Attributes:
        event: What the person did.
        email: The claimant, trimmed and in lower case, whatever other ids there are.
        dispatch_id: Braze's id of the sending, for the log.
        external_id: Finds the profile before the e-mail address does.
        braze_id: Finds the profile before both.
        since: When the person could first respond; for response times.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    q_scope: _Needed
    event: _Needed
    email: Annotated[_Needed, AfterValidator(_email), Field(repr=False)]
    dispatch_id: _Wanted = None
    external_id: Annotated[_Wanted, AfterValidator(_rendered), Field(repr=False)] = None
    braze_id: Annotated[_Wanted, AfterValidator(_rendered), Field(repr=False)] = None
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
