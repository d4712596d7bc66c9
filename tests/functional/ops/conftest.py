"""AWS in process, with the template's own table and two queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from moto import mock_aws

from tests.infra.template import Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_sqs import SQSClient

REGION: Final = "eu-west-1"
TABLE: Final = "rejected"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield


@pytest.fixture(scope="session")
def table_properties() -> dict[str, Any]:
    """The table's keys, as the template makes them."""
    properties = Template().properties("RejectedTable")
    wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    return {name: properties[name] for name in wanted}


@pytest.fixture
def dynamodb(aws: None, table_properties: dict[str, Any]) -> DynamoDBClient:
    client = boto3.client("dynamodb", region_name=REGION)
    client.create_table(TableName=TABLE, **table_properties)
    return client


@pytest.fixture
def sqs(aws: None) -> SQSClient:
    return boto3.client("sqs", region_name=REGION)
