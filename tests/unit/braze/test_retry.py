"""When a failed call is tried again, and after how long."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    ConnectFailedError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
    UnknownOutcomeError,
    UnsupportedMediaTypeError,
)
from braze_bridge.braze.retry import CAP_SECONDS, backoff, retry_delay


@pytest.mark.parametrize(
    "error",
    [
        BadRequestError("", status=400),
        AuthenticationError("", status=401, retry_after=5),
        PermissionDeniedError("", status=403),
        NotFoundError("", status=404),
        PayloadTooLargeError("", status=413),
        UnsupportedMediaTypeError("", status=415),
        UnexpectedResponseError("", status=302),
        UnexpectedResponseError("", status=409),
    ],
)
def test_the_permanent_is_given_up(error: BrazeError) -> None:
    """A permanent error is not tried again, with any headers."""
    assert retry_delay(error, 1, lambda: 0.5) is None


@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError("", status=429),
        ServerError("", status=500),
        ServerError("", status=408),
        ConnectFailedError(""),
        UnknownOutcomeError(""),
    ],
)
@pytest.mark.parametrize(
    ("attempt", "whole"), [(-3, 1), (1, 1), (2, 2), (3, 4), (10, 512), (11, 900), (10_000, 900)]
)
def test_backoff_doubles_up_to_the_cap(error: BrazeError, attempt: int, whole: float) -> None:
    """Without a time from Braze the wait is a random share of a doubling time, at most 900 s."""
    assert retry_delay(error, attempt, lambda: 0.5) == whole / 2


def test_no_wait_is_kept_too() -> None:
    """A wait of 0 is kept."""
    assert retry_delay(ServerError("", retry_after=0.0), 9, lambda: 0.5) == 0


def test_jitter_is_full() -> None:
    """The random number is the share of the wait."""
    error = ServerError("", status=503)

    assert retry_delay(error, 4, lambda: 0.0) == 0
    assert retry_delay(error, 4, lambda: 0.75) == 6


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.floats(0, 1e6),
    st.integers(-10, 10_000),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([RateLimitedError, ServerError]),
)
def test_brazes_time_is_kept(
    wait: float, attempt: int, random: float, kind: type[BrazeError]
) -> None:
    """A time that Braze asks for is neither shortened, nor jittered, nor capped."""
    assert retry_delay(kind("", retry_after=wait), attempt, lambda: random) == wait


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(-10, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_stays_in_its_bounds(attempt: int, random: float) -> None:
    """Our own waits are never negative and never over the cap."""
    assert 0 <= backoff(attempt, lambda: random) <= CAP_SECONDS
