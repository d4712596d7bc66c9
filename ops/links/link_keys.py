"""The keys that sign links. A partner without signed links has none, so it costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from braze_bridge.aws.secrets import SecretPair
from ops.stack.errors import aws_errors
from ops.stack_secrets.stored_secrets import SecretAccessError, link_path, new_token

if TYPE_CHECKING:
    from ops.stack.access import SecretsAccess


def key_of(secrets: SecretsAccess, partner: str) -> str:
    """Read the key that signs new links.

    Raises:
        SecretAccessError: There is none, or it cannot be read.
    """
    key = _pair(secrets, _id(secrets, partner)).current
    if not key:
        raise SecretAccessError("there is none")
    return key


def make_key(secrets: SecretsAccess, partner: str, *, revoke: bool) -> str:
    """Make a new key. The one before stays valid for older links, unless it is revoked.

    Returns:
        The secret's name.

    Raises:
        SecretAccessError: It cannot be read or written.
    """
    id_ = _id(secrets, partner)
    known = _pair(secrets, id_)
    pair = SecretPair(current=new_token(), previous="" if revoke else known.current)
    text = pair.model_dump_json()
    with aws_errors(SecretAccessError):
        if known.current:
            secrets.client.put_secret_value(SecretId=id_, SecretString=text)
        else:
            what = f"Signs the links to {partner}; made by `bridge link new-key`"
            secrets.client.create_secret(Name=id_, Description=what, SecretString=text)
    return id_


def _id(secrets: SecretsAccess, partner: str) -> str:
    return f"{secrets.stack}/{link_path(partner)}"


def _pair(secrets: SecretsAccess, id_: str) -> SecretPair:
    """Read both keys; blank ones if there is no such secret."""
    with aws_errors(SecretAccessError):
        try:
            text = secrets.client.get_secret_value(SecretId=id_)["SecretString"]
        except secrets.client.exceptions.ResourceNotFoundException:
            return SecretPair(current="")
    try:
        return SecretPair.model_validate_json(text)
    except ValidationError:  # not chained: pydantic's text can quote the secret
        raise SecretAccessError('not of the form {"current": …, "previous": …}') from None
