"""The rejected table as people work on it: list, count, find, correct, remove.

The functions only ever add rows (:class:`braze_bridge.jobs.rejected.DynamoRejectedStore`, which
also says how a row is laid out); everything else is done here. DynamoDB deletes expired rows up to
days late, so whatever is expired is overlooked in code.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypedDict

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter, ValidationError

from braze_bridge.clock import iso_millis
from braze_bridge.jobs.rejected import RejectedRecord
from braze_bridge.reasons import Reason
from ops.stack.aws_errors import CONDITION_FAILED, cause_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class RowsUnavailableError(Exception):
    """The table did not answer. The text is AWS's code, no more."""


class UnreadableRowError(Exception):
    """A row that this version cannot read. The text names its id."""


class InvalidCursorError(Exception):
    """A cursor that no page of this kind of listing gave."""


class Filter(NamedTuple):
    """Which rows are meant; what is ``None`` does not matter.

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
    """A row without its payload: nothing in it is about a person.

    Attributes:
        id: The job's id, or the hash of a body or message.
        route: Where a body came in, or ``None`` of objects.
        sightings: How often it was parked.
        expires_at: When it may vanish.
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
    """A whole row: it may be about a person.

    Attributes:
        sightings: How often it was parked; with ``last_seen`` it tells whether the row is still the
            one that was read.
    """

    record: RejectedRecord
    sightings: int

    def __repr__(self) -> str:
        # A repr ends up in tracebacks, where no payload belongs.
        return f"Parked({self.record.id!r})"


class Page(NamedTuple):
    """Some rows.

    Attributes:
        cursor: Where the next page begins, or ``None`` after the last one.
    """

    rows: tuple[Row, ...]
    cursor: str | None


class RejectedRows(Protocol):
    """The rejected table. Every method raises ``RowsUnavailableError`` where it does not answer."""

    def page(self, wanted: Filter, *, limit: int, cursor: str | None = None) -> Page:
        """Rows that are not expired.

        Args:
            wanted: Which. With a reason they come newest first, else in no order.
            limit: At most so many, 1 to :data:`MAX_PAGE`.
            cursor: Of the page before.

        Raises:
            InvalidCursorError: The cursor is none, or of a listing by reason where this is not one.
            UnreadableRowError: A row is of another version.
        """
        ...

    def counts(self) -> dict[str, int]:
        """How many rows each reason has, the most frequent first."""
        ...

    def find(self, record_id: str) -> Parked | None:
        """A row as it is now, or ``None`` where it is gone or expired.

        Raises:
            UnreadableRowError: It is of another version.
        """
        ...

    def explain(self, parked: Parked, reasons: Sequence[Reason]) -> bool:
        """Replace a row's reasons. It expires when it would have.

        Args:
            parked: The row as it was found.
            reasons: At least one.

        Returns:
            Whether it was still that row.
        """
        ...

    def remove(self, parked: Parked) -> bool:
        """Remove a row, unless it was parked again since it was found.

        Returns:
            Whether it was still that row.
        """
        ...

    def drop(self, record_id: str, reason: str | None = None) -> bool:
        """Forget a row for good, whatever happened to it.

        Args:
            record_id: Its id.
            reason: If given, only while it is counted by that.

        Returns:
            Whether there was one.
        """
        ...


class _ReadArguments(TypedDict, total=False):
    """What Scan and Query have in common, as far as it is used."""

    TableName: str
    ProjectionExpression: str
    FilterExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, AttributeValueTypeDef]
    ExclusiveStartKey: dict[str, AttributeValueTypeDef]


