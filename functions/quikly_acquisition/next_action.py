"""The action that an acquisition's record needs now: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.jobs.envelope import VERSION, DeliveryJob, JobEvent
from braze_bridge.mapping.job_building import event_id
from braze_bridge.quikly import QuiklyCall
from quikly_acquisition.actions import (
    Action,
    BeginCredit,
    Credit,
    Done,
    LookUp,
    ReadStatus,
    SendJob,
    SkipStep,
    Subscribe,
    Wait,
    WriteProfile,
)
from quikly_acquisition.models import EMAIL_LABEL, PHONE_LABEL, AcquisitionRecord, Profile, Step

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from braze_bridge.jobs.envelope import AttributeValue
    from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule

SOURCE: Final = "quikly"
SENDER: Final = "quikly_acquisition"


def next_action(  # noqa: C901, PLR0911, PLR0912 - one branch a step, and nothing else
    record: AcquisitionRecord, rule: AcquisitionRule, now: datetime
) -> Action:
    """Return what a record needs now.

    Args:
        rule: Of the record's scope, as it is configured now.
    """
    if record.state.is_final:
        return Done()
    if now < record.due_at:
        return Wait(record.due_at)
    group, phone = rule.subscription_group_id or "", record.phone or ""
    match current_step(record, rule):
        case Step.READ_STATUS | Step.READ_BACK | Step.AWAIT_OPT_IN:
            return ReadStatus(group, phone)
        case Step.LOOK_UP:
            return LookUp(record.person)
        case Step.WRITE_PROFILE:
            return profile_write(record, rule)
        case Step.TELL_PARTICIPATION:
            attributes, event = participation(record, rule)
            if not attributes and event is None:
                return SkipStep()
            return SendJob(_job(record, now, "", attributes, event))
        case Step.SUBSCRIBE:
            return Subscribe(group, phone)
        case Step.ASK_OPT_IN if rule.opt_in_event is not None:
            return SendJob(_job(record, now, ":opt-in", {}, rule.opt_in_event))
        case Step.ASK_OPT_IN:
            return Subscribe(group, phone, asks_first=True)
        case Step.CREDIT:
            return BeginCredit()
        case Step.CREDITING:
            event = rule.credit_event or record.q_scope
            return Credit(QuiklyCall(record.q_scope, event, record.email, record.phone))
        case Step.NOTHING:
            return Done()


def current_step(record: AcquisitionRecord, rule: AcquisitionRule) -> Step:
    """Return the record's step under the rule, which may have changed since it was stored.

    Without look-ups, the profile is written at once. A double opt-in is never skipped.
    """
    match record.step:
        case Step.LOOK_UP if rule.lookup == "none":
            return Step.WRITE_PROFILE
        case Step.SUBSCRIBE | Step.ASK_OPT_IN:
            return subscribe_step(rule)
        case step:
            return step


def subscribe_step(rule: AcquisitionRule) -> Step:
    """Return the step that subscribes the number."""
    return Step.SUBSCRIBE if rule.double_opt_in == "none" else Step.ASK_OPT_IN


def profile_write(record: AcquisitionRecord, rule: AcquisitionRule) -> WriteProfile:
    """Return the write that creates the profile or adds the number to it."""
    attributes: dict[str, AttributeValue] = {}
    if record.phone is not None and (record.email is not None or rule.lookup == "export"):
        attributes["phone"] = record.phone
    if record.profile is not None:
        return WriteProfile(record.profile, may_create=False, attributes=attributes)
    attributes |= record.attributes
    person = record.person
    if rule.lookup == "none":
        if (mark := rule.participation_attribute) is not None:
            attributes[mark.name] = mark.value
        profile = Profile(kind=person.kind, value=person.value, is_new=True)
    else:
        if record.email is not None:
            attributes["email"] = record.email
        label = EMAIL_LABEL if person.kind == "email" else PHONE_LABEL
        profile = Profile(kind="user_alias", value=person.value, label=label, is_new=True)
    return WriteProfile(profile, may_create=True, attributes=attributes)


def participation(
    record: AcquisitionRecord, rule: AcquisitionRule
) -> tuple[Mapping[str, AttributeValue], str | None]:
    """Return what delivery writes to the profile: attributes, and an event's name.

    A profile that was created here has its attributes and gets the event. An existing one gets the
    attributes.
    """
    if record.made_profile:
        return {}, rule.participation_event
    mark = rule.participation_attribute
    return record.attributes | ({} if mark is None else {mark.name: mark.value}), None


def _job(
    record: AcquisitionRecord,
    now: datetime,
    suffix: str,
    attributes: Mapping[str, AttributeValue],
    event: str | None,
) -> DeliveryJob:
    if record.profile is None:
        raise ValueError("no profile: look it up or write it first")
    at = now if suffix else min(record.created_at, now)
    # Without a hash of the content: a record writes each of its jobs once.
    job_id = f"{SOURCE}:{record.q_scope}:{record.acquisition_id}{suffix}"
    events: tuple[JobEvent, ...] = ()
    if event is not None:
        properties = {"q_scope": record.q_scope, "channel": record.channel}
        id_ = event_id(job_id, event)
        events = (JobEvent(id=id_, name=event, time=at, properties=properties),)
    return DeliveryJob(
        schema_version=VERSION,
        job_id=job_id,
        source=SOURCE,
        sender=SENDER,
        occurred_at=at,
        received_at=now,
        correlation_id=record.correlation_id,
        user=record.profile.job_user(),
        attributes=dict(attributes),
        events=events,
    )
