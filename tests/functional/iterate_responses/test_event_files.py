"""Every sample event, through the handler on fakes."""

from __future__ import annotations

import json

import pytest

from braze_bridge.observability import Metric
from tests.fakes.event_files import EventCase, event_cases
from tests.fakes.iterate import IterateBench
from tests.fakes.outgrow import answered

CASES = event_cases("iterate")
GOOD = [case for case in CASES if case.is_good]
IGNORED = [case for case in CASES if "ignored" in case.expect]
BAD = [case for case in CASES if not case.is_good and "ignored" not in case.expect]


@pytest.fixture
def bench() -> IterateBench:
    return IterateBench()


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_good_event_becomes_the_expected_job(case: EventCase, bench: IterateBench) -> None:
    """A good event is answered 200 with the id of exactly one queued job, typed as expected."""
    status, body = answered(bench.handler(case.event(), None))

    [job] = bench.queue.jobs
    assert (200, {"status": "accepted", "job_id": job.job_id}) == (status, body)
    if "job_id_prefix" in case.expect:
        assert job.job_id.startswith(case.expect["job_id_prefix"])
    else:
        assert case.expect["job_id"] == job.job_id
    assert case.expect["user"] == job.user.model_dump(exclude_none=True, exclude={"may_create"})
    # As JSON, since 1 == 1.0 == True in Python.
    assert json.dumps(case.expect["attributes"]) == json.dumps(job.attributes)
    assert json.dumps(case.expect["events"]) == json.dumps(
        [{"name": event.name, "properties": event.properties} for event in job.events]
    )
    assert case.expect.get("skipped", []) == [
        [line["attribute"], line["code"]] for line in bench.log.lines if "attribute" in line
    ]
    assert case.expect.get("unanswered", 0) == bench.meter.totals[Metric.QUESTIONS_UNANSWERED]
    assert bench.rejected.records == {}


@pytest.mark.parametrize("case", IGNORED, ids=lambda case: case.name)
def test_ignored_event_is_answered_200_and_counted(case: EventCase, bench: IterateBench) -> None:
    """Iterate need not send it again; nothing of it is kept."""
    assert answered(bench.handler(case.event(), None)) == (200, {"status": "ignored"})
    assert (bench.queue.jobs, bench.rejected.records) == ([], {})
    assert bench.meter.totals[Metric.RESPONSES_IGNORED] == 1
    assert [line["code"] for line in bench.log.lines] == [case.expect["ignored"]]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_bad_event_is_refused_as_expected(case: EventCase, bench: IterateBench) -> None:
    """A bad event is answered as its file says, queues nothing, and is parked only if 422."""
    status, body = answered(bench.handler(case.event(), None))

    assert case.expect["status"] == status
    assert body["status"] == "error"
    assert case.expect["reasons"] == [
        {key: reason[key] for key in ("field", "code") if key in reason}
        for reason in body.get("reasons", [])
    ]
    assert bench.queue.jobs == []
    assert (1 if status == 422 else 0) == len(bench.rejected.records)


def test_shipped_events_cover_enough() -> None:
    """There are at least six good events, and their people are all different."""
    assert len(GOOD) >= 6
    assert len(GOOD) == len({json.dumps(case.expect["user"]) for case in GOOD})
