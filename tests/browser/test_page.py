"""The page over a stand-in without a stack: what it shows, and its switches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from selenium.webdriver.common.keys import Keys

from sandbox.page.links import StackLink
from tests.fakes.loopback_server import LoopbackServer

if TYPE_CHECKING:
    from sandbox.server import Sandbox
    from tests.browser.screen import Screen
    from tests.fakes.loopback_server import Connection

Braze = tuple["Sandbox", str]
TIMEOUT = (2, 10)
TIME = "2026-11-01T10:00:00Z"
HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>{{7*7}}\'">'


def track(braze: Braze, **arrays: Any) -> int:
    answer = requests.post(
        f"{braze[1]}/users/track",
        json=arrays,
        headers={"Authorization": "Bearer the-key"},
        timeout=TIMEOUT,
    )
    return answer.status_code


def control(braze: Braze, route: str, body: Any = None) -> Any:
    url = f"{braze[1]}/_sandbox/{route}"
    if body is None:
        return requests.get(url, timeout=TIMEOUT).json()
    return requests.post(url, json=body, timeout=TIMEOUT).json()


def seed(braze: Braze) -> None:
    """Three people, an event, a subscription, and a value that Braze drops."""
    ada = {"external_id": "ada", "email": "ada@example.com", "outgrow_quiz_score": 87}
    track(
        braze,
        attributes=[
            {
                **ada,
                "subscription_groups": [
                    {
                        "subscription_group_id": "demo-email-group",
                        "subscription_state": "subscribed",
                    }
                ],
            },
            {"phone": "+15555550123", "likes": ["tea", "cake"], "is_member": True},
            {
                "user_alias": {"alias_name": "it-7", "alias_label": "iterate_id"},
                "_update_existing_only": False,
                "note": "hello",
            },
        ],
        events=[{"external_id": "ada", "name": "finished", "time": TIME, "properties": {"n": 3}}],
    )
    track(braze, attributes=[{"external_id": "ada", "outgrow_quiz_score": "many"}])


def people(screen: Screen) -> list[str]:
    return screen.texts("#people-list button strong")


def test_a_profile_shows_values_with_type_and_origin(screen: Screen, braze: Braze) -> None:
    """And events, subscriptions, and what Braze dropped, with the reason."""
    seed(braze)
    screen.open(braze[1])
    screen.until(lambda: people(screen))

    assert set(people(screen)) == {"ada@example.com", "+15555550123", "it-7"}
    screen.button("ada@example.com").click()
    screen.until(lambda: "outgrow_quiz_score" in screen.text("#person"))
    shown = screen.text("#person")
    assert "outgrow_quiz_score87numberfrom request 1" in shown.replace(" 87 ", "87")
    assert "Outgrow" in shown
    assert "finished at" in shown
    assert "n3" in shown
    assert "demo-email-group · Subscribed" in shown
    assert "from request 2 · attributes[0]" in shown


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("ADA@EXAMPLE", "ada@example.com"),
        ("ada", "ada@example.com"),
        ("5550123", "+15555550123"),
        ("it-7", "it-7"),
    ],
)
def test_search_by_each_kind_of_identifier(
    screen: Screen, braze: Braze, wanted: str, name: str
) -> None:
    """Typing is enough."""
    seed(braze)
    screen.open(braze[1])
    screen.until(lambda: len(people(screen)) == 3)

    screen.write("#search", wanted)

    screen.until(lambda: people(screen) == [name])
    screen.until(lambda: screen.text("#person h3") == name)
    assert screen.text("#found") == "1 profile"


def test_search_that_finds_no_profile_says_so(screen: Screen, braze: Braze) -> None:
    """In words, in the list and beside it."""
    seed(braze)
    screen.open(braze[1])

    screen.write("#search", "nobody@example.com")

    screen.until(lambda: screen.text("#person") == "No profile matches.")
    assert screen.text("#found") == "0 profiles"


def test_what_looks_like_markup_is_shown_as_text(screen: Screen, braze: Braze) -> None:
    """In every place that a partner's text can reach: names, values, ids, events, drops, faults."""
    assert (
        track(
            braze,
            attributes=[
                {
                    "external_id": HOSTILE,
                    HOSTILE: HOSTILE,
                    "list": [HOSTILE],
                    "first_name": HOSTILE,
                },
                {"external_id": HOSTILE, "too_long": HOSTILE * 9},
            ],
            events=[
                {
                    "external_id": HOSTILE,
                    "name": HOSTILE,
                    "time": TIME,
                    "properties": {"p": HOSTILE},
                }
            ],
        )
        == 201
    )
    control(braze, "faults", {"path": "/" + HOSTILE, "match": HOSTILE})
    requests.post(f"{braze[1]}/<script>window.hit=1</script>", timeout=TIMEOUT)
    screen.open(braze[1])
    screen.until(lambda: "too_long" in screen.text("#person"))

    assert screen.text("#person h3") == HOSTILE
    assert screen.text("#person").count("onerror=") >= 8
    assert "onerror=" in screen.text("#fault-list")
    assert screen.run("return window.hit") is None
    assert screen.find_all("main img, main script, td script") == []


