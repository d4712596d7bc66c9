"""One sandbox for the whole session, on loopback, reset before each test."""

from collections.abc import Iterator

import pytest

from sandbox.server import Sandbox, running
from tests.functional.sandbox.caller import KEY, NOW, Caller, SteppingClock


@pytest.fixture(scope="session")
def served() -> Iterator[Caller]:
    clock = SteppingClock()
    with running(Sandbox(key=KEY, quikly_key="quikly-key", clock=clock)) as url:
        caller = Caller(url, clock)
        yield caller
        caller.session.close()


@pytest.fixture
def braze(served: Caller) -> Caller:
    """The sandbox as after a start, at noon of the day."""
    served.clock.now = NOW
    served.control("reset", {})
    return served
