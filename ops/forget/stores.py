"""Everything that we hold about a person: found, and erased.

Each place where something is held is a :class:`PersonStore`; what is held where is decided by pure
rules. A new table with people in it is a new store in :mod:`ops.forget.command`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from pydantic_core import from_json

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.jobs.envelope import UnreadableJobError, parse_job
from braze_bridge.mapping.identifiers import (
    alias_fits,
    external_id_fits,
    normal_email,
    normal_phone,
)
from braze_bridge.mapping.paths import hits
from braze_bridge.mapping.people import IdentifierKind
from ops.stack.aws_errors import CONDITION_FAILED, cause_of
from quikly_acquisition.models import PersonKey as AcquiredBy
from quikly_acquisition.records import RecordsUnavailableError
from quikly_webhook.claim_records import of_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from braze_bridge.ledger.port import PersonKey
    from braze_bridge.mapping.people import PersonRule
    from quikly_acquisition.records import AcquisitionRecords
    from quikly_webhook.claim_records import Claimer

_ADDRESS: Final = re.compile(r"[^\s\"'\\<>()\[\],;:]+@[^\s\"'\\<>()\[\],;:=/]+")
_NOT_DIGITS: Final = re.compile(r"[^0-9]")
_LONGEST_NUMBER: Final = 10**300


class UnusableIdentifierError(ValueError):
    """No person can be named so. The text says why."""


class StoreUnavailableError(Exception):
    """A store did not answer. The text is AWS's code, no more."""


class Person(NamedTuple):
    """Somebody by one identifier.

    Attributes:
        value: As it is sent to Braze; of an alias, its name.
        label: Of an alias.
    """

    kind: IdentifierKind
    value: str
    label: str = ""

    @property
    def key(self) -> PersonKey:
        """As :attr:`braze_bridge.jobs.envelope.JobUser.key`."""
        if self.kind is IdentifierKind.USER_ALIAS:
            return (self.kind.value, self.label, self.value)
        return (self.kind.value, self.value)

    def __repr__(self) -> str:
        # A repr ends up in tracebacks, where no identifier belongs.
        return f"Person({self.kind})"


class Payload(NamedTuple):
    """What one row of the rejected table holds.

    Attributes:
        kind: ``body`` or ``objects``.
        source: Whose.
        text: The payload.
    """

    id: str
    kind: str
    source: str
    text: str

    def __repr__(self) -> str:
        return f"Payload({self.id!r})"


class PersonStore(Protocol):
    """A place where something is held about people.

    Every method raises ``StoreUnavailableError`` where it does not answer.

    Attributes:
        name: For people, such as ``rejected table``.
    """

    name: str

    def held(self, person: Person) -> list[str]:
        """Ids of what is held about a person; nothing in them is personal."""
        ...

    def erase(self, person: Person, ids: Iterable[str]) -> int:
        """Erase what has these ids, whatever happened to it since; returns how many there were."""
        ...


def read_person(kind: IdentifierKind, text: str) -> Person:
    """Read an identifier as people write it.

    Args:
        kind: Which.
        text: The value; of an alias ``label:name``.

    Raises:
        UnusableIdentifierError: It cannot be one.
    """
    match kind:
        case IdentifierKind.EMAIL:
            value = normal_email(text)
            if value is None:
                raise UnusableIdentifierError("is no e-mail address")
            return Person(kind, value)
        case IdentifierKind.PHONE:
            value = normal_phone(text)
            if value is None:
                raise UnusableIdentifierError("is no international number such as +4930123456")
            return Person(kind, value)
        case IdentifierKind.USER_ALIAS:
            label, _, name = text.partition(":")
            if not (label.strip() and name.strip() and alias_fits(label) and alias_fits(name)):
                raise UnusableIdentifierError("is no alias: write label:name")
            return Person(kind, name, label)
        case _:
            if not text.strip() or not external_id_fits(text):
                raise UnusableIdentifierError(f"is no {kind.value}")
            return Person(kind, text)


