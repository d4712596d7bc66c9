"""A person at the page of a running stack: posts answers, watches them arrive, breaks Braze."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.test_first_light import control

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.stack.stack_file import StackFile
    from tests.browser.screen import Screen

pytestmark = pytest.mark.e2e
ARRIVAL_SECONDS = 60


@pytest.fixture
def page(screen: Screen, stack: StackFile) -> Iterator[Screen]:
    control(stack, "reset", {})
    screen.open(stack.braze_url)
    screen.until(lambda: screen.find_all("#sample option"))
    yield screen
    control(stack, "reset", {})


def post(page: Screen, body: dict[str, Any]) -> None:
    """Write a body into the form and post it."""
    page.run(
        "document.getElementById('body').value = arguments[0]", json.dumps(body, ensure_ascii=False)
    )
    page.find("#path").clear()
    page.find("#path").send_keys("/outgrow/from-the-page")
    page.button("Post it").click()


def until_it_arrives(page: Screen) -> None:
    page.until(lambda: "On the profile" in page.text("#journey"), ARRIVAL_SECONDS)


def test_an_answer_arrives_and_one_that_fails_is_tried_again(
    page: Screen, stack: StackFile
) -> None:
    """The page shows every step; with pictures in both colours and sizes."""
    answer = {
        "id": "page-1",
        "email": "Page.Visitor@Example.com",
        "score": 91,
        "segment": "curious",
    }
    post(page, answer)
    until_it_arrives(page)

    assert "Accepted by the bridge" in page.text("#journey")
    assert "outgrow_quiz_score91number" in page.text("#journey").replace(" 91 ", "91")
    said = page.text("#announcer")
    assert said.startswith("Arrived:")
    assert "outgrow_quiz_score as number 91" in said
    page.button("Show the profile").click()
    page.until(lambda: page.text("#person h3") == "page.visitor@example.com")
    page.until(lambda: "job outgrow:from-the-page:page-1" in page.text("#person"))

    page.click("#faults summary")
    page.write("#fault-status", "503")
    page.button("Switch it on").click()
    page.until(lambda: "1 more call" in page.text("#fault-list"))
    post(page, answer | {"id": "page-2", "score": 92})
    page.until(lambda: "503" in page.text("#journey"), ARRIVAL_SECONDS)
    page.until(lambda: "so it was tried again" in page.text("#journey"), ARRIVAL_SECONDS)
    until_it_arrives(page)

    assert "a fault you switched on" in page.text("#journey")
    assert page.text("#fault-list") == "None."
    (profile,) = control(stack, "profiles")
    assert profile["custom_attributes"]["outgrow_quiz_score"] == 92
    page.until(lambda: "92" in page.text("#person"))
    for size in ("desktop", "phone"):
        for colours in ("light", "dark"):
            page.look_like(colours, size)
            page.until(lambda: page.run("return document.documentElement.dataset.theme"))
            assert page.photograph(f"{size}-{colours}").stat().st_size > 50_000


def test_a_closed_gate_is_seen_until_it_opens(page: Screen) -> None:
    """Braze answers 429 for some seconds: the answer waits, and arrives."""
    page.button("Too many requests").click()
    page.until(lambda: "429" in page.text("#fault-list"))

    post(page, {"id": "page-gate", "email": "gate@example.com", "score": 7})

    page.until(lambda: "closed" in page.text("#gates"), ARRIVAL_SECONDS)
    assert "rate limited · opens in" in page.text("#gates")
    assert page.text("#count-gate") == "closed"
    until_it_arrives(page)
    page.until(lambda: page.text("#count-gate") == "open", ARRIVAL_SECONDS)


@pytest.mark.parametrize(
    "sample", ["outgrow/with_event", "iterate/survey_by_braze_id", "quikly/events_tier_reached"]
)
def test_samples_of_each_partner_arrive(page: Screen, sample: str) -> None:
    """One click, and each event of theirs is on the profile, too."""
    page.choose("#sample", sample)
    partner, _, _ = sample.partition("/")
    page.until(lambda: str(page.find("#path").get_property("value")).startswith(f"/{partner}"))

    page.button("Post it").click()

    until_it_arrives(page)
    assert "event" in page.text("#journey .steps li:last-child")


def test_a_refusal_shows_the_bridge_s_reasons(page: Screen) -> None:
    """As the partner would get them."""
    page.choose("#sample", "outgrow/bad_no_identity")
    page.button("Post it").click()

    page.until(lambda: "Refused by the bridge" in page.text("#journey"))
    assert "422 in" in page.text("#journey")
    assert "reasons" in page.text("#journey pre")
