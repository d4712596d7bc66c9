"""Rate limits: fixed windows, and the headers' dialects (reference §1.9)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Dialect = Literal["seconds", "epoch"]

_SHARED = "default"
FAMILIES = {
    "/users/track": "users.track",
    "/users/export/ids": "users.export.ids",
    "/subscription/status/get": _SHARED,
    "/subscription/user/status": _SHARED,
    "/kpi/mau/data_series": _SHARED,
    "/kpi/dau/data_series": _SHARED,
    "/kpi/new_users/data_series": _SHARED,
    "/email/status": _SHARED,
    "/email/unsubscribes": _SHARED,
    "/messages/send": _SHARED,
    "/campaigns/trigger/send": _SHARED,
    "/canvas/trigger/send": _SHARED,
    "/events/list": "names",
    "/custom_attributes": "names",
    "/subscription/status/set": "subscription.status.set",
    "/v2/subscription/status/set": "subscription.status.set",
    "/users/alias/new": "users",
    "/users/alias/update": "users",
    "/users/identify": "users",
    "/users/merge": "users",
    "/users/delete": "users",
    "/users/external_ids/rename": "users.external_ids.rename",
    "/users/external_ids/remove": "users.external_ids.remove",
}
"""Which endpoints share a limit (reference §1.9, §2, §3, §4; https://www.braze.com/docs/api/api_limits).

Braze has a smaller limit for messages to whole audiences. The stand-in does not count them apart.
"""


class Limit(NamedTuple):
    """A number of requests in a number of seconds."""

    requests: int
    seconds: float


DOCUMENTED = {
    "users.track": Limit(3_000, 3),
    "users.export.ids": Limit(250, 60),
    "subscription.status.set": Limit(5_000, 60),
    "users": Limit(20_000, 60),
    "users.external_ids.rename": Limit(1_000, 60),
    "users.external_ids.remove": Limit(1_000, 60),
    "names": Limit(1_000, 3_600),
    _SHARED: Limit(250_000, 3_600),
}
"""The limits in the headers while none is set; not enforced."""


class Bound(NamedTuple):
    """A limit and its counter."""

    counter: str
    limit: Limit
    is_enforced: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """The caller's state under a limit, after a request.

    Attributes:
        limit: Requests per window of the longest limit.
        remaining: Requests left in it.
        resets_at: When the window ends, epoch seconds; of the exhausted one if refused.
        is_refused: Whether the request is over a limit.
    """

    limit: int
    remaining: int
    resets_at: float
    is_refused: bool


class FixedWindows:
    """Counts requests in windows that start on the clock, not with the first request."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, float], tuple[int, int]] = {}

    def look(self, bound: Bound, now: float) -> Standing:
        """Return a counter's state without counting."""
        window, count = self._count(bound, now)
        remaining = max(bound.limit.requests - count, 0)
        resets_at = (window + 1) * bound.limit.seconds
        is_refused = bound.is_enforced and not remaining
        return Standing(bound.limit.requests, remaining, resets_at, is_refused)

    def _count(self, bound: Bound, now: float) -> tuple[int, int]:
        """Return the window that now lies in, and what was counted in it."""
        window = math.floor(now / bound.limit.seconds)
        known, count = self._counts.get((bound.counter, bound.limit.seconds), (window, 0))
        return window, count if known == window else 0

    def admit(self, bounds: Sequence[Bound], now: float) -> Standing:
        """Count one request, unless a limit is reached.

        Args:
            bounds: At least one limit; the headers show the longest.

        Returns:
            The standing after this request.
        """
        states = [(bound, *self._count(bound, now)) for bound in bounds]
        exhausted = [
            (bound, window)
            for bound, window, count in states
            if bound.is_enforced and count >= bound.limit.requests
        ]
        told, told_window, told_count = max(states, key=lambda state: state[0].limit.seconds)
        if exhausted:
            resets_at = max((window + 1) * bound.limit.seconds for bound, window in exhausted)
            return Standing(told.limit.requests, 0, resets_at, is_refused=True)
        for bound, window, count in states:
            self._counts[bound.counter, bound.limit.seconds] = (window, count + 1)
        return Standing(
            told.limit.requests,
            max(told.limit.requests - told_count - 1, 0),
            (told_window + 1) * told.limit.seconds,
            is_refused=False,
        )


def rate_limit_headers(standing: Standing, dialect: Dialect, now: float) -> dict[str, str]:
    """Write the rate-limit headers.

    Args:
        dialect: `epoch`, as normal endpoints write the reset; `seconds`, as `/users/track` does
            on MAU contracts, where a 429 has only `X-Ratelimit-Retry-After`.

    Returns:
        Headers by lower-case name.
    """
    seconds = max(math.ceil(standing.resets_at - now), 1)
    if dialect == "seconds" and standing.is_refused:
        return {"x-ratelimit-retry-after": str(seconds)}
    reset = seconds if dialect == "seconds" else math.ceil(standing.resets_at)
    return {
        "x-ratelimit-limit": str(standing.limit),
        "x-ratelimit-remaining": str(standing.remaining),
        "x-ratelimit-reset": str(reset),
    }
