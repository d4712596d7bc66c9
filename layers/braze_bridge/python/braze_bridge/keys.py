"""Functions that read a key at each call and do not keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.braze.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.aws.secrets import SecretSource

SHORTEST_HASHING_KEY: Final = 16
"""Characters. A shorter secret can be guessed, and with it the input of every hash."""

LONGEST_FINGERPRINT_KEY: Final = 64
"""Bytes: the longest key that BLAKE2b takes (RFC 7693)."""


def braze_key(secret: SecretSource) -> Callable[[], str]:
    """Make a function that reads Braze's key.

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
    """Make a function that reads Quikly's key: ``""``, which the client refuses, if it cannot."""

    def key() -> str:
        try:
            return secret.get().current
        except SecretUnavailableError:
            return ""

    return key


def claims_key(secret: SecretSource) -> Callable[[], bytes]:
    """Make a function that reads the key of the claimants' hashes and the draws' seeds.

    The key must never change.

    Raises:
        SecretUnavailableError: (The returned function.) The secret cannot be read, or is too short.
    """
    return lambda: _hashing_key(secret, "the claims secret is not set")


def fingerprint_key(secret: SecretSource) -> Callable[[], bytes]:
    """Make a function that reads the key of the ledger's fingerprints, which must never change.

    Raises:
        SecretUnavailableError: As for :func:`claims_key`.
    """
    return lambda: _hashing_key(secret, "the ledger's key is not set")[:LONGEST_FINGERPRINT_KEY]


def _hashing_key(secret: SecretSource, problem: str) -> bytes:
    text = secret.get().current
    if len(text) < SHORTEST_HASHING_KEY:
        raise SecretUnavailableError(problem)
    return text.encode()
