"""The rejected table as people work on it: list, count, find, correct, remove.

The functions only add rows (:class:`braze_bridge.jobs.rejected.DynamoRejectedStore`, which also
describes a row's layout); the rest is here. DynamoDB deletes expired rows up to days late, so this
code skips expired rows.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

from pydantic import TypeAdapter, ValidationError

from braze_bridge.clock import iso_millis
from braze_bridge.jobs.rejected import RejectedRecord
from braze_bridge.reasons import Reason
from ops.stack.errors import NOT_DONE, CommandError, aws_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

Kind = Literal["body", "objects"]

INDEX: Final = "by_reason"

MAX_PAGE: Final = 1_000

_REASONS: Final[TypeAdapter[tuple[Reason, ...]]] = TypeAdapter(tuple[Reason, ...])
_COLUMNS: Final = (
    "id",
    "kind",
    "source",
    "route",
    "reasons",
    "correlation_id",
    "first_seen",
    "last_seen",
    "expires_at",
    "sightings",
)
"""Everything but the payload: lists hold no answers of persons."""


class RowsUnavailableError(CommandError):
    """The table did not answer. The text is AWS's error code."""

    line = "the rejected table does not answer: {}"


class UnreadableRowError(CommandError):
    """This version cannot read a row. The text is the row's id."""

    exit_code = NOT_DONE
    line = "{}: a row of another version; update this tool"


class InvalidCursorError(Exception):
    """No page of this kind of list gave this cursor."""


class Filter(NamedTuple):
    """Selects rows; ``None`` selects all.

    Attributes:
        reason: The code that a row is counted by: that of its first reason.
        seen_since: Last seen then or later.
        seen_until: Last seen then or earlier.
    """

    reason: str | None = None
    source: str | None = None
    kind: Kind | None = None
    seen_since: datetime | None = None
    seen_until: datetime | None = None


class Row(NamedTuple):
    """A row without its payload: nothing in it is personal.

    Attributes:
        id: The job's id, or the hash of a body or message.
        route: The route of a body; ``None`` for objects.
        sightings: How often it was parked.
    """

    id: str
    kind: str
    source: str
    route: str | None
    reasons: tuple[Reason, ...]
    correlation_id: str
    first_seen: datetime
    last_seen: datetime
    expires_at: datetime
    sightings: int


class Parked(NamedTuple):
    """A whole row; it may hold personal data.

    Attributes:
        sightings: How often it was parked. Together with ``last_seen`` it shows whether the row
            changed since it was read.
    """

    record: RejectedRecord
    sightings: int

    def __repr__(self) -> str:
        # Tracebacks print a repr; they must not hold a payload.
        return f"Parked({self.record.id!r})"


class Page(NamedTuple):
    """Some rows.

    Attributes:
        cursor: Start of the next page; ``None`` after the last one.
    """

    rows: tuple[Row, ...]
    cursor: str | None


class RejectedRows(Protocol):
    """The rejected table. Every method raises :class:`RowsUnavailableError`.

    :meth:`page` and :meth:`find` raise :class:`UnreadableRowError` for a row of another version.
    """

    def page(self, wanted: Filter, *, limit: int, cursor: str | None = None) -> Page:
        """List rows that are not expired. With a reason, the newest come first.

        Args:
            wanted: Which rows.
            limit: 1 to :data:`MAX_PAGE`.
            cursor: Of the page before.

        Raises:
            InvalidCursorError: The cursor is invalid, or of the other kind of list (by reason).
        """
        ...

    def counts(self) -> dict[str, int]:
        """Count rows by reason, the most frequent first."""
        ...

    def find(self, record_id: str) -> Parked | None:
        """Read a row as it is now; ``None`` if it is gone or expired."""
        ...

    def explain(self, parked: Parked, reasons: Sequence[Reason]) -> bool:
        """Replace a row's reasons (at least one); its expiry stays.

        Returns:
            Whether the row was unchanged since it was read.
        """
        ...

    def remove(self, parked: Parked) -> bool:
        """Remove a row, unless it was parked again since it was read.

        Returns:
            Whether it was removed.
        """
        ...

    def drop(self, record_id: str, reason: str | None = None) -> bool:
        """Remove a row, also if it changed.

        Args:
            record_id: Its id.
            reason: If given, remove it only while it is counted by this reason.

        Returns:
            Whether there was one.
        """
        ...