class DynamoRejectedRows:
    """A :class:`RejectedRows` on DynamoDB."""

    def __init__(self, client: DynamoDBClient, table: str, now: datetime) -> None:
        """Open the table.

        Args:
            client: Of the table's account and region.
            table: Its name.
            now: What is expired by then is overlooked.
        """
        self._client = client
        self._table = table
        self._now = now

    def page(self, wanted: Filter, *, limit: int, cursor: str | None = None) -> Page:
        """See :meth:`RejectedRows.page`."""
        keys = ("id",) if wanted.reason is None else ("id", "reason", "last_seen")
        start = None if cursor is None else _start_of(cursor, keys)
        arguments = self._arguments(wanted)
        rows: list[Row] = []
        while True:
            if start is not None:
                arguments["ExclusiveStartKey"] = start
            items, start = self._read(wanted, arguments)
            for item in items:
                rows.append(row_of(item))
                if len(rows) == limit:
                    last = rows[-1]
                    place = {
                        "id": last.id,
                        "reason": last.reasons[0].code,
                        "last_seen": iso_millis(last.last_seen),
                    }
                    return Page(tuple(rows), _cursor_of({key: place[key] for key in keys}))
            if start is None:
                return Page(tuple(rows), None)

    def counts(self) -> dict[str, int]:
        """See :meth:`RejectedRows.counts`.

        The index is read through, since DynamoDB cannot list the keys it has: this costs what the
        table weighs, payloads included.
        """
        found: Counter[str] = Counter()
        arguments = self._arguments(Filter())
        arguments["ProjectionExpression"] = "#reason"
        arguments["ExpressionAttributeNames"] = {
            "#reason": "reason",
            "#expires_at": "expires_at",
        }
        while True:
            try:
                answer = self._client.scan(IndexName=INDEX, **arguments)
            except (BotoCoreError, ClientError) as error:
                raise RowsUnavailableError(cause_of(error)) from error
            found.update(item["reason"]["S"] for item in answer["Items"])
            if not answer.get("LastEvaluatedKey"):
                return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def find(self, record_id: str) -> Parked | None:
        """See :meth:`RejectedRows.find`."""
        try:
            answer = self._client.get_item(
                TableName=self._table, Key={"id": {"S": record_id}}, ConsistentRead=True
            )
        except (BotoCoreError, ClientError) as error:
            raise RowsUnavailableError(cause_of(error)) from error
        item = answer.get("Item")
        if item is None:
            return None
        parked = parked_of(item)
        return parked if row_of(item).expires_at > self._now else None

    def explain(self, parked: Parked, reasons: Sequence[Reason]) -> bool:
        """See :meth:`RejectedRows.explain`."""
        condition, values = _still(parked)
        values |= {
            ":reason": {"S": reasons[0].code},
            ":reasons": {"S": _REASONS.dump_json(tuple(reasons)).decode()},
        }
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": parked.record.id}},
                UpdateExpression="SET #reason = :reason, #reasons = :reasons",
                ConditionExpression=condition,
                ExpressionAttributeNames={"#reason": "reason", "#reasons": "reasons"},
                ExpressionAttributeValues=values,
            )
        except (BotoCoreError, ClientError) as error:
            return _not_met(error)
        return True

    def remove(self, parked: Parked) -> bool:
        """See :meth:`RejectedRows.remove`."""
        condition, values = _still(parked)
        return self._delete(parked.record.id, condition, {}, values)

    def drop(self, record_id: str, reason: str | None = None) -> bool:
        """See :meth:`RejectedRows.drop`."""
        if reason is None:
            return self._delete(record_id, "attribute_exists(id)", {}, {})
        values: dict[str, AttributeValueTypeDef] = {":reason": {"S": reason}}
        return self._delete(record_id, "#reason = :reason", {"#reason": "reason"}, values)

    def _delete(
        self,
        record_id: str,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, AttributeValueTypeDef],
    ) -> bool:
        expression: _DeleteExpression = {"ConditionExpression": condition}
        if names:
            expression["ExpressionAttributeNames"] = names
        if values:
            expression["ExpressionAttributeValues"] = values
        try:
            self._client.delete_item(
                TableName=self._table, Key={"id": {"S": record_id}}, **expression
            )
        except (BotoCoreError, ClientError) as error:
            return _not_met(error)
        return True

    def _arguments(self, wanted: Filter) -> _ReadArguments:
        names = {f"#{column}": column for column in _COLUMNS}
        conditions = ["#expires_at > :now"]
        values: dict[str, AttributeValueTypeDef] = {
            ":now": {"N": str(int(self._now.timestamp()))},
        }
        for column, value in (("source", wanted.source), ("kind", wanted.kind)):
            if value is not None:
                conditions.append(f"#{column} = :{column}")
                values[f":{column}"] = {"S": value}
        if wanted.reason is None:
            times, more = _times(wanted)
            conditions += times
            values |= more
        return {
            "TableName": self._table,
            "ProjectionExpression": ", ".join(f"#{column}" for column in _COLUMNS),
            "FilterExpression": " AND ".join(conditions),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }

    def _read(
        self, wanted: Filter, arguments: _ReadArguments
    ) -> tuple[
        Sequence[Mapping[str, AttributeValueTypeDef]], dict[str, AttributeValueTypeDef] | None
    ]:
        """One call: by the index where a reason is given, else through the table."""
        try:
            if wanted.reason is None:
                scanned = self._client.scan(**arguments)
                return scanned["Items"], scanned.get("LastEvaluatedKey") or None
            times, values = _times(wanted)
            by_index: _ReadArguments = {
                **arguments,
                "ExpressionAttributeNames": {
                    **arguments["ExpressionAttributeNames"],
                    "#reason": "reason",
                },
                "ExpressionAttributeValues": {
                    **arguments["ExpressionAttributeValues"],
                    **values,
                    ":reason": {"S": wanted.reason},
                },
            }
            found = self._client.query(
                IndexName=INDEX,
                KeyConditionExpression=" AND ".join(["#reason = :reason", *times]),
                ScanIndexForward=False,
                **by_index,
            )
            return found["Items"], found.get("LastEvaluatedKey") or None
        except (BotoCoreError, ClientError) as error:
            raise RowsUnavailableError(cause_of(error)) from error


