"""The answers to a campaign's call, in every mode and for every kind of bad input."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.observability import Metric
from braze_bridge.partner_config.quikly_activations import (
    ActivationRule,
    Decay,
    Fact,
    Mode,
    Odds,
    ProfileRule,
    Status,
    Tier,
)
from braze_bridge.web.edge import lambda_handler_of
from quikly_webhook.claim_store import ClaimConflictError, ClaimsUnavailableError
from quikly_webhook.claims import TRIES
from quikly_webhook.draws import commitment_to, seed_of
from tests.fakes.api_event import proxy_event
from tests.fakes.claims import SECRET, Webhook, activation, webhook_event
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from braze_bridge.jobs.envelope import DeliveryJob

REWARD = Tier("reward", "A coffee", 2)
SECOND = timedelta(seconds=1)
FIRST = activation(Mode.FIRST, REWARD)


def call(webhook: Webhook, event: Any, *, status: int = 200) -> dict[str, Any]:
    """One call of one long-lived Lambda; returns the body of its answer."""
    if not hasattr(webhook, "handler"):
        answering = webhook.lambda_()
        webhook.handler = lambda_handler_of(  # type: ignore[attr-defined]
            lambda: answering, log=lambda: webhook.log.logger
        )
    response = webhook.handler(event, None)  # type: ignore[attr-defined]
    assert response["statusCode"] == status, response["body"]
    body: dict[str, Any] = json.loads(response["body"])
    return body | {"headers": response["headers"]} if status in {429, 503} else body


def jobs_of(webhook: Webhook) -> list[DeliveryJob]:
    """The jobs, each once."""
    return list({job.job_id: job for job in webhook.jobs.jobs}.values())


def people(webhook: Webhook, number: int, **more: Any) -> list[dict[str, Any]]:
    """So many people call, one after the other."""
    return [
        call(webhook, webhook_event(f"p{index}@example.com", **more)) for index in range(number)
    ]


def test_first_come_first_served() -> None:
    """The first two win; the third does not, and a repeat of each is answered alike."""
    webhook = Webhook(FIRST)

    first = people(webhook, 3)
    again = people(webhook, 3)

    assert (
        first == again == [{"status": "awarded", "tier": "reward"}] * 2 + [{"status": "no_award"}]
    )
    assert webhook.meter.totals[Metric.CLAIMS_AWARDED] == 2
    assert webhook.meter.totals[Metric.CLAIMS_WITHOUT_AWARD] == 1
    assert sum(webhook.meter.totals.values()) == 3  # the three repeats are no more claims


@pytest.mark.parametrize(
    "email", ["ADA@Example.com", "  ada@example.com ", "ada@example.com"], ids=repr
)
def test_one_person_however_the_address_is_written(email: str) -> None:
    """Case, spaces and other ids do not make another person."""
    webhook = Webhook(activation(Mode.RANK, REWARD))
    first = call(webhook, webhook_event("ada@example.com"))

    again = call(webhook, webhook_event(email, external_id="another", braze_id="b-1"))

    assert again == first == {"status": "awarded", "tier": "reward", "rank": 1}
    assert len(webhook.store.rows) == 1
    assert {job.user.email for job in webhook.jobs.jobs} == {"ada@example.com"}


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("andr\u00e9@example.com", "ANDRE\u0301@example.com"),
        ("zoe@m\u00fcnchen.example", "zoe@xn--mnchen-3ya.example"),
        ("zoe@example.com", "zoe@\uff45xample.com"),
    ],
    ids=["accent", "domain", "width"],
)
def test_one_mailbox_wins_once_however_unicode_writes_it(first: str, other: str) -> None:
    """Another spelling of the same address is a repeat; the profile keeps the first one's."""
    webhook = Webhook(FIRST)

    answers = [call(webhook, webhook_event(email)) for email in (first, other)]

    assert answers[0] == answers[1]
    assert webhook.store.taken["launch", "reward"] == 1
    assert {job.user.email for job in webhook.jobs.jobs} == {first}


