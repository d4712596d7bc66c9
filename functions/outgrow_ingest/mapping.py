"""From a body to an Outgrow response to a DeliveryJob: pure, given the time and the rule."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Final

from braze_bridge.clock import iso_millis
from braze_bridge.jobs.envelope import DeliveryJob, JobEvent, canonical_hash, earliest
from braze_bridge.jobs.rejected import Reason
from braze_bridge.mapping.attributes import (
    IDENTIFIER_CONFLICT,
    Skip,
    collect,
    collect_properties,
)
from braze_bridge.mapping.instants import read_instant
from braze_bridge.mapping.outcomes import Ignored, Mapped, Outcome, Unmappable
from braze_bridge.mapping.paths import first_hit, hits
from braze_bridge.mapping.people import find_person
from braze_bridge.mapping.values import Shape, ValueType, fit
from outgrow_ingest.models import OutgrowResponse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from braze_bridge.jobs.envelope import JobUser
    from braze_bridge.mapping.paths import Path
    from braze_bridge.mapping.values import Fitted
    from braze_bridge.outgrow_config import OutgrowRule

SOURCE: Final = "outgrow"

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HASH_CHARS: Final = 32
_SHORT_HASH_CHARS: Final = 8
_LONGEST_NUMBER: Final = 10**300
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
    occurred_at = _first_time(rule.occurred_at, body)
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
    attributes, conflicts = _without_conflicts(found.values, user)
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
        job_id=f"{SOURCE}:{_loggable(response.content_id or 'default')}:{response.identity}",
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


def _first_time(paths: Iterable[Path], body: object) -> datetime | None:
    """The first time that can be read: one that cannot would order nothing."""
    read = (read_instant(hit.value) for hit in hits(paths, body))
    return next((instant for instant in read if instant is not None), None)


def _identity(body: object, rule: OutgrowRule, occurred_at: datetime | None) -> str:
    plain = _first_text(rule.response_id, body)
    if plain is not None:
        return _loggable(plain)
    lead = _first_text(rule.response_id_with_time, body)
    if lead is not None and occurred_at is not None:
        # The vendor's time as it is, not the job's: a resend must find the same one. And a hash of
        # the answers, since the time may be the lead's rather than the response's.
        stamp = re.sub(r"[-:]", "", iso_millis(occurred_at))
        return _loggable(f"{lead}.{stamp}.{canonical_hash(body)[:_SHORT_HASH_CHARS]}")
    return f"b-{canonical_hash(body)[:_HASH_CHARS]}"


def _first_text(paths: Iterable[Path], body: object) -> str | None:
    """The first text or number, spelled alike: ``17`` and ``"17"`` are one id."""
    for hit in hits(paths, body):
        value = hit.value
        if isinstance(value, str):
            return value.strip()
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        # Compared first: isfinite() itself overflows on an integer of 4,000 digits.
        if abs(value) < _LONGEST_NUMBER and math.isfinite(value):
            return str(value)
    return None


def _loggable(identity: str) -> str:
    """An id as it may stand in logs: plain as it is, hashed where it could be personal."""
    if _PLAIN.fullmatch(identity):
        return identity
    return f"h-{hashlib.sha256(identity.encode()).hexdigest()[:_HASH_CHARS]}"


def _without_conflicts(
    values: dict[str, Fitted], user: JobUser | None
) -> tuple[dict[str, Fitted], tuple[Skip, ...]]:
    """Leave out an e-mail or phone attribute that would change whom Braze takes the update for."""
    if user is None or (user.email is None and user.phone is None):
        return values, ()
    forbidden = {"email"} if user.phone is None else {"email", "phone"}
    kept = {name: value for name, value in values.items() if name not in forbidden}
    conflicts = tuple(
        Skip(name, IDENTIFIER_CONFLICT)
        for name, value in values.items()
        if name in forbidden and value not in (user.email, user.phone)
    )
    return kept, conflicts
