"""AWS clients with bounded time: connect 2 s, read 5 s, two tries.

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


def bounded_config(*, max_pool_connections: int = 10) -> Config:
    """The botocore configuration every client of this project uses.

    Args:
        max_pool_connections: How many calls may run side by side on one client.
    """
    from botocore.config import Config

    return Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"total_max_attempts": 2, "mode": "standard"},
        max_pool_connections=max_pool_connections,
    )


def _client(  # narrowed by the typed functions below
    service: str, max_pool_connections: int = 10
) -> Any:  # noqa: ANN401 - as above
    from botocore.session import get_session

    config = bounded_config(max_pool_connections=max_pool_connections)
    return get_session().create_client(service, config=config)


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
    client: DynamoDBClient = _client("dynamodb", connections)
    return client