@pytest.mark.parametrize("ahead", [301, 3_600, 10**9])
def test_since_that_has_not_come_yet_wins_nothing(ahead: int) -> None:
    """A time without its zone would win every person the fastest tier: 422, nothing is stored."""
    webhook = Webhook(activation(Mode.SPEED, Tier("gold", within=10 * SECOND), Tier("bronze")))
    since = (NOON + ahead * SECOND).isoformat()

    answer = call(webhook, webhook_event(since=since), status=422)

    assert [(reason["code"], reason["field"]) for reason in answer["reasons"]] == [
        ("in_future", "since")
    ]
    assert webhook.store.calls == {}
    assert webhook.jobs.jobs == []


def test_since_by_a_clock_that_is_ahead_is_now() -> None:
    """Up to five minutes are a difference of clocks."""
    webhook = Webhook(activation(Mode.SPEED, Tier("gold", within=10 * SECOND), Tier("bronze")))

    answer = call(webhook, webhook_event(since=(NOON + 300 * SECOND).isoformat()))

    assert answer == {"status": "awarded", "tier": "gold"}


CHANCE = {
    "random": activation(Mode.RANDOM, Tier("prize", quantity=9, odds=Odds(1, 1)), opens_at=None),
    "draw": activation(Mode.DRAW, Tier("main", quantity=1), opens_at=None),
}


@pytest.mark.parametrize("rule", CHANCE.values(), ids=CHANCE)
def test_no_claim_comes_before_its_commitment(rule: ActivationRule) -> None:
    """Open since the stack exists, nothing published yet: the first call publishes, then claims."""
    webhook = Webhook(rule)
    order: list[str] = []
    webhook.store.before = order.append

    people(webhook, 2)

    assert [each for each in order if each != "find"] == ["commit", "record", "record"]
    assert webhook.store.commitments["launch"] == (
        commitment_to(seed_of(SECRET, "launch")),
        webhook.clock.now(),
    )


@pytest.mark.parametrize("rule", CHANCE.values(), ids=CHANCE)
def test_changed_seed_decides_nothing(rule: ActivationRule) -> None:
    """After a change of the claims secret: 503, since the outcome could not be verified."""
    webhook = Webhook(rule)
    webhook.store.commit("launch", commitment_to(b"another seed"), NOON)

    call(webhook, webhook_event(), status=503)

    assert webhook.store.rows == {}
    assert "SeedChangedError" in webhook.log.text


def test_commitment_that_meets_winners_is_tried_again() -> None:
    """Its row is the one that every award counts in."""
    webhook = Webhook(CHANCE["random"])
    conflicts = iter([True, True])

    def busy(operation: str) -> None:
        if operation == "commit" and next(conflicts, False):
            raise ClaimConflictError("TransactionConflictException")

    webhook.store.before = busy

    assert call(webhook, webhook_event())["status"] == "awarded"
    assert len(webhook.slept) == 2


def test_another_event_of_the_activation_is_the_same_claim() -> None:
    """One person wins once, whatever they did first."""
    webhook = Webhook(activation(Mode.FIRST, REWARD)._replace(events=("act", "also")))

    answers = [call(webhook, webhook_event(event=event)) for event in ("act", "also")]

    assert answers[0] == answers[1]
    assert len(webhook.store.rows) == 1


def test_speed_falls_to_the_next_tier_when_one_is_gone() -> None:
    """Fast enough for gold, but too late for it: silver; slow: bronze."""
    rule = activation(
        Mode.SPEED,
        Tier("gold", quantity=1, within=10 * SECOND),
        Tier("silver", quantity=1, within=60 * SECOND),
        Tier("bronze"),
    )
    webhook = Webhook(rule)

    tiers = [
        call(webhook, webhook_event(f"p{index}@example.com", at=NOON + seconds * SECOND)).get(
            "tier"
        )
        for index, seconds in enumerate([5, 6, 7, 600])
    ]

    assert tiers == ["gold", "silver", "bronze", "bronze"]


