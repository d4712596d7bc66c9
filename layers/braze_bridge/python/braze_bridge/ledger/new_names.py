"""The cap on new attribute names a day, for a partner whose bodies name attributes.

Braze never forgets an attribute, so a token that leaks must not make thousands. One row of the
ledger's table, ``names:<partner>``, holds a short hash of every name that was ever used, and how
many were new today. A process keeps the hashes that it has seen. So a call is made only for a name
that is new to the process.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from braze_bridge.aws.errors import aws_errors
from braze_bridge.observability import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from braze_bridge.observability import Meter

MOST_KNOWN: Final = 20_000
"""Names of one partner. Their hashes take half of the 400 KB that a DynamoDB item may have
(docs.aws.amazon.com/amazondynamodb, Developer Guide, Constraints)."""

_HASH_BYTES: Final = 8
_ATTEMPTS: Final = 3
"""A write fails only if others used up what was left of the day, so the room shrinks each time."""


class NamesRow(NamedTuple):
    """The row of one partner.

    Attributes:
        known: Hashes of the names.
        day: The last one with new names, as ``2026-11-28``; empty before the first.
        used: How many names were new on that day.
    """

    known: frozenset[bytes] = frozenset()
    day: str = ""
    used: int = 0

    def room(self, day: str, most: int) -> int:
        """Return how many names may be new on a day."""
        used = self.used if self.day >= day else 0
        return max(min(most - used, MOST_KNOWN - len(self.known)), 0)


class NamesUnavailableError(Exception):
    """The row was not read or written."""


class NamesStore(Protocol):
    """Keeps the row."""

    def read(self) -> NamesRow:
        """Read the row.

        Raises:
            NamesUnavailableError: It was not read.
        """
        ...

    def add(self, new: Sequence[bytes], day: str, most: int) -> bool:
        """Add names and count them on a day, if no more than ``most`` are new on it then.

        Returns:
            Whether they were added. They are not if too many are, or a later day has begun.

        Raises:
            NamesUnavailableError: They may not have been added.
        """
        ...


class NewNames:
    """The check, :data:`braze_bridge.mapping.names.NamesOverCap`, of one process.

    Args:
        store: Makes the store on first use.
        most: New names a day.
    """

    def __init__(
        self, store: Callable[[], NamesStore], most: int, *, meter: Meter, log: Logger
    ) -> None:
        self._store = store
        self._most = most
        self._meter = meter
        self._log = log
        self._known: set[bytes] = set()
        self._full = ""

    def __call__(self, names: Collection[str], now: datetime) -> frozenset[str]:
        """Count the new names, and return those for which the day has no room.

        If the row cannot be reached, all may be used: a response counts more than the cap.
        """
        unknown = {name: hashed for name in names if (hashed := _hash(name)) not in self._known}
        day = now.date().isoformat()
        if unknown and day > self._full:
            try:
                self._take(unknown.values(), day)
            except NamesUnavailableError as error:
                self._meter.add(Metric.NAMES_UNCHECKED, len(unknown))
                self._log.warning("new names not counted", names=len(unknown), error=str(error))
                return frozenset()
        over = frozenset(name for name, hashed in unknown.items() if hashed not in self._known)
        if over:
            self._meter.add(Metric.NAMES_OVER_CAP, len(over))
        return over

    def _take(self, wanted: Collection[bytes], day: str) -> None:
        """Learn the row's names, and add as many of the wanted ones as the day has room for."""
        store = self._store()
        for _ in range(_ATTEMPTS):
            row = store.read()
            self._known |= row.known
            new = [hashed for hashed in dict.fromkeys(wanted) if hashed not in self._known]
            taken = new[: row.room(day, self._most)]
            if not taken or store.add(taken, max(day, row.day), self._most):
                self._known.update(taken)
                # What others may still add today is refused here until tomorrow: nothing is left.
                self._full = day if len(taken) < len(new) else self._full
                return


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:_HASH_BYTES]


class DynamoNames:
    """A :class:`NamesStore` in the ledger's table."""

    def __init__(self, client: DynamoDBClient, table: str, partner: str) -> None:
        self._client = client
        self._table = table
        self._id = f"names:{partner}"

    def read(self) -> NamesRow:
        """See :meth:`NamesStore.read`."""
        with aws_errors(NamesUnavailableError):
            found = self._client.get_item(
                TableName=self._table, Key={"id": {"S": self._id}}, ConsistentRead=True
            )
        row = found.get("Item")
        if row is None:
            return NamesRow()
        return NamesRow(frozenset(row["known"]["BS"]), row["day"]["S"], int(row["used"]["N"]))

    def add(self, new: Sequence[bytes], day: str, most: int) -> bool:
        """See :meth:`NamesStore.add`."""
        left: Mapping[str, AttributeValueTypeDef] = {":left": {"N": str(most - len(new))}}
        return self._update(
            "ADD known :new, used :count", "#day = :day AND used <= :left", new, day, left
        ) or self._update(
            "SET #day = :day, used = :count ADD known :new",
            "attribute_not_exists(#day) OR #day < :day",
            new,
            day,
            {},
        )

    def _update(
        self,
        change: str,
        condition: str,
        new: Sequence[bytes],
        day: str,
        more: Mapping[str, AttributeValueTypeDef],
    ) -> bool:
        values: dict[str, AttributeValueTypeDef] = {
            ":new": {"BS": list(new)},
            ":count": {"N": str(len(new))},
            ":day": {"S": day},
            **more,
        }
        with aws_errors(NamesUnavailableError):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": self._id}},
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#day": "day"},
                    ExpressionAttributeValues=values,
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True
