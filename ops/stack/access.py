"""A stack's queues, tables, secrets and addresses, with clients for them: in AWS, or locally."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypedDict

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from braze_bridge.aws.clients import bounded_config
from ops.stack.aws_errors import cause_of
from sandbox.stack.stack_file import FILE_NAME, StackFile

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackTypeDef
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient

DELIVERY_QUEUE: Final = "DeliveryQueueUrl"
DEAD_LETTER_QUEUE: Final = "DeliveryDeadLetterQueueUrl"
ACQUISITION_QUEUE: Final = "AcquisitionQueueUrl"
ACQUISITION_DEAD_LETTER_QUEUE: Final = "AcquisitionDeadLetterQueueUrl"
FORWARD_QUEUE: Final = "ForwardQueueUrl"
FORWARD_DEAD_LETTER_QUEUE: Final = "ForwardDeadLetterQueueUrl"
REJECTED_TABLE: Final = "RejectedTableName"
LEDGER_TABLE: Final = "LedgerTableName"
ACQUISITION_TABLE: Final = "AcquisitionTableName"
CLAIMS_TABLE: Final = "ClaimsTableName"
API_URL: Final = "ApiUrl"
"""Outputs of ``template.yaml``."""


class StackUnavailableError(Exception):
    """There is no such stack, or it may not be looked at. The text is for people."""


class StackAccess(NamedTuple):
    """What is needed to work on a stack's queues and tables.

    Attributes:
        name: The stack, for people.
        delivery_queue: Its URL.
        dead_letter_queue: Its URL.
        acquisition_queue: Its URL.
        acquisition_dead_letter_queue: Its URL.
        forward_queue: Its URL.
        forward_dead_letter_queue: Its URL.
        rejected_table: Its name.
        ledger_table: Its name; it holds the gate, too.
        acquisition_table: Its name.
        claims_table: Its name.
    """

    name: str
    delivery_queue: str
    dead_letter_queue: str
    acquisition_queue: str
    acquisition_dead_letter_queue: str
    forward_queue: str
    forward_dead_letter_queue: str
    rejected_table: str
    ledger_table: str
    acquisition_table: str
    claims_table: str
    sqs: SQSClient
    dynamodb: DynamoDBClient


class SecretsAccess(NamedTuple):
    """What is needed to work on a stack's secrets.

    Attributes:
        stack: The CloudFormation stack; the secrets' names begin with it.
    """

    stack: str
    client: SecretsManagerClient


class BrazeTarget(NamedTuple):
    """Which Braze a stack talks to, as :func:`braze_bridge.braze.instances.rest_endpoint` takes it.

    Attributes:
        instance: Such as ``US-01``.
        endpoint: What is used instead of the instance's own, or empty.
        allow_loopback: Whether that may be a stand-in on this machine.
    """

    instance: str
    endpoint: str
    allow_loopback: bool


class AlarmPage(TypedDict, total=False):
    """What is used of the answer to ``DescribeAlarms``."""

    MetricAlarms: list[dict[str, Any]]
    NextToken: str


class FigurePage(TypedDict, total=False):
    """What is used of the answer to ``GetMetricStatistics``."""

    Datapoints: list[dict[str, Any]]


class CloudWatch(Protocol):
    """The calls of the CloudWatch client that are used."""

    def describe_alarms(self, **arguments: Any) -> AlarmPage:  # noqa: ANN401 - botocore's
        """See AWS's DescribeAlarms."""
        ...

    def get_metric_statistics(self, **arguments: Any) -> FigurePage:  # noqa: ANN401 - botocore's
        """See AWS's GetMetricStatistics."""
        ...


class Site(NamedTuple):
    """Where a stack is reached, and what it talks to.

    Attributes:
        name: The stack, for people.
        stack: The CloudFormation stack.
        api_url: Routes follow it.
        braze: Which Braze it talks to.
        cloudwatch: Its alarms are called ``<stack>-<logical id>-…``.
    """

    name: str
    stack: str
    api_url: str
    braze: BrazeTarget
    cloudwatch: CloudWatch