def test_speed_counts_from_since() -> None:
    """The caller may say when this person could first respond, in any of the usual spellings."""
    rule = activation(Mode.SPEED, Tier("gold", within=10 * SECOND), Tier("bronze"))
    webhook = Webhook(rule)
    later = NOON + timedelta(hours=1)
    sinces = ["2026-11-22T12:59:55Z", str(int(later.timestamp()) - 5), "", "2026-11-22T12:00:00Z"]

    tiers = [
        call(webhook, webhook_event(f"p{index}@example.com", at=later, since=since))["tier"]
        for index, since in enumerate(sinces)
    ]

    assert tiers == ["gold", "gold", "bronze", "bronze"]


def test_rank_is_answered_award_or_not() -> None:
    """Positions 1 and 2 win; 3 hears its position and gets the consolation."""
    webhook = Webhook(
        activation(Mode.RANK, REWARD, consolation=Tier("consolation", value=5, currency="EUR"))
    )

    assert people(webhook, 3) == [
        {"status": "awarded", "tier": "reward", "rank": 1},
        {"status": "awarded", "tier": "reward", "rank": 2},
        {
            "status": "no_award",
            "tier": "consolation",
            "rank": 3,
            "value": 5,
            "currency": "EUR",
        },
    ]


def test_repeat_burns_no_position() -> None:
    """A repeat while there are awards takes no position."""
    webhook = Webhook(activation(Mode.RANK, REWARD))
    people(webhook, 1)
    people(webhook, 1)

    late = call(webhook, webhook_event("late@example.com"))

    assert late == {"status": "awarded", "tier": "reward", "rank": 2}


def test_what_a_raised_quantity_adds_goes_by_what_is_left() -> None:
    """Positions after the awards were given already; a new call does not wait for them."""
    webhook = Webhook(activation(Mode.RANK, Tier("reward", quantity=1)))
    assert [each["status"] for each in people(webhook, 3)] == ["awarded", "no_award", "no_award"]

    raised = Webhook(activation(Mode.RANK, Tier("reward", quantity=2)), store=webhook.store)
    late = call(raised, webhook_event("late@example.com"))

    assert late == {"status": "awarded", "tier": "reward", "rank": 4}


def test_an_earlier_position_is_never_overtaken() -> None:
    """For every order of parallel calls, positions 1 to 10 win, each in its tier."""
    rule = activation(Mode.RANK, Tier("gold", quantity=3), Tier("silver", quantity=7))
    webhook = Webhook(rule)

    def one(number: int) -> dict[str, Any]:
        event = webhook_event(f"p{number}@example.com")
        lambda_ = webhook.lambda_()
        for _ in range(50):
            answered = lambda_(event)
            if answered["statusCode"] == 200:
                return dict(json.loads(answered["body"]))
        raise AssertionError("never decided")

    webhook.store.before = lambda _operation: time.sleep(0)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(one, range(40)))

    by_rank = {each["rank"]: each.get("tier") for each in answers}
    expected = {n: "gold" if n <= 3 else "silver" if n <= 10 else None for n in range(1, 41)}
    assert by_rank == expected


def test_value_is_that_of_the_arrival() -> None:
    """API Gateway's time counts, not the Lambda's clock; a repeat keeps the value it had."""
    rule = activation(
        Mode.DECAY, Tier("voucher"), decay=Decay(5000, 1000, "EUR", over=400 * SECOND)
    )
    webhook = Webhook(rule)
    webhook.clock.advance(395)

    answer = call(webhook, webhook_event(at=NOON + 100 * SECOND))
    again = call(webhook, webhook_event(at=NOON + 300 * SECOND))

    assert (
        answer
        == again
        == {
            "status": "awarded",
            "tier": "voucher",
            "value": 4000,
            "currency": "EUR",
        }
    )


def test_instant_win_follows_the_lot() -> None:
    """Odds of one in one always win, until the quantity is gone."""
    webhook = Webhook(activation(Mode.RANDOM, Tier("prize", quantity=2, odds=Odds(1, 1))))

    assert [answer["status"] for answer in people(webhook, 3)] == ["awarded", "awarded", "no_award"]


