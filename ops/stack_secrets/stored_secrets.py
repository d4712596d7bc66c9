"""The stack's secrets in Secrets Manager: read, set, rotated, retired, revoked; never logged."""

from __future__ import annotations

import secrets as randomness
import string
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError

from braze_bridge.aws.secrets import SecretPair, SecretsManagerSource
from ops.stack.errors import aws_errors

if TYPE_CHECKING:
    from datetime import datetime

    from ops.stack.access import SecretsAccess
    from ops.stack.secret_names import SecretName

PATHS: Final[dict[SecretName, str]] = {
    "braze": "braze",
    "outgrow": "partner/outgrow",
    "iterate": "partner/iterate",
    "quikly": "partner/quikly",
    "braze-webhook": "partner/braze-webhook",
    "quikly-api": "quikly-api",
}
"""Path of each secret below the stack's name."""

TOKEN_CHARS: Final = 48
_ALPHABET: Final = string.ascii_letters + string.digits
"""As the template makes tokens: they fit a header and a URL without escaping."""

LEDGER_PATH: Final = "ledger"
"""Keys the ledger's hashes. It is never set or rotated, so the command line has no name for it."""

CLAIMS_PATH: Final = "claims"
"""Keys the claimants' hashes and the seeds of draws. It is never set or rotated either."""


def link_path(partner: str) -> str:
    """Return the path of the key that signs a partner's links. Only signed partners have one."""
    return f"partner/{partner}-link"


class StoredPair(NamedTuple):
    """Both values of a secret, and since when the secret holds them."""

    values: SecretPair
    since: datetime


class SecretAccessError(Exception):
    """The secret could not be read or written. The text says why, without the secret."""


def secret_id(stack: str, name: SecretName) -> str:
    """Return the secret's name in Secrets Manager, such as ``bridge-dev/partner/outgrow``."""
    return f"{stack}/{PATHS[name]}"


def source_of(secrets: SecretsAccess, path: str) -> SecretsManagerSource:
    """Return a secret that commands only use, such as :data:`LEDGER_PATH`."""
    return SecretsManagerSource(f"{secrets.stack}/{path}", lambda: secrets.client)


def is_token(name: SecretName) -> bool:
    """Check for a token of ours, which callers send; the others are keys of other services."""
    return PATHS[name].startswith("partner/")


def new_token() -> str:
    """Make a random token: 285 bits."""
    return "".join(randomness.choice(_ALPHABET) for _ in range(TOKEN_CHARS))


def current(secrets: SecretsAccess, name: SecretName) -> str:
    """Read a secret's current value.

    Raises:
        SecretAccessError: There is no such secret, or it cannot be read.
    """
    return pair(secrets, name).current


def set_current(secrets: SecretsAccess, name: SecretName, value: str) -> None:
    """Make a value the current one.

    No ``previous`` is kept. Of a key only one is ever sent; a revoked token must not count.
    Functions read a new key within five minutes, a new token within one. If Braze refused the old
    key, they read it at their next try, in at most 15 minutes.

    Args:
        secrets: The stack's.
        name: Which secret.
        value: The new key, already stripped; not blank.

    Raises:
        SecretAccessError: There is no such secret, or it cannot be written.
    """
    _store(secrets, name, SecretPair(current=value, previous=""))


def rotate(secrets: SecretsAccess, name: SecretName, token: str) -> SecretPair:
    """Give a partner a new token; the one that was current stays valid as ``previous``.

    Returns:
        Both tokens that are valid now.

    Raises:
        SecretAccessError: There is no such secret, or it cannot be read or written.
    """
    rotated = SecretPair(current=token, previous=pair(secrets, name).current)
    _store(secrets, name, rotated)
    return rotated


def retire(secrets: SecretsAccess, name: SecretName) -> bool:
    """End the previous token. Functions may accept it for a minute more.

    Returns:
        Whether there was one.

    Raises:
        SecretAccessError: There is no such secret, or it cannot be read or written.
    """
    known = pair(secrets, name)
    if known.previous:
        _store(secrets, name, SecretPair(current=known.current, previous=""))
    return bool(known.previous)


def pair(secrets: SecretsAccess, name: SecretName) -> SecretPair:
    """Read both values of a secret; raises as :func:`stored`."""
    return stored(secrets, name).values


def stored(secrets: SecretsAccess, name: SecretName) -> StoredPair:
    """Read both values of a secret, and the time of the version that holds them.

    Raises:
        SecretAccessError: There is no such secret, it cannot be read, or has another form.
    """
    try:
        with aws_errors(SecretAccessError):
            answer = secrets.client.get_secret_value(SecretId=secret_id(secrets.stack, name))
        values = SecretPair.model_validate_json(answer["SecretString"])
        return StoredPair(values, answer["CreatedDate"])
    except (KeyError, ValidationError):  # not chained: pydantic's text can quote the secret
        raise SecretAccessError('not of the form {"current": …, "previous": …}') from None


def _store(secrets: SecretsAccess, name: SecretName, both: SecretPair) -> None:
    with aws_errors(SecretAccessError):
        secrets.client.put_secret_value(
            SecretId=secret_id(secrets.stack, name), SecretString=both.model_dump_json()
        )
