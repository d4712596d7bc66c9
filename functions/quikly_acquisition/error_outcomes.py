"""What an error of Braze or Quikly means for an action: pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
)
from quikly_acquisition.actions import Held, Observation, OutcomeUnknown, Refused, TryAgain

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.quikly import QuiklyError

CLOSING_SECONDS: Final = 60.0
"""How long no call is made if Braze or Quikly refuses and names no time."""

MAX_REFUSALS: Final = 3
"""How often Braze may refuse one object without a stated reason before the object counts as the
cause."""

KEY_REASONS: Final = frozenset({"key_refused", "permission_missing"})
"""Closings that only a person with access to Braze can end."""

WRONG_ADDRESS: Final = timedelta(days=1)
"""How long a 404, redirect or the like of Quikly's is retried: a mistyped ``QuiklyApiUrl`` must not
fail the acquisitions of that time."""

_ABOUT_THE_CALL: Final = frozenset({400, 409, 410, 422})
"""Quikly's refusals of this one call."""

_UNKNOWN_GROUP: Final = "invalid subscription group"


class Closing(NamedTuple):
    """Why a gate closes.

    Attributes:
        scope: ``family`` for the endpoint's own, ``all`` for every one.
        reason: As :meth:`braze_bridge.gate.port.Gate.close` takes it.
    """

    scope: Literal["family", "all"]
    until: datetime
    reason: str


class ErrorOutcome(NamedTuple):
    """What an error means for the action, and for the gate."""

    observation: Observation
    closing: Closing | None = None


def braze_outcome(error: BrazeError, now: datetime) -> ErrorOutcome:
    """Read an error of any of Braze's endpoints; ``now`` is the time of the answer."""
    if isinstance(error, BadRequestError):
        is_group = _UNKNOWN_GROUP in error.message.lower()
        return ErrorOutcome(Refused("unknown_group" if is_group else "braze_refused", str(error)))
    if isinstance(error, PayloadTooLargeError):
        return ErrorOutcome(Refused("braze_refused", str(error)))
    closing = _closing(error, now)
    if closing is not None:
        return ErrorOutcome(Held(closing.until, closing.reason), closing)
    detail = "no_answer" if error.status is None else str(error.status)
    return ErrorOutcome(TryAgain(detail, after=error.retry_after))


def _closing(error: BrazeError, now: datetime) -> Closing | None:
    until = _until(error, now)
    if isinstance(error, RateLimitedError):
        return Closing("family", until, "rate_limited")
    if isinstance(error, AuthenticationError):
        return Closing("all", until, "key_refused")
    if isinstance(error, PermissionDeniedError):
        return Closing("family", until, "permission_missing")
    if error.retryable:
        return None
    # A wrong address, a redirect, a refused content type: no person's data causes these.
    return Closing("family", until, "requests_refused")


def quikly_outcome(error: QuiklyError, now: datetime) -> Observation:
    """Read an error of Quikly's."""
    if error.key_refused:
        return Held(_until(error, now), "quikly_key_refused")
    if error.outcome_unknown:
        return OutcomeUnknown("no_answer" if error.status is None else str(error.status))
    if error.retryable:
        detail = "quikly" if error.status is None else f"quikly_{error.status}"
        return TryAgain(detail, after=error.retry_after)
    if error.status in _ABOUT_THE_CALL:
        return Refused("credit_refused", str(error))
    return TryAgain(f"quikly_{error.status}", longest=WRONG_ADDRESS, reason="credit_refused")


def _until(error: BrazeError | QuiklyError, now: datetime) -> datetime:
    seconds = CLOSING_SECONDS if error.retry_after is None else error.retry_after
    return now + timedelta(seconds=seconds)