def test_draw_is_entered() -> None:
    """An entry is answered as such, however often."""
    webhook = Webhook(activation(Mode.DRAW, REWARD))

    assert people(webhook, 2) + people(webhook, 2) == [{"status": "entered"}] * 4
    assert sum(webhook.store.entries.values()) == 2


def test_entry_after_the_draw_has_begun_is_closed() -> None:
    """Once the entries are closed, no entry is added, whatever the clock says."""
    webhook = Webhook(activation(Mode.DRAW, REWARD))
    webhook.store.close_entries("launch", NOON)

    assert people(webhook, 1) == [{"status": "closed"}]
    assert webhook.store.rows == {}


def test_forwarded_call_goes_to_quikly_by_event() -> None:
    """Quikly hears of each event of a person; a repeat is the same message."""
    rule = activation(Mode.FORWARD)._replace(events=("act", "also"))
    webhook = Webhook(rule)

    answers = [
        call(webhook, webhook_event(" Ada@example.com", event=event))
        for event in ("act", "act", "also")
    ]

    assert answers == [{"status": "forwarded"}] * 3
    sent = {message.forward_id: message for message in webhook.forwards.messages}
    assert sorted(message.event for message in sent.values()) == ["act", "also"]
    assert {message.email for message in sent.values()} == {"ada@example.com"}
    assert all("ada" not in forward_id for forward_id in sent)


@pytest.mark.parametrize(
    ("at", "expected"), [(NOON - SECOND, "not_open"), (NOON + timedelta(hours=1), "closed")]
)
def test_outside_its_time_nothing_is_claimed(at: Any, expected: str) -> None:
    """200, so that Braze does not retry, with an event if one is configured; no claim is stored."""
    webhook = Webhook(activation(Mode.FIRST, REWARD, closes_at=NOON + timedelta(hours=1)))

    assert call(webhook, webhook_event(at=at)) == {"status": expected}

    assert webhook.store.rows == {}
    [job] = webhook.jobs.jobs
    assert job.events[0].name == f"quikly_{expected}"
    assert job.attributes == {}
    assert call(webhook, webhook_event(at=NOON))["status"] == "awarded"


def test_winner_stays_one_after_the_close() -> None:
    """A repeat that comes when it is over is answered as before."""
    webhook = Webhook(activation(Mode.FIRST, REWARD, closes_at=NOON + timedelta(hours=1)))
    won = call(webhook, webhook_event())

    assert call(webhook, webhook_event(at=NOON + timedelta(hours=2))) == won


def test_open_since_the_stack_exists() -> None:
    """opens_at = "stack" counts from the table's creation, which is asked for once."""
    rule = activation(
        Mode.DECAY,
        Tier("voucher"),
        opens_at=None,
        decay=Decay(100, 0, "EUR", every=timedelta(days=7), drop=10),
    )
    webhook = Webhook(rule)

    assert [answer["value"] for answer in people(webhook, 2)] == [70, 70]


PROFILE = ProfileRule(
    events={Status.AWARDED: "won", Status.NO_AWARD: "lost"},
    attributes={"prize": Fact.INCENTIVE, "prize_rank": Fact.RANK, "when": Fact.CLAIMED_AT},
    properties={"tier": Fact.TIER, "value": Fact.VALUE, "seconds": Fact.RESPONSE_SECONDS},
)


