"""Quikly's activation events through the handler on fakes, for any body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.observability import Metric
from tests.fakes.api_event import proxy_event
from tests.fakes.outgrow import answered
from tests.fakes.quikly_events import QuiklyEventsBench

BODY = {
    "q_scope": "demo-first",
    "event": "entered",
    "event_id": "e-1",
    "occurred_at": "2026-11-22T11:00:00Z",
    "email": "ada@example.com",
}


@pytest.fixture
def bench() -> QuiklyEventsBench:
    return QuiklyEventsBench()


def test_an_event_that_is_sent_twice_is_the_same_job(bench: QuiklyEventsBench) -> None:
    """By its own id; without one, by its body, with its keys in any order."""
    bare = {key: value for key, value in BODY.items() if key != "event_id"}
    for body in (BODY, BODY, bare, dict(reversed(bare.items()))):
        assert bench.post(body)["statusCode"] == 200

    first, second, third, fourth = (job.job_id for job in bench.queue.jobs)
    assert first == second
    assert first.startswith("quikly-events:demo-first:entered:e-1:")
    assert third == fourth != first


def test_an_event_that_comes_again_with_other_content_counts_once(bench: QuiklyEventsBench) -> None:
    """Another job with the same event: by Quikly's own id of it."""
    for rank in (1, 1, 2):
        bench.post(BODY | {"event": "tier_reached", "properties": {"rank": rank}})

    first, again, other = bench.queue.jobs
    assert first.job_id == again.job_id
    assert first.once_ids == other.once_ids
    assert first.once_ids[0].startswith("quikly-events:demo-first:tier_reached:e-1:")
    assert other.sender == "quikly_events"


def test_the_same_id_of_another_kind_or_activation_is_another_event(
    bench: QuiklyEventsBench,
) -> None:
    """Quikly does not say where its ids are unique: no event may be lost."""
    for change in ({}, {"event": "completed"}, {"q_scope": "demo-rank"}):
        bench.post(BODY | change)

    assert len({job.job_id for job in bench.queue.jobs}) == 3


def test_an_id_that_may_be_personal_is_not_logged(bench: QuiklyEventsBench) -> None:
    """An address that is used as an id becomes a hash, in the job's id and so in every log."""
    bench.post(BODY | {"event_id": "ada@example.com"})

    assert "example.com" not in bench.queue.jobs[0].job_id
    assert "example.com" not in bench.log.text


@pytest.mark.parametrize(
    ("occurred_at", "kept"),
    [
        ("2026-11-22T11:00:00Z", "2026-11-22T11:00:00+00:00"),
        ("2026-11-22T12:30:00+02:00", "2026-11-22T10:30:00+00:00"),
        ("2999-01-01T00:00:00Z", "2026-11-22T12:00:00+00:00"),
        ("yesterday", "1976-12-04T12:00:00+00:00"),
        (None, "1976-12-04T12:00:00+00:00"),
    ],
)
def test_an_event_is_ordered_by_its_own_time_but_never_by_the_future(
    bench: QuiklyEventsBench, occurred_at: str | None, kept: str
) -> None:
    """A clock that is ahead makes no later event stale. Without a time it overwrites nothing."""
    bench.post(BODY | {"occurred_at": occurred_at})

    assert bench.queue.jobs[0].occurred_at.isoformat() == kept


def test_a_queue_that_refuses_makes_quikly_try_again(bench: QuiklyEventsBench) -> None:
    """503 with Retry-After; accepted only after SQS took the job."""
    bench.queue.refusing = True

    response = bench.post(BODY)

    assert (response["statusCode"], response["headers"]["Retry-After"]) == (503, "30")
    assert bench.meter.totals[Metric.JOBS_ACCEPTED] == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "q_scope": st.sampled_from(["demo-first", "other"]) | JSON,
        "event": st.sampled_from(["entered", "tier_reached", "completed"]) | JSON,
        "event_id": JSON,
        "occurred_at": JSON,
        "email": st.sampled_from(["ada@example.com", ""]) | JSON,
        "external_id": JSON,
        "properties": st.dictionaries(st.sampled_from(["tier", "incentive", "rank"]), JSON) | JSON,
    },
)
BENCH = QuiklyEventsBench()


@given(KNOWN | JSON)
def test_any_json_is_accepted_or_refused(body: Any) -> None:
    """Never a 5xx: a 200's job is queued, a 422's body parked."""
    BENCH.queue.jobs.clear()
    BENCH.rejected.records.clear()

    event = proxy_event(json.dumps(body), path="/quikly/events")
    status, _ = answered(BENCH.handler(event, None))

    assert status in (200, 422) or (status == 400 and "Infinity" in json.dumps(body))
    assert len(BENCH.queue.jobs) == (status == 200)
    assert len(BENCH.rejected.records) == (status == 422)
