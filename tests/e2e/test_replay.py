"""What was parked or dead-lettered arrives: real API, queue, table, delivery, command."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from typer.testing import CliRunner

from braze_bridge.clock import SystemClock
from ops.bridge import app
from tests.fakes.delivery_jobs import job

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.stack.stack_file import StackFile

CALL_SECONDS = 30
SHIPPED = Path(__file__).parents[2] / "layers" / "partner_config" / "outgrow.toml"


class Bridge:
    """The command on the local stack of the session."""

    def __init__(self, stack: StackFile) -> None:
        self._folder = str(Path(stack.logs).parent)

    def __call__(self, *words: str, exit_code: int = 0) -> Any:
        result = CliRunner().invoke(app, [*words, "--json", "--dir", self._folder])
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)


@pytest.fixture
def bridge(stack: StackFile) -> Bridge:
    control(stack, "reset", {})
    return Bridge(stack)


def control(stack: StackFile, route: str, body: dict[str, Any]) -> None:
    answer = requests.post(f"{stack.braze_url}/_sandbox/{route}", json=body, timeout=CALL_SECONDS)
    answer.raise_for_status()


def post(stack: StackFile, body: dict[str, Any], content: str) -> int:
    answer = requests.post(
        f"{stack.api_url}/outgrow/{content}",
        json=body,
        headers={"Authorization": f"Bearer {stack.tokens['outgrow']}"},
        timeout=CALL_SECONDS,
    )
    return answer.status_code


def attributes(stack: StackFile, **identifier: Any) -> dict[str, Any]:
    """The custom attributes of a profile, as Braze exports them; none for an unknown person."""
    answer = requests.post(
        f"{stack.braze_url}/users/export/ids",
        json={"fields_to_export": ["custom_attributes"]} | identifier,
        headers={"Authorization": f"Bearer {stack.braze_api_key}"},
        timeout=CALL_SECONDS,
    )
    answer.raise_for_status()
    users = answer.json()["users"]
    return dict(users[0]["custom_attributes"]) if users else {}


def wait_for(check: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.2)
    return False


def rest(stack: StackFile) -> None:
    """Wait until the delivery queue is empty, nothing in flight."""
    sqs = stack.session().client("sqs", **stack.client_options())

    def is_empty() -> bool:
        counts = sqs.get_queue_attributes(
            QueueUrl=stack.queues["delivery"],
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )["Attributes"]
        return all(count == "0" for count in counts.values())

    assert wait_for(is_empty)


def track_calls(stack: StackFile) -> int:
    answer = requests.get(f"{stack.braze_url}/_sandbox/requests?since=0", timeout=CALL_SECONDS)
    return sum(entry["path"] == "/users/track" for entry in answer.json())


def test_a_body_that_could_not_be_mapped_arrives_after_a_correction_and_only_once(
    stack: StackFile, bridge: Bridge, tmp_path: Path
) -> None:
    """It stays parked with the same file; with a corrected file its attribute arrives."""
    content, address = f"quiz-{uuid.uuid4().hex[:8]}", f"{uuid.uuid4().hex}@example.com"
    body = {"id": "odd-1", "contact": {"mail": address}, "score": 61}
    assert post(stack, body, content) == 422
    (row,) = [
        row for row in bridge("rejected", "list")["rows"] if row["route"] == f"/outgrow/{content}"
    ]
    assert row["reasons"][0]["code"] == "no_identity"
    assert address not in json.dumps(row)
    assert address in bridge("rejected", "show", row["id"])["payload"]

    replay = ["rejected", "replay", row["id"]]
    assert bridge(*replay, exit_code=1)["counts"] == {"still_rejected": 1}
    shipped = SHIPPED.read_text()
    corrected = shipped.replace('email = ["email",', 'email = ["contact.mail", "email",')
    assert corrected != shipped
    (tmp_path / SHIPPED.name).write_text(corrected)
    replay += ["--config-dir", str(tmp_path)]
    (sent,) = bridge(*replay)["results"]

    assert sent["job_id"].startswith(f"outgrow:{content}:odd-1:")
    expected = {"outgrow_quiz_score": 61}
    assert wait_for(lambda: attributes(stack, email_address=address) == expected)
    rest(stack)
    calls = track_calls(stack)
    assert bridge(*replay, exit_code=1)["counts"] == {"gone": 1}
    rest(stack)
    assert track_calls(stack) == calls
    assert attributes(stack, email_address=address) == expected


def test_an_object_that_braze_refused_arrives_when_braze_takes_it(
    stack: StackFile, bridge: Bridge
) -> None:
    """It is refused once, parked with Braze's reason, and replayed under its own id."""
    person = f"refused-{uuid.uuid4().hex}"
    fault = {"input_array": "attributes", "index": 0, "type": "refused for this test"}
    control(
        stack,
        "faults",
        {"path": "/users/track", "match": person, "times": 1, "errors": [fault]},
    )
    assert post(stack, {"id": person, "external_id": person, "score": 7}, "faulty") == 200
    listed = ["rejected", "list", "--reason", "braze_refused", "--kind", "objects"]

    def parked() -> list[str]:
        return [row["id"] for row in bridge(*listed)["rows"] if person in row["id"]]

    assert wait_for(lambda: bool(parked()))
    (record_id,) = parked()
    assert attributes(stack, external_ids=[person]) == {}

    (sent,) = bridge("rejected", "replay", record_id)["results"]

    assert sent["job_id"].startswith(f"{record_id.partition('#')[2]}~r1-")
    assert wait_for(lambda: attributes(stack, external_ids=[person]) == {"outgrow_quiz_score": 7})
    assert parked() == []


def test_dead_letters_are_seen_where_they_are_and_arrive_after_a_replay(
    stack: StackFile, bridge: Bridge
) -> None:
    """Also a job that waited longer than delivery allows; then the queue is empty."""
    people = [f"dead-{uuid.uuid4().hex}" for _ in range(12)]
    sqs = stack.session().client("sqs", **stack.client_options())
    age = (SystemClock().now() - job("0", age=0).received_at).total_seconds()
    for number, person in enumerate(people):
        # Noon of the fakes, moved to four days and a minute ago.
        waited = job(person, person, attributes={"score": number}, age=4 * 86_400 + 60 - age)
        sqs.send_message(
            QueueUrl=stack.queues["delivery_dead_letter"], MessageBody=waited.to_json()
        )

    def seen() -> set[str]:
        messages = bridge("dlq", "list")["messages"]
        return {message["job_id"] for message in messages}

    assert seen() == seen() == {f"outgrow:default:{person}" for person in people}
    (first, *_) = bridge("dlq", "list")["messages"]
    assert first["job_id"] in bridge("dlq", "show", first["message_id"])["body"]

    assert bridge("dlq", "replay")["sent"] == len(people)

    assert wait_for(
        lambda: all(
            attributes(stack, external_ids=[person]) == {"score": number}
            for number, person in enumerate(people)
        )
    )
    assert bridge("dlq", "list") == {"messages": []}
    assert bridge("dlq", "replay")["sent"] == 0
