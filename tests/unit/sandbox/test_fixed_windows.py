"""Fixed windows and the headers' dialects (reference §1.9)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.braze.limits import Bound, FixedWindows, Limit, Standing, rate_limit_headers


@given(
    st.lists(st.floats(0, 5), max_size=60),
    st.integers(0, 5),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_no_window_holds_more_than_its_limit(
    steps: list[float],
    requests: int,
    seconds: float,
) -> None:
    """Whenever requests come, no window on the clock admits more than the limit, or fewer."""
    windows, now = FixedWindows(), 1_000.0
    bound = Bound("track", Limit(requests, seconds), is_enforced=True)
    admitted: dict[int, int] = {}
    for step in steps:
        now += step
        window = int(now // seconds)
        standing = windows.admit([bound], now)
        expected = admitted.get(window, 0) < requests
        assert standing.is_refused is not expected
        assert now < standing.resets_at <= now + seconds
        if expected:
            admitted[window] = admitted.get(window, 0) + 1
            assert standing.remaining == requests - admitted[window]


def test_refused_requests_do_not_count() -> None:
    """A request one limit refuses uses nothing of the other."""
    windows = FixedWindows()
    bounds = [
        Bound("a", Limit(1, 1), is_enforced=True),
        Bound("b", Limit(3, 3_600), is_enforced=True),
    ]

    standings = [windows.admit(bounds, now) for now in (0, 0.5, 1, 2, 3)]

    assert [standing.is_refused for standing in standings] == [False, True, False, False, True]
    assert standings[1].resets_at == 1
    assert standings[4].resets_at == 3_600


@pytest.mark.parametrize(
    ("dialect", "is_refused", "headers"),
    [
        (
            "epoch",
            False,
            {
                "x-ratelimit-limit": "9",
                "x-ratelimit-remaining": "4",
                "x-ratelimit-reset": "1003",
            },
        ),
        (
            "seconds",
            False,
            {"x-ratelimit-limit": "9", "x-ratelimit-remaining": "4", "x-ratelimit-reset": "3"},
        ),
        (
            "epoch",
            True,
            {
                "x-ratelimit-limit": "9",
                "x-ratelimit-remaining": "4",
                "x-ratelimit-reset": "1003",
            },
        ),
        ("seconds", True, {"x-ratelimit-retry-after": "3"}),
    ],
)
def test_dialects(dialect: str, is_refused: bool, headers: dict[str, str]) -> None:
    """The reset is an epoch or the seconds left, rounded up so that no client comes too early."""
    standing = Standing(9, 4, 1_002.5, is_refused)

    assert rate_limit_headers(standing, "epoch" if dialect == "epoch" else "seconds", 1_000.2) == (
        headers
    )
