"""A long survey on its way to Braze: several requests, one job, settled once."""

from __future__ import annotations

import pytest

from braze_bridge.jobs.envelope import split_job
from braze_bridge.mapping.outcomes import Mapped
from braze_bridge.partner_config.toml_files import load_iterate
from iterate_responses.mapping import map_response
from tests.fakes.clock import NOON
from tests.fakes.iterate import PARTNER_CONFIG, answer, body
from tests.unit.braze_delivery.test_delivery import Harness


@pytest.mark.parametrize(("count", "requests"), [(3, 1), (90, 2), (200, 3), (1900, 26)])
def test_a_survey_is_one_job_in_as_few_requests_as_braze_allows(count: int, requests: int) -> None:
    """One attributes object and an event for each answer, 75 objects a request."""
    responses = [answer(n, f"Question {n}?", f"Answer {n}") for n in range(count)]
    shipped = load_iterate(PARTNER_CONFIG)
    config = shipped._replace(names=shipped.names._replace(most_answers=1900))
    outcome = map_response(body(*responses), config=config, received_at=NOON, correlation_id="r")
    assert isinstance(outcome, Mapped)
    parts = split_job(outcome.job)
    harness = Harness()

    result = harness.deliver(*parts)

    assert (result.delivered, result.rejected, result.retried) == (len(parts), 0, 0)
    assert result.requests == requests
    arrays = [array for array, _ in harness.braze.taken]
    assert (arrays.count("attributes"), arrays.count("events")) == (1, count)


def test_an_answer_that_braze_refuses_takes_no_other_along() -> None:
    """The event it names is parked; the other 199 arrive, and the job counts as rejected once."""
    responses = [answer(n, f"Question {n}?", f"Answer {n}") for n in range(200)]
    outcome = map_response(
        body(*responses), config=load_iterate(PARTNER_CONFIG), received_at=NOON, correlation_id="r"
    )
    assert isinstance(outcome, Mapped)
    harness = Harness()
    harness.braze.named = lambda item: item.get("properties", {}).get("response_id") == "a77"

    result = harness.deliver(outcome.job)

    assert (result.delivered, result.rejected, result.retried) == (0, 1, 0)
    assert len(harness.braze.taken) == 200
    assert len(harness.rejected.records) == 1