def test_markup_could_not_be_made_even_by_mistake(screen: Screen, braze: Braze) -> None:
    """The policy refuses text as markup, and scripts that are inline."""
    screen.open(braze[1])

    refused = [
        screen.run(f"try {{ {attempt}; return null; }} catch (e) {{ return e.name; }}")
        for attempt in (
            "document.body.innerHTML = '<b>x</b>'",
            "document.body.setAttribute('onclick', 'window.hit = 1')",
            "document.createElement('script').text = 'window.hit = 1'",
        )
    ]

    assert refused == ["TypeError"] * 3
    assert screen.run("return window.hit") is None
    screen.expect_complaints("Content Security Policy", "TrustedHTML", "Trusted")


def test_a_double_opt_in_is_answered_as_the_person(screen: Screen, braze: Braze) -> None:
    """The state is Unsubscribed until then, as Braze reads it."""
    group = {"subscription_group_id": "demo-sms-doi-group", "subscription_state": "subscribed"}
    track(
        braze,
        attributes=[
            {
                "external_id": "dora",
                "phone": "+12025550187",
                "subscription_groups": [{**group, "use_double_opt_in_logic": True}],
            }
        ],
    )
    screen.open(braze[1])
    screen.until(lambda: "Unsubscribed, waits for the double opt-in" in screen.text("#person"))

    screen.button("Answer Y").click()

    screen.until(lambda: "demo-sms-doi-group · Subscribed" in screen.text("#person"))


def test_the_log_is_live(screen: Screen, braze: Braze) -> None:
    """The newest first: number, call, what was in it, the answer in words and the time it took."""
    screen.open(braze[1])
    assert screen.text("#requests-empty") == "No request yet."

    control(braze, "faults", {"path": "/users/track", "status": 503})
    track(braze, attributes=[{"external_id": "a"}])
    track(braze, attributes=[{"external_id": "a"}, {"external_id": "b"}])
    screen.until(lambda: len(screen.find_all("#requests-rows tr")) == 2)

    screen.until(lambda: "201" in screen.text("#requests-rows"))

    newest, oldest = (row.split() for row in screen.texts("#requests-rows tr"))
    assert newest[0] == "2"
    assert " ".join(newest[2:]).startswith("POST /users/track 2 objects 201")
    assert "503" in oldest
    assert "fault" in oldest
    assert newest[-1] == "ms"
    assert screen.text("#count-requests") == "2"
    screen.until(lambda: screen.text("#count-profiles") == "2")


def test_messages_that_braze_would_send_are_listed(screen: Screen, braze: Braze) -> None:
    """The campaign, the recipients as text, the request, and how many have no profile."""
    track(braze, attributes=[{"external_id": "ada"}])
    recipients = [{"external_user_id": name} for name in ("ada", HOSTILE)]
    requests.post(
        f"{braze[1]}/campaigns/trigger/send",
        json={"campaign_id": "welcome", "recipients": recipients},
        headers={"Authorization": "Bearer the-key"},
        timeout=TIMEOUT,
    )
    screen.open(braze[1])
    screen.until(lambda: screen.text("#count-messages") == "1")
    screen.find("#messages summary").click()

    shown = screen.text("#messages-list")
    assert shown.startswith(f"welcome · to ada, {HOSTILE}")
    assert shown.endswith("(request 2, /campaigns/trigger/send, 1 without a profile)")
    assert screen.driver.execute_script("return window.hit") is None