def test_profile_is_written_with_the_configured_names() -> None:
    """Events, attributes and properties have the names and facts of the configuration."""
    tier = Tier("gold", "A trip", 1, 2500, "EUR")
    webhook = Webhook(activation(Mode.RANK, tier, profile=PROFILE))

    call(webhook, webhook_event(at=NOON + 1.5 * SECOND, external_id="ext-1"))
    call(webhook, webhook_event("bob@example.com", at=NOON + 2 * SECOND, braze_id="b" * 24))

    won, lost = jobs_of(webhook)
    assert (won.schema_version, won.sender) == (2, "quikly_webhook")
    assert won.once_ids == (f"{won.job_id}:won:0",)
    assert won.attributes == {
        "prize": "A trip",
        "prize_rank": 1,
        "when": "2026-11-22T12:00:01.500Z",
    }
    assert [(event.name, event.properties) for event in won.events] == [
        ("won", {"tier": "gold", "value": 2500, "seconds": 1.5})
    ]
    assert won.user.external_id == "ext-1"
    assert won.occurred_at == won.events[0].time == NOON + 1.5 * SECOND
    assert lost.attributes == {"prize_rank": 2, "when": "2026-11-22T12:00:02.000Z"}
    assert [(event.name, event.properties) for event in lost.events] == [("lost", {"seconds": 2.0})]
    assert lost.user.email == "bob@example.com"


def test_profile_without_configured_names_needs_no_job() -> None:
    """Without events and attributes there is an award and an answer, and no message."""
    webhook = Webhook(activation(Mode.FIRST, REWARD, profile=ProfileRule()))

    assert people(webhook, 1) == [{"status": "awarded", "tier": "reward"}]
    assert webhook.jobs.jobs == []


def test_queue_that_refused_gets_the_job_from_the_repeat() -> None:
    """503 asks Braze to call again; the award is stored, and its job is sent then."""
    webhook = Webhook(FIRST)
    webhook.jobs.refusing = True
    answer = call(webhook, webhook_event(), status=503)
    webhook.jobs.refusing = False

    again = call(webhook, webhook_event())

    assert answer["headers"]["Retry-After"] == "30"
    assert again == {"status": "awarded", "tier": "reward"}
    assert [job.events[0].name for job in jobs_of(webhook)] == ["quikly_awarded"]


def test_repeat_after_the_sweep_sends_nothing() -> None:
    """If everything was sent, only the answer is repeated."""
    webhook = Webhook(FIRST)
    won = call(webhook, webhook_event())
    [claim] = webhook.store.rows.values()
    webhook.store.settle(claim)
    webhook.jobs.jobs.clear()

    assert call(webhook, webhook_event()) == won
    assert webhook.jobs.jobs == []


def test_conflicts_pause_with_jitter_then_ask_to_come_again() -> None:
    """Each pause may be longer than the one before; after the last, 429 with Retry-After."""
    webhook = Webhook(FIRST)

    def busy(_operation: str) -> None:
        raise ClaimConflictError

    webhook.store.before = busy

    answer = call(webhook, webhook_event(), status=429)

    assert answer["headers"]["Retry-After"] == "5"
    assert answer["reasons"][0]["code"] == "busy"
    assert len(webhook.slept) == TRIES - 1
    assert webhook.slept == sorted(webhook.slept)
    assert sum(webhook.slept) < 3
    assert webhook.meter.totals[Metric.CLAIMS_BUSY] == 1
    assert webhook.store.rows == {}


def test_one_conflict_is_not_noticed() -> None:
    """After a pause the claim is decided."""
    webhook = Webhook(FIRST)
    struck: list[str] = []

    def once(operation: str) -> None:
        if not struck:
            struck.append(operation)
            raise ClaimConflictError

    webhook.store.before = once

    assert people(webhook, 1) == [{"status": "awarded", "tier": "reward"}]
    assert len(webhook.slept) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_lost_answer_is_503_and_the_repeat_finds_out(moment: str) -> None:
    """Whether the write happened or not, the next call has the one award."""
    webhook = Webhook(FIRST)

    def lost(_operation: str) -> None:
        raise ClaimsUnavailableError("ReadTimeoutError")

    setattr(webhook.store, moment, lost)
    answer = call(webhook, webhook_event(), status=503)
    setattr(webhook.store, moment, lambda _operation: None)

    assert answer["headers"]["Retry-After"] == "30"
    assert people(webhook, 2, q_scope="launch")[0]["status"] == "awarded"
    assert call(webhook, webhook_event())["status"] == (
        "awarded" if moment == "after" else "no_award"
    )


