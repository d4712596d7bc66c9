"""From an Outgrow response to a DeliveryJob: pure, given the time and the rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from braze_bridge.clock import iso_millis
from braze_bridge.jobs.envelope import canonical_hash
from braze_bridge.mapping.identities import first_id, loggable
from braze_bridge.mapping.instants import find_instant
from braze_bridge.mapping.job_building import Origin, hashed, make_job, read_content
from braze_bridge.mapping.link_signatures import no_signature_fits
from braze_bridge.mapping.outcomes import Ignored, Outcome
from braze_bridge.mapping.paths import first_hit
from braze_bridge.mapping.people import find_person
from braze_bridge.mapping.values import Shape, ValueType, fit

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.mapping.link_signatures import SignatureCheck
    from braze_bridge.partner_config.outgrow import OutgrowRule

SOURCE: Final = "outgrow"
SENDER: Final = "outgrow_ingest"

_SHORT_HASH_CHARS: Final = 8
_CONSENT: Final = Shape(ValueType.BOOLEAN, trim=True)


def map_response(
    body: object,
    *,
    content_id: str | None,
    rule: OutgrowRule,
    received_at: datetime,
    correlation_id: str,
    untimed_is_newest: bool = False,
    signature_fits: SignatureCheck = no_signature_fits,
) -> Outcome:
    """Map a body.

    Args:
        body: A parsed JSON value of any type.
        content_id: From the URL.
        rule: The content's.
        untimed_is_newest: As in :class:`braze_bridge.partner_config.rules.DoorConfig`.

    Returns:
        ``Ignored`` without consent, even if more is wrong; ``Unmappable`` with every reason at
        once; else a job whose id is the same for every resend of the same answers.
    """
    if rule.consent and not _has_consent(body, rule):
        return Ignored("no_consent")
    time = find_instant(rule.occurred_at, body, rule.formats)
    identity = _identity(body, rule, time.instant)
    origin = Origin(SOURCE, SENDER, f"{SOURCE}:{loggable(content_id or 'default')}:{identity}")
    return make_job(
        read_content(rule.attributes, rule.event, body, time.instant, origin.response),
        find_person(rule.person, body, signature_fits),
        origin=origin,
        occurred_at=time,
        received_at=received_at,
        correlation_id=correlation_id,
        if_empty="none of the configured answers was found",
        untimed_is_newest=untimed_is_newest,
    )


def _has_consent(body: object, rule: OutgrowRule) -> bool:
    consent = first_hit(rule.consent, body)
    return consent is not None and fit(consent.value, _CONSENT) is True


def _identity(body: object, rule: OutgrowRule, occurred_at: datetime | None) -> str:
    """Find what every resend of a response repeats; safe to log."""
    plain = first_id(rule.response_id, body)
    if plain is not None:
        return loggable(plain)
    lead = first_id(rule.response_id_with_time, body)
    if lead is not None and occurred_at is not None:
        # Outgrow's time, not the job's: a resend must find the same one. The hash is there because
        # the time may be the lead's and not the response's.
        stamp = re.sub(r"[-:]", "", iso_millis(occurred_at))
        return loggable(f"{lead}.{stamp}.{canonical_hash(body)[:_SHORT_HASH_CHARS]}")
    return hashed("b", body)
