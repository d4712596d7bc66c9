"""From one of Quikly's activation events to a DeliveryJob: pure, given the time and the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.mapping.identities import first_id, loggable
from braze_bridge.mapping.instants import find_instant
from braze_bridge.mapping.job_building import Origin, hashed, make_job, read_content
from braze_bridge.mapping.outcomes import Ignored, Outcome, Unmappable
from braze_bridge.mapping.people import find_person
from braze_bridge.mapping.texts import one_form
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.partner_config.quikly import QuiklyConfig

SOURCE: Final = "quikly_events"


def map_event(
    body: object, *, config: QuiklyConfig, received_at: datetime, correlation_id: str
) -> Outcome:
    """Map a body.

    Args:
        body: A parsed JSON value of any type.
        config: Of ``quikly.toml``.

    Returns:
        ``Ignored`` for an event that the configuration does not want; ``Unmappable`` for an unknown
        activation or event, and with every reason if no job can be made; else a job whose id is the
        same for every resend of the event.
    """
    fields = body if isinstance(body, dict) else {}
    q_scope, event = _word(fields.get("q_scope")), _word(fields.get("event"))
    if q_scope is None or event is None:
        return Unmappable(
            tuple(
                Reason(code="missing", field=name, detail="must be a text, and not empty")
                for name, word in (("q_scope", q_scope), ("event", event))
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
    event_id = first_id(config.events.event_id, body)
    # Without an id of its own, the same body is the same event.
    identity = hashed("b", body) if event_id is None else loggable(event_id)
    time = find_instant(config.events.occurred_at, body, config.events.formats)
    # Quikly does not say where its ids are unique. The same id in another activation, or of another
    # kind, is another event.
    response = f"quikly-events:{loggable(q_scope)}:{loggable(event)}:{identity}"
    origin = Origin(SOURCE, SOURCE, response)
    return make_job(
        read_content(rule.attributes, rule.event, body, time.instant, response),
        find_person(config.events.person, body),
        origin=origin,
        occurred_at=time,
        received_at=received_at,
        correlation_id=correlation_id,
        if_empty="none of the configured values was found",
        untimed_is_newest=config.door.untimed_is_newest,
    )


def _is_known(q_scope: str, config: QuiklyConfig) -> bool:
    return (
        config.events.any_scope
        or q_scope in config.events.scopes
        or q_scope in config.activations
        or q_scope in config.acquisitions
    )


def _word(value: object) -> str | None:
    return one_form(value) or None if isinstance(value, str) else None
