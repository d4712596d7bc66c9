"""The client's errors, by what the caller must do.

    BrazeError                     the call failed
    ├── BadRequestError            400: this request can never succeed unchanged
    ├── AuthenticationError        401: the key is wrong (also: no usable key to send)
    ├── PermissionDeniedError      403: the key lacks the permission, or the account the plan
    ├── NotFoundError              404
    ├── PayloadTooLargeError       413: split it
    ├── UnsupportedMediaTypeError  415
    ├── RateLimitedError           429: wait `retry_after`
    ├── ServerError                5xx and 408
    ├── ConnectFailedError         Braze cannot have acted: the request was not sent completely
    ├── UnknownOutcomeError        the request was sent, and no answer came back
    └── UnexpectedResponseError    3xx, other 4xx, a 2xx without the data it promises

    InvalidInputError (ValueError) Braze would refuse or lose the input; nothing was sent
    ├── InvalidIdentifierError
    ├── InvalidAttributeError
    ├── InvalidEventError
    ├── InvalidRequestError
    └── InvalidEndpointError

No text contains a key, a request body, or a value of a person's profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from braze_bridge.braze.rate_limits import RateLimit


class BrazeError(Exception):
    """A call to Braze failed.

    Attributes:
        status: the HTTP status; None if no answer was read.
        message: Braze's text without keys, e-mail addresses and long digit runs. It may be empty.
            The text of a 401 is replaced, since it echoes the key.
        errors: the objects that Braze names; only a 400 names any.
        retry_after: seconds that Braze asks to wait, 0 or more.
        rate_limit: the answer's rate-limit headers.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        errors: tuple[ObjectError, ...] = (),
        retry_after: float | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.retry_after = retry_after
        self.rate_limit = rate_limit

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return False

    @property
    def outcome_unknown(self) -> bool:
        """Whether Braze may have acted on the request.

        To send attributes again is harmless. Events may count twice: Braze de-duplicates nothing.
        """
        return False

    def __str__(self) -> str:
        """Status and message, safe to log."""
        return self.message if self.status is None else f"{self.status} {self.message}".rstrip()


class BadRequestError(BrazeError):
    """400: every object is invalid, or the whole request is."""


class AuthenticationError(BrazeError):
    """401, or there is no usable key to send. Permanent until the key is corrected."""


class PermissionDeniedError(BrazeError):
    """403. Permanent until the key's permissions or the contract change."""


class NotFoundError(BrazeError):
    """404: the URL is wrong."""


class PayloadTooLargeError(BrazeError):
    """413: the body is over Braze's limit. Its parts may succeed."""


class UnsupportedMediaTypeError(BrazeError):
    """415: the content type is wrong."""


class RateLimitedError(BrazeError):
    """429. `retry_after` is set from whichever header Braze used."""

    retryable = True


class ServerError(BrazeError):
    """5xx and 408: "retry your request with exponential backoff" (docs/api/errors)."""

    retryable = True

    @property
    def outcome_unknown(self) -> bool:
        """True for 500, 504 and the like: the server had the request.

        docs/api/errors: a 502 failed before it reached the server, a 503 found no capacity. A 408
        means that the request did not arrive completely.
        """
        return self.status not in {408, 502, 503}


class ConnectFailedError(BrazeError):
    """Braze has no complete request: DNS, refused, TLS, connect timeout, or cut off in sending."""

    retryable = True


class UnknownOutcomeError(BrazeError):
    """The request was sent completely, and no usable answer came back.

    `retryable` is about Braze only: check `outcome_unknown` before repeating what is not
    idempotent.
    """

    retryable = True

    @property
    def outcome_unknown(self) -> bool:
        """True."""
        return True


class UnexpectedResponseError(BrazeError):
    """A redirect (never followed), an undocumented 4xx, or a 2xx without the data it promises."""

    @property
    def retryable(self) -> bool:
        """True for a 2xx: only reads promise data."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  # HTTP's own


class InvalidReason(StrEnum):
    """Why an input was refused. The codes are stable, to be counted and stored."""

    WRONG_TYPE = "wrong_type"
    BAD_UNICODE = "bad_unicode"
    IDENTIFIER_COUNT = "identifier_count"
    IDENTIFIER_BLANK = "identifier_blank"
    IDENTIFIER_TOO_LONG = "identifier_too_long"
    PHONE_NOT_E164 = "phone_not_e164"
    NAME_BLANK = "name_blank"
    NAME_TOO_LONG = "name_too_long"
    NAME_RESERVED = "name_reserved"
    NAME_LEADING_DOLLAR = "name_leading_dollar"
    NAME_NESTED_CHARACTER = "name_nested_character"
    IDENTIFIER_AS_ATTRIBUTE = "identifier_as_attribute"
    STRING_TOO_LONG = "string_too_long"
    NUMBER_NOT_FINITE = "number_not_finite"
    NUMBER_TOO_LARGE = "number_too_large"
    ARRAY_TOO_LONG = "array_too_long"
    VALUE_TOO_LARGE = "value_too_large"
    NULL_INSIDE = "null_inside"
    TOO_DEEP = "too_deep"
    OBJECT_TOO_LARGE = "object_too_large"
    TIME_WITHOUT_ZONE = "time_without_zone"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    REQUEST_EMPTY = "request_empty"
    REQUEST_TOO_LARGE = "request_too_large"
    TOO_MANY_OBJECTS = "too_many_objects"
    TOO_MANY_IDS = "too_many_ids"
    FIELD_UNKNOWN = "field_unknown"
    FIELD_MISSING = "field_missing"
    OUT_OF_RANGE = "out_of_range"
    INSTANCE_UNKNOWN = "instance_unknown"
    ENDPOINT_REFUSED = "endpoint_refused"


class InvalidInputError(ValueError):
    """The input breaks a limit of Braze; nothing was sent.

    Attributes:
        name: the attribute, property or field. The text omits it: names can come from a partner's
            form.
    """

    def __init__(self, reason: InvalidReason, detail: str, *, name: str | None = None) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.name = name

    def __str__(self) -> str:
        """The code and what it means, without values."""
        return f"{self.reason.value}: {self.detail}"


class InvalidIdentifierError(InvalidInputError):
    """A user identifier that Braze would refuse."""


class InvalidAttributeError(InvalidInputError):
    """An attribute that Braze would refuse, or lose without an error."""


class InvalidEventError(InvalidInputError):
    """An event name, time or property that Braze would refuse or lose."""


class InvalidRequestError(InvalidInputError):
    """A request that breaks a rule of its endpoint."""


class InvalidEndpointError(InvalidInputError):
    """An instance or address that is not a REST endpoint of Braze."""


InputArray: TypeAlias = Literal["attributes", "events", "purchases"]


@dataclass(frozen=True, slots=True)
class ObjectError:
    """Braze's error about one object of a `/users/track` request.

    Attributes:
        input_array: None if Braze names none, or an unknown one.
        index: 0-based in that array as sent; None likewise.
        type: Braze's text, cleaned. Show it, never decide by it: the documents list codes, the live
            API sends sentences.
    """

    input_array: InputArray | None
    index: int | None
    type: str
