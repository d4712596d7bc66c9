"""A stack's own way to Braze, for people's questions: its endpoint and its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from braze_bridge.aws_clients import bounded_config
from braze_bridge.braze.client import BrazeClient, partner_user_agent
from braze_bridge.braze.errors import InvalidEndpointError
from braze_bridge.braze.instances import rest_endpoint
from braze_bridge.braze.transport import RequestsTransport
from braze_bridge.clock import SystemClock
from ops.aws_errors import cause_of
from ops.secrets import SecretAccessError, current
from ops.stack_access import StackUnavailableError
from sandbox.stack.stack_file import FILE_NAME, StackFile

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_cloudformation import CloudFormationClient

VERSION: Final = "0.1.0"
TIMEOUT: Final = (5.0, 20.0)


class BrazeClients:
    """Makes the Braze client of a stack: a deployed one's, or the local one's."""

    def of(self, stack: str | None, region: str | None, folder: Path) -> BrazeClient:
        """The client, with the key that the stack's functions use.

        Args:
            stack: The CloudFormation stack in AWS, or ``None`` for the local one.
            region: Of the stack in AWS, if not the default one.
            folder: Of the local stack.

        Raises:
            StackUnavailableError: There is no such stack, or its key may not be read.
        """
        return local_braze(folder) if stack is None else deployed_braze(stack, region)


def local_braze(folder: Path) -> BrazeClient:
    """The stand-in of the local stack that is up in a folder.

    Raises:
        StackUnavailableError: None is.
    """
    try:
        found = StackFile.read(folder)
    except (OSError, ValidationError):
        raise StackUnavailableError(
            f"no local stack is up (no readable {FILE_NAME} in {folder.name}/): "
            "`make up`, or name one in AWS by --stack"
        ) from None
    endpoint = rest_endpoint("", found.braze_url, allow_loopback=True)
    return braze_client(endpoint, found.braze_api_key)


def deployed_braze(stack: str, region: str | None) -> BrazeClient:
    """The Braze of a stack in AWS, by its parameters and its secret.

    Raises:
        StackUnavailableError: The stack is not there or is not ours, or its key may not be read.
    """
    config = bounded_config()
    try:
        cloudformation = boto3.client("cloudformation", region_name=region, config=config)
        endpoint = endpoint_of(cloudformation, stack)
        keeper = boto3.client("secretsmanager", region_name=region, config=config)
        return braze_client(endpoint, current(keeper, stack, "braze"))
    except BotoCoreError as error:
        raise StackUnavailableError(f"{stack}: {cause_of(error)}") from error
    except SecretAccessError as error:
        raise StackUnavailableError(f"the Braze key of {stack}: {error}") from None


def endpoint_of(client: CloudFormationClient, stack: str) -> str:
    """The REST endpoint that a stack's delivery calls.

    Raises:
        StackUnavailableError: The stack is not there, may not be looked at, or is not ours.
    """
    try:
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise StackUnavailableError(f"{stack}: {cause_of(error)}") from error
    given = {
        parameter.get("ParameterKey"): parameter.get("ParameterValue", "")
        for parameter in found.get("Parameters", ())
    }
    try:
        return rest_endpoint(
            given["BrazeInstance"], given.get("BrazeEndpoint") or None, allow_loopback=False
        )
    except KeyError:
        raise StackUnavailableError(f"{stack} has no parameter BrazeInstance") from None
    except InvalidEndpointError as error:
        raise StackUnavailableError(f"{stack}: {error}") from None


def braze_client(endpoint: str, key: str) -> BrazeClient:
    """A client for a few questions by a person.

    Args:
        endpoint: As ``rest_endpoint`` returns it.
        key: The REST API key; blank where none is set yet.
    """
    clock = SystemClock()
    return BrazeClient(
        api_key=lambda: key,
        transport=RequestsTransport(endpoint, pool_size=1),
        user_agent=partner_user_agent("BrazePartnerBridge", "Operations", VERSION),
        now=lambda: clock.now().timestamp(),
        timeout=TIMEOUT,
    )
