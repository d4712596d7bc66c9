"""What people paste into Braze, rendered by a Liquid engine and posted to the function."""

from __future__ import annotations

import json
from typing import Any

import pytest
from liquid.exceptions import LiquidError

from braze_bridge.partner_config.quikly_activations import Mode, Tier
from braze_bridge.web.edge import lambda_handler_of
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.braze_liquid import render
from tests.fakes.claims import Webhook, activation
from tests.fakes.webhook_template import FOLDER, headers, key_value_pairs, rendered

PERSON = {
    "email_address": "Ada.Winter+shop@Example.com",
    "user_id": "customer-17",
    "braze_id": "5f0a1b2c3d4e5f60718293a4",
}
FIRST = activation(Mode.FIRST, Tier("reward", "A coffee", 2))


def post(webhook: Webhook, body: Any) -> tuple[int, Any]:
    handler = lambda_handler_of(webhook.lambda_, log=lambda: webhook.log.logger)
    event = proxy_event(
        json.dumps(body), path="/quikly/webhook", token=None, headers=headers(TOKEN)
    )
    response = handler(event, None)
    return response["statusCode"], json.loads(response["body"])


def sent(profile: dict[str, str]) -> Any:
    return rendered(profile, q_scope="launch", event="act", dispatch_id="8a1c")


def test_the_pairs_make_a_call_that_wins() -> None:
    """Rendered for a person, with the file's headers: awarded, and the job is for that person."""
    webhook = Webhook(FIRST)

    assert post(webhook, sent(PERSON)) == (200, {"status": "awarded", "tier": "reward"})
    [job] = webhook.jobs.jobs
    assert job.user.external_id == PERSON["user_id"]
    assert '"8a1c"' in webhook.log.text
    assert "Ada" not in webhook.log.text


def test_a_repeat_is_the_same_call() -> None:
    """Braze renders again, perhaps after the person got an id: the claimant is the address."""
    webhook = Webhook(FIRST)
    first = post(webhook, sent({"email_address": "ada.winter+shop@example.com"}))

    assert post(webhook, sent(PERSON)) == first
    assert len({job.job_id for job in webhook.jobs.jobs}) == 1


@pytest.mark.parametrize("profile", [{}, {"email_address": ""}, {"user_id": "customer-17"}])
def test_a_person_without_an_address_is_refused(profile: dict[str, str]) -> None:
    """Liquid renders a missing value as nothing: 422, so that Braze does not try again."""
    status, answer = post(Webhook(FIRST), sent(profile))

    assert status == 422
    assert [(reason["field"], reason["code"]) for reason in answer["reasons"]] == [
        ("email", "blank")
    ]


def test_the_pairs_are_those_the_function_reads() -> None:
    """The three of the partner page, and the ids of the person and the sending."""
    pairs = key_value_pairs()

    assert list(pairs) == ["q_scope", "event", "email", "dispatch_id", "external_id", "braze_id"]
    assert pairs["email"] == "{{${email_address}}}"
    assert pairs["dispatch_id"] == "{{campaign.${dispatch_id}}}"


def test_the_partner_page_s_own_tag_renders_no_address() -> None:
    """Negative control: with two closing braces it is no Liquid, or not the address."""
    printed = "{{${email_address}}"

    try:
        shown = render(printed, PERSON)
    except LiquidError:
        shown = ""

    assert "example.com" not in shown.lower()
    assert post(Webhook(FIRST), sent(PERSON) | {"email": printed})[0] == 422


def test_the_address_and_the_headers_are_those_of_the_template() -> None:
    """POST to the stack's output, a bearer token, JSON; and nothing secret is in the files."""
    assert (FOLDER / "url.txt").read_text().strip().endswith("/live/quikly/webhook")
    assert headers("t") == {"Authorization": "Bearer t", "Content-Type": "application/json"}
    page = (FOLDER / "webhook.md").read_text()
    for file in FOLDER.iterdir():
        if file.suffix != ".md":
            assert f"({file.name})" in page
