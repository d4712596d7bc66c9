"""From an answered survey to attributes and events on the right profile, through the real API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import requests

from braze_bridge.ledger.new_names import DynamoNames
from tests.e2e.test_first_light import CALL_SECONDS, control, tracked, wait_for
from tests.e2e.test_guarantees import wait_until_idle
from tests.fakes.iterate import answer, body

if TYPE_CHECKING:
    from braze_bridge.ledger.new_names import NamesRow
    from sandbox.stack.stack_file import StackFile

ENJOY = "Do you enjoy our products?"
EVENT = "survey-question-response"


def names_row(stack: StackFile) -> NamesRow:
    table = stack.session().client("dynamodb", **stack.client_options())
    return DynamoNames(table, stack.tables["ledger"], "iterate").read()


def test_each_new_prompt_is_counted_once(stack: StackFile) -> None:
    """The function finds its row and may write it; a known prompt adds nothing."""
    prompt = f"Is {uuid4()} new?"
    posted = body(answer(1, prompt), answer(2, f"{prompt}!"), user={"external_id": "new-names"})

    before = names_row(stack)
    assert "warnings" not in post_survey(stack, posted).json()
    after = names_row(stack)
    again = body(answer(1, prompt), user={"external_id": "new-names"}, id="sr-again")
    assert post_survey(stack, again).status_code == 200

    assert len(after.known) == len(before.known) + 2
    assert after.used == (before.used if before.day == after.day else 0) + 2
    assert names_row(stack) == after


def known_person(stack: StackFile, external_id: str) -> str:
    """A profile that Braze knows before, and its ``braze_id``."""
    made = requests.post(
        f"{stack.braze_url}/users/track",
        json={"attributes": [{"external_id": external_id}]},
        headers={"Authorization": f"Bearer {stack.braze_api_key}"},
        timeout=CALL_SECONDS,
    )
    made.raise_for_status()
    return str(profile(stack, external_id=external_id)["braze_id"])


def profile(stack: StackFile, **identifier: str) -> dict[str, Any]:
    """The profile with its events, or nothing."""
    ((kind, value),) = identifier.items()
    found: list[dict[str, Any]] = control(stack, "profiles")
    return next((each for each in found if each.get(kind) == value), {})


def post_survey(stack: StackFile, posted: Any) -> requests.Response:
    return requests.post(
        f"{stack.api_url}/iterate",
        json=posted,
        headers={"Authorization": f"Bearer {stack.tokens['iterate']}"},
        timeout=CALL_SECONDS,
    )


def test_a_survey_never_seen_before_and_sent_again(stack: StackFile) -> None:
    """3 questions, one renamed: 3 attributes and 3 events, also after Iterate's three resends."""
    wait_until_idle(stack)  # a job of an earlier test would add its person
    control(stack, "reset", {})
    braze_id = known_person(stack, "never-surveyed")
    posted = body(
        answer(1, ENJOY, "Very much"),
        answer(2, " What should we build next? ", "A 🚲 & <b>more</b>"),
        answer(3, "What is your favourite colour?", "Teal", question_id="q-renamed"),
        user={"braze_id": braze_id, "id": "iterate-user-1"},
        id="never-seen-1",
        survey={"id": "demo", "name": "Never seen"},
    )

    answers = [post_survey(stack, posted | {"attempt": hours}) for hours in (0, 1, 6, 24)]

    assert {each.status_code for each in answers} == {200}
    (job_id,) = {each.json()["job_id"] for each in answers}
    assert job_id.startswith("iterate:demo:never-seen-1:")
    assert wait_for(lambda: len(profile(stack, braze_id=braze_id).get("events", ())) >= 3, 30)
    wait_until_idle(stack)
    (person,) = control(stack, "profiles")
    assert person["braze_id"] == braze_id
    assert person["custom_attributes"] == {
        ENJOY: "Very much",
        "What should we build next?": "A 🚲 & <b>more</b>",
        "iterate_favourite_colour": "Teal",
    }
    assert [(event["name"], event["properties"]["response"]) for event in person["events"]] == [
        (EVENT, "Very much"),
        (EVENT, "A 🚲 & <b>more</b>"),
        (EVENT, "Teal"),
    ]
    assert person["events"][0]["time"].startswith("2026-11-20T08:01:00")
    assert person["dropped"] == []


