"""``[acquisition]`` of ``quikly.toml``: how people who sign up at Quikly enter Braze, per scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeGuard, get_args

from braze_bridge.braze.limits import MAX_STRING_CHARS
from braze_bridge.mapping.given import fit_given
from braze_bridge.mapping.profile_fields import attribute_name_problem
from braze_bridge.mapping.values import Misfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.partner_config.toml_table import Table

AcquisitionChannel = Literal["email", "sms"]
DoubleOptIn = Literal["none", "braze", "event"]
LookUp = Literal["export", "none"]

ADDRESS_FIELDS: Final = frozenset({"email", "phone"})
"""Standard fields that an acquisition sets itself, by what the person signed up with."""

MAX_SCOPE_CHARS: Final = 128
MAX_OPT_IN_DAYS: Final = 30
"""Braze takes a confirmation for 30 days
(https://www.braze.com/docs/user_guide/channels/sms_mms_and_rcs/message_features_and_optimization/keyword_processing/double_opt_in).
"""


class ParticipationAttribute(NamedTuple):
    """What a profile that existed already is marked with.

    Attributes:
        name: At Braze.
        value: As it goes out.
    """

    name: str
    value: bool | int | float | str


class AcquisitionRule(NamedTuple):
    """One activation's acquisition.

    Attributes:
        q_scope: The activation.
        channels: What may be signed up for.
        subscription_group_id: The SMS group; ``None`` without the SMS channel.
        double_opt_in: Whether the person must confirm: not, by Braze's own prompt, or by a workflow
            at Braze that the event starts.
        opt_in_event: That event.
        opt_in_days: How long a confirmation is waited for.
        lookup: ``export`` asks Braze who exists before anything is written; ``none`` writes by
            e-mail or phone and lets Braze find or make the profile.
        replace_phone: Whether a profile found by e-mail that has another phone number gets the one
            that was signed up.
        credit_unsubscribed: Whether somebody who is unsubscribed from all e-mail at Braze is
            credited for an e-mail acquisition.
        credit_event: Quikly's name of what the person fulfilled; ``None``: Quikly is not told.
        participation_attribute: For a profile that existed.
        participation_event: Name of a custom event for a profile that did not.
    """

    q_scope: str
    channels: frozenset[AcquisitionChannel]
    subscription_group_id: str | None = None
    double_opt_in: DoubleOptIn = "none"
    opt_in_event: str | None = None
    opt_in_days: int = MAX_OPT_IN_DAYS
    lookup: LookUp = "export"
    replace_phone: bool = True
    credit_unsubscribed: bool = False
    credit_event: str | None = None
    participation_attribute: ParticipationAttribute | None = None
    participation_event: str | None = None


def read_acquisitions(root: Table) -> Mapping[str, AcquisitionRule]:
    """Read ``[acquisition."<q_scope>"]``.

    Args:
        root: The whole file.
    """
    table = root.table("acquisition")
    rules: dict[str, AcquisitionRule] = {}
    if table is None:
        return rules
    for scope in table.names():
        entry = table.table(scope)
        if not scope.strip() or len(scope) > MAX_SCOPE_CHARS:
            table.problem(scope, f"a scope has 1 to {MAX_SCOPE_CHARS} characters")
        if entry is not None:
            rules[scope] = _read_rule(scope, entry)
            entry.finish()
    return rules


def _read_rule(scope: str, table: Table) -> AcquisitionRule:
    channels = table.choices("channels", get_args(AcquisitionChannel))
    if not table.has("channels"):
        table.problem("channels", 'is missing: ["email"], ["sms"] or both')
    named = frozenset(channel for channel in channels or () if _is_channel(channel))
    group = table.text("subscription_group_id")
    double_opt_in = table.choice("double_opt_in", get_args(DoubleOptIn))
    opt_in_event = _event_name(table, "opt_in_event")
    days = _days(table)
    rule = AcquisitionRule(
        q_scope=scope,
        channels=named,
        subscription_group_id=None if group is None else group.strip(),
        double_opt_in=double_opt_in if _is_double_opt_in(double_opt_in) else "none",
        opt_in_event=opt_in_event,
        opt_in_days=days,
        lookup="none" if table.choice("lookup", get_args(LookUp)) == "none" else "export",
        replace_phone=table.flag("replace_phone") is not False,
        credit_unsubscribed=bool(table.flag("credit_unsubscribed")),
        credit_event=_event_name(table, "credit_event"),
        participation_attribute=_participation(table),
        participation_event=_event_name(table, "participation_event"),
    )
    _check(rule, table)
    return rule


def _is_channel(word: str) -> TypeGuard[AcquisitionChannel]:
    return word in get_args(AcquisitionChannel)


def _is_double_opt_in(word: str | None) -> TypeGuard[DoubleOptIn]:
    return word in get_args(DoubleOptIn)


def _check(rule: AcquisitionRule, table: Table) -> None:
    has_sms = "sms" in rule.channels
    if has_sms and rule.subscription_group_id is None and not table.has("subscription_group_id"):
        table.problem("subscription_group_id", "is missing: the SMS group at Braze")
    if rule.channels and not has_sms:
        for key in ("subscription_group_id", "double_opt_in", "opt_in_event", "replace_phone"):
            if table.has(key):
                table.problem(key, 'is for scopes with the channel "sms" only')
    if rule.double_opt_in == "event" and rule.opt_in_event is None:
        table.problem("opt_in_event", 'is missing: double_opt_in = "event" sends it')
    if rule.double_opt_in != "event" and rule.opt_in_event is not None:
        table.problem("opt_in_event", 'is for double_opt_in = "event" only')
    if rule.double_opt_in == "none" and table.has("opt_in_days"):
        table.problem("opt_in_days", "is for scopes with a double opt-in only")
    if rule.channels and "email" not in rule.channels and table.has("credit_unsubscribed"):
        table.problem("credit_unsubscribed", 'is for scopes with the channel "email" only')
    if rule.lookup == "none" and table.has("replace_phone"):
        table.problem("replace_phone", 'needs lookup = "export": without it the number is written')


def _event_name(table: Table, key: str) -> str | None:
    name = table.text(key)
    if name is None:
        return None
    if len(name.strip()) > MAX_STRING_CHARS:
        table.problem(key, f"is longer than {MAX_STRING_CHARS} characters")
    return name.strip()


def _days(table: Table) -> int:
    value = table.value("opt_in_days")
    if value is None:
        return MAX_OPT_IN_DAYS
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_OPT_IN_DAYS:
        table.problem("opt_in_days", f"must be a whole number from 1 to {MAX_OPT_IN_DAYS}")
        return MAX_OPT_IN_DAYS
    return value


def _participation(parent: Table) -> ParticipationAttribute | None:
    table = parent.table("participation_attribute")
    if table is None:
        return None
    name = table.text("name")
    if not table.has("name"):
        table.problem("name", "is missing: the attribute at Braze")
    value = table.value("value") if table.has("value") else True
    table.finish()
    if name is None:
        return None
    name = name.strip()
    wrong = attribute_name_problem(name)
    if wrong is not None or name in ADDRESS_FIELDS:
        table.problem("name", wrong or "says whom the update is about, and cannot be set here")
        return None
    fitted = fit_given(name, value)
    if isinstance(fitted, Misfit | list):
        table.problem("value", "must be true, false, a number or a text that Braze takes there")
        return None
    return ParticipationAttribute(name, fitted)