def test_a_fault_is_switched_on_and_off(screen: Screen, braze: Braze) -> None:
    """A ready-made one by one click, and all off by another."""
    screen.open(braze[1])
    assert screen.text("#fault-list") == "None."

    screen.button("Braze is down").click()
    screen.until(lambda: "3 more calls" in screen.text("#fault-list"))
    assert control(braze, "faults") == [{"path": "/users/track", "times": 3, "status": 503}]
    assert track(braze, attributes=[{"external_id": "a"}]) == 503
    screen.until(lambda: "2 more calls" in screen.text("#fault-list"))

    screen.button("Switch all off").click()
    screen.until(lambda: screen.text("#fault-list") == "None.")
    assert track(braze, attributes=[{"external_id": "a"}]) == 201


def test_a_fault_of_one_s_own(screen: Screen, braze: Braze) -> None:
    """Every field of the form reaches the stand-in; an impossible value is reported there."""
    screen.open(braze[1])
    screen.click("#faults summary")
    screen.write("#fault-path", "/users/*")
    screen.write("#fault-match", "ada")
    screen.choose("#fault-mode", "share")
    screen.write("#fault-amount", "50")
    screen.write("#fault-status", "418")
    screen.write("#fault-delay", "20")
    screen.choose("#fault-reset", "after")
    assert screen.text("label[for=fault-amount]") == "Per cent"

    screen.button("Switch it on").click()
    screen.until(lambda: "50 % of calls" in screen.text("#fault-list"))

    assert control(braze, "faults") == [
        {
            "path": "/users/*",
            "match": "ada",
            "share": 0.5,
            "status": 418,
            "delay_ms": 20,
            "reset": "after",
            "times": None,
        }
    ]
    screen.write("#fault-amount", "500")
    screen.button("Switch it on").click()
    screen.until(lambda: "share" in screen.text("#fault-error"))
    assert len(control(braze, "faults")) == 1
    screen.expect_complaints("422")


def test_a_limit_is_set_and_seen(screen: Screen, braze: Braze) -> None:
    """What is left of it, and that it is used up."""
    screen.open(braze[1])

    screen.button("Only 2 track calls in 10 s").click()
    screen.until(lambda: "enforced: 2 in 10 s" in screen.text("#limits-list"))
    answers = [track(braze, attributes=[{"external_id": "a"}]) for _ in range(5)]
    screen.until(lambda: "429 too many" in screen.text("#requests-rows"))

    assert 429 in answers
    screen.button("No limits").click()
    screen.until(lambda: "enforced:" not in screen.text("#limits-list"))


def test_a_reset_asks_first(screen: Screen, braze: Braze) -> None:
    """Escape and the second button keep everything."""
    seed(braze)
    screen.open(braze[1])
    screen.until(lambda: screen.text("#count-profiles") == "3")

    screen.button("Reset the stand-in").click()
    screen.button("Keep everything").click()
    screen.button("Reset the stand-in").click()
    screen.find("#reset-dialog").send_keys(Keys.ESCAPE)
    screen.until(lambda: not screen.find("#reset-dialog").is_displayed())
    assert len(control(braze, "profiles")) == 3

    screen.button("Reset the stand-in").click()
    screen.click("#reset-dialog button[value=reset]")
    screen.until(lambda: screen.text("#count-profiles") == "0")
    assert control(braze, "profiles") == []
    screen.until(lambda: screen.text("#person") == "No profile yet.")


def test_without_a_stack_the_form_says_what_to_do(screen: Screen, braze: Braze) -> None:
    """The samples are there; posting one tells how to start a stack."""
    screen.open(braze[1])
    screen.until(lambda: screen.find_all("#sample option"))
    labels = {each.get_attribute("label") for each in screen.find_all("#sample optgroup")}
    assert {"Outgrow", "Iterate"} <= labels
    assert '"score": 87' in str(screen.find("#body").get_attribute("value"))

    screen.button("Post it").click()

    screen.until(lambda: "make up" in screen.text("#try-error"))
    assert "No stack" in screen.text("#gates")
    screen.expect_complaints("409")


