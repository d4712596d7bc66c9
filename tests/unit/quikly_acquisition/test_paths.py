"""Every path of an acquisition, with the real worker on a virtual clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule, ParticipationAttribute
from quikly_acquisition.models import State, Step, full_document, status_document
from tests.fakes.acquisitions import (
    EMAIL_GROUP,
    OPT_IN_GROUP,
    RULES,
    SETTINGS,
    SMS_GROUP,
    Simulation,
    record,
)
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from datetime import datetime

    from quikly_acquisition.workflow import WorkflowSettings

ADA = "ada@example.com"
PHONE = "+4915112345678"
DAY = timedelta(days=1)

MARKED = RULES["news"]._replace(
    participation_attribute=ParticipationAttribute("took_part", value=True),
    participation_event="took_part",
)


def rules(*changed: AcquisitionRule) -> dict[str, AcquisitionRule]:
    return RULES | {rule.q_scope: rule for rule in changed}


def called_at(sim: Simulation, name: str) -> datetime:
    return next(at for at, each, _ in sim.braze.calls if each == name)


# -- e-mail ------------------------------------------------------------------------------------


def test_an_unknown_email_becomes_an_alias_only_profile_and_is_credited() -> None:
    """One look-up, one profile by alias with the e-mail set, then Quikly."""
    sim = Simulation()
    id_ = sim.begin(record(attributes={"first_name": "Ada"}))
    sim.run()
    assert sim.braze.named() == ["export_ids", "track"]
    assert sim.braze.asked("track") == [
        [
            {
                "user_alias": {"alias_name": ADA, "alias_label": "email"},
                "_update_existing_only": False,
                "first_name": "Ada",
                "email": ADA,
            }
        ]
    ]
    assert [(call.q_scope, call.event, call.email) for call in sim.quikly.calls] == [
        ("news", "signed-up", ADA)
    ]
    assert sim.stored(id_).state is State.CREDITED
    assert sim.steps_of(id_) == ["accepted", "nobody_found", "profile_created", "credited"]
    assert sim.jobs.jobs == {}


def test_a_known_email_makes_no_profile_and_is_marked() -> None:
    """A job that creates no profile carries the attribute and the caller's attributes."""
    sim = Simulation(rules=rules(MARKED))
    sim.braze.has(external_id="ada", email=ADA)
    id_ = sim.begin(record(attributes={"size": 3}))
    sim.run()
    assert sim.braze.named() == ["export_ids"]
    (job,) = sim.jobs.jobs.values()
    assert (job.user.external_id, job.user.may_create) == ("ada", False)
    assert (job.attributes, job.events) == ({"size": 3, "took_part": True}, ())
    assert job.job_id == f"quikly:news:{id_}"
    assert sim.steps_of(id_)[1:] == ["profile_found", "participation_sent", "credited"]


def test_a_new_profile_gets_the_participation_event_and_no_attribute() -> None:
    """The mark of people who had a profile is not for new profiles."""
    sim = Simulation(rules=rules(MARKED))
    sim.begin(record())
    sim.run()
    (job,) = sim.jobs.jobs.values()
    assert (job.schema_version, job.sender) == (2, "quikly_acquisition")
    assert job.once_ids == (f"{job.job_id}:took_part:0",)
    assert job.attributes == {}
    assert [(event.name, event.properties) for event in job.events] == [
        ("took_part", {"q_scope": "news", "channel": "email"})
    ]
    assert job.user.user_alias is not None
    assert job.user.may_create


def test_of_several_profiles_the_one_with_an_external_id_is_meant() -> None:
    """The documented preference."""
    sim = Simulation(rules=rules(MARKED))
    sim.braze.has(email=ADA)
    sim.braze.has(email=ADA, external_id="ada")
    sim.begin(record())
    sim.run()
    (job,) = sim.jobs.jobs.values()
    assert job.user.external_id == "ada"


