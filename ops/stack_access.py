"""A stack's queues and tables, and clients for them: of a deployed stack, or of the local one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from braze_bridge.aws_clients import bounded_config
from ops.aws_errors import cause_of
from sandbox.stack.stack_file import FILE_NAME, StackFile

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_sqs import SQSClient

DELIVERY_QUEUE: Final = "DeliveryQueueUrl"
DEAD_LETTER_QUEUE: Final = "DeliveryDeadLetterQueueUrl"
FORWARD_QUEUE: Final = "ForwardQueueUrl"
REJECTED_TABLE: Final = "RejectedTableName"
LEDGER_TABLE: Final = "LedgerTableName"
CLAIMS_TABLE: Final = "ClaimsTableName"
"""Outputs of ``template.yaml``."""


class StackUnavailableError(Exception):
    """There is no such stack, or it may not be looked at. The text is for people."""


class StackAccess(NamedTuple):
    """What is needed to work on a stack's queues and tables.

    Attributes:
        name: The stack, for people.
        delivery_queue: Its URL.
        dead_letter_queue: Its URL.
        forward_queue: Its URL.
        rejected_table: Its name.
        ledger_table: Its name; it holds the gate, too.
        claims_table: Its name.
    """

    name: str
    delivery_queue: str
    dead_letter_queue: str
    forward_queue: str
    rejected_table: str
    ledger_table: str
    claims_table: str
    sqs: SQSClient
    dynamodb: DynamoDBClient


class Stacks:
    """Finds stacks: deployed ones by AWS's word, the local one by its file."""

    def open(self, stack: str | None, region: str | None, folder: Path) -> StackAccess:
        """Find a stack.

        Args:
            stack: The CloudFormation stack in AWS, or ``None`` for the local one.
            region: Of the stack in AWS, if not the default one.
            folder: Of the local stack.

        Raises:
            StackUnavailableError: There is none, or it cannot be looked at.
        """
        return open_local(folder) if stack is None else open_deployed(stack, region)


def open_local(folder: Path) -> StackAccess:
    """The local stack that is up in a folder.

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
    session = found.session()
    options = found.client_options()
    return StackAccess(
        name=f"{found.stack_name} (local)",
        delivery_queue=found.queues["delivery"],
        dead_letter_queue=found.queues["delivery_dead_letter"],
        forward_queue=found.queues["forward"],
        rejected_table=found.tables["rejected"],
        ledger_table=found.tables["ledger"],
        claims_table=found.tables["claims"],
        sqs=session.client("sqs", **options),
        dynamodb=session.client("dynamodb", **options),
    )


def open_deployed(stack: str, region: str | None) -> StackAccess:
    """A stack in AWS, by its outputs.

    Raises:
        StackUnavailableError: It is not there, is not ours, or may not be looked at.
    """
    config = bounded_config()
    try:
        client = boto3.client("cloudformation", region_name=region, config=config)
        outputs = outputs_of(client, stack)
        return StackAccess(
            name=stack,
            delivery_queue=outputs[DELIVERY_QUEUE],
            dead_letter_queue=outputs[DEAD_LETTER_QUEUE],
            forward_queue=outputs[FORWARD_QUEUE],
            rejected_table=outputs[REJECTED_TABLE],
            ledger_table=outputs[LEDGER_TABLE],
            claims_table=outputs[CLAIMS_TABLE],
            sqs=boto3.client("sqs", region_name=region, config=config),
            dynamodb=boto3.client("dynamodb", region_name=region, config=config),
        )
    except BotoCoreError as error:
        raise StackUnavailableError(f"{stack}: {cause_of(error)}") from error
    except KeyError as missing:
        raise StackUnavailableError(f"{stack} has no output {missing}") from None


def outputs_of(client: CloudFormationClient, stack: str) -> dict[str, str]:
    """A stack's outputs by name.

    Raises:
        StackUnavailableError: It is not there, or may not be looked at.
    """
    try:
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise StackUnavailableError(f"{stack}: {cause_of(error)}") from error
    return {
        output["OutputKey"]: output["OutputValue"]
        for output in found.get("Outputs", ())
        if "OutputKey" in output and "OutputValue" in output
    }
