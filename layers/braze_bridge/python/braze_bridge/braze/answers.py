"""Reading what Braze answers: leniently where it reports, strictly where it promises data.

Nothing here trusts the body: in front of Braze stand Cloudflare and NGINX, which answer in HTML,
and no body of a 403 or 429 is documented at all (docs/api/basics, docs/api/errors).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
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
from braze_bridge.braze.models import ExportedUser, ExportIdsResponse, TrackResponse, UserAlias
from braze_bridge.braze.rate_limits import RateLimit, parse_rate_limit, parse_retry_after

if TYPE_CHECKING:
    from braze_bridge.braze.transport import HttpResponse

_MAX_TEXT_CHARS: Final = 500
"""Braze's texts are short; what is longer is some proxy's page."""

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
    """A response, decoded.

    Attributes:
        status: of HTTP.
        document: the body's JSON; None if it is not JSON.
        message: Braze's text, cleaned; fixed for a 401, empty where there is none.
        errors: complaints about single objects, cleaned; none for a 401.
        rate_limit: by its headers.
        retry_after: seconds Braze asks to wait.
    """

    status: int
    document: object = field(repr=False)
    message: str
    errors: tuple[ObjectError, ...]
    rate_limit: RateLimit | None
    retry_after: float | None

    @property
    def accepted(self) -> bool:
        """Any 2xx: Braze uses 200, 201 and 202."""
        return 200 <= self.status < 300  # noqa: PLR2004  # HTTP's own


def read_answer(response: HttpResponse, key: str, now: float) -> Answer:
    """Decode a response.

    Args:
        response: any.
        key: the API key the request was sent with; it is cut out of every text.
        now: epoch seconds.

    Returns:
        The answer; reading never fails.
    """
    status = response.status
    rate_limit = parse_rate_limit(response.headers, now)
    retry_after = (
        None
        if status < 400  # noqa: PLR2004  # HTTP's own
        else parse_retry_after(response.headers, now, or_reset=status == 429)  # noqa: PLR2004
    )
    if status == 401:  # noqa: PLR2004
        # A real 401 says "Invalid API key: <the key you sent>".
        return Answer(status, None, "Braze refused the API key", (), rate_limit, retry_after)
    document = _json(response.body)
    fields = document if isinstance(document, dict) else {}
    return Answer(
        status=status,
        document=document,
        # docs/api/errors: of a body that is not JSON, Braze complains in `error`.
        message=clean(fields.get("message"), key) or clean(fields.get("error"), key),
        errors=_object_errors(fields.get("errors"), key),
        rate_limit=rate_limit,
        retry_after=retry_after,
    )


def error_of(answer: Answer) -> BrazeError:
    """The error of an answer that is not accepted."""
    kind = _ERRORS.get(answer.status)
    if kind is None:
        kind = ServerError if answer.status >= 500 else UnexpectedResponseError  # noqa: PLR2004
    if kind is BadRequestError:
        return BadRequestError(
            answer.message,
            status=answer.status,
            errors=answer.errors,
            retry_after=answer.retry_after,
            rate_limit=answer.rate_limit,
        )
    return kind(
        answer.message,
        status=answer.status,
        retry_after=answer.retry_after,
        rate_limit=answer.rate_limit,
    )


def clean(text: object, key: str) -> str:
    """Braze's text without the key, and without what may be a person's e-mail or phone.

    Anything but a string gives the empty string.
    """
    if not isinstance(text, str):
        return ""
    if key:
        text = text.replace(key, "[key]")
    text = _EMAIL.sub("[email]", text[:_MAX_TEXT_CHARS])
    return _LONG_NUMBER.sub("[number]", text)


def track_response(answer: Answer) -> TrackResponse:
    """An accepted `/users/track` answer. A body that cannot be read is accepted all the same."""
    document = answer.document if isinstance(answer.document, dict) else {}
    return TrackResponse(
        status=answer.status,
        message=answer.message,
        attributes_processed=count(document.get("attributes_processed")),
        events_processed=count(document.get("events_processed")),
        errors=answer.errors,
        rate_limit=answer.rate_limit,
    )


def export_ids_response(answer: Answer) -> ExportIdsResponse:
    """The profiles of an `/users/export/ids` answer.

    Raises:
        UnexpectedResponseError: there is no readable `users` list. Reading that as "no such
            profile" would make callers create duplicates.
    """
    users = member_list(answer, "users")
    document = answer.document if isinstance(answer.document, dict) else {}
    invalid = document.get("invalid_user_ids")
    return ExportIdsResponse(
        users=[_exported_user(user) for user in users],
        invalid_user_ids=tuple(
            item for item in (invalid if isinstance(invalid, list) else ()) if isinstance(item, str)
        ),
        rate_limit=answer.rate_limit,
    )


def member_list(answer: Answer, name: str) -> list[dict[str, object]]:
    """The list of objects that an answer promises under a name.

    Raises:
        UnexpectedResponseError: it is not there, or is something else.
    """
    document = answer.document
    items = document.get(name) if isinstance(document, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise unreadable(answer, name)
    return items


def unreadable(answer: Answer, name: str) -> UnexpectedResponseError:
    """The error for a success without the data it promises."""
    return UnexpectedResponseError(
        f"the answer has no readable '{name}'", status=answer.status, rate_limit=answer.rate_limit
    )


def count(value: object) -> int | None:
    """A whole number, 0 or more; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def text(value: object) -> str | None:
    """A string; None for anything else."""
    return value if isinstance(value, str) else None


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _object_errors(errors: object, key: str) -> tuple[ObjectError, ...]:
    """Braze documents a list, whose items are objects on some endpoints and strings on others."""
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
        index=count(item.get("index")),
        type=clean(item.get("type"), key) or clean(item.get("message"), key),
    )


_NAMED_FIELDS: Final = frozenset(
    {
        "external_id",
        "braze_id",
        "user_aliases",
        "email",
        "phone",
        "email_subscribe",
        "custom_attributes",
    }
)


def _exported_user(user: dict[str, object]) -> ExportedUser:
    custom = user.get("custom_attributes")
    aliases = user.get("user_aliases")
    return ExportedUser(
        external_id=text(user.get("external_id")),
        braze_id=text(user.get("braze_id")),
        user_aliases=tuple(
            alias
            for alias in map(_alias, aliases if isinstance(aliases, list) else ())
            if alias is not None
        ),
        email=text(user.get("email")),
        phone=text(user.get("phone")),
        email_subscribe=text(user.get("email_subscribe")),
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
