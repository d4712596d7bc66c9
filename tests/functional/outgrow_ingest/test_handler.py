"""The whole handler on fakes: what Outgrow can rely on, for any body."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_bridge.mapping.link_signatures import sign
from braze_bridge.observability import Metric
from braze_bridge.partner_config.toml_files import load_outgrow
from tests.fakes.api_event import proxy_event
from tests.fakes.json_bodies import outgrow_bodies
from tests.fakes.outgrow import OutgrowBench, answered

if TYPE_CHECKING:
    import pathlib

BODY = {"response_id": "r-1", "email": "ada@example.com", "score": 87}

STRICT = """
schema_version = 1
[door]
allow_query_token = true
[default]
consent = ["consent"]
person = { order = ["email"], email = ["email"] }
attributes.score = { from = "score", type = "integer", on_mismatch = "reject" }
"""


def test_accepted_only_after_the_queue_took_it() -> None:
    """A refusing queue makes a 503, and the same post later makes exactly one job."""
    bench = OutgrowBench()
    bench.queue.refusing = True

    status, body = answered(bench.post(BODY))

    assert (status, body["status"], bench.queue.jobs) == (503, "error", [])
    assert bench.meter.totals[Metric.JOBS_ACCEPTED] == 0
    bench.queue.refusing = False
    status, body = answered(bench.post(BODY))
    assert (status, body["status"]) == (200, "accepted")
    assert [job.job_id for job in bench.queue.jobs] == [body["job_id"]]
    assert body["job_id"].startswith("outgrow:default:r-1:")


def test_a_response_that_comes_again_with_other_content_is_another_job_with_the_same_event() -> (
    None
):
    """Its attributes are updated, and its event still counts once. A stamp changes nothing."""
    bench = OutgrowBench()
    answers = [
        {"id": "r-1", "email": "ada@example.com", "score": score, "delivery": number}
        for number, score in enumerate((10, 10, 90))
    ]
    for body in answers:
        assert answered(bench.post(body, "/outgrow/demo"))[0] == 200

    first, again, other = bench.queue.jobs
    assert first.job_id == again.job_id != other.job_id
    assert first.once_ids == other.once_ids == ("outgrow:demo:r-1:outgrow_completed:0",)
    assert other.attributes["outgrow_quiz_score"] == 90


def test_refused_only_after_the_body_was_parked() -> None:
    """A refusing store makes a 503. After a 422 the sender would not send again."""
    bench = OutgrowBench()
    bench.rejected.refusing = True

    assert bench.post({"score": 1})["statusCode"] == 503
    assert bench.meter.totals[Metric.BODIES_PARKED] == 0
    bench.rejected.refusing = False
    assert bench.post({"score": 1})["statusCode"] == 422
    [record] = bench.rejected.records.values()
    assert json.loads(record.payload) == {"score": 1}
    assert record.route == "/outgrow"


def test_with_signed_links_only_a_signed_identifier_counts(tmp_path: pathlib.Path) -> None:
    """Otherwise 422, and the body is parked. If the key cannot be read, 503."""
    rules = """
schema_version = 1
[default]
person = { order = ["email"], email = ["email"], trust = "signed", signature = ["mark"] }
attributes.score = { from = "score", type = "integer" }
"""
    (tmp_path / "outgrow.toml").write_text(rules)
    bench = OutgrowBench(load_outgrow(tmp_path))
    signed = {**BODY, "mark": sign("a key of tests", "email", "ada@example.com")}

    assert bench.post(signed)["statusCode"] == 200
    for forged in (BODY, {**signed, "email": "ben@example.com"}):
        status, body = answered(bench.post(forged))
        assert status == 422
        assert "unsigned" in [each["code"] for each in body["reasons"]]
    assert (len(bench.queue.jobs), len(bench.rejected.records)) == (1, 2)
    bench.link_key.unavailable = True
    assert bench.post(signed)["statusCode"] == 503


def test_unreadable_secret_is_503() -> None:
    """A token that cannot be checked is not refused."""
    bench = OutgrowBench()
    bench.secret.unavailable = True

    response = bench.post(BODY)

    assert (response["statusCode"], response["headers"]["Retry-After"]) == (503, "30")
    assert bench.queue.jobs == []


def test_configured_door_consent_and_rejection_hold(tmp_path: pathlib.Path) -> None:
    """Query token, consent and ``reject`` of a partner's file reach the answer."""
    (tmp_path / "outgrow.toml").write_text(STRICT, encoding="utf-8")
    bench = OutgrowBench(load_outgrow(tmp_path))

    def post(**fields: Any) -> int:
        body = json.dumps({"email": "ada@example.com", **fields})
        event = proxy_event(body, token=None, query={"token": "the-right-token"})
        return bench.handler(event, None)["statusCode"]

    assert [post(), post(consent=True, score=1), post(consent=True, score=1.5)] == [200, 200, 422]
    assert len(bench.queue.jobs) == len(bench.rejected.records) == 1
    assert bench.meter.totals[Metric.RESPONSES_IGNORED] == 1
    assert "the-right-token" not in bench.log.text