def test_a_profile_without_an_external_id_is_named_by_its_braze_id() -> None:
    """E-mail-only and alias-only profiles have a braze_id."""
    sim = Simulation(rules=rules(MARKED))
    sim.braze.has(email=ADA)
    sim.begin(record())
    sim.run()
    (job,) = sim.jobs.jobs.values()
    assert job.user.braze_id == "braze-0"


@pytest.mark.parametrize(
    ("credits_them", "state", "reason"),
    [(False, State.FAILED, "unsubscribed"), (True, State.CREDITED, None)],
)
def test_a_person_unsubscribed_from_all_email_is_credited_only_if_the_brand_says_so(
    credits_them: bool, state: State, reason: str | None
) -> None:
    """The profile is not remembered, and we never subscribe the person again."""
    sim = Simulation(rules=rules(RULES["news"]._replace(credit_unsubscribed=credits_them)))
    sim.braze.has(external_id="ada", email=ADA, email_subscribe="unsubscribed")
    id_ = sim.begin(record())
    sim.run()
    assert (sim.stored(id_).state, sim.stored(id_).reason) == (state, reason)
    assert sim.braze.named() == ["export_ids"]
    assert sim.records.known == {}


# -- sms ---------------------------------------------------------------------------------------


def test_a_number_subscribed_already_is_credited_and_nothing_else_happens() -> None:
    """One read."""
    sim = Simulation()
    sim.braze.has(external_id="ada", phone=PHONE, groups={SMS_GROUP: "Subscribed"})
    id_ = sim.begin(record("texts"))
    sim.run()
    assert sim.braze.named() == ["status_get"]
    assert sim.stored(id_).state is State.CREDITED
    assert len(sim.quikly.calls) == 1


def test_an_unknown_number_goes_the_whole_way_in_the_documented_order() -> None:
    """Status, look-up, profile with the number, two minutes, subscription, read back, credit."""
    sim = Simulation()
    id_ = sim.begin(record("texts"))
    sim.run()
    assert sim.braze.named() == ["status_get", "export_ids", "track", "status_set", "status_get"]
    assert called_at(sim, "status_set") - called_at(sim, "track") >= timedelta(seconds=120)
    (objects,) = sim.braze.asked("track")
    assert (objects[0]["email"], objects[0]["phone"]) == (ADA, PHONE)
    assert objects[0]["user_alias"] == {"alias_name": ADA, "alias_label": "email"}
    assert sim.braze.asked("status_set") == [
        {
            "subscription_group_id": SMS_GROUP,
            "subscription_state": "subscribed",
            "phone": [PHONE],
        }
    ]
    assert sim.steps_of(id_) == [
        "accepted",
        "status_read",
        "nobody_found",
        "profile_created",
        "participation_sent",
        "waiting",
        "subscription_set",
        "status_read",
        "credited",
    ]


def test_while_the_profile_is_awaited_the_state_says_so() -> None:
    """The status route shows it during those two minutes."""
    sim = Simulation()
    id_ = sim.begin(record("texts"))
    sim.run_for(60)
    assert sim.stored(id_).state is State.WAITING_FOR_PROFILE


def test_without_an_email_the_number_is_looked_up_and_becomes_the_alias() -> None:
    """Label ``phone``, the number as the name."""
    sim = Simulation()
    sim.begin(record("texts", email=None))
    sim.run()
    assert sim.braze.asked("export_ids")[0]["phone"] == PHONE
    (objects,) = sim.braze.asked("track")
    assert objects[0] == {
        "user_alias": {"alias_name": PHONE, "alias_label": "phone"},
        "_update_existing_only": False,
        "phone": PHONE,
    }


def test_a_found_profile_with_the_number_is_subscribed_at_once() -> None:
    """No write has to become visible first."""
    sim = Simulation()
    sim.braze.has(external_id="ada", email=ADA, phone=PHONE)
    sim.begin(record("texts"))
    sim.run()
    assert sim.braze.named() == ["status_get", "export_ids", "status_set", "status_get"]
    assert called_at(sim, "status_set") == called_at(sim, "export_ids")


