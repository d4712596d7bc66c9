"""Everything that can go wrong between a caller and Braze, by meaning.

    BrazeError                     Braze, or the way to it, did not do what was asked
    ├── BadRequestError            400: this request can never succeed as it is
    ├── AuthenticationError        401: the key is wrong (also: no usable key to send)
    ├── PermissionDeniedError      403: the key lacks the permission, or the account the plan
    ├── NotFoundError              404
    ├── PayloadTooLargeError       413: split it
    ├── UnsupportedMediaTypeError  415
    ├── RateLimitedError           429: wait `retry_after`
    ├── ServerError                5xx and 408
    ├── ConnectFailedError         Braze cannot have acted: the request never left whole
    ├── UnknownOutcomeError        it left, and no answer came back
    └── UnexpectedResponseError    3xx, other 4xx, a 2xx that cannot be read where it must be

    InvalidInputError (ValueError) the caller asked for what Braze would refuse or lose
    ├── InvalidIdentifierError
    ├── InvalidAttributeError
    ├── InvalidEventError
    ├── InvalidRequestError
    └── InvalidEndpointError

No text here ever holds a key, a request body, or a value of a person's profile.
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
        message: Braze's own text, cleaned of keys, e-mail addresses and long digit runs; never
            that of a 401, which echoes the key. May be empty.
        retryable: the same request may succeed later, unchanged.
        retry_after: seconds Braze asks to wait, 0 or more; None if it asks for nothing.
        rate_limit: the rate-limit headers of the answer, if there were any to read.
        outcome_unknown: Braze may have acted on the request. Sending attributes again is
            harmless; sending events again may count them twice (Braze de-duplicates nothing).
    """

    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after
        self.rate_limit = rate_limit

    @property
    def outcome_unknown(self) -> bool:
        """See the class; False unless a subclass knows better."""
        return False

    def __str__(self) -> str:
        """Status and message, safe to log."""
        return self.message if self.status is None else f"{self.status} {self.message}".rstrip()


class BadRequestError(BrazeError):
    """400: every object is invalid, or the request as a whole is.

    Attributes:
        errors: the objects Braze names, possibly none.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = 400,
        errors: tuple[ObjectError, ...] = (),
        retry_after: float | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        super().__init__(message, status=status, retry_after=retry_after, rate_limit=rate_limit)
        self.errors = errors


class AuthenticationError(BrazeError):
    """401, or there is no usable key to send. Permanent until the key is put right."""


class PermissionDeniedError(BrazeError):
    """403. Permanent until the key's permissions or the contract change."""


class NotFoundError(BrazeError):
    """404: the URL is wrong."""


class PayloadTooLargeError(BrazeError):
    """413: the body is over Braze's limit; it may succeed in parts."""


class UnsupportedMediaTypeError(BrazeError):
    """415: the content type is wrong."""


class RateLimitedError(BrazeError):
    """429. `retry_after` is the wait by whichever header Braze used."""

    retryable = True


class ServerError(BrazeError):
    """5xx and 408: "retry your request with exponential backoff" (docs/api/errors)."""

    retryable = True

    @property
    def outcome_unknown(self) -> bool:
        """True for 500 and 504: the server had the request when it failed or fell silent.

        docs/api/errors says of 502 that it failed before reaching the server, of 503 that there
        was no capacity; a 408 means that the request did not arrive whole.
        """
        return self.status not in {408, 502, 503}


class ConnectFailedError(BrazeError):
    """Nothing reached Braze: DNS, refused, TLS, connect timeout, or cut off while sending."""

    retryable = True


class UnknownOutcomeError(BrazeError):
    """The request went out whole and no usable answer came back.

    `retryable` is about Braze, not about the caller: see `outcome_unknown` before repeating
    anything that is not idempotent.
    """

    retryable = True

    @property
    def outcome_unknown(self) -> bool:
        """Always."""
        return True


class UnexpectedResponseError(BrazeError):
    """A redirect (never followed), an undocumented 4xx, or a 2xx without the data it promises.

    Retryable only in the last case, and there only because the calls that promise data are reads.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        super().__init__(message, status=status, retry_after=retry_after, rate_limit=rate_limit)
        self.retryable = status is not None and 200 <= status < 300  # noqa: PLR2004  # HTTP's own


class InvalidReason(StrEnum):
    """Why an input was refused: stable codes, fit for counting and for a reason column."""

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
        reason: the code.
        name: the attribute, property or field concerned. Kept out of the text, since names can
            come from a partner's form.
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
    """A user identifier Braze would refuse."""


class InvalidAttributeError(InvalidInputError):
    """An attribute Braze would refuse, or lose without saying so."""


class InvalidEventError(InvalidInputError):
    """An event name, time or property Braze would refuse or lose."""


class InvalidRequestError(InvalidInputError):
    """A request that breaks a rule of its endpoint."""


class InvalidEndpointError(InvalidInputError):
    """An instance or address that is not a REST endpoint of Braze."""


InputArray: TypeAlias = Literal["attributes", "events", "purchases"]


@dataclass(frozen=True, slots=True)
class ObjectError:
    """Braze's complaint about one object of a `/users/track` request.

    Attributes:
        input_array: which array, None if Braze does not say (or says something new).
        index: 0-based in that array as sent; None likewise.
        type: Braze's text, cleaned. To show, never to decide by: the documents list codes, the
            live API sends sentences.
    """

    input_array: InputArray | None
    index: int | None
    type: str
