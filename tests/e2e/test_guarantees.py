"""Nothing lost, nothing doubled, nothing sent into a limit: through the real API and queue."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tests.e2e.test_first_light import control, export, post_answer, tracked, wait_for

if TYPE_CHECKING:
    from sandbox.stack.stack_file import StackFile


def profile(stack: StackFile, external_id: str) -> dict[str, Any]:
    """The profile with its events, or nothing."""
    found: list[dict[str, Any]] = control(stack, "profiles")
    return next((each for each in found if each.get("external_id") == external_id), {})


def test_the_same_response_50_times_at_once_leaves_one_event(stack: StackFile) -> None:
    """A response counts once, however often it is sent again."""
    control(stack, "reset", {})
    body = {"id": "fifty", "external_id": "fifty", "score": 50}

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post_answer(stack, body, "/outgrow/demo"), range(50)))

    (job_id,) = {answer["job_id"] for answer in answers}
    assert job_id.startswith("outgrow:demo:fifty:")
    assert wait_for(lambda: bool(profile(stack, "fifty").get("events")), 30)
    wait_until_idle(stack)
    assert [event["name"] for event in profile(stack, "fifty")["events"]] == ["outgrow_completed"]


def test_of_two_answers_in_the_wrong_order_the_newer_stays_and_both_events_count(
    stack: StackFile,
) -> None:
    """The older one is held back by a fault, and arrives after the newer."""
    control(stack, "reset", {})
    fault = {"path": "/users/track", "match": '"score":1}', "times": 1, "status": 503}
    control(stack, "faults", fault)
    older = {
        "id": "older",
        "external_id": "late",
        "score": 1,
        "segment": "only in the older",
        "created_at": "2026-11-20T10:00:00Z",
    }
    newer = {
        "id": "newer",
        "external_id": "late",
        "score": 2,
        "created_at": "2026-11-20T11:00:00Z",
    }

    post_answer(stack, older, "/outgrow/demo")
    assert wait_for(lambda: 503 in {entry["status"] for entry in tracked(stack)}, 20)
    post_answer(stack, newer, "/outgrow/demo")

    assert wait_for(lambda: len(profile(stack, "late").get("events", ())) == 2, 60)
    wait_until_idle(stack)
    assert sorted(event["properties"]["score"] for event in profile(stack, "late")["events"]) == [
        1,
        2,
    ]
    (user,) = export(stack, external_ids=["late"])
    assert user["custom_attributes"] == {
        "outgrow_quiz_score": 2,
        "outgrow_custom_segment": "only in the older",
    }


def test_after_a_429_nothing_starts_until_its_time_is_over_and_then_all_arrives_once(
    stack: StackFile,
) -> None:
    """No Lambda sends for the 20 s that Braze asked for, however much comes in meanwhile."""
    control(stack, "reset", {})
    fault = {
        "path": "/users/track",
        "times": 1,
        "status": 429,
        "headers": {"X-Ratelimit-Retry-After": "20"},
    }
    control(stack, "faults", fault)
    post_answer(stack, {"id": "limit-0", "external_id": "limit-0", "score": 0}, "/outgrow/demo")
    assert wait_for(lambda: 429 in {entry["status"] for entry in tracked(stack)}, 20)
    refused_at = next(e["at"] for e in tracked(stack) if e["status"] == 429)

    for number in range(1, 30):
        body = {"id": f"limit-{number}", "external_id": f"limit-{number}", "score": number}
        post_answer(stack, body, "/outgrow/demo")
        time.sleep(0.3)

    def events() -> dict[str, int]:
        return {
            each["external_id"]: len(each.get("events", ())) for each in control(stack, "profiles")
        }

    assert wait_for(lambda: len(events()) == 30, 90)
    wait_until_idle(stack)
    assert events() == {f"limit-{number}": 1 for number in range(30)}
    started = [entry["at"] - refused_at for entry in tracked(stack)]
    too_early = [seconds for seconds in started if 1 < seconds < 20]
    assert too_early == []
    print(f"first request {min(s for s in started if s > 1):.1f} s after the 429")  # noqa: T201 - for the note


def wait_until_idle(stack: StackFile) -> None:
    """Until the delivery queue is empty and nothing is in flight."""
    sqs = stack.session().client("sqs", **stack.client_options())

    def is_empty() -> bool:
        counts = sqs.get_queue_attributes(
            QueueUrl=stack.queues["delivery"],
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
            ],
        )["Attributes"]
        return not any(int(count) for count in counts.values())

    assert wait_for(is_empty, 120)