def test_each_answer_gets_an_identity_of_its_own(screen: Screen, braze: Braze) -> None:
    """The id and the time are new, the person and the score are not; only where it is wished."""
    screen.open(braze[1])
    screen.until(lambda: screen.find_all("#sample option"))

    renewed = screen.import_from("try_it.js", "renewed")

    first = renewed('{"id": "r-1", "created_at": "2020-01-01", "user": {"id": "u-1"}, "score": 1}')
    again = renewed(first)
    assert first != again
    assert '"id": "r-1-try' in first
    assert again.count("-try") == 1
    assert '"id": "u-1"' in first
    assert "2020-01-01" not in first
    survey = renewed('{"survey_response": {"id": "s-1", "survey": {"id": "q-1"}}}')
    assert '"id": "s-1-try' in survey
    assert '"id": "q-1"' in survey
    for kept in ("no json", "[1]", '{"id": "a", "id": "b"}', '{"id": "a", "n": 1e400}'):
        assert renewed(kept) == kept


def test_the_focus_stays_where_it_is(screen: Screen, braze: Braze) -> None:
    """A list that is drawn again keeps the focus, however much arrives meanwhile."""
    seed(braze)
    screen.open(braze[1])
    screen.until(lambda: len(people(screen)) == 3)
    screen.button("it-7").click()
    screen.until(lambda: screen.text("#person h3") == "it-7")

    track(braze, attributes=[{"external_id": "new", "a": 1}])
    screen.until(lambda: len(people(screen)) == 4)

    focused = screen.run("return document.activeElement.textContent")
    assert focused.startswith("it-7")
    assert screen.text("#person h3") == "it-7"


def test_a_stand_in_that_goes_away_is_told(screen: Screen, braze: Braze) -> None:
    """The page says so, and is alive again when the answers come back."""
    screen.open(braze[1])
    screen.run("window.fetchOf = window.fetch; window.fetch = () => Promise.reject(new Error());")
    screen.until(lambda: screen.text("#connection") == "Stand-in not reached")

    screen.run("window.fetch = window.fetchOf;")
    screen.until(lambda: screen.text("#connection") == "Live")


def test_an_acquisition_is_followed_to_its_end(screen: Screen, braze: Braze) -> None:
    """Its state is asked for at the bridge; the requests to Braze show beside it."""
    states = iter(["pending", "awaiting_opt_in", "credited"])

    def answer(connection: Connection) -> None:
        if len(api.seen) == 1:
            connection.answer(202, b'{"status": "accepted", "acquisition_id": "acq-1"}')
            return
        state = next(states, "credited")
        history = [{"at": "2026-11-22T10:00:00Z", "step": "created", "detail": "<b>one</b>"}]
        connection.answer(200, json.dumps({"state": state, "history": history}).encode())

    with LoopbackServer(answer) as api:
        braze[0].console.introduce(StackLink(api_url=api.url, tokens={"quikly": "the-token"}))
        screen.open(braze[1])
        screen.until(lambda: screen.find_all("#sample option"))
        body = json.dumps({"q_scope": "demo-email", "email": "ada@example.com"})
        screen.run("document.getElementById('body').value = arguments[0]", body)
        screen.write("#path", "/quikly/acquisitions")
        screen.button("Post it").click()

        screen.until(lambda: "Acquisition: awaiting opt in" in screen.text("#journey"))
        assert "created: <b>one</b>" in screen.text("#journey")
        track(braze, attributes=[{"email": "ada@example.com", "a": 1}])
        screen.until(lambda: "Request 1: 201" in screen.text("#journey"))
        screen.until(lambda: "Acquisition: credited" in screen.text("#journey"))
        assert screen.text("#journey .journey-head").startswith("credited")
        assert "GET /quikly/acquisitions/acq-1" in api.seen[1].head
