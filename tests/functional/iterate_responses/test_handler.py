"""The whole handler on fakes: what Iterate can rely on, for any body."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_bridge.observability import Metric
from tests.fakes.api_event import proxy_event
from tests.fakes.iterate import IterateBench, answer, body
from tests.fakes.json_bodies import iterate_bodies
from tests.fakes.outgrow import answered

ENJOY = "Do you enjoy our products?"


def test_accepted_only_after_the_queue_took_it() -> None:
    """A refusing queue makes a 503, so that Iterate sends it again; then it is the same job."""
    bench = IterateBench()
    bench.queue.refusing = True

    status, _ = answered(bench.post(body(answer(1, ENJOY))))

    assert (status, bench.queue.jobs) == (503, [])
    bench.queue.refusing = False
    for hours in (1, 6, 24):
        again = body(answer(1, ENJOY)) | {"attempt": hours}
        assert answered(bench.post(again))[0] == 200
    assert len({job.job_id for job in bench.queue.jobs}) == 1


def test_a_response_that_comes_again_with_other_answers_counts_each_answer_once() -> None:
    """A changed answer updates the attribute; only the new answer has a new event."""
    bench = IterateBench()
    for answers in ((answer(1, ENJOY, "No"),), (answer(1, ENJOY, "Yes"), answer(2, "Why?"))):
        assert answered(bench.post(body(*answers)))[0] == 200

    first, more = bench.queue.jobs
    assert first.job_id != more.job_id
    assert more.attributes[ENJOY] == "Yes"
    assert (len(first.once_ids), len(more.once_ids)) == (1, 2)
    assert more.once_ids[0] == first.once_ids[0]
    assert more.sender == "iterate_responses"


def test_parked_once_however_often_it_is_sent() -> None:
    """A 422 is no 200, so Iterate sends it three times more: one row."""
    bench = IterateBench()

    for _ in range(4):
        assert bench.post(body(answer(1, ENJOY), user={}))["statusCode"] == 422

    [record] = bench.rejected.records.values()
    assert (record.source, record.route, record.reasons[0].code) == (
        "iterate",
        "/iterate",
        "no_identity",
    )
    assert json.loads(record.payload) == body(answer(1, ENJOY), user={})


def test_what_is_left_out_and_what_was_not_answered_is_counted() -> None:
    """A cut text was sent and does not count as left out; nor does a blank answer."""
    bench = IterateBench()

    bench.post(
        body(
            answer(1, "Why?", "first"),
            answer(2, "Why?", "second"),
            answer(3, "Long?", "x" * 300),
            answer(4, "Blank?", ""),
        )
    )

    assert bench.meter.totals[Metric.ATTRIBUTES_SKIPPED] == 1
    assert bench.meter.totals[Metric.QUESTIONS_UNANSWERED] == 1
    assert [line["code"] for line in bench.log.lines if "attribute" in line] == [
        "too_long",
        "same_name",
    ]


def test_only_the_one_route_is_answered() -> None:
    """This function does not answer Outgrow's path."""
    bench = IterateBench()

    assert bench.handler(proxy_event("{}", path="/outgrow"), None)["statusCode"] == 404


BENCH = IterateBench()


@given(posted=iterate_bodies())
def test_any_json_is_accepted_ignored_or_refused(posted: Any) -> None:
    """For any JSON the answer is 200 or 422; everything accepted is queued."""
    BENCH.queue.jobs.clear()
    BENCH.rejected.records.clear()

    status, said = answered(BENCH.post(posted))

    # Python writes 1e400 as Infinity, which is not JSON.
    assert status in (200, 422) or (status == 400 and "Infinity" in json.dumps(posted))
    accepted = said["status"] == "accepted"
    assert [job.job_id for job in BENCH.queue.jobs] == ([said["job_id"]] if accepted else [])
    assert len(BENCH.rejected.records) == (1 if status == 422 else 0)


@given(st.one_of(st.text(), st.binary()))
def test_any_bytes_are_refused(posted: str | bytes) -> None:
    """For any bytes the answer is a clear 4xx: none of them is a survey."""
    status, _ = answered(BENCH.handler(proxy_event(posted, path="/iterate"), None))

    assert status in (400, 422)


@pytest.mark.parametrize("user", [{}, {"email": "ada@example.com"}])
@settings(max_examples=40)
@given(data=st.data())
def test_no_value_of_a_body_is_answered_or_logged(user: dict[str, str], data: Any) -> None:
    """Neither answer nor log (unscrubbed) quotes prompts, answers, ids of answers or persons."""
    marks: list[str] = []

    def mark(ending: str) -> str:
        text = f"q{secrets.token_hex(8)}{ending}"
        marks.append(text.strip().lower())
        return text

    texts = st.sampled_from(["", "@example.com", " ", "x" * 300]).map(mark)
    fields = ("id", "question_id", "question_prompt", "formatted_response", "created_at")
    entries = st.dictionaries(st.sampled_from(fields), texts, max_size=5)
    responses = data.draw(st.lists(st.one_of(entries, texts), min_size=1, max_size=4))
    person = user | data.draw(st.dictionaries(st.sampled_from(["id", "braze_id"]), texts))
    bench = IterateBench()

    response = bench.post(body(*responses, user=person))

    shown = bench.log.text.lower() + response["body"].lower()
    assert [found for found in marks if found in shown] == []