def test_figures_are_written_with_every_answer() -> None:
    """Metrics are flushed whether the call was accepted, refused or unauthorized."""
    bench = OutgrowBench()

    bench.post(BODY)
    bench.post({})
    bench.handler(proxy_event("{}", token=None), None)

    assert bench.flushes == 3


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ('{"response_id":"r","email":"ada@example.com","segment":"s","score":1e400}', 1),
        ('{"response_id":"r","email":"ada@example.com","segment":"s","score":-1e400}', 1),
        ('{"email":"ada@example.com","segment":"s","score":' + "9" * 4000 + "}", 1),
        ('{"response_id":1e400,"email":"ada@example.com","segment":"s"}', 0),
        ('{"response_id":' + "9" * 4300 + ',"email":"ada@example.com","segment":"s"}', 0),
        ('{"email":"ada@example.com","segment":"s","x":' + "[" * 190 + "]" * 190 + "}", 0),
        ('{"email":"ada@example.com","segment":"s","created_at":' + "9" * 4000 + "}", 0),
    ],
    ids=["infinite", "-infinite", "4000 digits", "id 1e400", "id 4300 digits", "deep", "time"],
)
def test_extreme_numbers_are_skipped_and_the_rest_goes_on(text: str, skipped: int) -> None:
    """Numbers that no type can hold do not crash: the value is skipped, the job is made."""
    bench = OutgrowBench()

    assert bench.handler(proxy_event(text), None)["statusCode"] == 200
    assert bench.queue.jobs[0].attributes == {"outgrow_custom_segment": "s"}
    assert bench.meter.totals[Metric.ATTRIBUTES_SKIPPED] == skipped


BENCH = OutgrowBench()


@given(
    body=outgrow_bodies(), path=st.sampled_from(["/outgrow", "/outgrow/6512bd43d9caa6e02c990b0a"])
)
def test_any_json_is_accepted_or_refused(body: Any, path: str) -> None:
    """For any JSON the answer is 200 or 422; a 200's job is queued, a 422's body parked."""
    BENCH.queue.jobs.clear()
    BENCH.rejected.records.clear()

    status, answer = answered(BENCH.handler(proxy_event(json.dumps(body), path=path), None))

    # Python writes 1e400 as Infinity, which is not JSON.
    assert status in (200, 422) or (status == 400 and "Infinity" in json.dumps(body))
    assert [job.job_id for job in BENCH.queue.jobs] == ([answer["job_id"]] if status == 200 else [])
    assert len(BENCH.rejected.records) == (1 if status == 422 else 0)


@given(st.one_of(st.text(), st.binary()))
def test_any_bytes_are_refused_or_accepted(body: str | bytes) -> None:
    """For any bytes the answer is 200 or a clear 4xx."""
    status, _ = answered(BENCH.handler(proxy_event(body), None))

    assert status in (200, 400, 422)


def marked(marks: list[str]) -> st.SearchStrategy[Any]:
    """Bodies whose texts are unique: none can be in an answer by chance."""

    def mark(ending: str) -> str:
        text = f"q{secrets.token_hex(8)}{ending}"
        marks.append(text.split("@", maxsplit=1)[0].strip().lower())
        return text

    texts = st.sampled_from(["", "@example.com", "@example", " ", "-2026"]).map(mark)
    fields = st.sampled_from(
        ["response_id", "id", "email", "phone", "user_id", "score", "segment", "created_at"]
    )
    values = st.one_of(texts, st.lists(texts, max_size=2))
    flat = st.dictionaries(fields, values, max_size=6)
    return st.one_of(flat, st.fixed_dictionaries({"lead": flat, "result": flat}), st.lists(flat))


@settings(max_examples=60)
@given(st.data())
def test_no_value_of_a_body_is_answered_or_logged(data: st.DataObject) -> None:
    """Neither answer nor log (unscrubbed) quotes the body; only a plain response id shows."""
    marks: list[str] = []
    body = data.draw(marked(marks))
    bench = OutgrowBench()

    response = bench.post(body)

    shown = bench.log.text.lower() + response["body"].lower()
    ids = body if isinstance(body, dict) else {}
    plain = {str(ids.get(name, "")).strip().lower() for name in ("response_id", "id")}
    assert [mark for mark in marks if mark in shown and mark not in plain] == []
