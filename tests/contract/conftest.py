"""Contracts are checked against files: no sockets."""

from __future__ import annotations

from pytest_socket import disable_socket


def pytest_runtest_setup() -> None:
    """Unix sockets stay: an event loop wakes itself through one."""
    disable_socket(allow_unix_socket=True)
