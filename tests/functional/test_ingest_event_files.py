"""Every sample event of the partners that post responses, through the handler on fakes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.jobs.envelope import parse_job
from braze_bridge.observability import Metric
from ops.preview.body_mappings import BodyMappings
from ops.preview.requests import preview, requests_for
from ops.stack.config_directory import CONFIG_DIRECTORY
from tests.fakes.api_event import TOKEN
from tests.fakes.clock import NOON
from tests.fakes.event_files import EventCase, event_cases
from tests.fakes.iterate import IterateBench
from tests.fakes.outgrow import OutgrowBench, answered
from tests.fakes.quikly_events import QuiklyEventsBench

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.ingest import IngestBench

BENCHES: dict[str, tuple[Callable[[], IngestBench[Any]], list[EventCase]]] = {
    "outgrow": (OutgrowBench, event_cases("outgrow")),
    "iterate": (IterateBench, event_cases("iterate")),
    "quikly": (QuiklyEventsBench, event_cases("quikly", "events_*")),
}


def cases(kind: str) -> pytest.MarkDecorator:
    """Parametrise a test by the cases that are ``good``, ``ignored`` or ``bad``."""
    return pytest.mark.parametrize(
        ("bench", "case"),
        [
            pytest.param(make(), case, id=f"{partner}-{case.name}")
            for partner, (make, found) in BENCHES.items()
            for case in found
            if kind
            == ("good" if case.is_good else "ignored" if "ignored" in case.expect else "bad")
        ],
    )


@cases("good")
def test_good_event_becomes_the_expected_job(bench: IngestBench[Any], case: EventCase) -> None:
    """A good event is answered 200 with the id of exactly one queued job, typed as expected."""
    status, body = answered(bench.handler(case.event(), None))

    [job] = bench.queue.jobs
    warnings = body.pop("warnings", [])
    assert (200, {"status": "accepted", "job_id": job.job_id}) == (status, body)
    assert job.job_id.startswith(case.expect["job_id_prefix"])
    assert case.expect["user"] == job.user.model_dump(exclude_none=True, exclude={"may_create"})
    # As JSON, since 1 == 1.0 == True in Python.
    assert json.dumps(case.expect["attributes"]) == json.dumps(job.attributes)
    assert json.dumps(case.expect.get("events", [])) == json.dumps(
        [{"name": event.name, "properties": event.properties} for event in job.events]
    )
    skipped = case.expect.get("skipped", [])
    logged = [line for line in bench.log.lines if "attribute" in line]
    assert [list(each) for each in (skipped.items() if isinstance(skipped, dict) else skipped)] == [
        [line["attribute"], line["code"]] for line in logged
    ]
    lost = [line for line in logged if not line["default_used"]]
    assert warnings == [{"code": line["code"], "field": line["attribute"]} for line in lost]
    assert len(lost) == bench.meter.totals[Metric.ATTRIBUTES_SKIPPED]
    assert case.expect.get("unanswered", 0) == bench.meter.totals[Metric.QUESTIONS_UNANSWERED]
    assert bench.rejected.records == {}
    assert parse_job(job.to_json()) == job


@cases("ignored")
def test_ignored_event_is_answered_200_and_counted(
    bench: IngestBench[Any], case: EventCase
) -> None:
    """The partner need not send it again; nothing of it is kept."""
    assert answered(bench.handler(case.event(), None)) == (200, {"status": "ignored"})
    assert (bench.queue.jobs, bench.rejected.records) == ([], {})
    assert bench.meter.totals[Metric.RESPONSES_IGNORED] == 1
    assert [line["code"] for line in bench.log.lines] == [case.expect["ignored"]]


@cases("bad")
def test_bad_event_is_refused_as_expected(bench: IngestBench[Any], case: EventCase) -> None:
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


@pytest.mark.parametrize(
    ("bench", "case"),
    [
        pytest.param(make(), case, id=f"{partner}-{case.name}")
        for partner, (make, found) in BENCHES.items()
        for case in found
        # A captured body has no route, token or headers, which decide these.
        if case.token == TOKEN and not case.headers and case.expect["status"] != 404
    ],
)
def test_preview_says_what_the_door_does(bench: IngestBench[Any], case: EventCase) -> None:
    """The same answer, job, requests, reasons, and notes of what is left out."""
    raw = case.body if isinstance(case.body, bytes) else case.body.encode("utf-8", "surrogatepass")
    source = {"quikly": "quikly_events"}.get(case.path.split("/")[1], case.path.split("/")[1])
    mappings = BodyMappings(CONFIG_DIRECTORY)

    shown = preview(raw, source=source, route=case.path, mappings=mappings, now=NOON)
    status, body = answered(bench.handler(case.event(), None))

    assert (shown.status, shown.job_id) == (status, body.get("job_id"))
    if bench.queue.jobs:
        [job] = bench.queue.jobs
        assert shown.requests == requests_for(job)[0]
    if status >= 400:
        assert [(each.code, each.field) for each in shown.reasons] == [
            (each["code"], each.get("field")) for each in body["reasons"]
        ]
    if status != 413:
        left_out = [each for line in bench.log.lines for each in _left_out(line)]
        assert sorted(f"{each.field}: {each.code}" for each in shown.skipped) == sorted(left_out)


def _left_out(line: dict[str, Any]) -> list[str]:
    skip = [f"{line['attribute']}: {line['code']}"] if "attribute" in line else []
    return [*skip, *line.get("unusable_identifiers", [])]


def test_shipped_events_cover_enough() -> None:
    """Outgrow and Iterate have six good events at least; Outgrow's people are all different."""
    good = {
        partner: [json.dumps(case.expect["user"]) for case in found if case.is_good]
        for partner, (_, found) in BENCHES.items()
    }

    assert min(len(good["outgrow"]), len(good["iterate"])) >= 6
    assert len(good["outgrow"]) == len(set(good["outgrow"]))
