"""Unit tests open no sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_socket import disable_socket

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_runtest_setup() -> None:
    """Unix sockets stay: an event loop wakes itself through one."""
    disable_socket(allow_unix_socket=True)


@pytest.fixture(scope="session", autouse=True)
def _no_metadata_service() -> Iterator[None]:
    """A client made without credentials would ask the network for some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield
