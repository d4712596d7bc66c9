"""A claim: what was decided for one person in one activation, and its row in the claims table.

In the layer, as the webhook writes claims and people's commands read and draw them.

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
"""From the claim: longer than an activation lasts, as whoever is forgotten could win again. Such a
row knows a person by a keyed hash only; the address goes once the profile has been told."""

SHARDS: Final = "0123456789abcdef"
"""A claimant's first digit: spreads what all claims of an activation write."""

DUE_INDEX: Final = "by_due"
"""Of claims whose job may not have reached the queue: ``due_shard`` and ``due_at``."""


class Award(NamedTuple):
    """What somebody gets, as it was decided: a later configuration does not change it.

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
        may_create: Whether somebody Braze does not know becomes a profile.
    """

    email: str
    external_id: str | None = None
    braze_id: str | None = None
    may_create: bool = True

    def __repr__(self) -> str:
        # A repr ends up in tracebacks and logs, where no address belongs.
        return "Claimer(***)"


class ClaimRecord(NamedTuple):
    """One claim.

    Attributes:
        claimant: Of :func:`quikly_webhook.draws.claimant_of`.
        status: ``awarded``, ``no_award``, ``entered`` or ``forwarded``; ``not_open`` and ``closed``
            are answered, but never kept.
        decided_at: When the call arrived, or the draw was held.
        correlation_id: Of the first call.
        award: With ``no_award``, the consolation.
        rank: The position, in rank mode.
        response_ms: Milliseconds from the opening (or the call's ``since``) to the call.
        claimer: ``None`` once the profile has been told.
        due_at: When the sweep sends the job (again); ``None`` where that is done.
        entered_at: Of a draw's entry that was decided: when it came.
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
        """The row's key."""
        return claim_row_id(self.q_scope, self.claimant)


def claim_row_id(q_scope: str, claimant: str) -> str:
    """The key of a claim's row."""
    return f"c#{q_scope}#{claimant}"


def shard_of(claimant: str) -> str:
    """Which of :data:`SHARDS` a claimant belongs to."""
    return claimant[0]


def to_row(record: ClaimRecord) -> dict[str, AttributeValueTypeDef]:
    """A claim as a DynamoDB item; what it does not have is left out."""
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
    """The part of a row that holds the award."""
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
    """A claim of a DynamoDB item that :func:`to_row` made."""
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
        due_at=(datetime.fromtimestamp(int(row["due_at"]["N"]), UTC) if "due_at" in row else None),
        entered_at=(
            datetime.fromisoformat(row["entered_at"]["S"]) if "entered_at" in row else None
        ),
    )


def _award(row: Row) -> Award | None:
    if "tier" not in row:
        return None
    return Award(
        tier=row["tier"]["S"],
        incentive=row["incentive"]["S"] if "incentive" in row else None,
        value=_number(row, "value"),
        currency=row["currency"]["S"] if "currency" in row else None,
    )


def _number(row: Row, name: str) -> int | None:
    return int(row[name]["N"]) if name in row else None


class Counters(NamedTuple):
    """What the row of an activation's counters says.

    Attributes:
        taken: Awards by the tier's name; a tier without a limit is not counted here.
        total: All of them.
        commitment: To the seed, once published …
        committed_at: … and when that was.
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
    """The key of the row of an activation's counters."""
    return f"s#{q_scope}"


def rank_row_id(q_scope: str) -> str:
    """The key of the row of an activation's last position."""
    return f"r#{q_scope}"


def commitment_update(q_scope: str, commitment: str, now: datetime) -> dict[str, Any]:
    """What an UpdateItem needs to publish a commitment, unless there is one.

    Args:
        q_scope: The activation.
        commitment: Of :func:`quikly_webhook.draws.commitment_to`.
        now: The present.

    Returns:
        Its arguments but for the table; the answer's row holds the commitment that counts.
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
    """The key of the row that counts a shard's entries."""
    return f"e#{q_scope}#{shard}"


def counters_of_row(row: Row) -> Counters:
    """Counters of their DynamoDB item."""
    committed_at = row["committed_at"]["S"] if "committed_at" in row else None
    return Counters(
        taken={
            name.removeprefix(TIER_COUNTER): int(value["N"])
            for name, value in row.items()
            if name.startswith(TIER_COUNTER)
        },
        total=_number(row, "awarded") or 0,
        commitment=row["commitment"]["S"] if "commitment" in row else None,
        committed_at=(datetime.fromisoformat(committed_at) if committed_at else None),
    )
