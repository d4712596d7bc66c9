"""``quikly.toml``: its tables, and the configuration made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, get_args

from pydantic import Field, PlainValidator

from braze_bridge.mapping.given import fit_given
from braze_bridge.mapping.profile_fields import attribute_name_problem
from braze_bridge.mapping.values import Misfit
from braze_bridge.partner_config import quikly_acquisitions as rules
from braze_bridge.partner_config.quikly import QuiklyConfig
from braze_bridge.partner_config.tables import toml
from braze_bridge.partner_config.tables.activations import SCOPE, ActivationTable, ProfileTable
from braze_bridge.partner_config.tables.events import EventsTable

if TYPE_CHECKING:
    from braze_bridge.mapping.names import NameGuard

MAX_SCOPE_CHARS = 128


class ParticipationTable(toml.Table):
    """``participation_attribute``."""

    needed: ClassVar = {"name": "is missing: the attribute at Braze"}
    name: toml.Name = ""
    value: Any = True

    def _problems(self) -> toml.Problems:
        name = self.name
        if name and (problem := attribute_name_problem(name)):
            yield problem, "name"
        elif name in rules.ADDRESS_FIELDS:
            yield "says whom the update is about, and cannot be set here", "name"
        elif name and isinstance(fit_given(name, self.value), Misfit | list):
            yield "must be true, false, a number or a text that Braze takes there", "value"


_CHANNELS: Final[tuple[rules.AcquisitionChannel, ...]] = get_args(rules.AcquisitionChannel)
OptInDays = Annotated[int, PlainValidator(toml.whole(1, rules.MAX_OPT_IN_DAYS))]
Channels = Annotated[tuple[rules.AcquisitionChannel, ...], PlainValidator(toml.some_of(_CHANNELS))]


class AcquisitionTable(toml.Table):
    """``[acquisition."<q_scope>"]``."""

    needed: ClassVar = {"channels": 'is missing: ["email"], ["sms"] or both'}
    channels: Channels = ()
    subscription_group_id: toml.Trimmed | None = None
    double_opt_in: rules.DoubleOptIn = "none"
    opt_in_event: toml.Name | None = None
    opt_in_days: OptInDays = rules.MAX_OPT_IN_DAYS
    lookup: rules.LookUp = "export"
    replace_phone: bool = True
    credit_unsubscribed: bool = False
    credit_event: toml.Name | None = None
    participation_attribute: ParticipationTable | None = None
    participation_event: toml.Name | None = None

    def _problems(self) -> toml.Problems:
        if "sms" in self.channels and not self.has("subscription_group_id"):
            yield "is missing: the SMS group at Braze", "subscription_group_id"
        for key in ("subscription_group_id", "double_opt_in", "opt_in_event", "replace_phone"):
            if self.channels == ("email",) and self.has(key):
                yield 'is for scopes with the channel "sms" only', key
        if self.channels == ("sms",) and self.has("credit_unsubscribed"):
            yield 'is for scopes with the channel "email" only', "credit_unsubscribed"
        if self.double_opt_in == "event" and not self.has("opt_in_event"):
            yield 'is missing: double_opt_in = "event" sends it', "opt_in_event"
        if self.double_opt_in != "event" and self.opt_in_event is not None:
            yield 'is for double_opt_in = "event" only', "opt_in_event"
        if self.double_opt_in == "none" and self.has("opt_in_days"):
            yield "is for scopes with a double opt-in only", "opt_in_days"
        if self.lookup == "none" and self.has("replace_phone"):
            yield 'needs lookup = "export": without it the number is written', "replace_phone"

    def rule(self, scope: str) -> rules.AcquisitionRule:
        """Return the rule of a table without problems."""
        given: dict[str, Any] = dict(self)
        given["channels"] = frozenset(self.channels)
        if mark := self.participation_attribute:
            value: Any = fit_given(mark.name, mark.value)
            given["participation_attribute"] = rules.ParticipationAttribute(mark.name, value)
        return rules.AcquisitionRule(scope, **given)


class NamesTable(toml.NamesTable):
    """``[names]``: of the attributes that a sign-up brings."""

    only: toml.Words | None = None

    def guard(self) -> NameGuard:
        """Return the guard, without the names of other files."""
        only = None if self.only is None else toml.bare_names(self.only)
        return super().guard()._replace(only=only)


class QuiklyFile(toml.PartnerFile):
    """The whole file; acquisitions and activations by ``q_scope``."""

    partner: ClassVar = "quikly"
    acquisition: toml.Section[AcquisitionTable] = Field(default_factory=dict)
    activation_profile: ProfileTable = ProfileTable()
    activation: toml.Section[ActivationTable] = Field(default_factory=dict)
    events: EventsTable | None = None
    names: NamesTable = NamesTable()

    def _problems(self) -> toml.Problems:
        if self.door.allow_query_token:
            yield "must be false: every caller can send a header", "door", "allow_query_token"
        for scope in self.acquisition:
            if not scope.strip() or len(scope) > MAX_SCOPE_CHARS:
                yield f"a scope has 1 to {MAX_SCOPE_CHARS} characters", "acquisition", scope
        shared = self.activation_profile
        yield from toml.at(shared.taken_away_problems(ProfileTable()), "activation_profile")
        for scope, table in self.activation.items():
            if not SCOPE.fullmatch(scope):
                words = "is no usable q_scope: at most 100 letters, digits, dots, - and _"
                yield words, "activation", scope
            problems = table.profile.taken_away_problems(shared)
            yield from toml.at(problems, "activation", scope, "profile")

    def config(self) -> QuiklyConfig:
        """Return the configuration of a file without problems."""
        shared, words = self.activation_profile, self.placeholder_words()
        return QuiklyConfig(
            self.door_config(),
            {scope: table.rule(scope) for scope, table in self.acquisition.items()},
            {scope: table.rule(scope, shared) for scope, table in self.activation.items()},
            (self.events or EventsTable()).config(words),
            words.more,
            self.names.guard(),
        )
