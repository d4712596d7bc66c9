"""The function as it is wired for Lambda, on moto's SQS, DynamoDB and Secrets Manager."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from braze_bridge.jobs.envelope import parse_job
from iterate_responses import app
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.ingest_cloud import Cloud, ingest_cloud
from tests.fakes.iterate import SURVEY, answer, body
from tests.fakes.outgrow import answered

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator
    from typing import Any

    from braze_bridge.web.door import ProxyResponse


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    made = ingest_cloud(
        monkeypatch, app.INGEST.compose, "iterate-responses", "stack/partner/iterate"
    )
    with made as running:
        yield running


def post(cloud: Cloud, posted: Any, token: str = TOKEN) -> ProxyResponse:
    event = proxy_event(json.dumps(posted), path="/iterate", token=token)
    return cloud.handler(event, None)


def test_a_response_becomes_a_message(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    """An accepted response is a DeliveryJob in the queue, and a metric in the function's output."""
    status, said = answered(post(cloud, body(answer(1, "Why?"), answer(2, "How?", ""))))

    assert status == 200
    [message] = cloud.jobs()
    job = parse_job(message)
    assert (job.job_id, job.attributes) == (said["job_id"], {"Why?": "Yes"})
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["JobsAccepted"], figures["QuestionsUnanswered"]) == ([1.0], [1.0])
    assert figures["service"] == "iterate-responses"


@pytest.mark.parametrize(
    ("answers", "status", "jobs", "rows"), [(250, 200, 1, 0), (251, 422, 0, 1)]
)
def test_a_survey_has_at_most_250_answers(
    cloud: Cloud, answers: int, status: int, jobs: int, rows: int
) -> None:
    """One with more is parked, whole."""
    many = [
        {"id": f"r{n}", "question_id": f"q{n}", "question_prompt": f"Q{n}?"}
        | {"formatted_response": "Y"}
        for n in range(answers)
    ]

    response = post(cloud, body(*many, survey={"id": SURVEY, "name": "s" * 255}))

    assert (response["statusCode"], len(cloud.jobs()), len(cloud.rows())) == (status, jobs, rows)


def test_an_unmappable_body_becomes_a_row(cloud: Cloud) -> None:
    """A refused body is a row of the rejected table, whole and with its reason."""
    posted = body(answer(1, "Why?"), user={})

    assert post(cloud, posted)["statusCode"] == 422

    [row] = cloud.rows()
    assert (row["source"]["S"], row["route"]["S"], row["reason"]["S"]) == (
        "iterate",
        "/iterate",
        "no_identity",
    )
    assert json.loads(row["payload"]["S"]) == posted
    assert cloud.jobs() == []


def test_a_wrong_token_reaches_nothing(cloud: Cloud) -> None:
    """An unauthenticated call leaves neither message nor row."""
    assert post(cloud, body(answer(1, "Why?")), token="wrong")["statusCode"] == 401

    assert (cloud.jobs(), cloud.rows()) == ([], [])


def test_partner_files_that_are_not_compiled_are_503_and_named(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """A function never reads TOML: the log says what is missing, and the sender waits."""
    monkeypatch.setenv("PARTNER_CONFIG_DIR", str(tmp_path))

    assert post(cloud, body(answer(1, "Why?")))["statusCode"] == 503
    assert "iterate.pickle: is missing: functions load what `sam build` compiles" in cloud.log.text
    assert cloud.jobs() == []


def test_the_module_s_handler_answers(cloud: Cloud) -> None:
    """``iterate_responses.app.lambda_handler`` itself, as the template names it, answers."""
    event = proxy_event(json.dumps(body(answer(1, "Why?"))), path="/iterate")

    assert app.lambda_handler(event, None)["statusCode"] == 200
