"""The keys for our calls: they are read at each call, and may be missing."""

from __future__ import annotations

import pytest

from braze_bridge.braze.errors import AuthenticationError
from braze_bridge.keys import braze_key, quikly_key
from tests.fakes.secret import FixedSecret


def test_a_key_is_read_when_it_is_asked_for() -> None:
    """Not before, and each time."""
    secret = FixedSecret("k")
    for way in (braze_key(secret), quikly_key(secret)):
        reads = secret.reads
        assert (way(), way()) == ("k", "k")
        assert secret.reads == reads + 2


@pytest.mark.parametrize("unavailable", [True, False])
def test_without_a_key_braze_is_as_if_it_had_refused_it_and_quiklys_is_empty(
    unavailable: bool,
) -> None:
    """Both clients then treat the key as refused."""
    secret = FixedSecret("")
    secret.unavailable = unavailable
    with pytest.raises(AuthenticationError):
        braze_key(secret)()
    assert quikly_key(secret)() == ""
