"""When to try a failed call again: one pure rule. Its answer becomes SQS visibility."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.errors import BrazeError

BASE_SECONDS: Final = 1.0
CAP_SECONDS: Final = 900.0
"""Our own backoff ends at the longest delay one SQS message can have."""

_MAX_DOUBLINGS: Final = 30  # far beyond the cap; keeps the power a small number


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """What to do about a failed call.

    Attributes:
        retry: whether to try the same request again.
        delay: seconds to wait before it; 0 when not trying again.
    """

    retry: bool
    delay: float


GIVE_UP: Final = RetryDecision(retry=False, delay=0.0)


def decide(error: BrazeError, attempt: int, jitter: Callable[[], float]) -> RetryDecision:
    """Decide about one failed attempt.

    Braze's own time wins and is never shortened, not even by the cap: a request sent earlier
    would be refused again and count against the limit. Otherwise exponential backoff with full
    jitter, as docs/api/errors asks for on 5xx.

    It does not know whether repeating is harmless: see `BrazeError.outcome_unknown`.

    Args:
        error: of that attempt.
        attempt: how many attempts were made so far, that one included; counts from 1.
        jitter: a fresh random number in [0, 1) at each call.

    Returns:
        The decision. It has no memory and no limit of attempts: that is the caller's.
    """
    if not error.retryable:
        return GIVE_UP
    if error.retry_after is not None:
        return RetryDecision(retry=True, delay=max(0.0, error.retry_after))
    return RetryDecision(retry=True, delay=backoff(attempt, jitter))


def backoff(attempt: int, jitter: Callable[[], float]) -> float:
    """Seconds before the next attempt: a random share of min(900, 2^(attempt-1)).

    Args:
        attempt: attempts made so far; below 1 counts as 1.
        jitter: a fresh random number in [0, 1) at each call.
    """
    doublings = min(max(attempt, 1) - 1, _MAX_DOUBLINGS)
    return min(CAP_SECONDS, BASE_SECONDS * 2.0**doublings) * jitter()
