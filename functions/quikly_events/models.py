"""An activation event as its rule reads it: Quikly's side of the mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.mapping.attributes import Collected
    from braze_bridge.mapping.people import Person


class ActivationEvent(NamedTuple):
    """What one person did in one activation.

    Attributes:
        q_scope: The activation.
        event: What happened, in Quikly's word: ``entered``, ``tier_reached``, ``completed`` …
        identity: The event's own, plain or hashed, so that it may be logged.
        occurred_at: Quikly's time, where it gave a readable one.
        person: Whom it is about, if anyone usable is named.
        attributes: What goes into the profile.
        event_name: Of the custom event, where the rule wants one.
        properties: The custom event's.
    """

    q_scope: str
    event: str
    identity: str
    occurred_at: datetime | None
    person: Person
    attributes: Collected
    event_name: str | None
    properties: Collected

    def __repr__(self) -> str:
        # A repr ends up in tracebacks and logs, where nothing personal belongs.
        return f"ActivationEvent({self.q_scope!r}, {self.event!r}, {self.identity!r})"
