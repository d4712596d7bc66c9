"""AWS clients with bounded time: connect 2 s, read 5 s, two tries, unless a client says otherwise.

botocore makes them. boto3 only wraps it, and also loads code that uploads files to S3. That would
make an ingest function start later. A client is made on first use, not at import, and kept for the
life of the execution environment. The read timeout is far under the shortest function timeout: a
slow AWS answer becomes an error that the code handles, and not a killed Lambda.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from botocore.config import Config
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient


def bounded_config(**changes: Any) -> Config:  # noqa: ANN401 - botocore's options
    """Make the botocore configuration of a client; ``changes`` are the options that differ."""
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


def _dynamodb(**changes: Any) -> DynamoDBClient:  # noqa: ANN401 - as above
    return cast("DynamoDBClient", _client("dynamodb", **changes))


@cache
def sqs() -> SQSClient:
    """Return the process's SQS client."""
    return cast("SQSClient", _client("sqs"))


@cache
def dynamodb() -> DynamoDBClient:
    """Return the process's DynamoDB client."""
    return _dynamodb()


@cache
def secretsmanager() -> SecretsManagerClient:
    """Return the process's Secrets Manager client."""
    return cast("SecretsManagerClient", _client("secretsmanager"))


def pooled_dynamodb(connections: int) -> DynamoDBClient:
    """Make a DynamoDB client for so many calls side by side."""
    return _dynamodb(max_pool_connections=connections)


def names_client() -> DynamoDBClient:
    """Make the client that counts new attribute names: connect and read 0.5 s, one try.

    A partner waits, and its response is taken without this answer, too.
    """
    return _dynamodb(
        connect_timeout=0.5,
        read_timeout=0.5,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )


def claims_client() -> DynamoDBClient:
    """Make the webhook's DynamoDB client: connect 1 s, read 2 s, two tries.

    The times are shorter because a campaign waits: if the table hangs, the webhook answers 503
    after six seconds, long before the function ends. Parameters are not validated, because they
    all come from our own code.
    """
    return _dynamodb(connect_timeout=1, read_timeout=2, parameter_validation=False)


def ledger_client(connections: int) -> DynamoDBClient:
    """Make a DynamoDB client for the ledger and the gate: connect 1 s, read 2 s, one try.

    The ledger itself retries, item by item, and knows what a lost answer means. Parameters are not
    validated, because they all come from our own code; checking them costs a third of a call.
    """
    return _dynamodb(
        connect_timeout=1,
        read_timeout=2,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=connections,
        parameter_validation=False,
    )
