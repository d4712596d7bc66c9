"""The claims secret: keys the claimants' hashes and the seeds, so it must never change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.settings import SecretUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.settings import SecretSource

_SHORTEST: Final = 16


def claims_key(secret: SecretSource) -> Callable[[], bytes]:
    """The secret as a key.

    Raises:
        SecretUnavailableError: (The returned function.) It cannot be read, or is too short to be
            one.
    """

    def key() -> bytes:
        text = secret.get().current
        if len(text) < _SHORTEST:
            raise SecretUnavailableError("the claims secret is not set")
        return text.encode()

    return key
