"""An Outgrow response as its rule reads it: Outgrow's side of the mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.mapping.attributes import Collected
    from braze_bridge.mapping.people import Person


class OutgrowResponse(NamedTuple):
    """One person's answers to one content.

    Attributes:
        content_id: From the URL, or ``None`` where it names none.
        identity: The response's own, plain or hashed, so that it may be logged.
        occurred_at: Outgrow's time, where it gave a readable one.
        consented: Whether the field that has to be true is; true where no rule asks for one.
        person: Whom it is about, if anyone usable is named.
        attributes: What goes into the profile.
        event_name: Of the custom event, where the rule wants one.
        properties: The event's.
    """

    content_id: str | None
    identity: str
    occurred_at: datetime | None
    consented: bool
    person: Person
    attributes: Collected
    event_name: str | None
    properties: Collected

    def __repr__(self) -> str:
        # A repr ends up in tracebacks and logs, where no answer belongs.
        return f"OutgrowResponse({self.content_id!r}, {self.identity!r})"
