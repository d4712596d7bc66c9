"""Signed links: a signature beside an identifier proves who made the link.

A respondent can change a link, or type somebody else's address into a form. The signature is
HMAC-SHA-256 of the identifier, under a key that only the makers of links have. Braze's Liquid makes
it with ``hmac_sha256_hex``
(https://www.braze.com/docs/user_guide/personalization_and_dynamic_content/liquid/advanced_filters).
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from braze_bridge.aws.secrets import SecretSource

    SignatureCheck = Callable[[str, str, object], bool]
    """Takes an identifier's kind and value, and what stands where the signature should be."""


def sign(key: str, kind: str, value: str) -> str:
    """Make the signature of an identifier: 64 hexadecimal digits."""
    text = f"{kind}:{value}".encode("utf-8", "surrogatepass")
    return hmac.new(key.encode(), text, "sha256").hexdigest()


def is_signed(keys: Sequence[str], kind: str, value: str, given: object) -> bool:
    """Check a signature with each key, in constant time."""
    if not isinstance(given, str):
        return False
    text = given.strip().lower().encode("utf-8", "surrogatepass")
    fits = [hmac.compare_digest(text, sign(key, kind, value).encode()) for key in keys if key]
    return any(fits)


def check_with(secret: SecretSource) -> SignatureCheck:
    """Make a check with the current and the previous key.

    It reads no secret for an identifier without a signature. A signature that fits neither key may
    be of a newer key, so the secret is read again, as for a token.

    Raises:
        SecretUnavailableError: (The returned function.) The secret cannot be read.
    """

    def fits(kind: str, value: str, given: object) -> bool:
        if not any_signature_fits(kind, value, given):
            return False
        return is_signed(secret.get().accepted, kind, value, given) or is_signed(
            secret.refresh().accepted, kind, value, given
        )

    return fits


def no_signature_fits(_kind: str, _value: str, _given: object) -> bool:
    """Refuse every signature: for a caller that has no key."""
    return False


def any_signature_fits(_kind: str, _value: str, given: object) -> bool:
    """Take every signature that is there: for a preview, which has no key."""
    return isinstance(given, str) and bool(given.strip())
