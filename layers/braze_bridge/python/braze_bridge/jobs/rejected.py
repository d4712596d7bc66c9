"""The rejected table: bodies and jobs that can never succeed as they are, with the reasons.

They are rows, not messages: they can be listed, counted by reason, shown, replayed and forgotten.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from braze_bridge.aws.errors import aws_errors
from braze_bridge.clock import iso_millis
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

RETENTION: Final = timedelta(days=30)

MAX_PAYLOAD_BYTES: Final = 350_000
"""A DynamoDB item may have 400 KB, with its names and reasons. A longer payload is parked in parts
(:func:`braze_bridge.jobs.envelope.split_job`)."""


class RejectedRecord(BaseModel):
    """Version 1 of a parked body or job.

    Attributes:
        id: The job's id or the body's hash, so that resends share one row. In a row that was read,
            the row's own id.
        kind: ``body`` (as received, with its ``route``) or ``objects`` (a DeliveryJob's JSON that
            holds only what was refused).
        payload: The body's text, or the job's JSON.
        correlation_id: Of the last sighting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    id: Annotated[str, Field(min_length=1, max_length=1024)]
    kind: Literal["body", "objects"]
    source: str
    route: str | None = None
    payload: str
    reasons: Annotated[tuple[Reason, ...], Field(min_length=1)]
    correlation_id: str
    first_seen: AwareDatetime
    last_seen: AwareDatetime

    @property
    def row_id(self) -> str:
        """The id of the row to park: it begins with the source.

        So IAM can hold each function to its own partner's rows (``dynamodb:LeadingKeys``). Rows
        parked before 2026-11-28 have no such beginning.
        """
        return f"{self.source}#{self.id}"

    @property
    def expires_at(self) -> datetime:
        """When DynamoDB may delete the row: 30 days after it was last seen."""
        return self.last_seen + RETENTION


class RejectedStoreUnavailableError(Exception):
    """The record was not kept: the original must not be deleted."""


class RowRefusedError(RejectedStoreUnavailableError):
    """The store can never keep this record; it may keep others."""


class RejectedStore(Protocol):
    """Keeps what was rejected."""

    def park(self, record: RejectedRecord) -> None:
        """Keep a record. It replaces one with the same id, except the time of the first sighting.

        Raises:
            RowRefusedError: This record can never be kept.
            RejectedStoreUnavailableError: It was not kept.
        """
        ...


def _problem(code: str) -> RejectedStoreUnavailableError:
    return (RowRefusedError if code == "ValidationException" else RejectedStoreUnavailableError)(
        code
    )


_REASONS: Final[TypeAdapter[tuple[Reason, ...]]] = TypeAdapter(tuple[Reason, ...])


class DynamoRejectedStore:
    """A :class:`RejectedStore` on a DynamoDB table keyed by ``id``.

    The index ``by_reason`` has the first reason's code as its key and ``last_seen`` as its order;
    ``expires_at`` (epoch seconds) is the table's TTL attribute.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def park(self, record: RejectedRecord) -> None:
        """See :meth:`RejectedStore.park`."""
        row: dict[str, AttributeValueTypeDef] = {
            "schema_version": {"N": str(record.schema_version)},
            "kind": {"S": record.kind},
            "source": {"S": record.source},
            "route": {"S": record.route} if record.route is not None else {"NULL": True},
            "payload": {"S": record.payload},
            "reason": {"S": record.reasons[0].code},
            "reasons": {"S": _REASONS.dump_json(record.reasons).decode()},
            "correlation_id": {"S": record.correlation_id},
            "last_seen": {"S": iso_millis(record.last_seen)},
            "expires_at": {"N": str(int(record.expires_at.timestamp()))},
        }
        assignments = [f"#{name} = :{name}" for name in row]
        assignments.append("#first_seen = if_not_exists(#first_seen, :first_seen)")
        row["first_seen"] = {"S": iso_millis(record.first_seen)}
        with aws_errors(_problem):
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": record.row_id}},
                UpdateExpression=f"SET {', '.join(assignments)} ADD sightings :one",
                ExpressionAttributeNames={f"#{name}": name for name in row},
                ExpressionAttributeValues={
                    ":one": {"N": "1"},
                    **{f":{name}": value for name, value in row.items()},
                },
            )
