"""A claim: the decision for one person in one activation, and its row in the claims table.

Rows of the table, by the prefix of their ``id``: ``c#<scope>#<claimant>`` a claim; ``s#<scope>``
the counters of an activation's awards and its commitment; ``r#<scope>`` its counter of positions;
``e#<scope>#<digit>`` the entries counted by the claimant's first digit, and whether they are
closed; ``d#<scope>`` the result of its draw.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from braze_bridge.clock import iso_millis
from braze_bridge.partner_config.quikly_activations import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Row = Mapping[str, AttributeValueTypeDef]

RETENTION: Final = timedelta(days=730)
"""From the claim: longer than an activation lasts, since a person without a row could win again.
Such a row holds a keyed hash of the person; the address is removed after the job is sent."""

SHARDS: Final = "0123456789abcdef"
"""A claimant's first digit: spreads the writes of an activation's claims."""

DUE_INDEX: Final = "by_due"
"""The index of claims whose job may not have reached the queue: ``due_shard`` and ``due_at``."""


class Award(NamedTuple):
    """What the person wins. A later configuration does not change it.

    Attributes:
        tier: Its name; the consolation's is ``consolation``.
        value: In minor units of the currency.
    """

    tier: str
    incentive: str | None = None
    value: int | None = None
    currency: str | None = None


class Claimer(NamedTuple):
    """The person behind a claim, as the first call named them.

    Attributes:
        email: Trimmed, in lower case.
        may_create: Braze creates a profile if it has none.
    """

    email: str
    external_id: str | None = None
    braze_id: str | None = None
    may_create: bool = True

    def __repr__(self) -> str:
        # Tracebacks and logs show reprs, and must not show an address.
        return "Claimer(***)"


class ClaimRecord(NamedTuple):
    """One claim.

    Attributes:
        claimant: Of :func:`quikly_webhook.draws.claimant_of`.
        status: ``awarded``, ``no_award``, ``entered`` or ``forwarded``; ``not_open`` and ``closed``
            are answered, but never stored.
        decided_at: When the call arrived, or the draw was held.
        correlation_id: Of the first call.
        award: With ``no_award``, the consolation.
        rank: The position, in rank mode.
        response_ms: Milliseconds from the opening (or the call's ``since``) to the call.
        claimer: ``None`` after the sweep has sent the job.
        due_at: When the sweep sends the job (again); ``None`` after that.
        entered_at: When a draw's entry came, once the draw decided it.
    """

    q_scope: str
    claimant: str
    event: str
    status: Status
    decided_at: datetime
    correlation_id: str
    award: Award | None = None
    rank: int | None = None
    response_ms: int | None = None
    claimer: Claimer | None = None
    due_at: datetime | None = None
    entered_at: datetime | None = None

    @property
    def row_id(self) -> str:
        """Return the row's key."""
        return claim_row_id(self.q_scope, self.claimant)


def claim_row_id(q_scope: str, claimant: str) -> str:
    """Return the key of a claim's row."""
    return f"c#{q_scope}#{claimant}"


def shard_of(claimant: str) -> str:
    """Return the one of :data:`SHARDS` that a claimant belongs to."""
    return claimant[0]


def to_row(record: ClaimRecord) -> dict[str, AttributeValueTypeDef]:
    """Write a claim as a DynamoDB item; an absent fact is left out."""
    row: dict[str, AttributeValueTypeDef] = {
        "id": {"S": record.row_id},
        "q_scope": {"S": record.q_scope},
        "claimant": {"S": record.claimant},
        "event": {"S": record.event},
        "status": {"S": record.status.value},
        "decided_at": {"S": iso_millis(record.decided_at)},
        "correlation_id": {"S": record.correlation_id},
        "expires_at": {"N": str(int((record.decided_at + RETENTION).timestamp()))},
    }
    row |= award_attributes(record.award)
    if record.rank is not None:
        row["rank"] = {"N": str(record.rank)}
    if record.response_ms is not None:
        row["response_ms"] = {"N": str(record.response_ms)}
    if record.claimer is not None:
        row["claimer"] = {"S": json.dumps(record.claimer, separators=(",", ":"))}
    if record.due_at is not None:
        row["due_shard"] = {"S": shard_of(record.claimant)}
        row["due_at"] = {"N": str(int(record.due_at.timestamp()))}
    if record.entered_at is not None:
        row["entered_at"] = {"S": iso_millis(record.entered_at)}
    return row


def award_attributes(award: Award | None) -> dict[str, AttributeValueTypeDef]:
    """Write the part of a row that holds the award."""
    row: dict[str, AttributeValueTypeDef] = {}
    if award is not None:
        row["tier"] = {"S": award.tier}
        if award.incentive is not None:
            row["incentive"] = {"S": award.incentive}
        if award.value is not None:
            row["value"] = {"N": str(award.value)}
        if award.currency is not None:
            row["currency"] = {"S": award.currency}
    return row


def of_row(row: Row) -> ClaimRecord:
    """Read a claim from an item of :func:`to_row`."""
    return ClaimRecord(
        q_scope=row["q_scope"]["S"],
        claimant=row["claimant"]["S"],
        event=row["event"]["S"],
        status=Status(row["status"]["S"]),
        decided_at=datetime.fromisoformat(row["decided_at"]["S"]),
        correlation_id=row["correlation_id"]["S"],
        award=_award(row),
        rank=_number(row, "rank"),
        response_ms=_number(row, "response_ms"),
        claimer=Claimer(*json.loads(row["claimer"]["S"])) if "claimer" in row else None,
        due_at=datetime.fromtimestamp(int(row["due_at"]["N"]), UTC) if "due_at" in row else None,
        entered_at=_instant(row, "entered_at"),
    )


def _award(row: Row) -> Award | None:
    if "tier" not in row:
        return None
    return Award(
        tier=row["tier"]["S"],
        incentive=_text(row, "incentive"),
        value=_number(row, "value"),
        currency=_text(row, "currency"),
    )


def _number(row: Row, name: str) -> int | None:
    return int(row[name]["N"]) if name in row else None


def _text(row: Row, name: str) -> str | None:
    return row[name]["S"] if name in row else None


def _instant(row: Row, name: str) -> datetime | None:
    return datetime.fromisoformat(row[name]["S"]) if name in row else None


class Counters(NamedTuple):
    """The row of an activation's counters.

    Attributes:
        taken: Awards by the tier's name; a tier without a limit is not counted here.
        total: All awards.
        commitment: To the seed, once published.
    """

    taken: Mapping[str, int]
    total: int = 0
    commitment: str | None = None
    committed_at: datetime | None = None


LAST_RANK: Final = "last"
"""The attribute with the last position given."""

TIER_COUNTER: Final = "tier:"
"""Prefix of the attributes that count tiers."""


def counters_row_id(q_scope: str) -> str:
    """Return the key of the row of an activation's counters."""
    return f"s#{q_scope}"


def rank_row_id(q_scope: str) -> str:
    """Return the key of the row of an activation's last position."""
    return f"r#{q_scope}"


def commitment_update(q_scope: str, commitment: str, now: datetime) -> dict[str, Any]:
    """Build the UpdateItem that publishes a commitment, unless there is one.

    Returns:
        Its arguments without the table. The answer's row holds the published commitment.
    """
    return {
        "Key": {"id": {"S": counters_row_id(q_scope)}},
        "UpdateExpression": "SET commitment = if_not_exists(commitment, :commitment),"
        " committed_at = if_not_exists(committed_at, :now)",
        "ExpressionAttributeValues": {
            ":commitment": {"S": commitment},
            ":now": {"S": iso_millis(now)},
        },
        "ReturnValues": "ALL_NEW",
    }


def entries_row_id(q_scope: str, shard: str) -> str:
    """Return the key of the row that counts a shard's entries."""
    return f"e#{q_scope}#{shard}"


def counters_of_row(row: Row) -> Counters:
    """Read the counters from their DynamoDB item."""
    return Counters(
        taken={
            name.removeprefix(TIER_COUNTER): int(value["N"])
            for name, value in row.items()
            if name.startswith(TIER_COUNTER)
        },
        total=_number(row, "awarded") or 0,
        commitment=_text(row, "commitment"),
        committed_at=_instant(row, "committed_at"),
    )
