"""The template, transformed once; no sockets."""

from __future__ import annotations

import pytest
from pytest_socket import disable_socket

from tests.infra.template import Template, default_template


def pytest_runtest_setup() -> None:
    """The transform and cfn-lint work offline, and must go on doing so."""
    disable_socket(allow_unix_socket=True)


@pytest.fixture
def template() -> Template:
    return default_template()
