"""From a body to an Outgrow response to a DeliveryJob: pure, given the time and the rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from braze_bridge.clock import iso_millis
from braze_bridge.jobs.envelope import DeliveryJob, JobEvent, canonical_hash, earliest
from braze_bridge.mapping.attributes import collect, collect_properties, without_conflicts
from braze_bridge.mapping.identities import HASH_CHARS, first_text, loggable
from braze_bridge.mapping.instants import first_instant
from braze_bridge.mapping.outcomes import Ignored, Mapped, Outcome, Unmappable
from braze_bridge.mapping.paths import first_hit
from braze_bridge.mapping.people import find_person
from braze_bridge.mapping.values import Shape, ValueType, fit
from braze_bridge.reasons import Reason
from outgrow_ingest.models import OutgrowResponse

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.partner_config.outgrow import OutgrowRule

SOURCE: Final = "outgrow"

_SHORT_HASH_CHARS: Final = 8
_CONSENT: Final = Shape(ValueType.BOOLEAN, trim=True)


def map_response(
    body: object,
    *,
    content_id: str | None,
    rule: OutgrowRule,
    received_at: datetime,
    correlation_id: str,
) -> Outcome:
    """Decide what becomes of a body.

    Args:
        body: A parsed JSON value of any type.
        content_id: From the URL.
        rule: The content's.
        received_at: When it came in.
        correlation_id: For the job.
    """
    response = read_response(body, content_id=content_id, rule=rule)
    return decide(response, received_at=received_at, correlation_id=correlation_id)


def read_response(body: object, *, content_id: str | None, rule: OutgrowRule) -> OutgrowResponse:
    """Read a body by a rule.

    Args:
        body: A parsed JSON value of any type.
        content_id: From the URL.
        rule: The content's.
    """
    consent = first_hit(rule.consent, body)
    occurred_at = first_instant(rule.occurred_at, body)
    return OutgrowResponse(
        content_id=content_id,
        identity=_identity(body, rule, occurred_at),
        occurred_at=occurred_at,
        consented=not rule.consent
        or (consent is not None and fit(consent.value, _CONSENT) is True),
        person=find_person(rule.person, body),
        attributes=collect(rule.attributes, body),
        event_name=None if rule.event is None else rule.event.name,
        properties=collect_properties(rule.event.properties if rule.event else (), body),
    )


def decide(response: OutgrowResponse, *, received_at: datetime, correlation_id: str) -> Outcome:
    """Make a job of a response, or say why it can be none.

    Args:
        response: As read.
        received_at: When it came in.
        correlation_id: For the job.

    Returns:
        ``Ignored`` without consent, whatever else is wrong; ``Unmappable`` with every reason at
        once; else a job whose id is the same for every resend of the response.
    """
    if not response.consented:
        return Ignored("no_consent")
    user = response.person.user
    found = response.attributes
    attributes, conflicts = without_conflicts(found.values, user)
    skips = (*found.skips, *response.properties.skips, *conflicts)
    rejects = [*found.rejects, *response.properties.rejects]
    reasons: list[Reason] = []
    if user is None:
        reasons.append(
            Reason(code="no_identity", field="person", detail="no usable identifier was found")
        )
        reasons.extend(response.person.reasons)
    reasons.extend(reject.reason() for reject in rejects)
    if not attributes and response.event_name is None and not rejects:
        reasons.append(
            Reason(code="nothing_to_send", detail="none of the configured answers was found")
        )
        reasons.extend(skip.reason() for skip in skips)
    if reasons or user is None:
        return Unmappable(tuple(reasons), skips)
    occurred_at = earliest(response.occurred_at, received_at)
    job = DeliveryJob(
        job_id=f"{SOURCE}:{loggable(response.content_id or 'default')}:{response.identity}",
        source=SOURCE,
        occurred_at=occurred_at,
        received_at=received_at,
        correlation_id=correlation_id,
        user=user,
        attributes=attributes,
        events=_events(response, occurred_at),
    )
    return Mapped(job, skips, response.person.reasons)


def _events(response: OutgrowResponse, occurred_at: datetime) -> tuple[JobEvent, ...]:
    if response.event_name is None:
        return ()
    properties = response.properties.values
    return (JobEvent(name=response.event_name, time=occurred_at, properties=properties),)


def _identity(body: object, rule: OutgrowRule, occurred_at: datetime | None) -> str:
    plain = first_text(rule.response_id, body)
    if plain is not None:
        return loggable(plain)
    lead = first_text(rule.response_id_with_time, body)
    if lead is not None and occurred_at is not None:
        # The vendor's time as it is, not the job's: a resend must find the same one. And a hash of
        # the answers, since the time may be the lead's rather than the response's.
        stamp = re.sub(r"[-:]", "", iso_millis(occurred_at))
        return loggable(f"{lead}.{stamp}.{canonical_hash(body)[:_SHORT_HASH_CHARS]}")
    return f"b-{canonical_hash(body)[:HASH_CHARS]}"
