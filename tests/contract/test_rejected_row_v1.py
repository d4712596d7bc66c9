"""Rejected rows v1, as shipped: what is parked must stay readable and replayable for its 30 days.

The samples are never changed. A new version gets samples of its own beside them.
"""

from __future__ import annotations

import json
import pathlib
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from braze_bridge.jobs.envelope import parse_job
from braze_bridge.jobs.rejected import DynamoRejectedStore
from ops.rejected.rows import parked_of, row_of

SAMPLES = pathlib.Path(__file__).parent / "samples"


def sample(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((SAMPLES / f"rejected_row_v1_{name}.json").read_text())
    return parsed


def test_a_stored_body_is_read_whole() -> None:
    """With its route, both reasons, and how often it was seen."""
    record, sightings = parked_of(sample("body"))

    assert (record.id, record.kind, record.source) == ("body:9f2c1d", "body", "outgrow")
    assert record.route == "/outgrow/quiz"
    assert json.loads(record.payload) == {"id": "17", "name": "Zoë", "score": 5}
    assert [reason.code for reason in record.reasons] == ["no_identity", "blank"]
    assert record.first_seen == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert record.last_seen == datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)
    assert sightings == 3


def test_stored_objects_are_read_whole_and_hold_a_job() -> None:
    """Without a route; what can be replayed is the payload."""
    record, sightings = parked_of(sample("objects"))

    assert (record.kind, record.route, sightings) == ("objects", None, 1)
    assert parse_job(record.payload).attributes == {"score": 5}


@pytest.mark.parametrize("name", ["body", "objects"])
def test_the_functions_still_write_such_rows(name: str) -> None:
    """The update that parks the record sets exactly the sample's values.

    Since 2026-11-28 an id begins with the source; the sample's is of before.
    """
    stored = sample(name)
    client = boto3.client(
        "dynamodb", region_name="eu-west-1", aws_access_key_id="-", aws_secret_access_key="-"
    )
    sent: dict[str, Any] = {}
    client.meta.events.register(
        "provide-client-params.dynamodb.UpdateItem",
        lambda params, **_: sent.update(params),
    )
    with Stubber(client) as stubber:
        stubber.add_response("update_item", {})
        DynamoRejectedStore(client, "rejected").park(parked_of(stored).record)

    values = sent["ExpressionAttributeValues"]
    written = {
        attribute: values[f":{attribute}"]
        for attribute in stored.keys() - {"id", "sightings", "expires_at"}
    }
    assert sent["Key"] == {"id": {"S": f"outgrow#{stored['id']['S']}"}}
    assert written == {attribute: stored[attribute] for attribute in written}
    assert int(values[":expires_at"]["N"]) == int(row_of(stored).expires_at.timestamp())
