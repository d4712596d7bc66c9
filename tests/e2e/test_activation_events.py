"""What people did at Quikly reaches their Braze profiles, through API, queue and functions."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from typer.testing import CliRunner

from ops.bridge import app
from tests.e2e.test_webhook import control, new_person, profile, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.stack.stack_file import StackFile

CALL_SECONDS = 30
SHIPPED = Path(__file__).parents[2] / "layers" / "partner_config" / "quikly.toml"


def post(stack: StackFile, body: dict[str, Any], caller: str = "quikly") -> requests.Response:
    return requests.post(
        f"{stack.api_url}/quikly/events",
        json=body,
        headers={"Authorization": f"Bearer {stack.tokens[caller]}"},
        timeout=CALL_SECONDS,
    )


def told(event: str, email: str, at: str, **more: Any) -> dict[str, Any]:
    return {
        "q_scope": "demo-first",
        "event": event,
        "event_id": uuid.uuid4().hex,
        "occurred_at": at,
        "email": email,
    } | more


@pytest.fixture(autouse=True)
def _clean(stack: StackFile) -> Iterator[None]:
    control(stack, "reset", {})
    yield
    control(stack, "reset", {})


def test_a_journey_through_an_activation_is_on_the_profile(stack: StackFile) -> None:
    """Attributes of the newest event, whatever the order of arrival; each event once."""
    email = new_person()
    reached = told(
        "tier_reached",
        email,
        "2026-11-22T10:05:00Z",
        properties={"tier": "gold", "incentive": "Front row", "rank": "2"},
    )
    completed = told("completed", email, "2026-11-22T10:09:00Z", properties={"rank": 2})
    entered = told("entered", email, "2026-11-22T10:00:00Z")

    for body in (reached, completed, entered, reached):
        answer = post(stack, body)
        assert answer.status_code == 200, answer.text
        assert f":{body['event_id']}:" in answer.json()["job_id"]

    names = {"quikly_tier_reached", "quikly_completed"}
    assert wait_for(
        lambda: {event["name"] for event in profile(stack, email).get("events", ())} == names
    )
    shown = profile(stack, email)
    assert len(shown["events"]) == 2
    assert shown["custom_attributes"] == {
        "quikly_activation": "demo-first",
        "quikly_activation_event": "completed",
        "quikly_reached_tier": "gold",
        "quikly_reached_incentive": "Front row",
    }
    [reached_event] = [e for e in shown["events"] if e["name"] == "quikly_tier_reached"]
    assert reached_event["properties"]["rank"] == 2


def test_an_event_without_a_rule_is_kept_and_arrives_once_there_is_one(
    stack: StackFile, tmp_path: Path
) -> None:
    """422 with the reason; the body waits in the rejected table for a corrected file."""
    email = new_person()
    folder = str(Path(stack.logs).parent)

    def bridge(*words: str) -> Any:
        result = CliRunner().invoke(app, [*words, "--json", "--dir", folder])
        return json.loads(result.stdout)

    answer = post(stack, told("danced", email, "2026-11-22T10:00:00Z"))

    assert answer.status_code == 422
    assert [reason["code"] for reason in answer.json()["reasons"]] == ["unknown_event"]
    rows = bridge("rejected", "list", "--source", "quikly_events")["rows"]
    [row] = [row for row in rows if email in bridge("rejected", "show", row["id"])["payload"]]
    (tmp_path / SHIPPED.name).write_text(SHIPPED.read_text() + "\n[events.on.danced]\n")
    replayed = bridge("rejected", "replay", row["id"], "--config-dir", str(tmp_path))
    assert replayed["counts"] == {"sent": 1}
    assert wait_for(
        lambda: (
            profile(stack, email).get("custom_attributes", {}).get("quikly_activation_event")
            == "danced"
        )
    )


@pytest.mark.parametrize("token", ["outgrow", "braze_webhook"])
def test_only_quikly_s_own_token_opens_it(stack: StackFile, token: str) -> None:
    """Neither another partner's nor Braze's."""
    assert (
        post(stack, told("entered", new_person(), "2026-11-22T10:00:00Z"), token).status_code == 401
    )
