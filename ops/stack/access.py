"""A stack's queues, tables, secrets and addresses, with clients for them: in AWS, or locally."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import boto3
from pydantic import ValidationError

from braze_bridge.aws.clients import bounded_config
from ops.stack.errors import CommandError, aws_errors
from sandbox.stack.stack_file import FILE_NAME, StackFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackTypeDef
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient

API_URL: Final = "ApiUrl"
OUTPUTS: Final[Mapping[str, str]] = {
    "delivery_queue": "DeliveryQueueUrl",
    "delivery_dead_letter_queue": "DeliveryDeadLetterQueueUrl",
    "acquisition_queue": "AcquisitionQueueUrl",
    "acquisition_dead_letter_queue": "AcquisitionDeadLetterQueueUrl",
    "forward_queue": "ForwardQueueUrl",
    "forward_dead_letter_queue": "ForwardDeadLetterQueueUrl",
    "rejected_table": "RejectedTableName",
    "ledger_table": "LedgerTableName",
    "acquisitions_table": "AcquisitionTableName",
    "claims_table": "ClaimsTableName",
}
"""Outputs of ``template.yaml`` by field of :class:`StackAccess`."""


QUEUE_CONCURRENCY: Final = ("DeliveryMaximumConcurrency", "ForwardMaximumConcurrency")
"""Parameters that limit the concurrent executions of a queue's function."""

WORKER_EXECUTIONS: Final = 2
"""The acquisition worker's limit, which is no parameter."""


class StackUnavailableError(CommandError):
    """The stack does not exist, or cannot be read. The text is for people."""


class StackAccess(NamedTuple):
    """A stack's queues (their URLs) and tables (their names).

    Attributes:
        name: The stack, for people.
        ledger_table: It holds the gate, too.
    """

    name: str
    delivery_queue: str
    delivery_dead_letter_queue: str
    acquisition_queue: str
    acquisition_dead_letter_queue: str
    forward_queue: str
    forward_dead_letter_queue: str
    rejected_table: str
    ledger_table: str
    acquisitions_table: str
    claims_table: str
    sqs: SQSClient
    dynamodb: DynamoDBClient


class SecretsAccess(NamedTuple):
    """A stack's secrets.

    Attributes:
        stack: The CloudFormation stack; the secrets' names begin with it.
    """

    stack: str
    client: SecretsManagerClient


class BrazeTarget(NamedTuple):
    """The Braze that a stack calls, as :func:`braze_bridge.braze.instances.rest_endpoint` takes it.

    Attributes:
        instance: Such as ``US-01``.
        endpoint: Used instead of the instance's own; empty if there is none.
        allow_loopback: Whether the endpoint may be a stand-in on this machine.
    """

    instance: str
    endpoint: str
    allow_loopback: bool


class CloudWatch(Protocol):
    """The calls of the CloudWatch client that are used."""

    def describe_alarms(self, **arguments: Any) -> Mapping[str, Any]:  # noqa: ANN401 - botocore's
        """See AWS's DescribeAlarms."""
        ...

    def get_metric_statistics(self, **arguments: Any) -> Mapping[str, Any]:  # noqa: ANN401 - botocore's
        """See AWS's GetMetricStatistics."""
        ...


class LambdaLimits(Protocol):
    """The call of the Lambda client that is used."""

    def get_account_settings(self) -> Mapping[str, Any]:
        """See AWS's GetAccountSettings."""
        ...


class Site(NamedTuple):
    """A stack's address, and the services around it.

    Attributes:
        name: The stack, for people.
        stack: The CloudFormation stack.
        api_url: Routes follow it.
        quikly_api_url: The parameter.
        cloudwatch: The stack's alarms are called ``<stack>-<logical id>-…``.
        lambda_limits: Of the account and region; the local engine has none.
        queue_executions: How many executions the queues can start at the same time.
    """

    name: str
    stack: str
    api_url: str
    braze: BrazeTarget
    cloudwatch: CloudWatch
    quikly_api_url: str = ""
    lambda_limits: LambdaLimits | None = None
    queue_executions: int = 0


