"""Acquisitions on DynamoDB: one table, keyed by ``id``.

    a#<acquisition id>   record (JSON), version, state; due_partition and due_at while unfinished
    k#<hash of a key>    acquisition_id, request: the acquisition of an idempotency key
    p#<hash of a person> acquisition_id: the pending one of scope, channel and person
    who#<hash>           acquisitions: the ids under an address, to erase them by
    known#<hash>         known (JSON): the profile that was found or created for an address

Every item has ``expires_at`` (epoch seconds, the table's TTL attribute). DynamoDB deletes late, so
it is compared here as well. The keys of the index ``by_due`` are ``due_partition`` and ``due_at``
(epoch seconds). It projects ``version``, and finished records are not in it.

Actions needed: intake PutItem, UpdateItem, GetItem; the worker BatchGetItem, PutItem, DeleteItem;
the sweep Query on the index and UpdateItem; erasing GetItem, BatchGetItem, Scan, UpdateItem and
DeleteItem.
"""

from __future__ import annotations

import heapq
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from braze_bridge.aws.errors import aws_errors
from braze_bridge.aws.secrets import SecretUnavailableError
from quikly_acquisition.models import (
    PersonKey,
    State,
    StepMessage,
    UnreadableStepError,
    parse_record,
)
from quikly_acquisition.records import (
    GRACE,
    KNOWN_RETENTION,
    REQUEUED,
    Begun,
    DueStep,
    Fingerprints,
    IdempotencyKeyReusedError,
    Known,
    Loaded,
    RecordsUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        PutTypeDef,
        TransactWriteItemTypeDef,
    )

    from braze_bridge.clock import Clock
    from quikly_acquisition.models import AcquisitionRecord

PARTITIONS: Final = ("0", "1", "2", "3")
"""Of ``by_due``: one partition takes 1,000 writes a second (docs.aws.amazon.com/amazondynamodb,
developer guide, bp-partition-key-design)."""

READ_BATCH: Final = 100
BEGIN_TRIES: Final = 5
"""A try fails only if another request for the same person or key succeeded meanwhile."""

_FREE: Final = "attribute_not_exists(id) OR expires_at <= :now"

Item = dict[str, "AttributeValueTypeDef"]


