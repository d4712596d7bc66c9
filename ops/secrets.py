"""The stack's secrets as people handle them: set from a prompt, shown on demand, never logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from braze_bridge.settings import SecretPair
from ops.aws_errors import cause_of

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

SecretName = Literal["braze", "outgrow", "iterate", "quikly", "braze-webhook", "quikly-api"]

PATHS: Final[dict[SecretName, str]] = {
    "braze": "braze",
    "outgrow": "partner/outgrow",
    "iterate": "partner/iterate",
    "quikly": "partner/quikly",
    "braze-webhook": "partner/braze-webhook",
    "quikly-api": "quikly-api",
}
"""Where each secret lies below the stack's name."""


class SecretAccessError(Exception):
    """The secret could not be read or written. The text says why, without the secret."""


def secret_id(stack: str, name: SecretName) -> str:
    """The secret's name in Secrets Manager, such as ``bridge-dev/partner/outgrow``."""
    return f"{stack}/{PATHS[name]}"


def set_current(client: SecretsManagerClient, stack: str, name: SecretName, value: str) -> None:
    """Make a value the current one.

    The Braze key keeps no ``previous``: only one key is ever sent. Functions read the new value
    within five minutes; where Braze refused the old one, at their next try, in at most 15 minutes.

    Args:
        client: Of the stack's account and region.
        stack: The CloudFormation stack.
        name: Which secret.
        value: The new key, already stripped; not blank.

    Raises:
        SecretAccessError: There is no such secret, or it may not be written.
    """
    text = SecretPair(current=value, previous="").model_dump_json()
    try:
        client.put_secret_value(SecretId=secret_id(stack, name), SecretString=text)
    except (BotoCoreError, ClientError) as error:
        raise SecretAccessError(cause_of(error)) from None


def current(client: SecretsManagerClient, stack: str, name: SecretName) -> str:
    """The secret's current value.

    Raises:
        SecretAccessError: There is no such secret, or it may not be read.
    """
    try:
        answer = client.get_secret_value(SecretId=secret_id(stack, name))
    except (BotoCoreError, ClientError) as error:
        raise SecretAccessError(cause_of(error)) from None
    return SecretPair.model_validate_json(answer["SecretString"]).current
