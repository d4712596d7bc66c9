"""How people who sign up at Quikly enter Braze, per scope."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

AcquisitionChannel = Literal["email", "sms"]
DoubleOptIn = Literal["none", "braze", "event"]
LookUp = Literal["export", "none"]

ADDRESS_FIELDS: Final = frozenset({"email", "phone"})
"""Standard fields that an acquisition sets itself, from what the person signed up with."""

MAX_OPT_IN_DAYS: Final = 30
"""Braze takes a confirmation for 30 days
(https://www.braze.com/docs/user_guide/channels/sms_mms_and_rcs/message_features_and_optimization/keyword_processing/double_opt_in).
"""


class ParticipationAttribute(NamedTuple):
    """What a profile that existed already is marked with."""

    name: str
    value: bool | int | float | str


class AcquisitionRule(NamedTuple):
    """One activation's acquisition.

    Attributes:
        q_scope: The activation.
        channels: What may be signed up for.
        subscription_group_id: The SMS group; ``None`` without the SMS channel.
        double_opt_in: Whether the person must confirm: not, by Braze's own prompt, or by a workflow
            at Braze that ``opt_in_event`` starts.
        opt_in_days: How long to wait for a confirmation.
        lookup: ``export`` asks Braze who exists before anything is written; ``none`` writes by
            e-mail or phone and lets Braze find or make the profile.
        replace_phone: Whether a profile found by e-mail that has another phone number gets the new
            one.
        credit_unsubscribed: Whether an e-mail acquisition counts for a person who is unsubscribed
            from all e-mail at Braze.
        credit_event: Quikly's name of what the person fulfilled; ``None``: do not tell Quikly.
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
