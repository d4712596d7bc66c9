"""Acquisitions and delivery share Braze's limit of 250 look-ups a minute; neither starves."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from braze_bridge.braze.errors import RateLimitedError
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.braze.models import ExportIdsRequest
from braze_bridge.jobs.envelope import JobUser
from tests.fakes.delivery_jobs import job
from tests.unit.braze_delivery.test_look_ups import EXPORT, OVER, Harness

ACQUISITIONS = EndpointFamily.EXPORT_IDS
SIGN_UP = ExportIdsRequest(["braze_id"], email_address="new@example.com")


@pytest.mark.parametrize("at_once", [60, 1_000])
def test_each_has_its_share_of_every_minute_while_both_have_more_to_look_up(at_once: int) -> None:
    """Acquisitions begin first each time, some at once or all that the minute allows."""
    harness = Harness()
    worker = harness.gate.seen_by(harness.clock)
    jobs = [job(str(n), JobUser(email=f"person{n}@example.com"), events=1) for n in range(320)]
    harness.lose(*jobs)
    harness.braze.configure(limits={EXPORT: [250, 60]})
    harness.clock.advance(OVER)
    harness.clock.advance(60 - harness.clock.now().timestamp() % 60)
    minutes = []

    for _ in range(3):
        minutes.append(Counter(delivery=0, events=0, acquisitions=0, refused=0))
        for _ in range(4):
            for _ in range(at_once):
                if not worker.may_start(ACQUISITIONS, 0):
                    break
                try:
                    answer = harness.braze.client.export_ids(SIGN_UP)
                except RateLimitedError as error:
                    wait = timedelta(seconds=error.retry_after or 60)
                    worker.close(ACQUISITIONS, harness.clock.now() + wait, "rate_limited")
                    minutes[-1]["refused"] += 1
                else:
                    worker.record_success(ACQUISITIONS, answer.rate_limit)
                    minutes[-1]["acquisitions"] += 1
            result = harness.deliver(*jobs)
            minutes[-1] += Counter(delivery=result.look_ups, events=result.delivered)
            jobs = [jobs[int(message)] for message in result.retry]
            harness.clock.advance(15)

    assert all(each["acquisitions"] >= 143 for each in minutes)
    assert all(each["events"] >= 7 for each in minutes)
    assert all(each["refused"] <= 1 for each in minutes)
    assert all(each["delivery"] - each["events"] <= 5 for each in minutes)
