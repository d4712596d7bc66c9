"""From a body to an activation event to a DeliveryJob: pure, given the time and the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.jobs.envelope import DeliveryJob, JobEvent, canonical_hash, earliest
from braze_bridge.mapping.attributes import collect, collect_properties, without_conflicts
from braze_bridge.mapping.identities import HASH_CHARS, first_text, loggable
from braze_bridge.mapping.instants import first_instant
from braze_bridge.mapping.outcomes import Ignored, Mapped, Outcome, Unmappable
from braze_bridge.mapping.people import find_person
from braze_bridge.reasons import Reason
from quikly_events.models import ActivationEvent

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.partner_config.quikly import QuiklyConfig
    from braze_bridge.partner_config.quikly_events import ActivationEventRule, EventsConfig

SOURCE: Final = "quikly_events"


def map_event(
    body: object, *, config: QuiklyConfig, received_at: datetime, correlation_id: str
) -> Outcome:
    """Decide what becomes of a body.

    Args:
        body: A parsed JSON value of any type.
        config: Of ``quikly.toml``.
        received_at: When it came in.
        correlation_id: For the job.

    Returns:
        ``Ignored`` for an event that the configuration does not want; ``Unmappable`` for an
        activation or an event that it does not know, and with every reason where no job can be
        made; else a job whose id is the same for every resend of the event.
    """
    fields = body if isinstance(body, dict) else {}
    named = {name: _word(fields.get(name)) for name in ("q_scope", "event")}
    q_scope, event = named["q_scope"], named["event"]
    if q_scope is None or event is None:
        return Unmappable(
            tuple(
                Reason(code="missing", field=name, detail="must be a text, and not empty")
                for name, word in named.items()
                if word is None
            )
        )
    if not _is_known(q_scope, config):
        detail = "quikly.toml names no such activation"
        return Unmappable((Reason(code="unknown_activation", field="q_scope", detail=detail),))
    rules = config.events.rules_for(q_scope)
    if event not in rules:
        detail = "quikly.toml has no rule for such an event"
        return Unmappable((Reason(code="unknown_event", field="event", detail=detail),))
    rule = rules[event]
    if rule is None:
        return Ignored("event_not_wanted")
    found = read_event(body, q_scope=q_scope, event=event, rule=rule, config=config.events)
    return decide(found, received_at=received_at, correlation_id=correlation_id)


def read_event(
    body: object,
    *,
    q_scope: str,
    event: str,
    rule: ActivationEventRule,
    config: EventsConfig,
) -> ActivationEvent:
    """Read a body by a rule.

    Args:
        body: A parsed JSON value.
        q_scope: The activation.
        event: What happened.
        rule: Of that event in that activation.
        config: Where the id, the time and the person stand.
    """
    plain = first_text(config.event_id, body)
    return ActivationEvent(
        q_scope=q_scope,
        event=event,
        # Without an id of its own, the same body is the same event.
        identity=f"b-{canonical_hash(body)[:HASH_CHARS]}" if plain is None else loggable(plain),
        occurred_at=first_instant(config.occurred_at, body),
        person=find_person(config.person, body),
        attributes=collect(rule.attributes, body),
        event_name=None if rule.event is None else rule.event.name,
        properties=collect_properties(rule.event.properties if rule.event else (), body),
    )


def decide(found: ActivationEvent, *, received_at: datetime, correlation_id: str) -> Outcome:
    """Make a job of an activation event, or say why it can be none.

    Args:
        found: As read.
        received_at: When it came in.
        correlation_id: For the job.
    """
    user = found.person.user
    attributes, conflicts = without_conflicts(found.attributes.values, user)
    skips = (*found.attributes.skips, *found.properties.skips, *conflicts)
    rejects = [*found.attributes.rejects, *found.properties.rejects]
    reasons: list[Reason] = []
    if user is None:
        reasons.append(
            Reason(code="no_identity", field="person", detail="no usable identifier was found")
        )
        reasons.extend(found.person.reasons)
    reasons.extend(reject.reason() for reject in rejects)
    if not attributes and found.event_name is None and not rejects:
        reasons.append(
            Reason(code="nothing_to_send", detail="none of the configured values was found")
        )
        reasons.extend(skip.reason() for skip in skips)
    if reasons or user is None:
        return Unmappable(tuple(reasons), skips)
    occurred_at = earliest(found.occurred_at, received_at)
    job = DeliveryJob(
        # Quikly does not say over what its ids are unique: the same one in another activation, or
        # of another kind, is another event.
        job_id=f"quikly-events:{loggable(found.q_scope)}:{loggable(found.event)}:{found.identity}",
        source=SOURCE,
        occurred_at=occurred_at,
        received_at=received_at,
        correlation_id=correlation_id,
        user=user,
        attributes=attributes,
        events=_events(found, occurred_at),
    )
    return Mapped(job, skips, found.person.reasons)


def _events(found: ActivationEvent, occurred_at: datetime) -> tuple[JobEvent, ...]:
    if found.event_name is None:
        return ()
    properties = found.properties.values
    return (JobEvent(name=found.event_name, time=occurred_at, properties=properties),)


def _is_known(q_scope: str, config: QuiklyConfig) -> bool:
    return (
        config.events.any_scope
        or q_scope in config.events.scopes
        or q_scope in config.activations
        or q_scope in config.acquisitions
    )


def _word(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