class Stacks:
    """Finds stacks: deployed ones by AWS's word, the local one by its file."""

    def open_secrets(self, stack: str | None, region: str | None, folder: Path) -> SecretsAccess:
        """Find a stack's secrets; a deployed stack is taken at its name.

        Args:
            stack: As for :meth:`open`, like the rest.
            region: Of the stack.
            folder: Of the local stack.

        Raises:
            StackUnavailableError: There is no local stack, or no way to AWS.
        """
        if stack is None:
            found = read_local(folder)
            client = found.session().client("secretsmanager", **found.client_options())
            return SecretsAccess(found.stack_name, client)
        try:
            config = bounded_config()
            return SecretsAccess(
                stack, boto3.client("secretsmanager", region_name=region, config=config)
            )
        except BotoCoreError as error:
            raise StackUnavailableError(f"{stack}: {cause_of(error)}") from error

    def open_site(self, stack: str | None, region: str | None, folder: Path) -> Site:
        """Find where a stack is reached.

        Args:
            stack: As for :meth:`open`, like the rest.
            region: Of the stack.
            folder: Of the local stack.

        Raises:
            StackUnavailableError: As for :meth:`open`.
        """
        return local_site(folder) if stack is None else deployed_site(stack, region)

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
    found = read_local(folder)
    session = found.session()
    options = found.client_options()
    return StackAccess(
        name=f"{found.stack_name} (local)",
        delivery_queue=found.queues["delivery"],
        dead_letter_queue=found.queues["delivery_dead_letter"],
        acquisition_queue=found.queues["acquisition"],
        acquisition_dead_letter_queue=found.queues["acquisition_dead_letter"],
        forward_queue=found.queues["forward"],
        forward_dead_letter_queue=found.queues["forward_dead_letter"],
        rejected_table=found.tables["rejected"],
        ledger_table=found.tables["ledger"],
        acquisition_table=found.tables["acquisitions"],
        claims_table=found.tables["claims"],
        sqs=session.client("sqs", **options),
        dynamodb=session.client("dynamodb", **options),
    )


def read_local(folder: Path) -> StackFile:
    """What the local stack that is up in a folder tells about itself.

    Raises:
        StackUnavailableError: None is.
    """
    try:
        return StackFile.read(folder)
    except (OSError, ValidationError):
        raise StackUnavailableError(
            f"no local stack is up (no readable {FILE_NAME} in {folder.name}/): "
            "`make up`, or name one in AWS by --stack"
        ) from None


def local_site(folder: Path) -> Site:
    """Where the local stack of a folder is reached.

    Raises:
        StackUnavailableError: None is up.
    """
    found = read_local(folder)
    return Site(
        name=f"{found.stack_name} (local)",
        stack=found.stack_name,
        api_url=found.api_url,
        braze=BrazeTarget("US-01", found.braze_url, allow_loopback=True),
        cloudwatch=found.session().client("cloudwatch", **found.client_options()),
    )


def deployed_site(stack: str, region: str | None) -> Site:
    """Where a stack in AWS is reached.

    Raises:
        StackUnavailableError: It is not there, is not ours, or may not be looked at.
    """
    config = bounded_config()
    try:
        found = describe(boto3.client("cloudformation", region_name=region, config=config), stack)
        watch = boto3.client("cloudwatch", region_name=region, config=config)
    except BotoCoreError as error:
        raise StackUnavailableError(f"{stack}: {cause_of(error)}") from error
    return site_of(stack, found, watch)


def site_of(stack: str, found: StackTypeDef, cloudwatch: CloudWatch) -> Site:
    """Where a stack is reached, by CloudFormation's description of it.

    Raises:
        StackUnavailableError: It lacks an output or a parameter: it is not ours.
    """
    parameters = {
        each["ParameterKey"]: each["ParameterValue"]
        for each in found.get("Parameters", ())
        if "ParameterKey" in each and "ParameterValue" in each
    }
    try:
        return Site(
            name=stack,
            stack=stack,
            api_url=_outputs_in(found)[API_URL],
            braze=BrazeTarget(
                parameters["BrazeInstance"],
                parameters.get("BrazeEndpoint", ""),
                allow_loopback=parameters.get("AllowLoopbackBraze") == "true",
            ),
            cloudwatch=cloudwatch,
        )
    except KeyError as missing:
        raise StackUnavailableError(f"{stack} has no output or parameter {missing}") from None


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
            acquisition_queue=outputs[ACQUISITION_QUEUE],
            acquisition_dead_letter_queue=outputs[ACQUISITION_DEAD_LETTER_QUEUE],
            forward_queue=outputs[FORWARD_QUEUE],
            forward_dead_letter_queue=outputs[FORWARD_DEAD_LETTER_QUEUE],
            rejected_table=outputs[REJECTED_TABLE],
            ledger_table=outputs[LEDGER_TABLE],
            acquisition_table=outputs[ACQUISITION_TABLE],
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
    return _outputs_in(describe(client, stack))


def describe(client: CloudFormationClient, stack: str) -> StackTypeDef:
    """A stack as CloudFormation describes it.

    Raises:
        StackUnavailableError: It is not there, or may not be looked at.
    """
    try:
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise StackUnavailableError(f"{stack}: {cause_of(error)}") from error
    return found


def _outputs_in(found: StackTypeDef) -> dict[str, str]:
    return {
        output["OutputKey"]: output["OutputValue"]
        for output in found.get("Outputs", ())
        if "OutputKey" in output and "OutputValue" in output
    }
