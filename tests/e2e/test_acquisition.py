"""From a sign-up at Quikly to a profile, a subscription and a credit, by the real API and queues.

The sandbox keeps every call in order, so that each path is held against the calls that Quikly's
page documents (docs/partners/…/retargeting/quikly).
"""

from __future__ import annotations

import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest
import requests

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.clock import SystemClock
from braze_bridge.gate.dynamo import dynamo_gate
from quikly_acquisition.models import full_document, parse_record
from tests.e2e.test_first_light import CALL_SECONDS, control, metric_seen, wait_for
from tests.e2e.test_guarantees import wait_until_idle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.stack.stack_file import StackFile

FINAL = {"credited", "failed", "expired"}
EXPORT = "POST /users/export/ids"
TRACK = "POST /users/track"
GET_STATUS = "GET /subscription/status/get"
SET_STATUS = "POST /subscription/status/set"
QUIKLY = "POST /quikly/webhook/braze"
WORKER = "quikly_acquisition_worker"
PROFILE_WAIT_SECONDS = 2
"""`ProfileWaitSeconds` of the local stack."""


@pytest.fixture(autouse=True)
def clean(stack: StackFile) -> Iterator[None]:
    """An empty Braze before; afterwards no job on its way into the next test's."""
    control(stack, "reset", {})
    yield
    requests.delete(f"{stack.braze_url}/_sandbox/faults", timeout=CALL_SECONDS).raise_for_status()
    wait_until_idle(stack)


class Person:
    """A person that neither Braze nor the acquisition table knows from an earlier test."""

    def __init__(self) -> None:
        self.email = f"p{secrets.token_hex(6)}@example.com"
        # Possible numbers of a reserved block: no phone has one.
        self.phone = f"+1202{secrets.randbelow(10**7):07d}"


def consent() -> dict[str, str]:
    return {"given_at": "2026-11-21T18:30:00Z", "method": "checkbox", "text": "terms-1"}


def post(stack: StackFile, scope: str, channel: str, **fields: Any) -> requests.Response:
    body = {"q_scope": scope, "channel": channel, "consent": consent()} | fields
    return requests.post(
        f"{stack.api_url}/quikly/acquisitions",
        json=body,
        headers={"Authorization": f"Bearer {stack.tokens['quikly']}"},
        timeout=CALL_SECONDS,
    )


def acquire(stack: StackFile, scope: str, channel: str, **fields: Any) -> str:
    answer = post(stack, scope, channel, **fields)
    assert answer.status_code == 202, answer.text
    acquisition_id: str = answer.json()["acquisition_id"]
    return acquisition_id


