"""SMS double opt-in (reference §3.2, §7.7)."""

from typing import Any

import pytest
import requests

from tests.functional.sandbox.caller import TIMEOUT, Caller

PHONE = "+15555550123"
DAY = 86_400
DOI, PLAIN = "demo-sms-doi-group", "demo-sms-group"


def ask(braze: Caller, group: str = DOI, **more: Any) -> requests.Response:
    return braze.subscribe(group, **{"phone": PHONE, "use_double_opt_in_logic": True, **more})


def confirm(braze: Caller) -> int:
    return braze.session.post(
        f"{braze.url}/_sandbox/double_opt_in",
        json={"subscription_group_id": DOI, "phone": PHONE},
        timeout=TIMEOUT,
    ).status_code


def state(braze: Caller, group: str = DOI) -> str:
    (value,) = braze.status(group, phone=PHONE).values()
    return str(value)


@pytest.fixture
def user(braze: Caller) -> Caller:
    braze.attributes({"external_id": "u", "phone": PHONE})
    return braze


def test_pending_reads_unsubscribed_until_confirmed(user: Caller) -> None:
    """Asked for by REST the user stays Unsubscribed, and is Subscribed once confirmed."""
    assert ask(user).status_code == 201
    pending = state(user)

    assert confirm(user) == 200
    assert (pending, state(user)) == ("Unsubscribed", "Subscribed")


def test_pending_shows_on_the_profile(user: Caller) -> None:
    """The profile tells that an opt-in waits."""
    ask(user)

    assert user.profile("u")["subscription_groups"] == [
        {"id": DOI, "status": "Unsubscribed", "pending": True},
    ]


def test_double_opt_in_needs_the_profile_first(braze: Caller) -> None:
    """Without a profile nothing is kept: a profile made later does not inherit anything."""
    assert ask(braze).status_code == 201

    braze.attributes({"external_id": "u", "phone": PHONE})

    assert state(braze) == "unknown"
    assert confirm(braze) == 409
    assert braze.dropped() == [("subscription_groups", 0, None)]


def test_double_opt_in_looks_when_the_call_comes(braze: Caller) -> None:
    """A profile that does not show yet when the call comes is no profile."""
    braze.settings(read_delay_ms=2_000)
    braze.attributes({"external_id": "u", "phone": PHONE})
    braze.clock.advance(1)
    ask(braze)
    braze.clock.advance(10)

    assert state(braze) == "unknown"


@pytest.mark.parametrize(("days", "status"), [(30, 200), (30.1, 409)])
def test_30_days_to_confirm(user: Caller, days: float, status: int) -> None:
    """A confirmation counts for 30 days."""
    ask(user)

    user.clock.advance(days * DAY)

    assert confirm(user) == status


def test_nothing_to_confirm_is_409(user: Caller) -> None:
    """A confirmation without a waiting opt-in changes nothing."""
    assert confirm(user) == 409
    assert state(user) == "unknown"


def test_one_prompt_in_24_hours(user: Caller) -> None:
    """Asked again within 24 hours no second prompt goes out; after them one does."""
    ask(user)
    user.clock.advance(DAY - 1)
    ask(user)
    within = len(user.control("double_opt_in"))
    user.clock.advance(1)
    ask(user)

    assert within == 1
    assert [prompt["phone"] for prompt in user.control("double_opt_in")] == [PHONE, PHONE]


def test_unsubscribing_does_not_allow_another_prompt(user: Caller) -> None:
    """The 24 hours hold across a direct change of the state."""
    ask(user)
    ask(user, subscription_state="unsubscribed")
    ask(user)

    assert len(user.control("double_opt_in")) == 1


def test_without_the_flag_the_state_is_set(user: Caller) -> None:
    """Without `use_double_opt_in_logic` a group with double opt-in is subscribed at once."""
    ask(user, use_double_opt_in_logic=False)

    assert state(user) == "Subscribed"


def test_groups_without_double_opt_in_ignore_the_flag(user: Caller) -> None:
    """In a group whose opt-in is single the flag makes no difference."""
    ask(user, PLAIN)

    assert state(user, PLAIN) == "Subscribed"


def test_subscribed_stays_subscribed(user: Caller) -> None:
    """Asking again when subscribed neither unsubscribes nor prompts."""
    ask(user, use_double_opt_in_logic=False)
    ask(user)

    assert state(user) == "Subscribed"
    assert user.control("double_opt_in") == []


def test_unsubscribing_ends_the_wait(user: Caller) -> None:
    """A state set directly ends a double opt-in that waited."""
    ask(user)
    ask(user, subscription_state="unsubscribed")

    assert confirm(user) == 409


def test_v2_and_track_enter_it_too(braze: Caller) -> None:
    """V2 and `subscription_groups` in attributes enter the workflow with the same flag."""
    change = {
        "subscription_group_id": DOI,
        "subscription_state": "subscribed",
        "use_double_opt_in_logic": True,
    }
    braze.attributes({"external_id": "u", "phone": PHONE, "subscription_groups": [change]})
    braze.attributes({"external_id": "v", "phone": "+15555550124"})
    braze.post(
        "/v2/subscription/status/set",
        {"subscription_groups": [{**change, "phones": ["+15555550124"]}]},
    )

    assert [p["phone"] for p in braze.control("double_opt_in")] == [PHONE, "+15555550124"]
    assert braze.status(DOI, external_id=["u", "v"]) == {"u": "Unsubscribed", "v": "Unsubscribed"}


def test_track_without_a_phone_enters_nothing(braze: Caller) -> None:
    """A profile without a phone cannot be asked: nothing is set, and that is noted."""
    change = {
        "subscription_group_id": DOI,
        "subscription_state": "subscribed",
        "use_double_opt_in_logic": True,
    }
    braze.attributes({"external_id": "u", "subscription_groups": [change]})

    assert braze.status(DOI, external_id="u") == {"u": "unknown"}
    assert braze.dropped() == [("attributes", 0, "subscription_groups")]


def test_an_event_may_start_it(user: Caller) -> None:
    """With a campaign on a custom event, that event starts the opt-in, and others do not."""
    user.settings(
        subscription_groups={
            DOI: {"channel": "sms", "double_opt_in": True, "opt_in_event": "quikly-opt-in"},
        },
    )
    user.event(external_id="u", name="other")
    before = state(user)
    user.event(external_id="u", name="quikly-opt-in")

    assert (before, state(user)) == ("unknown", "Unsubscribed")
    assert confirm(user) == 200
