"""The row of attribute names on DynamoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from braze_bridge.ledger.new_names import DynamoNames, NamesRow, NamesUnavailableError
from tests.fakes.new_names import InMemoryNames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb import DynamoDBClient

    from braze_bridge.ledger.new_names import NamesStore

ONE, TWO, THREE = b"\x00" * 8, b"\x01" * 8, b"\xff" * 8


@pytest.fixture
def client() -> Iterator[DynamoDBClient]:
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(
            TableName="ledger",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


@pytest.fixture(params=["dynamodb", "memory"])
def store(request: pytest.FixtureRequest, client: DynamoDBClient) -> NamesStore:
    if request.param == "memory":
        return InMemoryNames()
    return DynamoNames(client, "ledger", "iterate")


def test_names_are_added_up_to_the_days_cap(store: NamesStore) -> None:
    """A write that exceeds it changes nothing; a new day begins at zero, an old one is over."""
    assert store.read() == NamesRow()
    assert store.add([ONE, TWO], "2026-11-28", 2)
    assert not store.add([THREE], "2026-11-28", 2)
    assert store.read() == NamesRow(frozenset({ONE, TWO}), "2026-11-28", 2)
    assert store.add([THREE], "2026-11-29", 2)
    assert not store.add([b"x" * 8], "2026-11-28", 2)
    assert store.add([b"x" * 8], "2026-11-29", 2)
    assert store.read() == NamesRow(frozenset({ONE, TWO, THREE, b"x" * 8}), "2026-11-29", 2)


def test_partners_have_rows_of_their_own(client: DynamoDBClient) -> None:
    """A flood from one takes nothing from another; a row never expires."""
    DynamoNames(client, "ledger", "iterate").add([ONE], "2026-11-28", 1)

    assert DynamoNames(client, "ledger", "quikly").read() == NamesRow()
    [row] = client.scan(TableName="ledger")["Items"]
    assert row.keys() == {"id", "known", "day", "used"}
    assert row["id"] == {"S": "names:iterate"}


def test_a_table_that_does_not_answer_is_unavailable(client: DynamoDBClient) -> None:
    """The error names AWS's code only."""
    missing = DynamoNames(client, "other", "iterate")

    with pytest.raises(NamesUnavailableError, match=r"^ResourceNotFoundException$"):
        missing.read()
    with pytest.raises(NamesUnavailableError):
        missing.add([ONE], "2026-11-28", 1)
