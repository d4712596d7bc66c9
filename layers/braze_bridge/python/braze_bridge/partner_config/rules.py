"""What the partners' configurations share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from braze_bridge.mapping.attributes import ValueRule


class DoorConfig(NamedTuple):
    """The door's switches.

    Attributes:
        allow_query_token: Whether the token may come as ``?token=``.
        untimed_is_newest: Whether an answer without the partner's time counts as newer than a value
            that has one.
    """

    allow_query_token: bool = False
    untimed_is_newest: bool = False


class EventRule(NamedTuple):
    """A custom event for every response; the name is Braze's."""

    name: str
    properties: tuple[ValueRule, ...] = ()
