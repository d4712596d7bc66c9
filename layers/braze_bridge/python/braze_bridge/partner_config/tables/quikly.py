"""``quikly.toml``: its tables, and the configuration made of them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, get_args

from pydantic import AfterValidator, PlainValidator

from braze_bridge.mapping.given import fit_given
from braze_bridge.mapping.profile_fields import attribute_name_problem
from braze_bridge.mapping.values import Misfit
from braze_bridge.partner_config.quikly import QuiklyConfig
from braze_bridge.partner_config.quikly_acquisitions import (
    ADDRESS_FIELDS,
    MAX_OPT_IN_DAYS,
    AcquisitionChannel,
    AcquisitionRule,
    DoubleOptIn,
    LookUp,
    ParticipationAttribute,
)
from braze_bridge.partner_config.tables import mapped, toml
from braze_bridge.partner_config.tables.activations import ActivationTable, ProfileTable
from braze_bridge.partner_config.tables.events import EventsTable

MAX_SCOPE_CHARS = 128


class ParticipationTable(toml.Table):
    """``participation_attribute``."""

    needed: ClassVar = {"name": "is missing: the attribute at Braze"}
    name: toml.Name | None = None
    value: Any = True

    def _problems(self) -> toml.Problems:
        name = self.name
        if name is not None and (problem := attribute_name_problem(name)):
            yield problem, "name"
        elif name in ADDRESS_FIELDS:
            yield "says whom the update is about, and cannot be set here", "name"
        elif name is not None and isinstance(fit_given(name, self.value), Misfit | list):
            yield "must be true, false, a number or a text that Braze takes there", "value"


class AcquisitionTable(toml.Table):
    """``[acquisition."<q_scope>"]``."""

    needed: ClassVar = {"channels": 'is missing: ["email"], ["sms"] or both'}
    channels: (
        Annotated[
            tuple[AcquisitionChannel, ...],
            PlainValidator(toml.some_of(get_args(AcquisitionChannel))),
        ]
        | None
    ) = None
    subscription_group_id: Annotated[toml.Text, AfterValidator(str.strip)] | None = None
    double_opt_in: DoubleOptIn | None = None
    opt_in_event: toml.Name | None = None
    opt_in_days: Annotated[int, PlainValidator(toml.whole(1, MAX_OPT_IN_DAYS))] | None = None
    lookup: LookUp | None = None
    replace_phone: bool | None = None
    credit_unsubscribed: bool | None = None
    credit_event: toml.Name | None = None
    participation_attribute: ParticipationTable | None = None
    participation_event: toml.Name | None = None

    def _problems(self) -> toml.Problems:
        channels = self.channels or ()
        if "sms" in channels and not self.has("subscription_group_id"):
            yield "is missing: the SMS group at Braze", "subscription_group_id"
        for key in ("subscription_group_id", "double_opt_in", "opt_in_event", "replace_phone"):
            if channels == ("email",) and self.has(key):
                yield 'is for scopes with the channel "sms" only', key
        if channels == ("sms",) and self.has("credit_unsubscribed"):
            yield 'is for scopes with the channel "email" only', "credit_unsubscribed"
        if self.double_opt_in == "event" and not self.has("opt_in_event"):
            yield 'is missing: double_opt_in = "event" sends it', "opt_in_event"
        if self.double_opt_in != "event" and self.opt_in_event is not None:
            yield 'is for double_opt_in = "event" only', "opt_in_event"
        if self.double_opt_in in {None, "none"} and self.has("opt_in_days"):
            yield "is for scopes with a double opt-in only", "opt_in_days"
        if self.lookup == "none" and self.has("replace_phone"):
            yield 'needs lookup = "export": without it the number is written', "replace_phone"

    def rule(self, scope: str) -> AcquisitionRule:
        """Return the rule of a table without problems."""
        given: dict[str, Any] = {key: value for key, value in self if value is not None}
        given["channels"] = frozenset(self.channels or ())
        if (mark := self.participation_attribute) is not None and mark.name is not None:
            value: Any = fit_given(mark.name, mark.value)
            given["participation_attribute"] = ParticipationAttribute(mark.name, value)
        return AcquisitionRule(scope, **given)


class QuiklyFile(mapped.File):
    """The whole file; acquisitions and activations by ``q_scope``."""

    partner: ClassVar = "quikly"
    acquisition: dict[str, AcquisitionTable | None] | None = None
    activation_profile: ProfileTable | None = None
    activation: dict[str, ActivationTable | None] | None = None
    events: EventsTable | None = None

    def _problems(self) -> toml.Problems:
        for scope in self.acquisition or {}:
            if not scope.strip() or len(scope) > MAX_SCOPE_CHARS:
                yield f"a scope has 1 to {MAX_SCOPE_CHARS} characters", "acquisition", scope
        shared = self.activation_profile or ProfileTable()
        yield from toml.at(shared.problems_over(ProfileTable()), "activation_profile")
        for scope, table in (self.activation or {}).items():
            if table is not None:
                yield from toml.at(table.problems_as(scope, shared), "activation", scope)

    def config(self) -> QuiklyConfig:
        """Return the configuration of a file without problems."""
        shared = self.activation_profile or ProfileTable()
        acquisitions, activations = self.acquisition or {}, self.activation or {}
        return QuiklyConfig(
            self.door_config(),
            {scope: table.rule(scope) for scope, table in acquisitions.items() if table},
            {scope: table.rule(scope, shared) for scope, table in activations.items() if table},
            (self.events or EventsTable()).config(),
        )
