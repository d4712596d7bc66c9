"""Where the sandbox may be served."""

import pytest

from sandbox.server import NotLoopbackError, bind_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", ""])  # noqa: S104 -- refused
def test_other_addresses_are_refused(host: str) -> None:
    """Nothing but loopback is bound, before a socket is opened."""
    with pytest.raises(NotLoopbackError):
        bind_loopback(host, 0)
