"""Read Braze's answers: leniently for reports, strictly for promised data.

The body is never trusted: Cloudflare and NGINX in front of Braze answer in HTML, and no body of a
403 or 429 is documented (docs/api/basics, docs/api/errors).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final, get_args

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    InputArray,
    InvalidIdentifierError,
    NotFoundError,
    ObjectError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
    UnsupportedMediaTypeError,
)
from braze_bridge.braze.identifiers import UserAlias
from braze_bridge.braze.models import ExportedUser, ExportIdsResponse, TrackResponse
from braze_bridge.braze.rate_limits import RateLimit, parse_rate_limit, parse_retry_after

if TYPE_CHECKING:
    from braze_bridge.braze.transport import HttpResponse

_MAX_TEXT_CHARS: Final = 500
"""Braze's texts are short; a longer one is a proxy's page."""

_INPUT_ARRAYS: Final[tuple[InputArray, ...]] = get_args(InputArray)

_ERRORS: Final[dict[int, type[BrazeError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: ServerError,
    413: PayloadTooLargeError,
    415: UnsupportedMediaTypeError,
    429: RateLimitedError,
}

_EMAIL: Final = re.compile(r"[^\s\"'<>(),;:]+@[^\s\"'<>(),;:]+")
_LONG_NUMBER: Final = re.compile(r"\+?[0-9][0-9 ().-]{5,}[0-9]")


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded response.

    Attributes:
        document: the body's JSON; None if it is not JSON, and for a 401.
        message: Braze's text, cleaned; a fixed text for a 401; empty if there is none.
        errors: about single objects, cleaned; none for a 401.
        retry_after: seconds that Braze asks to wait.
    """

    status: int
    document: object = field(repr=False)
    message: str
    errors: tuple[ObjectError, ...]
    rate_limit: RateLimit | None
    retry_after: float | None

    @property
    def accepted(self) -> bool:
        """True for any 2xx: Braze uses 200, 201 and 202."""
        return 200 <= self.status < 300  # noqa: PLR2004  # HTTP's own


def read_answer(response: HttpResponse, key: str, now: float) -> Answer:
    """Decode any response.

    Args:
        response: any.
        key: the API key of the request; it is cut out of every text.
        now: epoch seconds.
    """
    status = response.status
    rate_limit = parse_rate_limit(response.headers, now)
    retry_after = (
        None
        if status < 400  # noqa: PLR2004  # HTTP's own
        else parse_retry_after(response.headers, now, is_429=status == 429)  # noqa: PLR2004
    )
    if status == 401:  # noqa: PLR2004
        # The body of a real 401 is "Invalid API key: <the key you sent>".
        return Answer(status, None, "Braze refused the API key", (), rate_limit, retry_after)
    document = _json(response.body)
    fields = document if isinstance(document, dict) else {}
    return Answer(
        status=status,
        document=document,
        # docs/api/errors: for a request body that is not JSON, Braze sends `error`.
        message=clean(fields.get("message"), key) or clean(fields.get("error"), key),
        errors=_object_errors(fields.get("errors"), key),
        rate_limit=rate_limit,
        retry_after=retry_after,
    )


def error_of(answer: Answer) -> BrazeError:
    """Make the error of an answer that is not accepted."""
    kind = _ERRORS.get(answer.status)
    if kind is None:
        kind = ServerError if answer.status >= 500 else UnexpectedResponseError  # noqa: PLR2004
    return kind(
        answer.message,
        status=answer.status,
        errors=answer.errors if kind is BadRequestError else (),
        retry_after=answer.retry_after,
        rate_limit=answer.rate_limit,
    )


def clean(text: object, key: str) -> str:
    """Remove the key, e-mail addresses and phone numbers from Braze's text.

    Anything but a string becomes the empty string.
    """
    if not isinstance(text, str):
        return ""
    if key:
        text = text.replace(key, "[key]")
    text = _EMAIL.sub("[email]", text[:_MAX_TEXT_CHARS])
    return _LONG_NUMBER.sub("[number]", text)


def track_response(answer: Answer) -> TrackResponse:
    """Read an accepted `/users/track` answer, even one with an unreadable body."""
    document = answer.document if isinstance(answer.document, dict) else {}
    return TrackResponse(
        status=answer.status,
        message=answer.message,
        attributes_processed=_count(document.get("attributes_processed")),
        events_processed=_count(document.get("events_processed")),
        purchases_processed=_count(document.get("purchases_processed")),
        errors=answer.errors,
        rate_limit=answer.rate_limit,
    )


def export_ids_response(answer: Answer) -> ExportIdsResponse:
    """Read the profiles of an accepted `/users/export/ids` answer.

    Raises:
        UnexpectedResponseError: there is no readable `users` list. If that meant "no such profile",
            callers would create duplicates.
    """
    users = member_list(answer, "users")
    return ExportIdsResponse([_exported_user(user) for user in users], answer.rate_limit)


def member_list(answer: Answer, name: str) -> list[dict[str, object]]:
    """Read the list of objects that an answer promises under a name.

    Raises:
        UnexpectedResponseError: there is no such list.
    """
    document = answer.document
    items = document.get(name) if isinstance(document, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise unreadable(answer, name)
    return items


def unreadable(answer: Answer, name: str) -> UnexpectedResponseError:
    """Make the error for a success without the data it promises."""
    return UnexpectedResponseError(
        f"the answer has no readable '{name}'", status=answer.status, rate_limit=answer.rate_limit
    )


def _count(value: object) -> int | None:
    """Read a whole number, 0 or more; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _index(value: object) -> int | None:
    """Read a whole number, also as a text."""
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) < _INDEX_DIGITS
    ):
        return int(value)
    return _count(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


_INDEX_DIGITS: Final = 10


def _object_errors(errors: object, key: str) -> tuple[ObjectError, ...]:
    """Read the list: its items are objects on some endpoints and strings on others."""
    if errors is None:
        return ()
    items = errors if isinstance(errors, list) else [errors]
    return tuple(_object_error(item, key) for item in items)


def _object_error(item: object, key: str) -> ObjectError:
    if not isinstance(item, dict):
        return ObjectError(None, None, clean(item, key))
    array = item.get("input_array")
    return ObjectError(
        input_array=next((known for known in _INPUT_ARRAYS if known == array), None),
        index=_index(item.get("index")),
        type=clean(item.get("type"), key) or clean(item.get("message"), key),
    )


_NAMED_FIELDS: Final = frozenset(each.name for each in fields(ExportedUser)) - {"other"}


def _exported_user(user: dict[str, object]) -> ExportedUser:
    custom = user.get("custom_attributes")
    aliases = user.get("user_aliases")
    return ExportedUser(
        external_id=_text(user.get("external_id")),
        braze_id=_text(user.get("braze_id")),
        user_aliases=tuple(
            alias
            for alias in map(_alias, aliases if isinstance(aliases, list) else ())
            if alias is not None
        ),
        email=_text(user.get("email")),
        phone=_text(user.get("phone")),
        email_subscribe=_text(user.get("email_subscribe")),
        custom_attributes=custom if isinstance(custom, dict) else {},
        other={name: value for name, value in user.items() if name not in _NAMED_FIELDS},
    )


def _alias(item: object) -> UserAlias | None:
    if not isinstance(item, dict):
        return None
    try:
        return UserAlias(item.get("alias_name", ""), item.get("alias_label", ""))
    except InvalidIdentifierError:
        return None
