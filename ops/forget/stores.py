"""The places that hold data about people: each finds a person and erases them.

A new table with personal data needs a new :class:`PersonStore`, listed in
:mod:`ops.forget.command`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from braze_bridge.aws.secrets import SecretUnavailableError
from ops.forget.people import Payload, acquisition_person, is_about, is_made_by
from ops.stack.errors import aws_errors
from quikly_acquisition.records import RecordsUnavailableError
from quikly_webhook.claim_records import of_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from types_boto3_dynamodb import DynamoDBClient

    from braze_bridge.ledger.port import PersonKey
    from braze_bridge.mapping.people import PersonRule
    from ops.forget.people import Person
    from quikly_acquisition.records import AcquisitionRecords


class StoreUnavailableError(Exception):
    """A store did not answer. The text is AWS's error code."""


class PersonStore(Protocol):
    """A place that holds data about people.

    Every method raises :class:`StoreUnavailableError`.

    Attributes:
        name: For people, such as ``rejected table``.
    """

    name: str

    def held(self, person: Person) -> list[str]:
        """List the ids of what is held about a person; the ids are not personal."""
        ...

    def erase(self, person: Person, ids: Iterable[str]) -> int:
        """Erase what has these ids, also if it changed; return how many there were."""
        ...


class _ItemsById:
    """A table keyed by ``id``, whose items about a person are deleted whole."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def erase(self, person: Person, ids: Iterable[str]) -> int:  # noqa: ARG002 - the port's
        """See :meth:`PersonStore.erase`."""
        return sum(self._erased(each) for each in ids)

    def _erased(self, id_: str) -> bool:
        with aws_errors(StoreUnavailableError):
            answer = self._client.delete_item(
                TableName=self._table, Key={"id": {"S": id_}}, ReturnValues="ALL_OLD"
            )
        return bool(answer.get("Attributes"))


class RejectedPeople(_ItemsById):
    """The rejected table as a :class:`PersonStore`; it reads the whole table, expired rows too.

    Args:
        rules_of: The paths at which a source's bodies name their person.
    """

    name = "rejected table"

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        rules_of: Callable[[str], Sequence[PersonRule]],
    ) -> None:
        super().__init__(client, table)
        self._rules_of = rules_of

    def held(self, person: Person) -> list[str]:
        """See :meth:`PersonStore.held`."""
        return [
            payload.id
            for payload in self._payloads()
            if is_about(
                person,
                payload,
                self._rules_of(payload.source) if payload.kind == "body" else (),
            )
        ]

    def _payloads(self) -> Iterator[Payload]:
        names = ("id", "kind", "source", "payload")
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            ProjectionExpression=", ".join(f"#{name}" for name in names),
            ExpressionAttributeNames={f"#{name}": name for name in names},
            ConsistentRead=True,
        )
        with aws_errors(StoreUnavailableError):
            for page in pages:
                for item in page["Items"]:
                    yield Payload(*(item.get(name, {}).get("S", "") for name in names))


class LedgerPeople(_ItemsById):
    """The ledger as a :class:`PersonStore`: one item for each identifier, under a keyed hash."""

    name = "ledger"

    def __init__(
        self, client: DynamoDBClient, table: str, fingerprint: Callable[[PersonKey], str]
    ) -> None:
        super().__init__(client, table)
        self._fingerprint = fingerprint

    def held(self, person: Person) -> list[str]:
        """See :meth:`PersonStore.held`."""
        id_ = self._fingerprint(person.key)
        with aws_errors(StoreUnavailableError):
            answer = self._client.get_item(
                TableName=self._table,
                Key={"id": {"S": id_}},
                ProjectionExpression="id",
                ConsistentRead=True,
            )
        return [id_] if "Item" in answer else []


class AcquisitionPeople:
    """The acquisitions as a :class:`PersonStore`, by e-mail address and phone number.

    The item that remembers the person's Braze profile goes with them.
    """

    name = "acquisitions"

    def __init__(self, records: AcquisitionRecords) -> None:
        self._records = records

    def held(self, person: Person) -> list[str]:
        """See :meth:`PersonStore.held`."""
        key = acquisition_person(person)
        if key is None:
            return []
        with _records_errors():
            ids = list(self._records.about(key))
            known = self._records.recall([key])
            return ids + ([f"known#{self._records.fingerprint(key)}"] if known else [])

    def erase(self, person: Person, ids: Iterable[str]) -> int:
        """See :meth:`PersonStore.erase`."""
        key = acquisition_person(person)
        if key is None:
            return 0
        known = sum(each.startswith("known#") for each in ids)
        with _records_errors():
            return self._records.erase(key) + known


@contextmanager
def _records_errors() -> Iterator[None]:
    try:
        yield
    except (RecordsUnavailableError, SecretUnavailableError) as error:
        raise StoreUnavailableError(str(error)) from error


class ClaimPeople(_ItemsById):
    """The claims that still name their person, as a :class:`PersonStore`.

    A claim stays, under a keyed hash, so that no person wins twice. Only the person's identifiers
    are erased, and with them any update that is still due.
    """

    name = "claims"

    def held(self, person: Person) -> list[str]:
        """See :meth:`PersonStore.held`."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            ConsistentRead=True,
            FilterExpression="attribute_exists(claimer)",
        )
        with aws_errors(StoreUnavailableError):
            claims = [of_row(item) for page in pages for item in page["Items"]]
        return [
            claim.row_id for claim in claims if claim.claimer and is_made_by(claim.claimer, person)
        ]

    def _erased(self, id_: str) -> bool:
        with aws_errors(StoreUnavailableError):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": id_}},
                    UpdateExpression="REMOVE claimer, due_shard, due_at",
                    ConditionExpression="attribute_exists(claimer)",
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True