class _DeleteExpression(TypedDict, total=False):
    ConditionExpression: str
    ExpressionAttributeNames: Mapping[str, str]
    ExpressionAttributeValues: Mapping[str, AttributeValueTypeDef]


def row_of(item: Mapping[str, AttributeValueTypeDef]) -> Row:
    """Read a row as DynamoDB gives it, its payload left out.

    Raises:
        UnreadableRowError: It is not laid out as expected.
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
        # Not as the cause: pydantic's text quotes what it read.
        raise UnreadableRowError(item["id"]["S"]) from None
    if not row.reasons:
        raise UnreadableRowError(row.id)
    return row


def parked_of(item: Mapping[str, AttributeValueTypeDef]) -> Parked:
    """Read a whole row as DynamoDB gives it.

    Raises:
        UnreadableRowError: It is of another version.
    """
    row = row_of(item)
    try:
        record = RejectedRecord.model_validate(
            {
                "schema_version": int(item["schema_version"]["N"]),
                "id": row.id,
                "kind": row.kind,
                "source": row.source,
                "route": row.route,
                "payload": item["payload"]["S"],
                "reasons": row.reasons,
                "correlation_id": row.correlation_id,
                "first_seen": row.first_seen,
                "last_seen": row.last_seen,
            }
        )
    except (KeyError, ValidationError):
        raise UnreadableRowError(row.id) from None
    return Parked(record, row.sightings)


def _times(wanted: Filter) -> tuple[list[str], dict[str, AttributeValueTypeDef]]:
    """Conditions on ``last_seen``: one at most, as a key condition must be."""
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


def _still(parked: Parked) -> tuple[str, dict[str, AttributeValueTypeDef]]:
    """The condition that nobody parked the row again since it was read."""
    return "last_seen = :seen AND sightings = :sightings", {
        ":seen": {"S": iso_millis(parked.record.last_seen)},
        ":sightings": {"N": str(parked.sightings)},
    }


def _not_met(error: BotoCoreError | ClientError) -> Literal[False]:
    cause = cause_of(error)
    if cause == CONDITION_FAILED:
        return False
    raise RowsUnavailableError(cause) from error


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