class Stacks:
    """Finds stacks: deployed ones by CloudFormation, the local one by its file.

    Every method takes the name of a stack in AWS and its region (``None``: the default region), or
    ``None`` and the local stack's folder. Every method raises :class:`StackUnavailableError`.
    """

    def open(self, stack: str | None, region: str | None, folder: Path) -> StackAccess:
        """Find a stack's queues and tables."""
        if stack is None:
            local = read_local(folder)
            known = {f"{name}_queue": url for name, url in local.queues.items()}
            known |= {f"{name}_table": table for name, table in local.tables.items()}
            names = {field: known[field] for field in OUTPUTS}
            return _access(_local_name(local), names, local.session(), local.client_options())
        with _answers_about(stack):
            session, options = _deployed(region)
            outputs = outputs_of(session.client("cloudformation", **options), stack)
            try:
                names = {field: outputs[output] for field, output in OUTPUTS.items()}
            except KeyError as missing:
                raise StackUnavailableError(f"{stack} has no output {missing}") from None
            return _access(stack, names, session, options)

    def open_secrets(self, stack: str | None, region: str | None, folder: Path) -> SecretsAccess:
        """Find a stack's secrets. Whether a deployed stack exists is not checked."""
        if stack is None:
            local = read_local(folder)
            client = local.session().client("secretsmanager", **local.client_options())
            return SecretsAccess(local.stack_name, client)
        with _answers_about(stack):
            session, options = _deployed(region)
            return SecretsAccess(stack, session.client("secretsmanager", **options))

    def open_site(self, stack: str | None, region: str | None, folder: Path) -> Site:
        """Find a stack's address."""
        if stack is None:
            local = read_local(folder)
            return Site(
                name=_local_name(local),
                stack=local.stack_name,
                api_url=local.api_url,
                braze=BrazeTarget("US-01", local.braze_url, allow_loopback=True),
                cloudwatch=local.session().client("cloudwatch", **local.client_options()),
            )
        with _answers_about(stack):
            session, options = _deployed(region)
            found = describe(session.client("cloudformation", **options), stack)
            site = site_of(stack, found, session.client("cloudwatch", **options))
            return site._replace(lambda_limits=session.client("lambda", **options))


def read_local(folder: Path) -> StackFile:
    """Read the file of the local stack that runs in a folder.

    Raises:
        StackUnavailableError: None runs there.
    """
    try:
        return StackFile.read(folder)
    except (OSError, ValidationError):
        raise StackUnavailableError(
            f"no local stack is up (no readable {FILE_NAME} in {folder.name}/): "
            "`make up`, or name one in AWS by --stack"
        ) from None


def site_of(stack: str, found: StackTypeDef, cloudwatch: CloudWatch) -> Site:
    """Read a stack's address from CloudFormation's description of it.

    Raises:
        StackUnavailableError: An output or a parameter is missing: it is not a stack of ours.
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
            quikly_api_url=parameters.get("QuiklyApiUrl", ""),
            queue_executions=WORKER_EXECUTIONS
            + sum(int(parameters.get(name, 0)) for name in QUEUE_CONCURRENCY),
        )
    except KeyError as missing:
        raise StackUnavailableError(f"{stack} has no output or parameter {missing}") from None


def outputs_of(client: CloudFormationClient, stack: str) -> dict[str, str]:
    """Read a stack's outputs by name.

    Raises:
        StackUnavailableError: The stack does not exist, or cannot be read.
    """
    return _outputs_in(describe(client, stack))


def describe(client: CloudFormationClient, stack: str) -> StackTypeDef:
    """Read CloudFormation's description of a stack.

    Raises:
        StackUnavailableError: The stack does not exist, or cannot be read.
    """
    with _answers_about(stack):
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    return found


def _outputs_in(found: StackTypeDef) -> dict[str, str]:
    return {
        output["OutputKey"]: output["OutputValue"]
        for output in found.get("Outputs", ())
        if "OutputKey" in output and "OutputValue" in output
    }


def _answers_about(stack: str) -> AbstractContextManager[None]:
    return aws_errors(lambda cause: StackUnavailableError(f"{stack}: {cause}"))


def _deployed(region: str | None) -> tuple[boto3.Session, dict[str, Any]]:
    return boto3.Session(region_name=region), {"config": bounded_config()}


def _local_name(local: StackFile) -> str:
    return f"{local.stack_name} (local)"


def _access(
    name: str, names: Mapping[str, str], session: boto3.Session, options: dict[str, Any]
) -> StackAccess:
    return StackAccess(
        name=name,
        sqs=session.client("sqs", **options),
        dynamodb=session.client("dynamodb", **options),
        **names,
    )