def status_of(stack: StackFile, acquisition_id: str) -> dict[str, Any]:
    answer = requests.get(
        f"{stack.api_url}/quikly/acquisitions/{acquisition_id}",
        headers={"Authorization": f"Bearer {stack.tokens['quikly']}"},
        timeout=CALL_SECONDS,
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def in_state(stack: StackFile, acquisition_id: str, *states: str, seconds: float = 40) -> Any:
    """The acquisition once it is in one of these states."""
    wait_for(lambda: status_of(stack, acquisition_id)["state"] in states, seconds)
    found = story_of(stack, acquisition_id)
    assert found["state"] in states, found
    return found


def story_of(stack: StackFile, acquisition_id: str) -> dict[str, Any]:
    """What an operator sees: partners are not told what a look-up found."""
    table = stack.session().client("dynamodb", **stack.client_options())
    name = {"id": {"S": f"a#{acquisition_id}"}}
    row = table.get_item(TableName=stack.tables["acquisitions"], Key=name)["Item"]
    return full_document(parse_record(row["record"]["S"]))


def steps(status: dict[str, Any]) -> list[str]:
    """The story, what repeats in a row told once."""
    return [step for step, _ in groupby(entry["step"] for entry in status["history"])]


def log(stack: StackFile, since: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = control(stack, f"requests?since={since}")
    return [entry | {"call": f"{entry['method']} {entry['path']}"} for entry in found]


def calls(stack: StackFile, since: int = 0) -> list[str]:
    """Every call in order; what repeats in a row told once (reads go on until Braze shows it)."""
    return [call for call, _ in groupby(entry["call"] for entry in log(stack, since))]


def credits_of(stack: StackFile) -> list[dict[str, Any]]:
    """What Quikly took."""
    return [
        json.loads(call["body"])
        for call in control(stack, "quikly")["calls"]
        if call["status"] == 200
    ]


def profiles(stack: StackFile) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = control(stack, "profiles")
    return found


def at_braze(stack: StackFile, **attributes: Any) -> int:
    """Make a profile before the test.

    Returns:
        How many requests the log has now.
    """
    answer = requests.post(
        f"{stack.braze_url}/users/track",
        json={"attributes": [attributes]},
        headers={"Authorization": f"Bearer {stack.braze_api_key}"},
        timeout=CALL_SECONDS,
    )
    assert answer.status_code == 201, answer.text
    return len(log(stack))


def custom(profile: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = profile.get("custom_attributes", {})
    return found


def subscriptions(profile: dict[str, Any]) -> dict[str, str]:
    return {group["id"]: group["status"] for group in profile["subscription_groups"]}


def has_event(stack: StackFile, name: str) -> bool:
    return name in [event["name"] for profile in profiles(stack) for event in profile["events"]]


def confirm(stack: StackFile, group: str, phone: str) -> None:
    control(stack, "double_opt_in", {"subscription_group_id": group, "phone": phone})


def rewrite(
    stack: StackFile, acquisition_id: str, *, next_version: bool = False, **update: Any
) -> None:
    """Change a record behind the worker's back, as passing time or a crash would have."""
    table = stack.session().client("dynamodb", **stack.client_options())
    name = {"id": {"S": f"a#{acquisition_id}"}}

    def is_rewritten() -> bool:
        """Not, where a worker changed it meanwhile."""
        row = table.get_item(TableName=stack.tables["acquisitions"], Key=name)["Item"]
        read = parse_record(row["record"]["S"])
        record = read.model_copy(update={"version": read.version + next_version} | update)
        try:
            table.update_item(
                TableName=stack.tables["acquisitions"],
                Key=name,
                UpdateExpression="SET #record = :record, version = :next, due_at = :due",
                ConditionExpression="version = :version",
                ExpressionAttributeNames={"#record": "record"},
                ExpressionAttributeValues={
                    ":record": {"S": record.model_dump_json()},
                    ":next": {"N": str(record.version)},
                    ":due": {"N": str(int(record.due_at.timestamp()))},
                    ":version": row["version"],
                },
            )
        except table.exceptions.ConditionalCheckFailedException:
            return False
        return True

    assert wait_for(is_rewritten, 20)


def sweep(stack: StackFile) -> None:
    """The schedule's call, now."""
    client = stack.session().client("lambda", **stack.client_options())
    invoked = client.invoke(
        FunctionName=stack.functions["quikly_acquisition_sweep"], Qualifier="live", Payload=b"{}"
    )
    assert "FunctionError" not in invoked


# -- e-mail --------------------------------------------------------------------------------------


def test_an_unknown_e_mail_becomes_an_alias_only_profile(stack: StackFile) -> None:
    """Looked up, made by alias with its address, sent an event, credited once."""
    person = Person()

    acquisition_id = acquire(
        stack,
        "demo-email",
        "email",
        email=person.email.upper(),
        attributes={"first_name": "Ada", "favourite_shade": "coral"},
    )
    done = in_state(stack, acquisition_id, *FINAL)

    assert done["state"] == "credited"
    assert steps(done) == [
        "accepted",
        "nobody_found",
        "profile_created",
        "participation_sent",
        "credited",
    ]
    assert wait_for(lambda: has_event(stack, "quikly_participation"), 20)
    [profile] = profiles(stack)
    assert profile["user_aliases"] == [{"alias_name": person.email, "alias_label": "email"}]
    assert "external_id" not in profile
    assert (profile["email"], profile["first_name"]) == (person.email, "Ada")
    assert custom(profile) == {"favourite_shade": "coral"}
    assert [event["name"] for event in profile["events"]] == ["quikly_participation"]
    assert credits_of(stack) == [
        {"q_scope": "demo-email", "event": "email-signup", "email": person.email}
    ]
    made = calls(stack)
    assert made[:2] == [EXPORT, TRACK]
    # Delivery's event travels side by side with the credit.
    assert sorted(entry["call"] for entry in log(stack)) == sorted([EXPORT, TRACK, TRACK, QUIKLY])


def test_a_known_e_mail_is_marked_and_no_profile_is_made(stack: StackFile) -> None:
    """Of several profiles with the address the one with an external id; nothing else changes."""
    person = Person()
    at_braze(
        stack,
        user_alias={"alias_name": person.email, "alias_label": "shop"},
        _update_existing_only=False,
        email=person.email,
    )
    before = at_braze(stack, external_id=f"customer-{person.email}", email=person.email)

    done = in_state(stack, acquire(stack, "demo-email", "email", email=person.email), *FINAL)

    assert steps(done) == ["accepted", "profile_found", "participation_sent", "credited"]

    def marked() -> list[dict[str, Any]]:
        return [
            profile
            for profile in profiles(stack)
            if custom(profile) == {"quikly_participated": True}
        ]

    assert wait_for(lambda: bool(marked()), 20)
    assert [profile["external_id"] for profile in marked()] == [f"customer-{person.email}"]
    assert len(profiles(stack)) == 2
    assert sorted(entry["call"] for entry in log(stack, before)) == sorted([EXPORT, TRACK, QUIKLY])
    assert calls(stack, before)[0] == EXPORT


def test_a_person_unsubscribed_from_all_e_mail_is_not_credited(stack: StackFile) -> None:
    """Only they can change that: failed with the reason, one look-up, nothing written."""
    person = Person()
    before = at_braze(
        stack,
        external_id=f"customer-{person.email}",
        email=person.email,
        email_subscribe="unsubscribed",
    )

    done = in_state(stack, acquire(stack, "demo-email", "email", email=person.email), *FINAL)

    assert (done["state"], done["reason"]) == ("failed", "unsubscribed")
    assert [entry["call"] for entry in log(stack, before)] == [EXPORT]
    assert credits_of(stack) == []


# -- SMS -----------------------------------------------------------------------------------------


def test_a_number_that_is_subscribed_is_credited_and_left_alone(stack: StackFile) -> None:
    """One read, one credit: "No further action is necessary"."""
    person = Person()
    before = at_braze(
        stack,
        external_id=f"customer-{person.phone}",
        phone=person.phone,
        subscription_groups=[
            {"subscription_group_id": "demo-sms-group", "subscription_state": "subscribed"}
        ],
    )

    acquisition_id = acquire(stack, "demo-sms", "sms", phone=person.phone, email=person.email)
    done = in_state(stack, acquisition_id, *FINAL)

    assert (done["state"], steps(done)) == ("credited", ["accepted", "status_read", "credited"])
    assert [entry["call"] for entry in log(stack, before)] == [GET_STATUS, QUIKLY]
    assert credits_of(stack) == [
        {
            "q_scope": "demo-sms",
            "event": "sms-signup",
            "email": person.email,
            "phone": person.phone,
        }
    ]


def test_an_unknown_number_is_made_then_waited_for_then_subscribed(stack: StackFile) -> None:
    """The whole flow, where Braze shows everything late: read back until it is there."""
    person = Person()
    control(stack, "settings", {"read_delay_ms": 1500})

    acquisition_id = acquire(stack, "demo-sms", "sms", phone=person.phone, email=person.email)
    waiting = in_state(stack, acquisition_id, "waiting_for_profile", *FINAL)
    done = in_state(stack, acquisition_id, *FINAL)

    assert waiting["state"] == "waiting_for_profile"
    assert done["state"] == "credited"
    assert steps(done) == [
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
    made = calls(stack)
    # Delivery's event is a second request to the same endpoint, before the wait is over.
    assert made == [GET_STATUS, EXPORT, TRACK, SET_STATUS, GET_STATUS, QUIKLY]
    at = {entry["call"]: entry["at"] for entry in reversed(log(stack)) if entry["call"] == TRACK}
    [subscribed_at] = [entry["at"] for entry in log(stack) if entry["call"] == SET_STATUS]
    assert subscribed_at - at[TRACK] >= PROFILE_WAIT_SECONDS
    [profile] = profiles(stack)
    assert profile["user_aliases"] == [{"alias_name": person.email, "alias_label": "email"}]
    assert (profile["email"], profile["phone"]) == (person.email, person.phone)
    assert subscriptions(profile) == {"demo-sms-group": "Subscribed"}
    assert len(credits_of(stack)) == 1


def test_a_number_without_an_e_mail_is_its_own_alias(stack: StackFile) -> None:
    """Looked up by the number; the label says what the name is; Quikly gets the number."""
    person = Person()

    done = in_state(stack, acquire(stack, "demo-sms", "sms", phone=person.phone), *FINAL)

    assert done["state"] == "credited"
    [profile] = profiles(stack)
    assert profile["user_aliases"] == [{"alias_name": person.phone, "alias_label": "phone"}]
    assert profile["phone"] == person.phone
    assert profile.get("email") is None
    assert subscriptions(profile) == {"demo-sms-group": "Subscribed"}
    assert credits_of(stack) == [
        {"q_scope": "demo-sms", "event": "sms-signup", "phone": person.phone}
    ]


def test_a_known_e_mail_without_a_number_gets_it_and_waits(stack: StackFile) -> None:
    """Braze finds the profile by the number only once it is there."""
    person = Person()
    name = f"customer-{person.email}"
    before = at_braze(stack, external_id=name, email=person.email)

    acquisition_id = acquire(stack, "demo-sms", "sms", phone=person.phone, email=person.email)
    done = in_state(stack, acquisition_id, *FINAL)

    assert done["state"] == "credited"
    assert [step for step in steps(done) if step.startswith(("profile", "phone", "waiting"))] == [
        "profile_found",
        "phone_written",
        "waiting",
    ]
    assert calls(stack, before) == [GET_STATUS, EXPORT, TRACK, SET_STATUS, GET_STATUS, QUIKLY]
    [profile] = profiles(stack)
    assert (profile["external_id"], profile["phone"]) == (name, person.phone)
    assert subscriptions(profile) == {"demo-sms-group": "Subscribed"}


def test_a_known_number_is_subscribed_at_once(stack: StackFile) -> None:
    """Nothing is written that Braze would have to show first: no wait."""
    person = Person()
    name = f"customer-{person.email}"
    before = at_braze(stack, external_id=name, email=person.email, phone=person.phone)

    acquisition_id = acquire(stack, "demo-sms", "sms", phone=person.phone, email=person.email)
    done = in_state(stack, acquisition_id, *FINAL)

    assert done["state"] == "credited"
    assert "waiting" not in steps(done)
    without_delivery = [call for call in calls(stack, before) if call != TRACK]
    assert [call for call, _ in groupby(without_delivery)] == [
        GET_STATUS,
        EXPORT,
        SET_STATUS,
        GET_STATUS,
        QUIKLY,
    ]
    assert wait_for(lambda: custom(profiles(stack)[0]) == {"quikly_participated": True}, 20)


# -- double opt-in -------------------------------------------------------------------------------


def test_braze_s_double_opt_in_is_waited_for_and_then_credited(stack: StackFile) -> None:
    """Nothing is credited while Braze says Unsubscribed; one prompt; the person's Y ends it."""
    person = Person()

    acquisition_id = acquire(
        stack, "demo-double-opt-in", "sms", phone=person.phone, email=person.email
    )
    waiting = in_state(stack, acquisition_id, "awaiting_opt_in", *FINAL)
    assert waiting["state"] == "awaiting_opt_in"
    assert credits_of(stack) == []
    assert [prompt["phone"] for prompt in control(stack, "double_opt_in")] == [person.phone]
    [profile] = profiles(stack)
    assert subscriptions(profile) == {"demo-sms-doi-group": "Unsubscribed"}

    confirm(stack, "demo-sms-doi-group", person.phone)
    done = in_state(stack, acquisition_id, *FINAL)

    assert done["state"] == "credited"
    assert calls(stack) == [GET_STATUS, EXPORT, TRACK, SET_STATUS, GET_STATUS, QUIKLY]
    assert [entry["detail"] for entry in done["history"] if entry["step"] == "opt_in_asked"] == [
        "braze"
    ]
    [profile] = profiles(stack)
    assert subscriptions(profile) == {"demo-sms-doi-group": "Subscribed"}
    assert len(credits_of(stack)) == 1


def test_a_double_opt_in_by_event_starts_the_brand_s_workflow(stack: StackFile) -> None:
    """The event is sent once, no state is ever set, and the confirmation is credited."""
    person = Person()

    acquisition_id = acquire(
        stack, "demo-double-opt-in-event", "sms", phone=person.phone, email=person.email
    )
    in_state(stack, acquisition_id, "awaiting_opt_in")
    assert wait_for(lambda: bool(control(stack, "double_opt_in")), 20)
    confirm(stack, "demo-sms-doi-group", person.phone)
    done = in_state(stack, acquisition_id, *FINAL)

    assert done["state"] == "credited"
    [profile] = profiles(stack)
    assert [event["name"] for event in profile["events"]] == ["quikly_sms_opt_in"]
    assert subscriptions(profile) == {"demo-sms-doi-group": "Subscribed"}
    assert SET_STATUS not in calls(stack)
    assert calls(stack)[:3] == [GET_STATUS, EXPORT, TRACK]
    assert calls(stack)[-1] == QUIKLY
    assert len(credits_of(stack)) == 1


def test_a_double_opt_in_without_an_answer_expires(stack: StackFile) -> None:
    """Thirty days are a date in the record: moved to now, the next look ends it, uncredited."""
    person = Person()
    acquisition_id = acquire(stack, "demo-double-opt-in", "sms", phone=person.phone)
    in_state(stack, acquisition_id, "awaiting_opt_in")
    # The record's version stays, so that the message under way still counts.
    rewrite(stack, acquisition_id, opt_in_until=datetime.now(UTC))
    done = in_state(stack, acquisition_id, *FINAL, seconds=60)

    assert (done["state"], steps(done)[-1]) == ("expired", "expired")
    assert credits_of(stack) == []


# -- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ({}, "unknown_group"),
        ({"demo-sms-group": {"channel": "email"}}, "braze_refused"),
    ],
    ids=["no such group", "an e-mail group"],
)
def test_a_wrong_group_fails_with_the_reason(
    stack: StackFile, groups: dict[str, Any], reason: str
) -> None:
    """Seen by the first call; nothing is made or credited."""
    control(stack, "settings", {"subscription_groups": groups})

    done = in_state(stack, acquire(stack, "demo-sms", "sms", phone=Person().phone), *FINAL)

    assert (done["state"], done["reason"]) == ("failed", reason)
    assert [entry["call"] for entry in log(stack)] == [GET_STATUS]
    assert (profiles(stack), credits_of(stack)) == ([], [])


def test_what_is_not_configured_or_malformed_is_refused(stack: StackFile) -> None:
    """422 names the fields and quotes nothing; an unknown id is 404; no token is 401."""
    answer = post(stack, "elsewhere", "sms", phone="0170 1234567", email="ada@")

    assert answer.status_code == 422
    assert [reason["field"] for reason in answer.json()["reasons"]] == ["q_scope", "phone", "email"]
    assert "1234567" not in answer.text
    url = f"{stack.api_url}/quikly/acquisitions"
    unknown = requests.get(
        f"{url}/{'A' * 24}",
        headers={"Authorization": f"Bearer {stack.tokens['quikly']}"},
        timeout=CALL_SECONDS,
    )
    assert unknown.status_code == 404
    assert requests.get(f"{url}/{'A' * 24}", timeout=CALL_SECONDS).status_code == 401
    assert log(stack) == []


def test_the_same_person_again_and_again_is_one_enrolment(stack: StackFile) -> None:
    """Two at a time, while one is pending: one id, one profile, one prompt, one credit."""
    person = Person()

    def sign_up(_: int) -> str:
        fields = {"phone": person.phone, "email": person.email}
        return acquire(stack, "demo-double-opt-in", "sms", **fields)

    with ThreadPoolExecutor(2) as pool:
        ids = set(pool.map(sign_up, range(6)))

    [acquisition_id] = ids
    in_state(stack, acquisition_id, "awaiting_opt_in")
    confirm(stack, "demo-sms-doi-group", person.phone)
    in_state(stack, acquisition_id, "credited")
    assert len(profiles(stack)) == 1
    assert len(control(stack, "double_opt_in")) == 1
    assert len(credits_of(stack)) == 1


def test_who_is_known_is_not_looked_up_again(stack: StackFile) -> None:
    """Signed up by e-mail, then for SMS: one export in all, and one profile."""
    person = Person()
    in_state(stack, acquire(stack, "demo-email", "email", email=person.email), "credited")

    acquisition_id = acquire(stack, "demo-sms", "sms", email=person.email, phone=person.phone)
    done = in_state(stack, acquisition_id, *FINAL)

    assert done["state"] == "credited"
    assert "profile_remembered" in steps(done)
    assert [entry["call"] for entry in log(stack)].count(EXPORT) == 1
    [profile] = profiles(stack)
    assert subscriptions(profile) == {"demo-sms-group": "Subscribed"}


def test_a_message_that_was_lost_is_made_again_by_the_sweep(stack: StackFile) -> None:
    """A record that was kept and never queued: the sweep finds it once it is overdue."""
    person = Person()
    acquisition_id = acquire(stack, "demo-double-opt-in", "sms", phone=person.phone)
    in_state(stack, acquisition_id, "awaiting_opt_in")
    # As another version, of which no message tells, overdue for an hour.
    rewrite(stack, acquisition_id, next_version=True, due_at=datetime.now(UTC) - timedelta(hours=1))
    confirm(stack, "demo-sms-doi-group", person.phone)
    sweep(stack)

    assert in_state(stack, acquisition_id, *FINAL)["state"] == "credited"


@pytest.mark.parametrize(
    ("keys", "reason", "gate"),
    [
        (["users.track"], "permission_missing", EndpointFamily.EXPORT_IDS),
        (None, "key_refused", None),
    ],
    ids=["no permission", "no key"],
)
def test_a_key_that_is_refused_makes_everything_wait_and_then_finish(
    stack: StackFile, keys: list[str] | None, reason: str, gate: EndpointFamily | None
) -> None:
    """None fails for it: the gate holds them, the metric counts, the right key lets them in."""
    person, began = Person(), time.time()
    granted = {"another-key": ["*"]} if keys is None else {stack.braze_api_key: keys}
    control(stack, "settings", {"keys": granted})

    acquisition_id = acquire(stack, "demo-email", "email", email=person.email)
    assert wait_for(lambda: "held" in steps(story_of(stack, acquisition_id)), 20)
    held = story_of(stack, acquisition_id)
    assert (held["state"], held["history"][-1]["detail"]) == ("pending", reason)
    assert wait_for(lambda: metric_seen(stack, "BrazeKeyRefused", began, WORKER), 20)
    assert [(entry["call"], entry["status"] // 100) for entry in log(stack)] == [(EXPORT, 4)]
    control(stack, "settings", {"keys": {stack.braze_api_key: ["*"]}})
    table = stack.session().client("dynamodb", **stack.client_options())
    dynamo_gate(table, stack.tables["ledger"], clock=SystemClock(), lambdas=1).open(gate)
    rewrite(stack, acquisition_id, next_version=True, due_at=datetime.now(UTC))
    sweep(stack)

    assert in_state(stack, acquisition_id, *FINAL)["state"] == "credited"


# -- long ----------------------------------------------------------------------------------------


@pytest.mark.campaign
def test_500_at_once_with_faults_and_an_export_limit_all_finish(stack: StackFile) -> None:
    """250 people sign up for both channels: one profile each, nothing sent into the limit."""
    people = [Person() for _ in range(250)]
    closed = 10
    control(stack, "settings", {"limits": {"/users/export/ids": [100, 10]}})
    fault = {
        "path": "/users/export/ids",
        "times": 1,
        "status": 429,
        "headers": {"X-Ratelimit-Retry-After": str(closed)},
    }
    control(stack, "faults", fault)
    for path in ("/users/*", "/subscription/*", "/quikly/*"):
        control(stack, "faults", {"path": path, "share": 0.2, "status": 503})

    def sign_up(person: Person) -> tuple[str, str]:
        return (
            acquire(stack, "demo-email", "email", email=person.email),
            acquire(stack, "demo-sms", "sms", email=person.email, phone=person.phone),
        )

    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        ids = [each for pair in pool.map(sign_up, people) for each in pair]
    assert len(set(ids)) == 500

    def unfinished() -> list[str]:
        table = stack.session().client("dynamodb", **stack.client_options())
        pages = table.get_paginator("scan").paginate(
            TableName=stack.tables["acquisitions"],
            FilterExpression="attribute_exists(due_partition)",
        )
        named = {row["id"]["S"].removeprefix("a#") for page in pages for row in page["Items"]}
        return [each for each in ids if each in named]

    assert wait_for(lambda: not unfinished(), 240), unfinished()[:3]
    print(f"500 acquisitions in {time.monotonic() - began:.0f} s")  # noqa: T201 - for the note
    states = [status_of(stack, each)["state"] for each in ids]
    assert set(states) == {"credited"}
    by_email = {profile["email"]: profile for profile in profiles(stack)}
    assert len(profiles(stack)) == len(by_email) == 250
    assert by_email.keys() == {person.email for person in people}
    for person in people:
        profile = by_email[person.email]
        assert profile["phone"] == person.phone
        assert subscriptions(profile) == {"demo-sms-group": "Subscribed"}
    told = credits_of(stack)
    assert len(told) == 500
    exports = [entry for entry in log(stack) if entry["call"] == EXPORT]
    refused_at = next(entry["at"] for entry in exports if entry["status"] == 429)
    since = [entry["at"] - refused_at for entry in exports]
    # What was under way when the 429 came may still arrive within a second.
    assert [seconds for seconds in since if 1 < seconds < closed] == []
    assert [seconds for seconds in since if seconds >= closed]
