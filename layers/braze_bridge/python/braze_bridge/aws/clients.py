"""AWS clients with bounded time: connect 2 s, read 5 s, two tries, where nothing else is said.

They are made by botocore, which boto3 only wraps: boto3 also loads what uploads files to S3, and an
ingest function's start would pay for it. A client is made on first use and kept for the life of the
execution environment; nothing opens one at import. The read timeout stays far under the shortest
function timeout, so that a slow AWS answer becomes an error with a home and not a killed Lambda.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.config import Config
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeVar

    from types_boto3_dynamodb import DynamoDBClient

    ItemT = TypeVar("ItemT")
    ResultT = TypeVar("ResultT")


def bounded_config(**changes: Any) -> Config:  # noqa: ANN401 - botocore's options
    """The botocore configuration that every client of this project starts from.

    Args:
        **changes: Options of ``botocore.config.Config`` that differ.
    """
    from botocore.config import Config

    options: dict[str, Any] = {
        "connect_timeout": 2,
        "read_timeout": 5,
        "retries": {"total_max_attempts": 2, "mode": "standard"},
    }
    return Config(**(options | changes))


def _client(service: str, **changes: Any) -> Any:  # noqa: ANN401 - narrowed by the callers
    from botocore.session import get_session

    return get_session().create_client(service, config=bounded_config(**changes))


@cache
def sqs() -> SQSClient:
    """The process's SQS client."""
    client: SQSClient = _client("sqs")
    return client


@cache
def dynamodb() -> DynamoDBClient:
    """The process's DynamoDB client."""
    client: DynamoDBClient = _client("dynamodb")
    return client


@cache
def secretsmanager() -> SecretsManagerClient:
    """The process's Secrets Manager client."""
    client: SecretsManagerClient = _client("secretsmanager")
    return client


def pooled_dynamodb(connections: int) -> DynamoDBClient:
    """A DynamoDB client of the caller's own.

    Args:
        connections: How many calls may run side by side.
    """
    client: DynamoDBClient = _client("dynamodb", max_pool_connections=connections)
    return client


def claims_client() -> DynamoDBClient:
    """The webhook's DynamoDB client: connect 1 s, read 2 s, two tries.

    Shorter than the others, because a campaign waits: a table that hangs is answered with a 503
    after six seconds, long before the function ends. Parameters are not validated, because they
    all come from our own code.
    """
    client: DynamoDBClient = _client(
        "dynamodb", connect_timeout=1, read_timeout=2, parameter_validation=False
    )
    return client


def ledger_client(connections: int) -> DynamoDBClient:
    """A DynamoDB client for the ledger and the gate only: connect 1 s, read 2 s, one try.

    The ledger itself tries again, item by item, and knows what a lost answer means. Parameters are
    not validated, because they all come from our own code; checking them costs a third of a call.

    Args:
        connections: How many calls may run side by side.
    """
    client: DynamoDBClient = _client(
        "dynamodb",
        connect_timeout=1,
        read_timeout=2,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=connections,
        parameter_validation=False,
    )
    return client