@pytest.mark.parametrize(
    ("count", "user"),
    [
        (90, {}),
        (200, {"id": "somebody-only-iterate-knows"}),
        (250, {}),
    ],
)
def test_a_long_survey_is_several_requests_and_one_of_each(
    stack: StackFile, count: int, user: dict[str, str]
) -> None:
    """As many attributes and events as questions, also for an alias that has to be made."""
    wait_until_idle(stack)
    control(stack, "reset", {})
    person = user or {"braze_id": known_person(stack, "patient")}
    responses = [
        {
            "id": f"r{n}",
            "question_id": f"q{n}",
            "created_at": "2026-11-20T08:00:00Z",
            "question_prompt": f"Q{n}?",
            "formatted_response": f"A{n}",
        }
        for n in range(count)
    ]
    survey = {"id": f"long-{count}", "name": "s" * 255}

    assert post_survey(stack, body(*responses, user=person, survey=survey)).status_code == 200

    def found() -> dict[str, Any]:
        (only,) = control(stack, "profiles") or [{}]
        return dict(only)

    assert wait_for(lambda: len(found().get("events", ())) >= count, 90)
    wait_until_idle(stack)
    assert found()["custom_attributes"] == {f"Q{n}?": f"A{n}" for n in range(count)}
    assert sorted(event["properties"]["response_id"] for event in found()["events"]) == sorted(
        f"r{n}" for n in range(count)
    )
    assert found()["dropped"] == []
    sent = [entry["objects"] for entry in tracked(stack) if entry["objects"] > 1]
    assert max(sent) <= 75
    assert len(sent) <= count // 75 + 1 + (3 if count > 1000 else 0)


def test_who_answered_no_can_be_followed_up(stack: StackFile) -> None:
    """By what they last said (an attribute), and by what they ever said (an event)."""
    control(stack, "reset", {})
    said = {"ada": ["No"], "bela": ["Yes"], "cora": ["No", "Yes"], "dana": ["no"]}
    for person, responses in said.items():
        for day, response in enumerate(responses, start=20):
            posted = body(
                answer(1, ENJOY, response, created_at=f"2026-11-{day}T08:00:00Z"),
                answer(2, "And our service?", "No"),
                user={"external_id": person},
                id=f"{person}-{day}",
                completed_at=f"2026-11-{day}T09:00:00Z",
            )
            assert post_survey(stack, posted).status_code == 200

    def count() -> int:
        return sum(len(each["events"]) for each in control(stack, "profiles"))

    def audience(**filters: Any) -> list[str]:
        return sorted(each["external_id"] for each in control(stack, "audience", filters))

    assert wait_for(lambda: count() == 10, 30)
    assert audience(attributes={ENJOY: "No"}) == ["ada"]
    said_no = {"question": ENJOY, "response": "No"}
    assert audience(event={"name": EVENT, "properties": said_no}) == ["ada", "cora"]


def test_what_cannot_be_mapped_is_refused_and_what_is_none_of_ours_ignored(
    stack: StackFile,
) -> None:
    """422 without a quote of the body; 200 for another kind of event."""
    control(stack, "reset", {})

    unidentified = post_survey(stack, body(answer(1, ENJOY, "My secret"), user={}))
    other = post_survey(stack, {"event_type": "survey_viewed"})
    untyped = post_survey(stack, {"survey_response": {}})

    assert (unidentified.status_code, other.status_code, untyped.status_code) == (422, 200, 422)
    assert unidentified.json()["reasons"][0]["code"] == "no_identity"
    assert "secret" not in unidentified.text
    assert other.json() == {"status": "ignored"}
    rows = stack.session().client("dynamodb", **stack.client_options())
    payloads = [
        item["payload"]["S"] for item in rows.scan(TableName=stack.tables["rejected"])["Items"]
    ]
    assert len([text for text in payloads if "My secret" in text]) == 1
