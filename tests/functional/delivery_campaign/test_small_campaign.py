"""A fault campaign that is small enough for each change; the large one is in tests/campaign."""

from __future__ import annotations

from tests.campaign.runs import run_campaign

JOBS = 1_000


def test_1000_jobs_arrive_under_every_fault() -> None:
    status, told = run_campaign(1, JOBS, "verify")

    assert status == 0, told