class DynamoRejectedRows:
    """A :class:`RejectedRows` on DynamoDB.

    Args:
        now: Rows that are expired at this time are skipped.
    """

    def __init__(self, client: DynamoDBClient, table: str, now: datetime) -> None:
        self._client = client
        self._table = table
        self._now = now

    def page(self, wanted: Filter, *, limit: int, cursor: str | None = None) -> Page:
        """See :meth:`RejectedRows.page`."""
        keys = ("id",) if wanted.reason is None else ("id", "reason", "last_seen")
        start = {} if cursor is None else {"ExclusiveStartKey": _start_of(cursor, keys)}
        rows: list[Row] = []
        for item in self._items(wanted, _COLUMNS, **start):
            row = row_of(item)
            rows.append(row)
            if len(rows) == limit:
                place = {
                    "id": row.id,
                    "reason": row.reasons[0].code,
                    "last_seen": iso_millis(row.last_seen),
                }
                return Page(tuple(rows), _cursor_of({key: place[key] for key in keys}))
        return Page(tuple(rows), None)

    def counts(self) -> dict[str, int]:
        """See :meth:`RejectedRows.counts`.

        DynamoDB cannot list an index's keys, so this reads the whole index. It costs as much as
        the table is large, payloads included.
        """
        items = self._items(Filter(), ("reason",), IndexName=INDEX)
        found = Counter(item["reason"]["S"] for item in items)
        return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))

    def find(self, record_id: str) -> Parked | None:
        """See :meth:`RejectedRows.find`."""
        with aws_errors(RowsUnavailableError):
            answer = self._client.get_item(
                TableName=self._table, Key={"id": {"S": record_id}}, ConsistentRead=True
            )
        item = answer.get("Item")
        if item is None:
            return None
        parked = parked_of(item)
        return parked if row_of(item).expires_at > self._now else None

    def explain(self, parked: Parked, reasons: Sequence[Reason]) -> bool:
        """See :meth:`RejectedRows.explain`."""
        condition, values = _unchanged(parked)
        values |= {
            ":reason": {"S": reasons[0].code},
            ":reasons": {"S": _REASONS.dump_json(tuple(reasons)).decode()},
        }
        with aws_errors(RowsUnavailableError):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": parked.record.id}},
                    UpdateExpression="SET #reason = :reason, #reasons = :reasons",
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#reason": "reason", "#reasons": "reasons"},
                    ExpressionAttributeValues=values,
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def remove(self, parked: Parked) -> bool:
        """See :meth:`RejectedRows.remove`."""
        condition, values = _unchanged(parked)
        return self._delete(
            parked.record.id, ConditionExpression=condition, ExpressionAttributeValues=values
        )

    def drop(self, record_id: str, reason: str | None = None) -> bool:
        """See :meth:`RejectedRows.drop`."""
        if reason is None:
            return self._delete(record_id, ConditionExpression="attribute_exists(id)")
        return self._delete(
            record_id,
            ConditionExpression="#reason = :reason",
            ExpressionAttributeNames={"#reason": "reason"},
            ExpressionAttributeValues={":reason": {"S": reason}},
        )

    def _delete(self, record_id: str, **condition: Any) -> bool:  # noqa: ANN401 - as boto3 takes it
        with aws_errors(RowsUnavailableError):
            try:
                self._client.delete_item(
                    TableName=self._table, Key={"id": {"S": record_id}}, **condition
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def _items(
        self,
        wanted: Filter,
        names: Sequence[str],
        **more: Any,  # noqa: ANN401 - as boto3 takes them
    ) -> Iterator[dict[str, AttributeValueTypeDef]]:
        """Yield columns of rows, page after page: by the index for a reason, else by a scan."""
        conditions = ["#expires_at > :now"]
        columns = {*names, "expires_at"}
        values: dict[str, AttributeValueTypeDef] = {":now": {"N": str(int(self._now.timestamp()))}}
        for column, value in (("source", wanted.source), ("kind", wanted.kind)):
            if value is not None:
                conditions.append(f"#{column} = :{column}")
                columns.add(column)
                values[f":{column}"] = {"S": value}
        times, time_values = _times(wanted)
        if wanted.reason is None:
            conditions += times
        else:
            columns.add("reason")
            more |= {
                "IndexName": INDEX,
                "KeyConditionExpression": " AND ".join(["#reason = :reason", *times]),
                "ScanIndexForward": False,
            }
            values[":reason"] = {"S": wanted.reason}
        read = self._client.get_paginator("scan" if wanted.reason is None else "query").paginate(
            TableName=self._table,
            ProjectionExpression=", ".join(f"#{name}" for name in names),
            FilterExpression=" AND ".join(conditions),
            ExpressionAttributeNames={f"#{column}": column for column in columns},
            ExpressionAttributeValues=values | time_values,
            **more,
        )
        with aws_errors(RowsUnavailableError):
            for page in read:
                yield from page["Items"]


def row_of(item: Mapping[str, AttributeValueTypeDef]) -> Row:
    """Read a row of DynamoDB without its payload.

    Raises:
        UnreadableRowError: Its layout is not as expected.
    """
    try:
        row = Row(
            id=item["id"]["S"],
            kind=item["kind"]["S"],
            source=item["source"]["S"],
            route=item["route"].get("S"),
            reasons=_REASONS.validate_json(item["reasons"]["S"]),
            correlation_id=item["correlation_id"]["S"],
            first_seen=datetime.fromisoformat(item["first_seen"]["S"]),
            last_seen=datetime.fromisoformat(item["last_seen"]["S"]),
            expires_at=datetime.fromtimestamp(int(item["expires_at"]["N"]), UTC),
            sightings=int(item["sightings"]["N"]),
        )
    except (KeyError, ValueError):
        # Not chained: pydantic's text quotes what it read.
        raise UnreadableRowError(item["id"]["S"]) from None
    if not row.reasons:
        raise UnreadableRowError(row.id)
    return row


def parked_of(item: Mapping[str, AttributeValueTypeDef]) -> Parked:
    """Read a whole row of DynamoDB.

    Raises:
        UnreadableRowError: It is of another version.
    """
    row = row_of(item)
    fields = row._asdict()
    del fields["expires_at"], fields["sightings"]
    try:
        record = RejectedRecord.model_validate(
            {
                **fields,
                "schema_version": int(item["schema_version"]["N"]),
                "payload": item["payload"]["S"],
            }
        )
    except (KeyError, ValidationError):
        raise UnreadableRowError(row.id) from None
    return Parked(record, row.sightings)


def _times(wanted: Filter) -> tuple[list[str], dict[str, AttributeValueTypeDef]]:
    """Build at most one condition on ``last_seen``: a key condition allows no more."""
    values: dict[str, AttributeValueTypeDef] = {}
    if wanted.seen_since is not None:
        values[":since"] = {"S": iso_millis(wanted.seen_since)}
    if wanted.seen_until is not None:
        values[":until"] = {"S": iso_millis(wanted.seen_until)}
    conditions = {
        (): [],
        (":since",): ["#last_seen >= :since"],
        (":until",): ["#last_seen <= :until"],
        (":since", ":until"): ["#last_seen BETWEEN :since AND :until"],
    }
    return conditions[tuple(values)], values


def _unchanged(parked: Parked) -> tuple[str, dict[str, AttributeValueTypeDef]]:
    """Build the condition that the row was not parked again since it was read."""
    return "last_seen = :seen AND sightings = :sightings", {
        ":seen": {"S": iso_millis(parked.record.last_seen)},
        ":sightings": {"N": str(parked.sightings)},
    }


def _cursor_of(place: Mapping[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _start_of(cursor: str, keys: Sequence[str]) -> dict[str, AttributeValueTypeDef]:
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        place = None
    if not isinstance(place, dict) or set(place) != set(keys):
        raise InvalidCursorError(cursor)
    return {key: {"S": str(place[key])} for key in keys}
