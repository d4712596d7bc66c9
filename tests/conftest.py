"""Settings for every suite, and the tests' distribution among workers."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.local_stack import stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdist.remote import Producer

__all__ = ["stack"]  # here, so that all tests share one stack

# Machines are noisy, so an example may take any time. A failure prints how to repeat it.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

# The template sets it for every function; without it no handler can write its metrics.
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "BrazeBridge/tests")

NEED_A_STACK = ("tests/e2e/", "tests/browser/", "tests/campaign/test_api_fuzz.py")

EACH_ALONE = "tests/campaign/test_delivery_faults.py"
"""Each of its tests takes a minute."""


class _OneWorkerForTheStack(LoadFileScheduling):
    """Gives the tests of the local stack to one worker, in order, and most others file by file.

    A second stack would cost two cores 35 s, and the tests of one stack reset each other's state.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(NEED_A_STACK):
            return "stack"
        return nodeid if nodeid.startswith(EACH_ALONE) else super()._split_scope(nodeid)


@pytest.fixture(autouse=True)
def _collected_garbage() -> Iterator[None]:
    """Delivery switches the collector off when it is built; the tests' process must not grow."""
    yield
    if not gc.isenabled():
        gc.unfreeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Distribute the tests among the workers of ``make test``."""
    return _OneWorkerForTheStack(config, log)
