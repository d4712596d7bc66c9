"""``outgrow.toml``: its tables, and the configuration made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from braze_bridge.partner_config.outgrow import OutgrowConfig, OutgrowRule
from braze_bridge.partner_config.tables import mapped, toml

if TYPE_CHECKING:
    from braze_bridge.mapping.people import Placeholders


class ContentTable(mapped.MappedTable):
    """``[default]``, or a ``[content."…"]`` that inherits from it."""

    response_id: toml.Paths = ()
    response_id_with_time: toml.Paths = ()
    occurred_at: toml.Paths = ()
    formats: mapped.Formats = Field((), alias="occurred_at_formats")
    create_profiles: bool = True
    consent: toml.OrFalse[toml.Paths] = False
    person: mapped.RespondentTable = mapped.RespondentTable()

    def _problems(self) -> toml.Problems:
        yield from super()._problems()
        if self.consent == ():
            # An emptied list must not silently accept everyone.
            yield f"{toml.NO_PATH}, or be false", "consent"

    def problems_in(self, base: ContentTable | None) -> toml.Problems:
        """Yield what is wrong after inheritance; ``[default]`` has no base."""
        yield from self.problems_over(base or ContentTable())
        whole = self.over(base) if base else self
        if self.has("person") or base is None:
            yield from toml.at(whole.person.problems_whole(), "person")
        written = [name.strip() for name, table in whole.attributes.items() if table]
        if self.has("person") or self.has("attributes"):
            yield from toml.at(whole.person.address_problems(written), "attributes", "email")
        if whole.leaves_nothing():
            yield "is empty and there is no event: nothing would be sent", "attributes"

    def rule(self, placeholders: Placeholders) -> OutgrowRule:
        """Return the rule of a table that is complete."""
        person = self.person.rule(create_profiles=self.create_profiles, placeholders=placeholders)
        paths = (self.response_id, self.response_id_with_time, self.occurred_at, self.formats)
        return OutgrowRule(*paths, person, self.consent or (), *self.rules())


class OutgrowFile(toml.PartnerFile):
    """The whole file."""

    partner: ClassVar = "outgrow"
    needed: ClassVar = {**toml.PartnerFile.needed, "default": "is missing"}
    default: ContentTable | None = None
    content: toml.Section[ContentTable] = Field(default_factory=dict)

    def _problems(self) -> toml.Problems:
        if self.default is not None:
            yield from toml.at(self.default.problems_in(None), "default")
        for content_id, table in self.content.items():
            problems = table.problems_in(self.default or ContentTable())
            yield from toml.at(problems, "content", content_id)

    def config(self) -> OutgrowConfig:
        """Return the configuration of a file without problems."""
        base = self.default or ContentTable()
        words = self.placeholder_words()
        content = {key: table.over(base).rule(words) for key, table in self.content.items()}
        return OutgrowConfig(self.door_config(), base.rule(words), content)