@pytest.mark.parametrize("stored", [None, "+12025550123"])
def test_a_found_profile_without_the_number_gets_it_first(stored: str | None) -> None:
    """A subscription set by phone reaches only profiles with that phone."""
    sim = Simulation()
    sim.braze.has(external_id="ada", email=ADA, phone=stored)
    id_ = sim.begin(record("texts"))
    sim.run()
    (objects,) = sim.braze.asked("track")
    assert objects == [{"external_id": "ada", "_update_existing_only": True, "phone": PHONE}]
    assert called_at(sim, "status_set") - called_at(sim, "track") >= timedelta(seconds=120)
    assert len(sim.braze.profiles) == 1
    assert sim.stored(id_).state is State.CREDITED


def test_a_number_is_not_replaced_if_the_brand_says_so() -> None:
    """The acquisition fails, and the profile keeps its number."""
    sim = Simulation(rules=rules(RULES["texts"]._replace(replace_phone=False)))
    profile = sim.braze.has(external_id="ada", email=ADA, phone="+12025550123")
    id_ = sim.begin(record("texts"))
    sim.run()
    assert sim.stored(id_).reason == "phone_differs"
    assert profile.phone == "+12025550123"
    assert sim.quikly.calls == []


def test_reads_that_lag_are_waited_for() -> None:
    """Braze shows a subscription late: it is read again, with growing waits."""
    sim = Simulation()
    sim.braze.has(external_id="ada", email=ADA, phone=PHONE)
    shown = {"at": 0}

    def lag(name: str) -> None:
        shown["at"] += name == "status_get"
        profile = sim.braze.profiles[0]
        profile.groups[SMS_GROUP] = "Subscribed" if shown["at"] > 4 else "Unsubscribed"

    sim.braze.faults = lag
    id_ = sim.begin(record("texts"))
    sim.run()
    times = [at for at, name, _ in sim.braze.calls if name == "status_get"]
    gaps = [(later - sooner).total_seconds() for sooner, later in pairwise(times)]
    assert gaps == sorted(gaps)
    assert len(gaps) == 4
    assert sim.stored(id_).state is State.CREDITED
    assert len(sim.braze.asked("status_set")) == 1


def test_a_subscription_that_never_shows_fails_and_is_not_set_again() -> None:
    """A person who answered STOP meanwhile must not be subscribed a second time."""
    sim = Simulation()
    profile = sim.braze.has(external_id="ada", email=ADA, phone=PHONE)

    def stop(name: str) -> None:
        profile.groups[SMS_GROUP] = "Unsubscribed"

    sim.braze.faults = stop
    id_ = sim.begin(record("texts"))
    sim.run()
    assert sim.stored(id_).reason == "subscription_not_shown"
    assert len(sim.braze.asked("status_set")) == 1
    assert sim.quikly.calls == []


# -- double opt-in -----------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["asked", "asked-by-event"])
def test_a_double_opt_in_is_credited_once_it_is_confirmed(scope: str) -> None:
    """The credit comes after it; the profile exists before the person is asked."""
    sim = Simulation()
    id_ = sim.begin(record(scope))
    sim.run_for(3600 * 30)
    assert sim.stored(id_).state is State.AWAITING_OPT_IN
    assert sim.quikly.calls == []
    assert sim.braze.profiles[0].prompts == 1
    sim.braze.confirm()
    sim.run()
    assert sim.stored(id_).state is State.CREDITED
    assert sim.steps_of(id_)[-4:] == ["opt_in_asked", "status_read", "status_read", "credited"]