def is_about(person: Person, payload: Payload, rules: Sequence[PersonRule]) -> bool:
    """Whether a parked payload holds something about a person.

    An address or number counts wherever it stands, also inside an answer. An id counts only where
    the partner's mapping looks for one, since a short id may be anything elsewhere; without rules,
    wherever a text is nothing else.

    Args:
        person: Who.
        payload: What.
        rules: Where the partner's bodies may name their person; none where nobody knows.
    """
    if payload.kind == "objects":
        try:
            if parse_job(payload.text).user.key == person.key:
                return True
        except UnreadableJobError:
            pass
    try:
        document: object = from_json(payload.text, allow_inf_nan=True)
    except ValueError:
        return _stands_in(person, payload.text)
    if person.kind in {IdentifierKind.EMAIL, IdentifierKind.PHONE}:
        return any(_mentions(person, leaf) for leaf in _leaves(document))
    if rules:
        paths = [path for rule in rules for path in rule.paths.get(person.kind, ())]
        return any(_as_id(value) == person.value for _, value in hits(paths, document))
    if payload.kind == "objects":
        return False  # it is somebody else's job
    return any(_as_id(leaf) == person.value for leaf in _leaves(document))


def _leaves(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            waiting += each
        else:
            yield each


def _mentions(person: Person, leaf: object) -> bool:
    if isinstance(leaf, int) and not isinstance(leaf, bool) and abs(leaf) < _LONGEST_NUMBER:
        leaf = str(leaf)
    if not isinstance(leaf, str):
        return False
    if person.kind is IdentifierKind.EMAIL:
        return _has_address(person.value, leaf)
    return person.value[1:] in _NOT_DIGITS.sub("", leaf)


def _has_address(address: str, text: str) -> bool:
    return any(found.strip(".").lower() == address for found in _ADDRESS.findall(text))


def _as_id(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LONGEST_NUMBER:
        return str(value)
    return None


def _stands_in(person: Person, text: str) -> bool:
    """In what is no JSON: better one row too many than one too few."""
    match person.kind:
        case IdentifierKind.EMAIL:
            return _has_address(person.value, text)
        case IdentifierKind.PHONE:
            return person.value[1:] in _NOT_DIGITS.sub("", text)
        case _:
            return re.search(rf"(?<!\w){re.escape(person.value)}(?!\w)", text) is not None


class RejectedPeople:
    """The rejected table as a :class:`PersonStore`: read through, expired rows included."""

    name = "rejected table"

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        rules_of: Callable[[str], Sequence[PersonRule]],
    ) -> None:
        """Open the table.

        Args:
            client: Of the table's account and region.
            table: Its name.
            rules_of: Where a source's bodies may name their person.
        """
        self._client = client
        self._table = table
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

    def erase(self, person: Person, ids: Iterable[str]) -> int:  # noqa: ARG002 - the port's
        """See :meth:`PersonStore.erase`."""
        return sum(delete(self._client, self._table, each) for each in ids)

    def _payloads(self) -> Iterator[Payload]:
        names = ("id", "kind", "source", "payload")
        start: dict[str, AttributeValueTypeDef] = {}
        while True:
            more = {"ExclusiveStartKey": start} if start else {}
            try:
                answer = self._client.scan(
                    TableName=self._table,
                    ProjectionExpression=", ".join(f"#{name}" for name in names),
                    ExpressionAttributeNames={f"#{name}": name for name in names},
                    ConsistentRead=True,
                    **more,  # type: ignore[arg-type]  # the one argument that may not be empty
                )
            except (BotoCoreError, ClientError) as error:
                raise StoreUnavailableError(cause_of(error)) from error
            for item in answer["Items"]:
                yield Payload(*(item.get(name, {}).get("S", "") for name in names))
            start = answer.get("LastEvaluatedKey", {})
            if not start:
                return


class LedgerPeople:
    """The ledger as a :class:`PersonStore`: one item for each identifier, under a keyed hash."""

    name = "ledger"

    def __init__(
        self, client: DynamoDBClient, table: str, fingerprint: Callable[[PersonKey], str]
    ) -> None:
        """Open the table.

        Args:
            client: Of the table's account and region.
            table: Its name.
            fingerprint: The hash that a person's item is kept under.
        """
        self._client = client
        self._table = table
        self._fingerprint = fingerprint

    def held(self, person: Person) -> list[str]:
        """See :meth:`PersonStore.held`."""
        id_ = self._fingerprint(person.key)
        try:
            answer = self._client.get_item(
                TableName=self._table,
                Key={"id": {"S": id_}},
                ProjectionExpression="id",
                ConsistentRead=True,
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError(cause_of(error)) from error
        return [id_] if "Item" in answer else []

    def erase(self, person: Person, ids: Iterable[str]) -> int:  # noqa: ARG002 - the port's
        """See :meth:`PersonStore.erase`."""
        return sum(delete(self._client, self._table, each) for each in ids)


class AcquisitionPeople:
    """The acquisitions as a :class:`PersonStore`, by e-mail address and phone number.

    What is known of the person there (whom we found or made at Braze) goes with them.
    """

    name = "acquisitions"

    def __init__(self, records: AcquisitionRecords) -> None:
        self._records = records

    def held(self, person: Person) -> list[str]:
        """See :meth:`PersonStore.held`."""
        key = acquired_by(person)
        if key is None:
            return []
        try:
            ids = list(self._records.about(key))
            known = self._records.recall([key])
        except (RecordsUnavailableError, SecretUnavailableError) as error:
            raise StoreUnavailableError(str(error)) from error
        return ids + ([f"known#{self._records.fingerprint(key)}"] if known else [])

    def erase(self, person: Person, ids: Iterable[str]) -> int:
        """See :meth:`PersonStore.erase`."""
        key = acquired_by(person)
        if key is None:
            return 0
        known = sum(each.startswith("known#") for each in ids)
        try:
            return self._records.erase(key) + known
        except (RecordsUnavailableError, SecretUnavailableError) as error:
            raise StoreUnavailableError(str(error)) from error


def acquired_by(person: Person) -> AcquiredBy | None:
    """How acquisitions name somebody, or ``None`` for an identifier that they do not know."""
    match person.kind:
        case IdentifierKind.EMAIL:
            return AcquiredBy("email", person.value)
        case IdentifierKind.PHONE:
            return AcquiredBy("phone", person.value)
        case _:
            return None


class ClaimPeople:
    """The claims that still know their person, as a :class:`PersonStore`.

    A claim itself stays, under a keyed hash, so that nobody wins twice; what is erased is who the
    person is, and with it what is still to be told of them.
    """

    name = "claims"

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def held(self, person: Person) -> list[str]:
        """See :meth:`PersonStore.held`."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            ConsistentRead=True,
            FilterExpression="attribute_exists(claimer)",
        )
        try:
            claims = [of_row(item) for page in pages for item in page["Items"]]
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError(cause_of(error)) from error
        return [
            claim.row_id for claim in claims if claim.claimer and is_made_by(claim.claimer, person)
        ]

    def erase(self, person: Person, ids: Iterable[str]) -> int:  # noqa: ARG002 - the port's
        """See :meth:`PersonStore.erase`."""
        return sum(self._erased(each) for each in ids)

    def _erased(self, row_id: str) -> bool:
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": row_id}},
                UpdateExpression="REMOVE claimer, due_shard, due_at",
                ConditionExpression="attribute_exists(claimer)",
            )
        except (BotoCoreError, ClientError) as error:
            if cause_of(error) == CONDITION_FAILED:
                return False
            raise StoreUnavailableError(cause_of(error)) from error
        return True


def is_made_by(claimer: Claimer, person: Person) -> bool:
    """Whether a claim was made by somebody under this identifier."""
    match person.kind:
        case IdentifierKind.EMAIL:
            return claimer.email == person.value
        case IdentifierKind.EXTERNAL_ID:
            return claimer.external_id == person.value
        case IdentifierKind.BRAZE_ID:
            return claimer.braze_id == person.value
        case _:
            return False


def delete(client: DynamoDBClient, table: str, id_: str) -> bool:
    """Delete an item of a table keyed by ``id``; whether there was one.

    Raises:
        StoreUnavailableError: It may still be there.
    """
    try:
        answer = client.delete_item(TableName=table, Key={"id": {"S": id_}}, ReturnValues="ALL_OLD")
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailableError(cause_of(error)) from error
    return bool(answer.get("Attributes"))
