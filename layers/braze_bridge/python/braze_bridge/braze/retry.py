"""When to try a failed call again. Pure: the caller waits, for example by SQS visibility."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.errors import BrazeError

BASE_SECONDS: Final = 1.0
CAP_SECONDS: Final = 900.0
"""The longest delay of one SQS message."""

_MAX_DOUBLINGS: Final = 30  # far beyond the cap; keeps the power a small number


def retry_delay(error: BrazeError, attempts: int, jitter: Callable[[], float]) -> float | None:
    """Compute the wait after a failed attempt.

    Braze's own time is never shortened, not even to the cap: an earlier request would be refused
    again and count against the limit. Without one, it is exponential backoff with full jitter, as
    docs/api/errors asks for on 5xx. The number of attempts has no limit here. Whether a repeat is
    harmless, `BrazeError.outcome_unknown` tells.

    Args:
        error: of that attempt.
        attempts: made so far.
        jitter: a new random number in [0, 1) at each call.

    Returns:
        Seconds; None if the same request cannot succeed.
    """
    if not error.retryable:
        return None
    if error.retry_after is not None:
        return max(0.0, error.retry_after)
    return backoff(attempts, jitter)


def backoff(attempts: int, jitter: Callable[[], float]) -> float:
    """Compute the seconds before the next attempt: a random share of min(900, 2^(attempts-1)).

    Args:
        attempts: made so far; below 1 counts as 1.
        jitter: a new random number in [0, 1) at each call.
    """
    doublings = min(max(attempts, 1) - 1, _MAX_DOUBLINGS)
    return min(CAP_SECONDS, BASE_SECONDS * 2.0**doublings) * jitter()