def test_brazes_own_opt_in_is_asked_with_its_flag_and_the_events_is_a_job() -> None:
    """One sets the state with double opt-in logic, the other sets nothing."""
    own, event = Simulation(), Simulation()
    own.begin(record("asked"))
    own.run_for(600)
    assert own.braze.asked("status_set")[0]["use_double_opt_in_logic"] is True
    id_ = event.begin(record("asked-by-event"))
    event.run_for(600)
    assert event.braze.asked("status_set") == []
    assert list(event.jobs.jobs) == [f"quikly:asked-by-event:{id_}:opt-in"]


def test_an_opt_in_without_an_answer_expires_after_its_days() -> None:
    """It is read hourly on the first day, then every six hours, and once at the end."""
    sim = Simulation(rules=rules(RULES["asked"]._replace(opt_in_days=30)))
    id_ = sim.begin(record("asked"))
    sim.run()
    kept = sim.stored(id_)
    assert kept.state is State.EXPIRED
    assert sim.steps_of(id_)[-1] == "expired"
    times = [at for at, name, _ in sim.braze.calls if name == "status_get"][1:]
    gaps = [(later - sooner).total_seconds() for sooner, later in pairwise(times)]
    first_day = [gap for gap, at in zip(gaps, times, strict=False) if at < NOON + DAY]
    assert max(first_day) <= 3600 + 120
    assert 5 * 3600 < max(gaps) <= 6 * 3600 + 120
    assert len(times) < 160
    assert times[-1] >= NOON + 30 * DAY
    assert sim.quikly.calls == []


# -- how it is credited ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (SETTINGS._replace(tells_quikly=False), RULES["news"]),
        (SETTINGS, RULES["news"]._replace(credit_event=None)),
    ],
)
def test_if_quikly_is_not_called_the_status_route_is_the_answer(
    settings: WorkflowSettings, rule: AcquisitionRule
) -> None:
    """No address, or no event: it is credited, and the history says how."""
    sim = Simulation(settings=settings, rules=rules(rule))
    id_ = sim.begin(record())
    sim.run()
    document = full_document(sim.stored(id_))
    assert document["state"] == "credited"
    last = document["history"]
    assert isinstance(last, list)
    assert (last[-1]["step"], last[-1]["detail"]) == ("credited", "status_route")
    assert sim.quikly.asked == 0


def test_quikly_switched_off_meanwhile_is_not_called() -> None:
    """An acquisition that waits for its credit then ends with the status route."""
    sim = Simulation(rules=rules(RULES["news"]._replace(credit_event=None)))
    id_ = sim.begin(record())
    kept = sim.stored(id_).model_copy(update={"step": Step.CREDIT})
    sim.records.rows[id_] = kept.model_dump_json()
    sim.run()
    assert sim.stored(id_).state is State.CREDITED
    assert sim.stored(id_).history[-1].detail == "status_route"
    assert sim.quikly.asked == 0


def test_the_answer_of_the_status_route_holds_nothing_personal() -> None:
    """Neither the history nor any other field."""
    sim = Simulation()
    id_ = sim.begin(record("texts", attributes={"first_name": "Ada"}))
    sim.run()
    kept = sim.stored(id_)
    answered = f"{status_document(kept)} {full_document(kept)}"
    for secret in (ADA, PHONE, "Ada", "4915112345678"):
        assert secret not in answered
    assert ADA not in repr(sim.stored(id_))
    assert PHONE not in repr(sim.stored(id_))


@pytest.mark.parametrize("known", [{}, {"external_id": "ada", "email": ADA}], ids=["new", "known"])
def test_a_partner_does_not_learn_what_the_look_up_found(known: dict[str, str]) -> None:
    """The wait for a new profile is a state, and is told."""
    sim = Simulation()
    if known:
        sim.braze.has(**known)
    id_ = sim.begin(record())
    sim.run()
    told = status_document(sim.stored(id_))
    history = told["history"]
    assert isinstance(history, list)
    assert [entry["step"] for entry in history if entry["step"] != "waiting"] == [
        "accepted",
        "credited",
    ]
    assert all(entry.keys() == {"at", "step"} for entry in history)


