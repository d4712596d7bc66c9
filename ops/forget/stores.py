"""The places that hold data about people: each finds a person and erases them.

A new table with personal data needs a new :class:`PersonStore`, listed in
:mod:`ops.forget.command`.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.ledger.erasure import erase, is_only_erased
from braze_bridge.ledger.person_memory import (
    BLANK,
    OWNER_BYTES,
    RETENTION_SECONDS,
    UnreadableMemoryError,
    decode,
    encode,
)
from braze_bridge.mapping.identifiers import IdentifierKind
from braze_bridge.partner_config.quikly_activations import Status
from ops.forget.people import Payload, Person, acquisition_person, is_about, is_made_by
from ops.stack.errors import aws_errors
from quikly_acquisition.records import RecordsUnavailableError
from quikly_webhook.claim_records import of_row
from quikly_webhook.draws import claimant_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from types_boto3_dynamodb import DynamoDBClient

    from braze_bridge.clock import Clock
    from braze_bridge.ledger.fingerprints import Fingerprints
    from braze_bridge.mapping.people import PersonRule
    from quikly_acquisition.records import AcquisitionRecords
    from quikly_webhook.claim_records import ClaimRecord

CLAIM: Final = "c#"
"""The beginning of the id of each claim."""

_MOST_CONFLICTS: Final = 30


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


class LedgerPeople:
    """The ledger as a :class:`PersonStore`: one item for each identifier, under a keyed hash.

    After an erasure the item says when it was, and which jobs are settled, for 30 days. So neither
    a job that waits in a queue nor a vendor's resend makes the deleted profile again.

    Args:
        fingerprints: Of the ledger.
        clock: Gives the time of the erasure.
    """

    name = "ledger"

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        fingerprints: Callable[[], Fingerprints],
        clock: Clock,
    ) -> None:
        self._client = client
        self._table = table
        self._fingerprints = fingerprints
        self._clock = clock

    def held(self, person: Person) -> list[str]:
        """See :meth:`PersonStore.held`."""
        prints = self._fingerprints()
        id_ = prints.person(person.key)
        item = self._item(id_)
        with suppress(UnreadableMemoryError):
            if not item or is_only_erased(decode(item["memory"]["B"]), prints):
                return []
        return [id_]

    def erase(self, person: Person, ids: Iterable[str]) -> int:
        """See :meth:`PersonStore.erase`. Without an item, too: jobs may wait in a queue."""
        prints = self._fingerprints()
        id_ = prints.person(person.key)
        for _ in range(_MOST_CONFLICTS):
            item = self._item(id_)
            now = self._clock.now()
            memory = BLANK
            with suppress(UnreadableMemoryError):
                memory = decode(item["memory"]["B"]) if item else BLANK
            condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
            if item:
                condition = {
                    "ConditionExpression": "rev = :rev",
                    "ExpressionAttributeValues": {":rev": item["rev"]},
                }
            with aws_errors(StoreUnavailableError):
                try:
                    self._client.put_item(
                        TableName=self._table,
                        Item={
                            "id": {"S": id_},
                            "rev": {"B": os.urandom(OWNER_BYTES)},
                            "memory": {"B": encode(erase(memory, now, prints))},
                            "expires_at": {"N": str(int(now.timestamp()) + RETENTION_SECONDS)},
                        },
                        **condition,
                    )
                except self._client.exceptions.ConditionalCheckFailedException:
                    continue  # delivery wrote it meanwhile
            return len(list(ids))
        raise StoreUnavailableError("others keep writing to the person's item")

    def _item(self, id_: str) -> dict[str, Any]:
        with aws_errors(StoreUnavailableError):
            answer = self._client.get_item(
                TableName=self._table, Key={"id": {"S": id_}}, ConsistentRead=True
            )
        return dict(answer.get("Item", {}))


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

    def also_known_as(self, person: Person) -> set[Person]:
        """Return the addresses of the person's sign-ups. Raises as :meth:`held`."""
        key = acquisition_person(person)
        found: set[Person] = set()
        with _records_errors():
            for id_ in self._records.about(key) if key else ():
                with suppress(RecordsUnavailableError):  # an unreadable one
                    record = self._records.get(id_)
                    for kind in (IdentifierKind.EMAIL, IdentifierKind.PHONE):
                        if record is not None and (value := getattr(record, kind.value)):
                            found.add(Person(kind, value))
        return found

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

    Args:
        key: The claims secret, to erase the claims themselves, or ``None`` to keep them. The person
            can then win again; the counters of awards stay.
    """

    name = "claims"

    def __init__(
        self, client: DynamoDBClient, table: str, key: Callable[[], bytes] | None = None
    ) -> None:
        super().__init__(client, table)
        self._key = key
        self._found: list[ClaimRecord] | None = None

    def held(self, person: Person) -> list[str]:
        """See :meth:`PersonStore.held`."""
        return [claim.row_id for claim in self._claims() if self._is_of(claim, person)]

    def also_known_as(self, person: Person) -> set[Person]:
        """Return the identifiers in the person's claims. Raises as :meth:`held`."""
        return {
            Person(kind, value)
            for claim in self._claims()
            if claim.claimer and is_made_by(claim.claimer, person)
            for kind, value in (
                (IdentifierKind.EMAIL, claim.claimer.email),
                (IdentifierKind.EXTERNAL_ID, claim.claimer.external_id),
                (IdentifierKind.BRAZE_ID, claim.claimer.braze_id),
            )
            if value
        }

    def _is_of(self, claim: ClaimRecord, person: Person) -> bool:
        if claim.claimer and is_made_by(claim.claimer, person):
            return True
        if self._key is None or person.kind is not IdentifierKind.EMAIL:
            return False
        # In forward mode each event is a claim of its own.
        events = ("", claim.event)
        names = {claimant_of(self._key(), claim.q_scope, person.value, each) for each in events}
        return claim.claimant in names

    def _claims(self) -> list[ClaimRecord]:
        if self._found is None:
            pages = self._client.get_paginator("scan").paginate(
                TableName=self._table,
                ConsistentRead=True,
                FilterExpression="begins_with(id, :claim)",
                ExpressionAttributeValues={":claim": {"S": CLAIM}},
            )
            with aws_errors(StoreUnavailableError):
                self._found = [of_row(item) for page in pages for item in page["Items"]]
        return self._found

    def _erased(self, id_: str) -> bool:
        if self._key is not None and self._deleted(id_):
            return True
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

    def _deleted(self, id_: str) -> bool:
        """Delete a claim, unless it is an entry of a draw: its published count must stay right."""
        with aws_errors(StoreUnavailableError):
            try:
                self._client.delete_item(
                    TableName=self._table,
                    Key={"id": {"S": id_}},
                    ConditionExpression="attribute_exists(id) AND #status <> :entered"
                    " AND attribute_not_exists(entered_at)",
                    ExpressionAttributeNames={"#status": "status"},
                    ExpressionAttributeValues={":entered": {"S": Status.ENTERED.value}},
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True
