"""The rejected table read back as the functions write it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.jobs.rejected import DynamoRejectedStore, RejectedRecord
from braze_bridge.reasons import Reason
from ops.rejected.rows import (
    DynamoRejectedRows,
    Filter,
    InvalidCursorError,
    RowsUnavailableError,
    UnreadableRowError,
)
from tests.fakes.clock import NOON
from tests.functional.ops.conftest import TABLE

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

HOUR = timedelta(hours=1)


def record(name: str, code: str = "no_identity", **fields: Any) -> RejectedRecord:
    given: dict[str, Any] = {
        "id": f"body:{name}",
        "kind": "body",
        "source": "outgrow",
        "route": "/outgrow/quiz",
        "payload": '{"email": "ada@example.com"}',
        "reasons": (Reason(code=code, field="person", detail="said Braze"),),
        "correlation_id": f"correlation-{name}",
        "first_seen": NOON,
        "last_seen": NOON,
    }
    return RejectedRecord(**(given | fields))


@pytest.fixture
def store(dynamodb: DynamoDBClient) -> DynamoRejectedStore:
    return DynamoRejectedStore(dynamodb, TABLE)


@pytest.fixture
def rows(dynamodb: DynamoDBClient) -> DynamoRejectedRows:
    return DynamoRejectedRows(dynamodb, TABLE, NOON + HOUR)


def ids(rows: DynamoRejectedRows, **wanted: Any) -> list[str]:
    return [row.id for row in rows.page(Filter(**wanted), limit=100).rows]


def test_what_is_parked_is_found_as_it_was(
    store: DynamoRejectedStore, rows: DynamoRejectedRows
) -> None:
    """Bodies and objects, with route and without; nothing is found under another id."""
    body = record("1")
    objects = record("2", kind="objects", route=None, reasons=(Reason(code="a"), Reason(code="b")))
    for each in (body, objects, body):
        store.park(each)

    as_read = [each.model_copy(update={"id": each.row_id}) for each in (body, objects)]
    assert [rows.find(each.id) for each in as_read] == [(as_read[0], 2), (as_read[1], 1)]
    assert rows.find("outgrow#body:3") is None


def test_a_list_holds_everything_but_the_payload(
    store: DynamoRejectedStore, rows: DynamoRejectedRows
) -> None:
    """DynamoDB does not even read it into the answer."""
    parked = record("1")
    store.park(parked)

    (row,) = rows.page(Filter(), limit=10).rows

    assert (row.id, row.kind, row.route, row.reasons) == (
        parked.row_id,
        parked.kind,
        parked.route,
        parked.reasons,
    )
    assert (row.first_seen, row.last_seen, row.expires_at, row.sightings) == (
        NOON,
        NOON,
        parked.expires_at,
        1,
    )
    assert "ada@" not in repr(row)
    assert "ada@" not in repr(rows.find(parked.row_id))


def test_each_filter_leaves_what_it_says(
    store: DynamoRejectedStore, rows: DynamoRejectedRows
) -> None:
    """Alone and together, through the table and through the index."""
    store.park(record("a", "no_identity"))
    store.park(record("b", "no_identity", source="iterate", last_seen=NOON + HOUR / 2))
    store.park(record("c", "no_identity", kind="objects", last_seen=NOON - HOUR, first_seen=NOON))
    store.park(record("d", "braze_refused", kind="objects"))

    assert sorted(ids(rows)) == ["iterate#body:b", *(f"outgrow#body:{n}" for n in "acd")]
    assert ids(rows, reason="no_identity") == ["iterate#body:b", "outgrow#body:a", "outgrow#body:c"]
    assert ids(rows, source="iterate") == ["iterate#body:b"]
    assert sorted(ids(rows, kind="objects")) == ["outgrow#body:c", "outgrow#body:d"]
    assert sorted(ids(rows, seen_since=NOON)) == [
        "iterate#body:b",
        "outgrow#body:a",
        "outgrow#body:d",
    ]
    assert sorted(ids(rows, seen_until=NOON)) == [
        "outgrow#body:a",
        "outgrow#body:c",
        "outgrow#body:d",
    ]
    assert sorted(ids(rows, seen_since=NOON, seen_until=NOON)) == [
        "outgrow#body:a",
        "outgrow#body:d",
    ]
    assert ids(rows, reason="no_identity", seen_since=NOON) == ["iterate#body:b", "outgrow#body:a"]
    assert ids(rows, reason="no_identity", seen_until=NOON) == ["outgrow#body:a", "outgrow#body:c"]
    assert ids(rows, reason="no_identity", seen_since=NOON, seen_until=NOON) == ["outgrow#body:a"]
    assert ids(rows, reason="no_identity", kind="objects", source="outgrow") == ["outgrow#body:c"]
    assert ids(rows, reason="nobody_has_this") == []


@pytest.mark.parametrize("reason", [None, "no_identity"])
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_together_are_the_list(
    store: DynamoRejectedStore, rows: DynamoRejectedRows, reason: str | None, limit: int
) -> None:
    """Every row once, whatever the size of a page; by reason, the newest first."""
    for number in range(7):
        store.park(record(str(number), last_seen=NOON + timedelta(minutes=number)))
    store.park(record("other", "braze_refused", source="iterate"))

    found, cursor = [], None
    while True:
        page = rows.page(Filter(reason=reason, source="outgrow"), limit=limit, cursor=cursor)
        assert len(page.rows) <= limit
        found += [row.id for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break

    newest_first = [f"outgrow#body:{number}" for number in range(6, -1, -1)]
    assert (found if reason else sorted(found, reverse=True)) == newest_first


@pytest.mark.parametrize("cursor", ["", "x", "e30", "!!!", "W10", "ä"])
def test_a_cursor_that_no_page_gave_is_refused(rows: DynamoRejectedRows, cursor: str) -> None:
    """Before DynamoDB is asked."""
    with pytest.raises(InvalidCursorError):
        rows.page(Filter(), limit=1, cursor=cursor)


def test_a_cursor_of_a_list_by_reason_is_refused_by_one_of_all(
    store: DynamoRejectedStore, rows: DynamoRejectedRows
) -> None:
    """They do not go through the table the same way."""
    for number in range(2):
        store.park(record(str(number)))
    cursor = rows.page(Filter(reason="no_identity"), limit=1).cursor

    with pytest.raises(InvalidCursorError):
        rows.page(Filter(), limit=1, cursor=cursor)


def test_counts_are_by_first_reason_the_most_frequent_first(
    store: DynamoRejectedStore, rows: DynamoRejectedRows
) -> None:
    """Every reason that there is, known to this code or not."""
    for number, code in enumerate(["b", "a", "c", "c", "never_seen_before"]):
        store.park(record(str(number), code))

    assert list(rows.counts().items()) == [("c", 2), ("a", 1), ("b", 1), ("never_seen_before", 1)]


def test_expired_rows_are_skipped_although_they_exist(
    store: DynamoRejectedStore, dynamodb: DynamoDBClient
) -> None:
    """From this second on; one second earlier it is listed."""
    store.park(record("1"))
    expiry = record("1").expires_at
    before, after = (
        DynamoRejectedRows(dynamodb, TABLE, instant)
        for instant in (expiry - timedelta(seconds=1), expiry)
    )

    assert (ids(before), ids(before, reason="no_identity")) == (
        ["outgrow#body:1"],
        ["outgrow#body:1"],
    )
    assert (before.counts(), before.find("outgrow#body:1") is None) == ({"no_identity": 1}, False)
    assert (ids(after), ids(after, reason="no_identity")) == ([], [])
    assert (after.counts(), after.find("outgrow#body:1")) == ({}, None)


def test_explaining_replaces_the_reasons_and_nothing_else(
    store: DynamoRejectedStore, rows: DynamoRejectedRows
) -> None:
    """It is counted by the new one, seen as often and as late as before."""
    store.park(record("1"))
    parked = rows.find("outgrow#body:1")
    assert parked is not None

    assert rows.explain(parked, [Reason(code="value_type", field="score")])

    after = rows.find("outgrow#body:1")
    assert after is not None
    assert after.record == parked.record.model_copy(
        update={"reasons": (Reason(code="value_type", field="score"),)}
    )
    assert (after.sightings, rows.counts()) == (1, {"value_type": 1})


def test_a_row_that_was_parked_again_is_neither_explained_nor_removed(
    store: DynamoRejectedStore, rows: DynamoRejectedRows
) -> None:
    """Nor a row that no longer exists."""
    store.park(record("1"))
    parked = rows.find("outgrow#body:1")
    assert parked is not None
    store.park(record("1"))

    assert not rows.explain(parked, [Reason(code="value_type")])
    assert not rows.remove(parked)
    again = rows.find("outgrow#body:1")
    assert again is not None
    assert rows.remove(again)
    assert not rows.remove(again)
    assert not rows.explain(again, [Reason(code="value_type")])
    assert ids(rows) == []


def test_dropping_forgets_by_id_or_while_the_reason_is_the_same(
    store: DynamoRejectedStore, rows: DynamoRejectedRows
) -> None:
    """A row that was parked with another reason since then was not meant."""
    store.park(record("1"))
    store.park(record("2"))

    assert not rows.drop("outgrow#body:1", "braze_refused")
    assert rows.drop("outgrow#body:1", "no_identity")
    assert rows.drop("outgrow#body:2")
    assert not rows.drop("outgrow#body:2")


def test_a_missing_table_is_reported_by_aws_s_code(dynamodb: DynamoDBClient) -> None:
    """By every method."""
    store = DynamoRejectedStore(dynamodb, TABLE)
    store.park(record("1"))
    rows = DynamoRejectedRows(dynamodb, TABLE, NOON)
    parked = rows.find("outgrow#body:1")
    assert parked is not None
    dynamodb.delete_table(TableName=TABLE)

    for call in (
        lambda: rows.page(Filter(), limit=1),
        lambda: rows.page(Filter(reason="a"), limit=1),
        rows.counts,
        lambda: rows.find("outgrow#body:1"),
        lambda: rows.explain(parked, [Reason(code="a")]),
        lambda: rows.remove(parked),
        lambda: rows.drop("outgrow#body:1"),
    ):
        with pytest.raises(RowsUnavailableError, match="ResourceNotFoundException"):
            call()


@pytest.mark.parametrize(
    ("column", "value"),
    [("schema_version", {"N": "9"}), ("kind", {"S": "other"}), ("reasons", {"S": "[]"})],
)
def test_a_row_of_another_version_is_named_and_not_quoted(
    dynamodb: DynamoDBClient,
    store: DynamoRejectedStore,
    rows: DynamoRejectedRows,
    column: str,
    value: Any,
) -> None:
    """Nothing of its payload gets into the error."""
    store.park(record("1"))
    dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": "outgrow#body:1"}},
        UpdateExpression="SET #column = :value",
        ExpressionAttributeNames={"#column": column},
        ExpressionAttributeValues={":value": value},
    )

    with pytest.raises(UnreadableRowError, match=r"^outgrow#body:1$") as caught:
        rows.find("outgrow#body:1")
    assert "ada@" not in repr((caught.value, caught.value.__cause__))