@pytest.mark.parametrize("reason", ["unsubscribed", "phone_differs"])
def test_a_partner_does_not_learn_why_a_person_was_declined(reason: str) -> None:
    """A failure of another kind says why: the partner may correct it."""
    failed = record().model_copy(update={"state": State.FAILED, "reason": reason})
    other = failed.model_copy(update={"reason": "credit_refused"})
    assert "reason" not in status_document(failed)
    assert full_document(failed)["reason"] == reason
    assert status_document(other)["reason"] == "credit_refused"


# -- without look-ups --------------------------------------------------------------------------

NO_LOOK_UP = MARKED._replace(lookup="none")


def test_without_look_ups_profiles_are_written_by_email() -> None:
    """Braze finds or creates the profile; every profile gets the attribute and the event."""
    sim = Simulation(rules=rules(NO_LOOK_UP))
    sim.braze.has(external_id="ada", email=ADA)
    sim.begin(record())
    sim.begin(record(number=1, email="bob@example.com"))
    sim.run()
    assert sim.braze.named() == ["track"]
    assert sim.braze.asked("track")[0][0] == {
        "email": ADA,
        "_update_existing_only": False,
        "took_part": True,
    }
    assert [profile.email for profile in sim.braze.profiles] == [ADA, "bob@example.com"]
    assert {job.events[0].name for job in sim.jobs.jobs.values()} == {"took_part"}


def test_without_look_ups_an_sms_sign_up_writes_the_number_and_waits() -> None:
    """It is unknown whether the profile is new."""
    sim = Simulation(rules=rules(RULES["texts"]._replace(lookup="none")))
    sim.braze.has(external_id="ada", email=ADA)
    id_ = sim.begin(record("texts"))
    sim.run()
    assert sim.braze.named() == ["status_get", "track", "status_set", "status_get"]
    assert called_at(sim, "status_set") - called_at(sim, "track") >= timedelta(seconds=120)
    assert sim.braze.profiles[0].phone == PHONE
    assert sim.stored(id_).state is State.CREDITED


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "reason"), [("nobodys-group", "unknown_group"), (EMAIL_GROUP, "braze_refused")]
)
def test_a_group_that_cannot_be_fails_with_its_reason(group: str, reason: str) -> None:
    """A group Braze does not know, and an e-mail group used for SMS."""
    sim = Simulation(rules=rules(RULES["texts"]._replace(subscription_group_id=group)))
    id_ = sim.begin(record("texts"))
    sim.run()
    assert (sim.stored(id_).state, sim.stored(id_).reason) == (State.FAILED, reason)
    assert sum(result.count(State.FAILED) for result in sim.results) == 1


def test_a_scope_taken_out_of_the_configuration_fails_what_it_left() -> None:
    """After an hour, in which nothing is asked of Braze."""
    sim = Simulation()
    sim.deps = replace(sim.deps, rules={})
    id_ = sim.begin(record())
    sim.run()
    assert sim.stored(id_).reason == "not_configured"
    assert timedelta(hours=1) <= sim.clock.now() - NOON <= timedelta(hours=1, minutes=20)
    assert sim.braze.calls == []


def test_a_scope_that_the_worker_gets_later_than_intake_is_waited_for() -> None:
    """Sign-ups during a deployment that adds a scope do not fail."""
    sim = Simulation()
    known = sim.deps.rules
    sim.deps = replace(sim.deps, rules={})
    id_ = sim.begin(record())
    sim.run_for(300)
    assert sim.stored(id_).state is State.PENDING
    sim.deps = replace(sim.deps, rules=known)
    sim.run()
    assert sim.stored(id_).state is State.CREDITED


def test_an_opt_in_group_is_polled_for_the_group_of_its_scope() -> None:
    """The group named in the configuration, and no other."""
    sim = Simulation()
    sim.begin(record("asked"))
    sim.run_for(300)
    assert {group for group, _ in sim.braze.asked("status_get")} == {OPT_IN_GROUP}