BODY = {"q_scope": "launch", "event": "act", "email": "ada@example.com"}


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"email": ""}, "email", "blank"),
        ({"email": "   "}, "email", "blank"),
        ({"email": None}, "email", "string_type"),
        ({"email": "nobody"}, "email", "no_email"),
        ({"email": "{{${email_address}}"}, "email", "unrendered_liquid"),
        ({"braze_id": "{{${braze_id}"}, "braze_id", "unrendered_liquid"),
        ({"external_id": "${user_id}"}, "external_id", "unrendered_liquid"),
        ({"email": ["ada@example.com"]}, "email", "string_type"),
        ({"email": "a" * 100_000}, "email", "string_too_long"),
        ({"q_scope": "nowhere"}, "q_scope", "unknown"),
        ({"q_scope": ""}, "q_scope", "blank"),
        ({"q_scope": 7}, "q_scope", "string_type"),
        ({"event": "else"}, "event", "unknown"),
        ({"event": ""}, "event", "blank"),
        ({"since": "yesterday"}, "since", "no_time"),
        ({"since": {}}, "since", "no_time"),
        ({"since": True}, "since", "no_time"),
        ({"external_id": [12]}, "external_id", "string_type"),
    ],
)
def test_bad_input_is_422_without_its_value(change: dict[str, Any], field: str, code: str) -> None:
    """One reason, under the field's name, and nothing of the value in the answer or the log."""
    webhook = Webhook(FIRST)
    event = proxy_event(json.dumps(BODY | change), path="/quikly/webhook")

    answer = call(webhook, event, status=422)

    [reason] = answer["reasons"]
    assert (reason["field"], reason["code"]) == (field, code)
    given = str(change[field])
    assert len(given.strip()) < 4 or given not in json.dumps(answer) + webhook.log.text
    assert (webhook.store.rows, webhook.jobs.jobs) == ({}, [])


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "1"])
def test_body_that_is_no_object_is_422(body: str) -> None:
    """JSON that is no object names no field."""
    answer = call(Webhook(FIRST), proxy_event(body, path="/quikly/webhook"), status=422)

    assert "field" not in answer["reasons"][0]


def test_every_missing_field_is_named() -> None:
    """All reasons at once."""
    answer = call(Webhook(FIRST), proxy_event("{}", path="/quikly/webhook"), status=422)

    assert {(reason["field"], reason["code"]) for reason in answer["reasons"]} == {
        ("q_scope", "missing"),
        ("event", "missing"),
        ("email", "missing"),
    }


def test_what_liquid_left_empty_is_left_out() -> None:
    """Braze renders a missing id as an empty text; a body of 100 KB with other keys is taken."""
    webhook = Webhook(FIRST)
    more: dict[str, Any] = {
        "external_id": "",
        "braze_id": " ",
        "since": "",
        "dispatch_id": "",
        "note": "x" * 100_000,
    }

    assert call(webhook, webhook_event(**more))["status"] == "awarded"
    assert jobs_of(webhook)[0].user.email == "ada@example.com"


@pytest.mark.parametrize(
    ("ids", "user", "unusable"),
    [
        ({"external_id": "undefined"}, {"email": "ada@example.com"}, ["external_id: placeholder"]),
        ({"external_id": "guest"}, {"email": "ada@example.com"}, ["external_id: placeholder"]),
        ({"external_id": "x" * 988}, {"email": "ada@example.com"}, ["external_id: too_long"]),
        ({"external_id": "\u200bcrm-77\u00a0"}, {"external_id": "crm-77"}, []),
        ({"external_id": 12}, {"external_id": "12"}, []),
        ({"braze_id": "f" * 24}, {"email": "ada@example.com"}, []),
        ({"braze_id": "b-1"}, {"email": "ada@example.com"}, ["braze_id: invalid_braze_id"]),
    ],
)
def test_an_award_reaches_the_person_s_profile(
    ids: dict[str, Any], user: dict[str, str], unusable: list[str]
) -> None:
    """An id that is none, or that Braze may not know, never swallows it."""
    webhook = Webhook(FIRST, placeholders=frozenset({"guest"}))

    assert call(webhook, webhook_event(**ids))["status"] == "awarded"

    [job] = jobs_of(webhook)
    assert job.user.model_dump(exclude_none=True, exclude={"may_create"}) == user
    assert webhook.log.lines[-1]["unusable_identifiers"] == unusable