class DynamoAcquisitionRecords:
    """:class:`quikly_acquisition.records.AcquisitionRecords` on a table; threads may share it.

    Args:
        key: Of :func:`braze_bridge.keys.fingerprint_key`.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, *, clock: Clock, key: Callable[[], bytes]
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._key = key

    # -- intake ------------------------------------------------------------------------------

    def begin(self, record: AcquisitionRecord, idempotency_key: str | None) -> Begun:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.begin`."""
        prints = self._prints()
        pending_row = f"p#{prints.pending(record)}"
        key_item: Item = {}
        if idempotency_key is not None:
            key_row = f"k#{prints.idempotency(record.q_scope, idempotency_key)}"
            key_item = {"id": {"S": key_row}, "request": {"S": prints.request(record)}}
        finished: str | None = None
        for _ in range(BEGIN_TRIES):
            if self._stored(record, prints, key_item, pending_row, finished):
                return Begun(record.acquisition_id, is_new=True)
            earlier = self._row(key_item["id"]["S"]) if key_item else None
            if earlier is not None:
                if earlier["request"] != key_item["request"]:
                    raise IdempotencyKeyReusedError("the key came with another request")
                return Begun(earlier["acquisition_id"]["S"], is_new=False)
            pending = self._row(pending_row)
            if pending is None:
                continue
            finished = pending["acquisition_id"]["S"]
            # The row's own state, so that an unreadable record does not block the person.
            earlier = self._row(f"a#{finished}")
            if earlier is not None and not State(earlier["state"]["S"]).is_final:
                self._add_key(key_item, record, finished)
                return Begun(finished, is_new=False)
        raise RecordsUnavailableError("others keep beginning the same")

    def _stored(
        self,
        record: AcquisitionRecord,
        prints: Fingerprints,
        key_item: Item,
        pending_row: str,
        finished: str | None,
    ) -> bool:
        """Store all rows, or none if another acquisition has the key or the person."""
        acquisition: Item = {
            "acquisition_id": {"S": record.acquisition_id},
            "expires_at": _expires_at(record),
        }
        condition, values = _FREE, self._now()
        if finished is not None:
            condition += " OR acquisition_id = :finished"
            values[":finished"] = {"S": finished}
        writes = [
            self._put(_item(record, record.due_at + GRACE), "attribute_not_exists(id)", {}),
            self._put({"id": {"S": pending_row}, **acquisition}, condition, values),
        ]
        if key_item:
            writes.append(self._put(key_item | acquisition, _FREE, self._now()))
        writes += [self._listed(record, f"who#{prints.person(who)}") for who in _people(record)]
        with aws_errors(RecordsUnavailableError):
            try:
                self._client.transact_write_items(TransactItems=writes)
            except self._client.exceptions.TransactionCanceledException as error:
                codes = {
                    str(reason.get("Code", "None"))
                    for reason in error.response.get("CancellationReasons", ())
                }
                if codes - {"None", "ConditionalCheckFailed", "TransactionConflict"}:
                    raise RecordsUnavailableError(", ".join(sorted(codes - {"None"}))) from None
                return False
        return True

    def _listed(self, record: AcquisitionRecord, name: str) -> TransactWriteItemTypeDef:
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"id": {"S": name}},
                "UpdateExpression": "ADD acquisitions :id SET expires_at = :until",
                "ExpressionAttributeValues": {
                    ":id": {"SS": [record.acquisition_id]},
                    ":until": _expires_at(record),
                },
            }
        }

    def _put(self, item: Item, condition: str, values: Item) -> TransactWriteItemTypeDef:
        put: PutTypeDef = {"TableName": self._table, "Item": item, "ConditionExpression": condition}
        if values:
            put["ExpressionAttributeValues"] = values
        return {"Put": put}

    def _add_key(self, key_item: Item, record: AcquisitionRecord, pending: str) -> None:
        """Store that a new key belongs to the pending acquisition, also after that one ends."""
        if not key_item:
            return
        item: Item = {"acquisition_id": {"S": pending}, "expires_at": _expires_at(record)}
        with suppress(RecordsUnavailableError):
            # If it fails, the person's own row still answers.
            self._conditional(
                lambda: self._client.put_item(
                    TableName=self._table,
                    Item=key_item | item,
                    ConditionExpression=_FREE,
                    ExpressionAttributeValues=self._now(),
                )
            )

    # -- reading -----------------------------------------------------------------------------

    def get(self, acquisition_id: str) -> AcquisitionRecord | None:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.get`."""
        row = self._row(f"a#{acquisition_id}")
        try:
            return None if row is None else parse_record(row["record"]["S"])
        except UnreadableStepError as error:
            raise RecordsUnavailableError(f"unreadable record: {error}") from None

    def load(self, ids: Collection[str]) -> Loaded:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.load`."""
        found: dict[str, AcquisitionRecord | None] = {}
        unreadable: set[str] = set()
        for name, row in self._rows([f"a#{id_}" for id_ in ids]).items():
            id_ = name.removeprefix("a#")
            try:
                found[id_] = None if row is None else parse_record(row["record"]["S"])
            except UnreadableStepError:
                unreadable.add(id_)
        return Loaded(found, frozenset(unreadable))

    def recall(self, people: Collection[PersonKey]) -> Mapping[PersonKey, Known]:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.recall`."""
        known: dict[PersonKey, Known] = {}
        with suppress(RecordsUnavailableError):
            names = {f"known#{self.fingerprint(person)}": person for person in people}
            for name, row in self._rows(list(names)).items():
                if row is not None:
                    with suppress(ValidationError):
                        known[names[name]] = Known.model_validate_json(row["known"]["S"])
        return known

    # -- writing -----------------------------------------------------------------------------

    def save(self, record: AcquisitionRecord, overdue_at: datetime) -> bool:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.save`."""
        is_stored = self._conditional(
            lambda: self._client.put_item(
                TableName=self._table,
                Item=_item(record, None if record.state.is_final else overdue_at),
                ConditionExpression="version = :expected",
                ExpressionAttributeValues={":expected": _number(record.version - 1)},
            )
        )
        if is_stored and record.state.is_final:
            # If this fails, intake sees that the acquisition is over and takes the row.
            with suppress(RecordsUnavailableError):
                self._release(record)
        return is_stored

    def _release(self, record: AcquisitionRecord) -> bool:
        """Let the person begin another acquisition, unless they already did."""
        return self._conditional(
            lambda: self._client.delete_item(
                TableName=self._table,
                Key={"id": {"S": f"p#{self._prints().pending(record)}"}},
                ConditionExpression="acquisition_id = :id",
                ExpressionAttributeValues={":id": {"S": record.acquisition_id}},
            )
        )

    def remember(self, people: Mapping[PersonKey, Known]) -> None:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.remember`."""
        for person, known in people.items():
            expires_at = int((known.seen_at + KNOWN_RETENTION).timestamp())
            with suppress(RecordsUnavailableError), aws_errors(RecordsUnavailableError):
                self._client.put_item(
                    TableName=self._table,
                    Item={
                        "id": {"S": f"known#{self.fingerprint(person)}"},
                        "known": {"S": known.model_dump_json()},
                        "expires_at": _number(expires_at),
                    },
                )

    def fingerprint(self, person: PersonKey) -> str:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.fingerprint`."""
        return self._prints().person(person)

    def about(self, person: PersonKey) -> Sequence[str]:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.about`."""
        names = self._rows([f"a#{id_}" for id_ in self._listed_under(person)])
        return [name.removeprefix("a#") for name, row in names.items() if row is not None]

    def _listed_under(self, person: PersonKey) -> list[str]:
        """Return ids, erased ones included: one may have been listed under two addresses."""
        who = self._row(f"who#{self.fingerprint(person)}", even_expired=True)
        return [] if who is None else list(who.get("acquisitions", {}).get("SS", ()))

    def erase(self, person: PersonKey) -> int:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.erase`."""
        people = {person}
        erased = 0
        listed = self._listed_under(person)
        for id_ in listed:
            row = self._row(f"a#{id_}")
            if row is not None:
                erased += 1
                # An unreadable one leaves the hash of its other address until it expires.
                with suppress(UnreadableStepError):
                    people.update(_people(parse_record(row["record"]["S"])))
            self._delete(f"a#{id_}")
        for name in self._rows_that_lead_to(listed):
            self._delete(name)
        for each in people:
            self._delete(f"known#{self.fingerprint(each)}")
            self._unlist(f"who#{self.fingerprint(each)}", listed)
        self._delete(f"who#{self.fingerprint(person)}")
        return erased

    def _rows_that_lead_to(self, ids: Sequence[str]) -> list[str]:
        """Find the rows of pending people and idempotency keys, by a scan.

        A caller's key is in no record, so its row's id cannot be computed.
        """
        if not ids:
            return []
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            ProjectionExpression="id, acquisition_id",
            FilterExpression="attribute_exists(acquisition_id)",
            ConsistentRead=True,
        )
        with aws_errors(RecordsUnavailableError):
            return [
                row["id"]["S"]
                for page in pages
                for row in page["Items"]
                if row["acquisition_id"]["S"] in ids
            ]

    def _unlist(self, name: str, ids: Sequence[str]) -> None:
        """Take ids out of an address's list; an address may have others."""
        if ids:
            self._conditional(
                lambda: self._client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": name}},
                    UpdateExpression="DELETE acquisitions :ids",
                    ConditionExpression="attribute_exists(id)",
                    ExpressionAttributeValues={":ids": {"SS": list(ids)}},
                )
            )
        self._conditional(
            lambda: self._client.delete_item(
                TableName=self._table,
                Key={"id": {"S": name}},
                ConditionExpression="attribute_not_exists(acquisitions)",
            )
        )

    # -- rows --------------------------------------------------------------------------------

    def _delete(self, name: str) -> None:
        with aws_errors(RecordsUnavailableError):
            self._client.delete_item(TableName=self._table, Key={"id": {"S": name}})

    def _conditional(self, write: Callable[[], object]) -> bool:
        """Make a conditional write; returns whether its condition held."""
        with aws_errors(RecordsUnavailableError):
            try:
                write()
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def _prints(self) -> Fingerprints:
        try:
            return Fingerprints(self._key())
        except SecretUnavailableError as error:
            raise RecordsUnavailableError(str(error)) from None

    def _row(self, name: str, *, even_expired: bool = False) -> dict[str, Any] | None:
        with aws_errors(RecordsUnavailableError):
            answer = self._client.get_item(
                TableName=self._table, Key={"id": {"S": name}}, ConsistentRead=True
            )
        row = answer.get("Item")
        return row if row is not None and (even_expired or self._is_current(row)) else None

    def _rows(self, names: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        """Read rows by name: ``None`` if it does not exist, missing if it was not read."""
        rows: dict[str, dict[str, Any] | None] = {}
        for start in range(0, len(names), READ_BATCH):
            chunk = names[start : start + READ_BATCH]
            with aws_errors(RecordsUnavailableError):
                answer = self._client.batch_get_item(
                    RequestItems={
                        self._table: {
                            "Keys": [{"id": {"S": name}} for name in chunk],
                            "ConsistentRead": True,
                        }
                    }
                )
            left = answer.get("UnprocessedKeys", {}).get(self._table)
            unread = set() if left is None else {key["id"]["S"] for key in left["Keys"]}
            rows |= dict.fromkeys((name for name in chunk if name not in unread), None)
            for row in answer["Responses"].get(self._table, ()):
                if self._is_current(row):
                    rows[row["id"]["S"]] = row
        return rows

    def _is_current(self, row: Mapping[str, Any]) -> bool:
        return int(row["expires_at"]["N"]) > self._clock.now().timestamp()

    def _now(self) -> Item:
        return {":now": _number(self._clock.now().timestamp())}


class DynamoDueSteps:
    """:class:`quikly_acquisition.records.DueSteps` on the table; it needs no key."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def due(self, now: datetime, limit: int) -> Sequence[DueStep]:
        """See :meth:`quikly_acquisition.records.DueSteps.due`."""
        due = (self._due_in(partition, now) for partition in PARTITIONS)
        return list(islice(heapq.merge(*due, key=lambda step: step.due_at), limit))

    def _due_in(self, partition: str, now: datetime) -> Iterator[DueStep]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="by_due",
            KeyConditionExpression="due_partition = :partition AND due_at <= :now",
            ExpressionAttributeValues={
                ":partition": {"S": partition},
                ":now": _number(now.timestamp()),
            },
        )
        with aws_errors(RecordsUnavailableError):
            for page in pages:
                for row in page["Items"]:
                    message = StepMessage(
                        acquisition_id=row["id"]["S"].removeprefix("a#"),
                        version=int(row["version"]["N"]),
                    )
                    yield DueStep(message, datetime.fromtimestamp(float(row["due_at"]["N"]), UTC))

    def queued(self, steps: Sequence[StepMessage], now: datetime) -> None:
        """See :meth:`quikly_acquisition.records.DueSteps.queued`."""
        for step in steps:
            with (
                aws_errors(RecordsUnavailableError),
                # If the record changed meanwhile, it has a time of its own.
                suppress(self._client.exceptions.ConditionalCheckFailedException),
            ):
                self._client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": f"a#{step.acquisition_id}"}},
                    UpdateExpression="SET due_at = :later",
                    ConditionExpression="version = :version AND attribute_exists(due_partition)",
                    ExpressionAttributeValues={
                        ":later": _number((now + REQUEUED).timestamp()),
                        ":version": _number(step.version),
                    },
                )


def _people(record: AcquisitionRecord) -> Iterable[PersonKey]:
    if record.email is not None:
        yield PersonKey("email", record.email)
    if record.phone is not None:
        yield PersonKey("phone", record.phone)


def _item(record: AcquisitionRecord, overdue_at: datetime | None) -> Item:
    item: Item = {
        "id": {"S": f"a#{record.acquisition_id}"},
        "record": {"S": record.model_dump_json()},
        "version": _number(record.version),
        "state": {"S": record.state.value},
        "expires_at": _expires_at(record),
    }
    if overdue_at is not None:
        number = zlib.crc32(record.acquisition_id.encode()) % len(PARTITIONS)
        item["due_partition"] = {"S": PARTITIONS[number]}
        item["due_at"] = _number(round(overdue_at.timestamp(), 3))
    return item


def _expires_at(record: AcquisitionRecord) -> AttributeValueTypeDef:
    return _number(int(record.expires_at.timestamp()))


def _number(value: float) -> AttributeValueTypeDef:
    return {"N": str(value)}
