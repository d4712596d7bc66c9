"""Read Braze's rate-limit headers, in every dialect. It never fails."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")

_EPOCH_FROM: Final = 1e9
_EPOCH_MILLISECONDS_FROM: Final = 1e11
_LONGEST_WAIT: Final = 7 * 86_400.0
"""A wait over a week is misread."""

LONGEST_RETRY_AFTER: Final = 3_660.0
"""Braze's windows end with the clock hour at the latest; the minute is for clocks that differ."""

_JUST_PAST: Final = 60.0
"""A time that is past by more says nothing of this window."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The rate-limit headers of one answer.

    Attributes:
        limit: requests allowed in the window.
        remaining: requests left in the window; approximate on MAU contracts.
        reset_at: end of the window, epoch seconds.
    """

    limit: int | None
    remaining: int | None
    reset_at: float | None


def parse_rate_limit(headers: Mapping[str, str], now: float) -> RateLimit | None:
    """Read `X-RateLimit-Limit`, `-Remaining` and `-Reset`, in any case.

    Reset is an epoch on most endpoints (docs/api/api_limits) and seconds from now on /users/track
    of MAU contracts (post_user_track). Over 1e9 it is an epoch. On a 401 all three are empty
    strings.

    Args:
        headers: of the answer.
        now: epoch seconds.

    Returns:
        What is readable, never negative; None if nothing is.
    """
    found = {name.lower(): value for name, value in headers.items()}
    limit = _whole_number(found.get("x-ratelimit-limit"))
    remaining = _whole_number(found.get("x-ratelimit-remaining"))
    wait = _seconds_from(_decimal(found.get("x-ratelimit-reset")), now)
    if wait is not None and wait > _LONGEST_WAIT:
        wait = None
    if limit is None and remaining is None and wait is None:
        return None
    return RateLimit(limit, remaining, None if wait is None else now + max(0.0, wait))


def parse_retry_after(
    headers: Mapping[str, str], now: float, *, is_429: bool = False
) -> float | None:
    """Read how long Braze asks to wait, from the first of these headers.

    `X-Ratelimit-Retry-After`: seconds. On a 429 of MAU contracts it replaces the other three
    (post_user_track). `Retry-After`: seconds or a date. It is undocumented for this API, but
    proxies in front of Braze send it. For a 429, the reset; of other answers the reset is not about
    the request.

    A 429 whose time is 0 or just past means a second: the window ends now. Other errors name no
    such time: their repeats back off.

    Args:
        headers: of the answer, names in any case.
        now: epoch seconds.
        is_429: of the answer.

    Returns:
        Seconds, over 0 and up to 61 minutes; None if there is no such time.
    """
    found = {name.lower(): value for name, value in headers.items()}
    retry_after = found.get("retry-after", "")
    named = (
        _decimal(found.get("x-ratelimit-retry-after")),
        _decimal(retry_after),
        _wait_until_date(retry_after, now) if retry_after else None,
        _seconds_from(_decimal(found.get("x-ratelimit-reset")), now) if is_429 else None,
    )
    for wait in named:
        if wait is not None and 0 < wait <= _LONGEST_WAIT:
            return min(wait, LONGEST_RETRY_AFTER)
        if wait is not None and is_429 and -_JUST_PAST <= wait <= 0:
            return 1.0
    return None


def _decimal(text: str | None) -> float | None:
    text = (text or "").strip()
    return float(text) if _DECIMAL.fullmatch(text) else None


def _whole_number(text: str | None) -> int | None:
    number = _decimal(text)
    return None if number is None else int(number)


def _seconds_from(reset: float | None, now: float) -> float | None:
    """Turn a reset in any dialect into seconds from now; negative if it is past."""
    if reset is None or reset <= _EPOCH_FROM:
        return reset
    return (reset / 1000 if reset > _EPOCH_MILLISECONDS_FROM else reset) - now


def _wait_until_date(text: str, now: float) -> float | None:
    # Imported here: email.utils loads slower than this module, and Braze's own headers are numbers.
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text.strip())
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