def test_the_address_is_written_only_if_the_file_says_so() -> None:
    """A person who is new to Braze gets it then; a known person's address changes, too."""
    for writes, attributes in ((False, {}), (True, {"email": "ada@example.com"})):
        profile = PROFILE._replace(write_email=writes)
        webhook = Webhook(activation(Mode.FIRST, REWARD, profile=profile))

        call(webhook, webhook_event(external_id="ext-1"))

        [job] = jobs_of(webhook)
        assert {k: v for k, v in job.attributes.items() if k == "email"} == attributes


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_wrong_token_is_401(token: str | None) -> None:
    """No detail, and nothing is decided."""
    webhook = Webhook(FIRST)

    answer = call(
        webhook, proxy_event(json.dumps(BODY), path="/quikly/webhook", token=token), status=401
    )

    assert answer == {"status": "error"}
    assert webhook.store.calls == {}


@pytest.mark.parametrize("epoch", [None, "1732276800000", True, -1, 10**18, 1.5])
def test_call_without_a_readable_time_counts_from_now(epoch: object) -> None:
    """If API Gateway's time is missing or odd, the Lambda's clock is used."""
    webhook = Webhook(activation(Mode.SPEED, Tier("gold", within=60 * SECOND), Tier("late")))
    webhook.clock.advance(30)
    event = webhook_event()
    event["requestContext"]["requestTimeEpoch"] = epoch

    assert call(webhook, event)["tier"] == "gold"


def test_odd_dispatch_id_is_not_logged() -> None:
    """What does not look like one of Braze's ids could be anything."""
    webhook = Webhook(FIRST)

    call(webhook, webhook_event(dispatch_id="Ada Lovelace, 12 St James's Square"))

    assert "Lovelace" not in webhook.log.text


def test_nothing_personal_is_logged() -> None:
    """Neither address nor ids are in the log, for any answer."""
    webhook = Webhook(FIRST)
    for email in ("ada@example.com", "ada@", "bob@example.com", "cyd@example.com"):
        event = webhook_event(email, external_id="ext-secret", dispatch_id="d-1")
        call(webhook, event, status=422 if email == "ada@" else 200)

    assert "ada@" not in webhook.log.text
    assert "example.com" not in webhook.log.text
    assert "ext-secret" not in webhook.log.text
    assert '"dispatch_id":"d-1"' in webhook.log.text
    assert SECRET.decode() not in webhook.log.text


@pytest.mark.parametrize(
    ("rule", "first", "later"),
    [
        (FIRST, {"record": 1}, {"record": 1}),
        (
            activation(Mode.RANK, REWARD),
            {"last_rank": 1, "record": 1},
            {"next_rank": 1, "record": 1},
        ),
        (activation(Mode.DRAW, REWARD), {"commit": 1, "record": 1}, {"record": 1}),
        (activation(Mode.FORWARD), {"record": 1}, {"record": 1}),
    ],
    ids=["first", "rank", "draw", "forward"],
)
def test_trips_to_the_table(
    rule: ActivationRule, first: dict[str, int], later: dict[str, int] | None
) -> None:
    """One, and two for a rank; also when everything is gone, once that is known.

    Where chance decides, a process looks once for the commitment.
    """
    webhook = Webhook(rule)
    people(webhook, 1)
    assert webhook.store.calls == first
    people(webhook, 4)
    webhook.store.calls.clear()

    call(webhook, webhook_event("late@example.com"))

    assert webhook.store.calls == (later or first)
