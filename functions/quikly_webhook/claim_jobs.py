"""Makes the DeliveryJob of a claim: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.clock import iso_millis
from braze_bridge.jobs.envelope import VERSION, DeliveryJob, JobEvent, JobUser
from braze_bridge.mapping.identifiers import IdentifierKind, Unusable, usable
from braze_bridge.mapping.job_building import event_id
from braze_bridge.partner_config.quikly_activations import Fact, Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from braze_bridge.partner_config.quikly_activations import ProfileRule
    from quikly_webhook.claim_records import Claimer, ClaimRecord

SOURCE: Final = "quikly_webhook"

_FINAL: Final = frozenset({Status.AWARDED, Status.NO_AWARD, Status.FORWARDED})
_OUTSIDE: Final = frozenset({Status.NOT_OPEN, Status.CLOSED})


def claim_id(claim: ClaimRecord) -> str:
    """Return a claim's id in queues and logs; the same for every repeat.

    A status before the decision (``entered``, ``closed`` …) has an id of its own, since the
    decision may follow.
    """
    suffix = "" if claim.status in _FINAL else f":{claim.status}"
    return f"quikly-webhook:{claim.q_scope}:{claim.claimant}{suffix}"


def job_of(claim: ClaimRecord, profile: ProfileRule, now: datetime) -> DeliveryJob | None:
    """Make the job that writes a claim to the profile.

    Args:
        profile: The names of its attributes and events.
        now: When the job is made, which may be later than the claim.

    Returns:
        The same job for every repeat of the claim; ``None`` if the configuration writes nothing to
        the profile, or the claimer was removed after the job was sent.
    """
    if claim.claimer is None:
        return None
    facts = facts_of(claim)
    user = _user(claim.claimer)
    attributes = {} if claim.status in _OUTSIDE else _named(profile.attributes, facts)
    if profile.write_email and attributes and user.external_id is not None:
        attributes["email"] = claim.claimer.email
    name = profile.events.get(claim.status)
    events: tuple[JobEvent, ...] = ()
    if name is not None:
        properties = _named(profile.properties, facts)
        id_ = event_id(claim_id(claim), name)
        events = (JobEvent(id=id_, name=name, time=claim.decided_at, properties=properties),)
    if not attributes and not events:
        return None
    return DeliveryJob(
        schema_version=VERSION,
        # Without a hash of the content: a decided claim does not change.
        job_id=claim_id(claim),
        source=SOURCE,
        sender=SOURCE,
        occurred_at=claim.decided_at,
        # API Gateway's clock and ours may differ by some milliseconds.
        received_at=max(now, claim.decided_at),
        correlation_id=claim.correlation_id,
        user=user,
        attributes=dict(attributes),
        events=events,
    )


def facts_of(claim: ClaimRecord) -> Mapping[Fact, str | int | float]:
    """Return the facts of a claim; one that it does not have is left out."""
    award = claim.award
    known: dict[Fact, str | int | float | None] = {
        Fact.Q_SCOPE: claim.q_scope,
        Fact.EVENT: claim.event,
        Fact.STATUS: claim.status.value,
        Fact.TIER: award.tier if award else None,
        Fact.INCENTIVE: award.incentive if award else None,
        Fact.VALUE: award.value if award else None,
        Fact.CURRENCY: award.currency if award else None,
        Fact.RANK: claim.rank,
        Fact.RESPONSE_SECONDS: (
            None if claim.response_ms is None else round(claim.response_ms / 1000, 3)
        ),
        Fact.CLAIMED_AT: iso_millis(claim.decided_at),
    }
    return {fact: value for fact, value in known.items() if value is not None}


def _named(
    names: Mapping[str, Fact], facts: Mapping[Fact, str | int | float]
) -> dict[str, str | int | float]:
    return {name: facts[fact] for name, fact in names.items() if fact in facts}


def _user(claimer: Claimer) -> JobUser:
    """Name the profile so that Braze finds or makes it: it drops what has an unknown braze_id."""
    # A row of an earlier version may hold an id that is none.
    external_id = usable(IdentifierKind.EXTERNAL_ID, claimer.external_id)
    if not isinstance(external_id, Unusable):
        return JobUser(external_id=external_id, may_create=claimer.may_create)
    return JobUser(email=claimer.email, may_create=claimer.may_create)
