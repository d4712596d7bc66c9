"""The rejected table on DynamoDB."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from braze_bridge.jobs.rejected import (
    DynamoRejectedStore,
    RejectedRecord,
    RejectedStoreUnavailableError,
)
from braze_bridge.reasons import Reason
from ops.rejected.rows import DynamoRejectedRows
from tests.fakes.clock import NOON
from tests.fakes.jobs import InMemoryRejectedStore

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

TABLE = "rejected"


@pytest.fixture
def client() -> DynamoDBClient:
    client = boto3.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "reason", "AttributeType": "S"},
            {"AttributeName": "last_seen", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_reason",
                "KeySchema": [
                    {"AttributeName": "reason", "KeyType": "HASH"},
                    {"AttributeName": "last_seen", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


def record(**changes: Any) -> RejectedRecord:
    usual: dict[str, Any] = {
        "id": "body:1",
        "kind": "body",
        "source": "outgrow",
        "route": "/outgrow",
        "payload": '{"score":1,"name":"Zoë \\u0000 🎓"}',
        "reasons": (Reason(code="no_identity", field="person"), Reason(code="nothing_to_send")),
        "correlation_id": "r-1",
        "first_seen": NOON,
        "last_seen": NOON,
    }
    return RejectedRecord(**usual | changes)


def row(client: DynamoDBClient) -> dict[str, Any]:
    [item] = client.scan(TableName=TABLE)["Items"]
    return item


def test_record_is_kept_whole(client: DynamoDBClient) -> None:
    """A row has everything of the record, and when it expires."""
    DynamoRejectedStore(client, TABLE).park(record())

    item = row(client)
    assert item["payload"] == {"S": record().payload}
    assert [reason["code"] for reason in json.loads(item["reasons"]["S"])] == [
        "no_identity",
        "nothing_to_send",
    ]
    assert item["first_seen"] == item["last_seen"] == {"S": "2026-11-22T12:00:00.000Z"}
    assert item["expires_at"] == {"N": str(int((NOON + timedelta(days=30)).timestamp()))}
    assert item["route"] == {"S": "/outgrow"}


def test_a_row_id_begins_with_the_source(client: DynamoDBClient) -> None:
    """IAM holds each function to rows that begin so; the same job of two sources is two rows."""
    store = DynamoRejectedStore(client, TABLE)

    store.park(record())
    store.park(record(source="iterate"))

    ids = sorted(item["id"]["S"] for item in client.scan(TableName=TABLE)["Items"])
    assert ids == ["iterate#body:1", "outgrow#body:1"]


def test_rows_of_before_are_found_and_removed(client: DynamoDBClient) -> None:
    """Their ids have no source."""
    DynamoRejectedStore(client, TABLE).park(record())
    client.put_item(TableName=TABLE, Item=row(client) | {"id": {"S": "body:2"}})
    rows = DynamoRejectedRows(client, TABLE, NOON)

    for row_id in ("body:2", "outgrow#body:1"):
        parked = rows.find(row_id)
        assert parked is not None
        assert rows.explain(parked, parked.record.reasons)
        assert rows.remove(parked)
        assert rows.find(row_id) is None


def test_resend_parks_once(client: DynamoDBClient) -> None:
    """Parked again, a record keeps its first sighting, moves its last, and is counted."""
    store = DynamoRejectedStore(client, TABLE)
    later = NOON + timedelta(hours=1)

    store.park(record())
    store.park(record(first_seen=later, last_seen=later, correlation_id="r-2"))

    item = row(client)
    assert item["first_seen"] == {"S": "2026-11-22T12:00:00.000Z"}
    assert item["last_seen"] == {"S": "2026-11-22T13:00:00.000Z"}
    assert item["sightings"] == {"N": "2"}
    assert item["correlation_id"] == {"S": "r-2"}


def test_rows_are_found_by_their_first_reason(client: DynamoDBClient) -> None:
    """The index counts a row under the first of its reasons."""
    DynamoRejectedStore(client, TABLE).park(record())

    found = {
        code: client.query(
            TableName=TABLE,
            IndexName="by_reason",
            KeyConditionExpression="reason = :code",
            ExpressionAttributeValues={":code": {"S": code}},
        )["Count"]
        for code in ("no_identity", "nothing_to_send")
    }

    assert found == {"no_identity": 1, "nothing_to_send": 0}


def test_largest_body_fits_a_row(client: DynamoDBClient) -> None:
    """What the door lets in can be parked: 262,144 bytes, in any script."""
    payload = '"' + "é" * 131_071 + '"'

    DynamoRejectedStore(client, TABLE).park(record(payload=payload))

    assert row(client)["payload"]["S"] == payload


def test_missing_table_is_unavailable(client: DynamoDBClient) -> None:
    """DynamoDB's own errors become one error of ours, without the payload."""
    client.delete_table(TableName=TABLE)

    with pytest.raises(RejectedStoreUnavailableError) as raised:
        DynamoRejectedStore(client, TABLE).park(record())

    assert "Zoë" not in str(raised.value)


def test_fake_parks_as_dynamodb_does(client: DynamoDBClient) -> None:
    """The fake of the other suites keeps first sightings and counts like the table."""
    fake = InMemoryRejectedStore()
    store = DynamoRejectedStore(client, TABLE)
    later = NOON + timedelta(hours=1)

    for port in (fake, store):
        port.park(record())
        port.park(record(first_seen=later, last_seen=later))

    [kept] = fake.records.values()
    assert (kept.first_seen, kept.last_seen) == (NOON, later)
    assert fake.sightings == {"body:1": int(row(client)["sightings"]["N"])}
