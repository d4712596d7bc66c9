"""Claims' rows v1, as shipped: a claim must stay readable for two years, or people could win again.

The samples are never changed. A new version gets samples of its own beside them.
"""

from __future__ import annotations

import json
import pathlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from braze_bridge.partner_config.quikly_activations import Status
from quikly_webhook.claim_records import Award, Claimer, ClaimRecord, of_row, to_row

SAMPLES = pathlib.Path(__file__).parent / "samples"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def sample(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((SAMPLES / f"claim_row_v1_{name}.json").read_text())
    return parsed


def test_an_award_is_read_whole() -> None:
    """The award, its winner, its time, and the time until which the sweep sends it."""
    assert of_row(sample("awarded")) == ClaimRecord(
        q_scope="spring-launch",
        claimant="f676bdaa1300c941746eb2108c3fcf3d",
        event="signed-in",
        status=Status.AWARDED,
        decided_at=NOON + timedelta(seconds=1.5),
        correlation_id="c0ffee00-0000-4000-8000-000000000001",
        award=Award("gold", "A weekend away", 2500, "EUR"),
        rank=7,
        response_ms=1500,
        claimer=Claimer("ada@example.com", "ext-1", None, may_create=True),
        due_at=NOON + timedelta(seconds=121),
    )


def test_a_drawn_entry_is_read_whole() -> None:
    """Decided by the draw, entered before, told, and its person forgotten."""
    claim = of_row(sample("drawn"))

    assert (claim.status, claim.award, claim.claimer, claim.due_at) == (
        Status.NO_AWARD,
        None,
        None,
        None,
    )
    assert (claim.entered_at, claim.decided_at) == (NOON, NOON + timedelta(hours=1))


@pytest.mark.parametrize("name", ["awarded", "drawn"])
def test_rows_are_still_written_so(name: str) -> None:
    """What is written today is what was shipped."""
    assert to_row(of_row(sample(name))) == sample(name)
