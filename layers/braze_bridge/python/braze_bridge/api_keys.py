"""The ways to the keys we call others with: read when a call is made, never kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from braze_bridge.braze.errors import AuthenticationError
from braze_bridge.settings import SecretUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.settings import SecretSource


def braze_key(secret: SecretSource) -> Callable[[], str]:
    """A way to Braze's key that fails as Braze would: without a key, nothing can be delivered.

    Raises:
        AuthenticationError: (The returned function.) There is no key, or it cannot be read.
    """

    def key() -> str:
        try:
            current = secret.get().current
        except SecretUnavailableError:
            raise AuthenticationError("the Braze key could not be read") from None
        if not current:
            raise AuthenticationError("no Braze key is set")
        return current

    return key


def quikly_key(secret: SecretSource) -> Callable[[], str]:
    """A way to Quikly's key; empty where there is none to read, which Quikly's client refuses."""

    def key() -> str:
        try:
            return secret.get().current
        except SecretUnavailableError:
            return ""

    return key
