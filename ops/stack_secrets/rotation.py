"""The stack's secrets as people handle them: set from a prompt, rotated, never logged."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from braze_bridge.aws.secrets import SecretPair
from ops.stack.aws_errors import cause_of

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

    from ops.stack.secret_names import SecretName

PATHS: Final[dict[SecretName, str]] = {
    "braze": "braze",
    "outgrow": "partner/outgrow",
    "iterate": "partner/iterate",
    "quikly": "partner/quikly",
    "braze-webhook": "partner/braze-webhook",
    "quikly-api": "quikly-api",
}
"""Where each secret lies below the stack's name."""

TOKEN_CHARS: Final = 48
_ALPHABET: Final = string.ascii_letters + string.digits
"""As the template makes tokens: they travel in a header, or in a URL, without escaping."""

LEDGER_PATH: Final = "ledger"
"""Keys the ledger's hashes. Nobody sets or rotates it, so it has no name on the command line."""

CLAIMS_PATH: Final = "claims"
"""Keys the claimants' hashes and the seeds of draws; nor does anybody set or rotate this one."""


class SecretAccessError(Exception):
    """The secret could not be read or written. The text says why, without the secret."""


def secret_id(stack: str, name: SecretName) -> str:
    """The secret's name in Secrets Manager, such as ``bridge-dev/partner/outgrow``."""
    return f"{stack}/{PATHS[name]}"


def is_token(name: SecretName) -> bool:
    """Whether we made it up, to be sent to us; the others are keys that somebody else gave us."""
    return PATHS[name].startswith("partner/")


def new_token() -> str:
    """A token that nobody ever chose: 285 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(TOKEN_CHARS))


def set_current(client: SecretsManagerClient, stack: str, name: SecretName, value: str) -> None:
    """Make a value the current one.

    A key keeps no ``previous``: only one is ever sent. Functions read the new value
    within five minutes; where Braze refused the old one, at their next try, in at most 15 minutes.

    Args:
        client: Of the stack's account and region.
        stack: The CloudFormation stack.
        name: Which secret.
        value: The new key, already stripped; not blank.

    Raises:
        SecretAccessError: There is no such secret, or it may not be written.
    """
    store(client, secret_id(stack, name), SecretPair(current=value, previous=""))


def current(client: SecretsManagerClient, stack: str, name: SecretName) -> str:
    """The secret's current value.

    Raises:
        SecretAccessError: There is no such secret, or it may not be read.
    """
    return pair(client, secret_id(stack, name)).current


def rotate(client: SecretsManagerClient, stack: str, name: SecretName, token: str) -> SecretPair:
    """Give a partner a new token; the one that was current stays valid as ``previous``.

    Args:
        client: Of the stack's account and region.
        stack: The CloudFormation stack.
        name: Of a token.
        token: The new one.

    Returns:
        What holds now.

    Raises:
        SecretAccessError: There is no such secret, or it may not be read or written.
    """
    known = pair(client, secret_id(stack, name))
    rotated = SecretPair(current=token, previous=known.current)
    store(client, secret_id(stack, name), rotated)
    return rotated


def retire(client: SecretsManagerClient, stack: str, name: SecretName) -> bool:
    """End the previous token. Functions may hold it for five minutes more.

    Returns:
        Whether there was one.

    Raises:
        SecretAccessError: There is no such secret, or it may not be read or written.
    """
    known = pair(client, secret_id(stack, name))
    if not known.previous:
        return False
    store(client, secret_id(stack, name), SecretPair(current=known.current, previous=""))
    return True


def pair(client: SecretsManagerClient, name: str) -> SecretPair:
    """Both halves of a secret.

    Args:
        client: Of the stack's account and region.
        name: Its whole name.

    Raises:
        SecretAccessError: There is no such secret, it may not be read, or holds something else.
    """
    try:
        answer = client.get_secret_value(SecretId=name)
        return SecretPair.model_validate_json(answer["SecretString"])
    except (BotoCoreError, ClientError) as error:
        raise SecretAccessError(cause_of(error)) from None
    except (KeyError, ValidationError):
        raise SecretAccessError('not of the form {"current": …, "previous": …}') from None


def store(client: SecretsManagerClient, name: str, both: SecretPair) -> None:
    """Write both halves of a secret.

    Raises:
        SecretAccessError: There is no such secret, or it may not be written.
    """
    try:
        client.put_secret_value(SecretId=name, SecretString=both.model_dump_json())
    except (BotoCoreError, ClientError) as error:
        raise SecretAccessError(cause_of(error)) from None
