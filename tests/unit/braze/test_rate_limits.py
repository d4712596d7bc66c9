"""Every dialect of Braze's rate-limit headers."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_bridge.braze.rate_limits import RateLimit, parse_rate_limit, parse_retry_after

NOW = 1_763_812_800.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="no headers"),
        pytest.param(
            {"X-RateLimit-Limit": "", "X-RateLimit-Remaining": "", "X-RateLimit-Reset": ""},
            None,
            id="empty, as on a 401",
        ),
        pytest.param(
            {
                "X-Ratelimit-Limit": "250000",
                "X-Ratelimit-Remaining": "249986",
                "X-Ratelimit-Reset": str(int(NOW) + 120),
            },
            RateLimit(250_000, 249_986, NOW + 120),
            id="epoch",
        ),
        pytest.param(
            {
                "x-ratelimit-limit": "100",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": "1800",
            },
            RateLimit(100, 0, NOW + 1800),
            id="lower case, seconds remaining",
        ),
        pytest.param(
            {"X-RATELIMIT-RESET": f"{int(NOW) + 60}000"},
            RateLimit(None, None, NOW + 60),
            id="epoch in milliseconds",
        ),
        pytest.param(
            {"X-RateLimit-Reset": str(int(NOW) - 5)},
            RateLimit(None, None, NOW),
            id="a reset already past is now",
        ),
        pytest.param(
            {"X-RateLimit-Limit": " 10 ", "X-RateLimit-Remaining": "-1"},
            RateLimit(10, None, None),
            id="what cannot be read is left out",
        ),
        pytest.param({"X-RateLimit-Limit": "٣"}, None, id="only ASCII digits are digits"),
        pytest.param({"X-RateLimit-Reset": "9" * 19}, None, id="absurd"),
    ],
)
def test_rate_limit_headers(headers: dict[str, str], expected: RateLimit | None) -> None:
    """Limit, remaining and reset are read in any case and unit; each may be empty."""
    assert expected == parse_rate_limit(headers, NOW)


@pytest.mark.parametrize(
    ("headers", "is_429", "expected"),
    [
        ({}, True, None),
        ({"X-Ratelimit-Retry-After": "7"}, True, 7),
        ({"x-ratelimit-retry-after": "7", "Retry-After": "9"}, True, 7),
        ({"X-Ratelimit-Retry-After": "", "Retry-After": "9"}, True, 9),
        ({"Retry-After": "1.5"}, False, 1.5),
        ({"Retry-After": formatdate(NOW + 90, usegmt=True)}, False, 90),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, False, None),
        ({"Retry-After": "Mon, 1 Jan 2027 07:00:00 +9999999999999"}, False, None),
        ({"Retry-After": "0"}, False, None),
        ({"Retry-After": "tomorrow"}, False, None),
        ({"Retry-After": "-5"}, False, None),
        ({"Retry-After": "99999999"}, False, None),
        ({"Retry-After": "", "X-RateLimit-Reset": "30"}, True, 30),
        ({"X-RateLimit-Reset": str(int(NOW) + 30)}, True, 30),
        ({"X-RateLimit-Reset": str(int(NOW) - 30)}, True, 1),
        ({"X-RateLimit-Reset": str(int(NOW) - 61)}, True, None),
        ({"X-RateLimit-Reset": str(int(NOW))}, True, 1),
        ({"X-RateLimit-Reset": "0"}, True, 1),
        ({"X-RateLimit-Reset": f"{int(NOW)}000"}, True, 1),
        ({"X-Ratelimit-Retry-After": "0"}, True, 1),
        ({"Retry-After": "0"}, True, 1),
        ({"Retry-After": formatdate(NOW, usegmt=True)}, True, 1),
        ({"Retry-After": "500000"}, True, 3_660),
        ({"X-RateLimit-Reset": str(int(NOW) + 500_000)}, True, 3_660),
        ({"Retry-After": "500000"}, False, 3_660),
        ({"X-RateLimit-Reset": "30"}, False, None),
    ],
)
def test_retry_after(headers: dict[str, str], is_429: bool, expected: float | None) -> None:
    """Braze's header comes first, then the standard one, then the reset.

    A 429 whose window ends now waits for a second. No wait is longer than 61 minutes.
    """
    assert expected == parse_retry_after(headers, NOW, is_429=is_429)


NAMES = st.sampled_from(
    [
        "X-RateLimit-Limit",
        "x-ratelimit-remaining",
        "X-Ratelimit-Reset",
        "X-Ratelimit-Retry-After",
        "Retry-After",
    ]
)
VALUES = st.one_of(
    st.text(),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(lambda moment: f"{moment:%a, %d %b} {moment.year} {moment:%H:%M:%S} GMT"),
    st.from_regex(
        r"\A(Mon, )?[0-9]{1,12} (Jan|Feb) [0-9]{1,12} [0-9:]{1,9} ([+-][0-9]{1,9}|GMT)\Z"
    ),
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.dictionaries(NAMES, VALUES), st.floats(0, 1e11))
def test_any_header_is_survived(headers: dict[str, str], now: float) -> None:
    """No header value raises, and no number read from one is negative or infinite."""
    limit = parse_rate_limit(headers, now)
    wait = parse_retry_after(headers, now, is_429=True)

    assert wait is None or 0 < wait <= 3_660
    numbers = [wait] if limit is None else [wait, limit.limit, limit.remaining, limit.reset_at]
    assert all(number is None or 0 <= number < math.inf for number in numbers)
