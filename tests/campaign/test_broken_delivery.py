"""Delivery broken on purpose: the campaign finds each fault, so its silence means something."""

from __future__ import annotations

import pytest

from tests.campaign.runs import run_campaign

SEED, JOBS = 5, 2_000


@pytest.mark.parametrize(
    ("variant", "promise"),
    [
        ("ledger_off", "doubled event"),
        ("lease_off", "older value"),
        ("wrong_index", "innocent rejected"),
        ("gate_ignored", "behind a closed gate"),
        ("late_requests_leave", "late request"),
        ("record_failure_ignored", "forgotten times"),
    ],
)
def test_the_campaign_finds_a_broken(variant: str, promise: str) -> None:
    """It tells the history of a person concerned."""
    status, told = run_campaign(SEED, JOBS, "resend", variant)

    assert status == 1
    assert f"BROKEN {promise}: " in told
    assert "--- " in told
