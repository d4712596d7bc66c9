"""The sample events as they are posted."""

from __future__ import annotations

import json
from datetime import timedelta

from sandbox.event_files import NOW, event_cases, samples
from tests.fakes.clock import NOON


def test_sample_names_the_time_of_posting() -> None:
    """A sample whose person could respond just now says so whenever it is posted."""
    [case] = event_cases("quikly", "webhook_speed")

    for now in (NOON, NOON + timedelta(days=1)):
        assert json.loads(case.posted_at(now).sent_bytes())["since"] == now.isoformat()
    assert [name for name, each in samples() if NOW.encode() in each.sent_bytes()] == []
