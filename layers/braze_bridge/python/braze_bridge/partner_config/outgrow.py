"""``outgrow.toml``: how an Outgrow response becomes a job, for each content and for all others.

In the layer, not in the function: checking a configuration before it is deployed needs it as well.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.partner_config.rules import (
    DoorConfig,
    EventPatch,
    EventRule,
    PersonPatch,
    ValuePatch,
    check_person,
    check_taken_away,
    present,
    read_attributes,
    read_door,
    read_event,
    read_person,
)
from braze_bridge.partner_config.toml_table import Table, load_table

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

    from braze_bridge.mapping.attributes import ValueRule
    from braze_bridge.mapping.paths import Path
    from braze_bridge.mapping.people import PersonRule

FILE_NAME: Final = "outgrow.toml"


class OutgrowRule(NamedTuple):
    """How the responses to one content are read.

    Attributes:
        response_id: Where the response's own id stands.
        response_id_with_time: Where an id stands that is a response's only together with its time.
        occurred_at: Where the time of the response stands.
        person: Whom it is about.
        consent: Which field has to be true; empty: none has to.
        attributes: What goes into the profile.
        event: What goes out as a custom event, if any.
    """

    response_id: tuple[Path, ...]
    response_id_with_time: tuple[Path, ...]
    occurred_at: tuple[Path, ...]
    person: PersonRule
    consent: tuple[Path, ...]
    attributes: tuple[ValueRule, ...]
    event: EventRule | None


class OutgrowConfig(NamedTuple):
    """The whole file.

    Attributes:
        default: For every content that has no rule of its own.
        content: By content id, inheritance already applied.
    """

    door: DoorConfig
    default: OutgrowRule
    content: Mapping[str, OutgrowRule]

    def rule_for(self, content_id: str | None) -> OutgrowRule:
        """The rule of a content; the default for one that has none, or for no content."""
        return self.default if content_id is None else self.content.get(content_id, self.default)


def load_outgrow(directory: pathlib.Path) -> OutgrowConfig:
    """Read ``outgrow.toml``.

    Args:
        directory: The folder that holds it.

    Raises:
        ConfigError: With every problem and its dotted key.
    """
    return load_table(directory / FILE_NAME, _read)


class _Patch(NamedTuple):
    """What ``[default]`` or a ``[content."…"]`` says; ``None`` is inherited."""

    response_id: tuple[Path, ...] | None = None
    response_id_with_time: tuple[Path, ...] | None = None
    occurred_at: tuple[Path, ...] | None = None
    create_profiles: bool | None = None
    consent: tuple[Path, ...] | None = None
    person: PersonPatch | None = None
    attributes: ValuePatch = MappingProxyType({})
    event: EventPatch | Literal[False] | None = None

    def over(self, base: _Patch) -> _Patch:
        given = {
            name: value
            for name in (
                "response_id",
                "response_id_with_time",
                "occurred_at",
                "create_profiles",
                "consent",
            )
            if (value := getattr(self, name)) is not None
        }
        event = base.event if self.event is None else self.event
        if isinstance(self.event, EventPatch):
            event = self.event.over(base.event or None)
        return base._replace(
            **given,
            person=(self.person or PersonPatch()).over(base.person or PersonPatch()),
            attributes={**base.attributes, **self.attributes},
            event=event,
        )

    def rule(self) -> OutgrowRule:
        """The rule, of a patch that is complete."""
        return OutgrowRule(
            response_id=self.response_id or (),
            response_id_with_time=self.response_id_with_time or (),
            occurred_at=self.occurred_at or (),
            person=(self.person or PersonPatch()).rule(
                may_create=self.create_profiles is not False
            ),
            consent=self.consent or (),
            attributes=present(self.attributes),
            event=self.event.rule() if isinstance(self.event, EventPatch) else None,
        )


def _read(root: Table) -> OutgrowConfig:
    door = read_door(root)
    base = _Patch()
    table = root.table("default")
    if table is not None:
        base = _read_patch(table)
        _check(base, _Patch(), table)
    elif not root.has("default"):
        root.problem("default", "is missing")
    content: dict[str, OutgrowRule] = {}
    contents = root.table("content") or Table({}, FILE_NAME, [])
    for content_id in contents.names():
        inner = contents.table(content_id)
        if inner is not None:
            patch = _read_patch(inner)
            _check(patch, base, inner)
            content[content_id] = patch.over(base).rule()
    return OutgrowConfig(door, base.rule(), content)


def _read_patch(table: Table) -> _Patch:
    consent = () if table.value("consent") is False else table.paths("consent")
    if consent == () and table.value("consent") is not False:
        # An emptied list must not quietly let everybody through.
        table.problem("consent", "must name at least one path, or be false")
    patch = _Patch(
        response_id=table.paths("response_id"),
        response_id_with_time=table.paths("response_id_with_time"),
        occurred_at=table.paths("occurred_at"),
        create_profiles=table.flag("create_profiles"),
        consent=consent,
        person=read_person(table),
        attributes=read_attributes(table),
        event=read_event(table),
    )
    table.finish()
    return patch


def _check(patch: _Patch, base: _Patch, table: Table) -> None:
    """Note what is missing or contradicts itself after inheritance, where this table is to blame.

    Args:
        patch: What the table says.
        base: What it inherits.
        table: The table to name.
    """
    whole = patch.over(base)
    is_default = base == _Patch()
    if is_default or patch.person is not None:
        check_person(whole.person or PersonPatch(), table)
    check_taken_away(patch.attributes, base.attributes, table, "attributes")
    if isinstance(patch.event, EventPatch):
        inner = table.table("event")
        inherited = base.event.properties if isinstance(base.event, EventPatch) else {}
        if inner is not None:
            check_taken_away(patch.event.properties, inherited, inner, "properties")
        if isinstance(whole.event, EventPatch) and whole.event.name is None:
            table.problem("event", "needs a name")
    kept = any(rule is not False for rule in whole.attributes.values())
    if not kept and not isinstance(whole.event, EventPatch):
        table.problem("attributes", "is empty and there is no event: nothing would be sent")
