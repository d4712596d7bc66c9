"""``outgrow.toml``: its tables, and the configuration made of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from braze_bridge.partner_config.outgrow import OutgrowConfig, OutgrowRule
from braze_bridge.partner_config.tables import mapped, toml


class ContentTable(mapped.MappedTable):
    """``[default]``, or a ``[content."…"]`` that inherits from it."""

    response_id: toml.Paths | None = None
    response_id_with_time: toml.Paths | None = None
    occurred_at: toml.Paths | None = None
    create_profiles: bool | None = None
    consent: Annotated[toml.Paths | Literal[False] | None, toml.OrFalse] = None
    person: mapped.PersonTable | None = None

    def _problems(self) -> toml.Problems:
        yield from super()._problems()
        if self.consent == ():
            # An emptied list must not silently accept everyone.
            yield "must name at least one path, or be false", "consent"

    def problems_over(self, base: mapped.MappedTable) -> toml.Problems:
        """Yield what is wrong after inheritance, if this table causes it."""
        yield from super().problems_over(base)
        whole = self.over(base) if isinstance(base, ContentTable) else self
        if self.person is not None or whole is self:
            yield from mapped.person_problems(whole.person)
        if whole.leaves_nothing():
            yield "is empty and there is no event: nothing would be sent", "attributes"

    def rule(self) -> OutgrowRule:
        """Return the rule of a table that is complete."""
        return OutgrowRule(
            response_id=self.response_id or (),
            response_id_with_time=self.response_id_with_time or (),
            occurred_at=self.occurred_at or (),
            person=(self.person or mapped.PersonTable()).rule(create_profiles=self.create_profiles),
            consent=self.consent or (),
            attributes=self.attribute_rules(),
            event=self.event_rule(),
        )


class OutgrowFile(mapped.File):
    """The whole file."""

    partner: ClassVar = "outgrow"
    needed: ClassVar = {**mapped.File.needed, "default": "is missing"}
    default: ContentTable | None = None
    content: dict[str, ContentTable | None] | None = None

    def _problems(self) -> toml.Problems:
        if self.default is not None:
            yield from toml.at(self.default.problems_over(mapped.MappedTable()), "default")
        for content_id, table in (self.content or {}).items():
            if table is not None:
                problems = table.problems_over(self.default or ContentTable())
                yield from toml.at(problems, "content", content_id)

    def config(self) -> OutgrowConfig:
        """Return the configuration of a file without problems."""
        base = self.default or ContentTable()
        content = {key: table for key, table in (self.content or {}).items() if table is not None}
        return OutgrowConfig(
            self.door_config(),
            base.rule(),
            {content_id: table.over(base).rule() for content_id, table in content.items()},
        )
