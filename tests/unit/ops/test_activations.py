"""The state of an activation, as people look at it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from braze_bridge.partner_config.quikly_activations import Mode, Status, Tier
from ops.activations import actions as activations
from ops.activations.actions import Hour, TierState
from quikly_webhook.claim_records import Award, ClaimRecord
from quikly_webhook.claim_store import Enter, Take
from quikly_webhook.claims import publish_commitments
from tests.fakes.claims import SECRET, STACK_SINCE, InMemoryClaims, activation
from tests.fakes.clock import NOON

HOUR = timedelta(hours=1)
RULE = activation(
    Mode.FIRST, Tier("gold", "A trip", 1), Tier("silver", quantity=3), closes_at=NOON + 5 * HOUR
)


def claimed(store: InMemoryClaims, claimant: str, tier: str | None, minutes: int) -> None:
    store.record(
        ClaimRecord(
            q_scope="launch",
            claimant=claimant,
            event="act",
            status=Status.NO_AWARD if tier is None else Status.AWARDED,
            decided_at=NOON + timedelta(minutes=minutes),
            correlation_id="c",
            award=None if tier is None else Award(tier),
            due_at=NOON if minutes > 100 else None,
        ),
        None if tier is None else Take(tier, None, None),
    )


def test_state_counts_tiers_and_hours() -> None:
    """Claims, what is left by tier, claims by the hour, and what is not sent yet."""
    store = InMemoryClaims()
    claimed(store, "a", "gold", 1)
    claimed(store, "b", "silver", 59)
    claimed(store, "c", "silver", 60)
    claimed(store, "d", None, 150)

    state = activations.state_of(RULE, store, NOON + HOUR)

    assert state.phase == "open"
    assert (state.opens_at, state.closes_at) == (NOON, NOON + 5 * HOUR)
    assert (state.claims, state.awarded, state.remaining, state.unsent) == (4, 3, 1, 1)
    assert state.statuses == {Status.AWARDED: 3, Status.NO_AWARD: 1}
    assert state.tiers == (
        TierState("gold", "A trip", 1, 1, 0, all_claimed=True),
        TierState("silver", None, 3, 2, 1, all_claimed=False),
    )
    assert state.hours == (
        Hour(NOON, 2, 2),
        Hour(NOON + HOUR, 1, 1),
        Hour(NOON + 2 * HOUR, 1, 0),
    )
    assert (state.commitment, state.draw) == (None, None)


@pytest.mark.parametrize(
    ("total", "quantity", "expected"),
    [(None, None, None), (10, None, 8), (None, 5, 3), (4, 5, 2), (1, 5, 0)],
)
def test_remaining_is_the_tighter_limit(
    total: int | None, quantity: int | None, expected: int | None
) -> None:
    """Of the tiers' quantities and the total, the one that ends first."""
    rule = activation(Mode.FIRST, Tier("gold", quantity=quantity), total=total)
    store = InMemoryClaims()
    claimed(store, "a", "gold", 1)
    claimed(store, "b", "gold", 2)

    assert activations.state_of(rule, store, NOON).remaining == expected


@pytest.mark.parametrize(
    ("after", "expected"), [(-HOUR, "not_open"), (timedelta(0), "open"), (5 * HOUR, "closed")]
)
def test_phase_goes_by_the_clock(after: timedelta, expected: str) -> None:
    """Not open, open, closed."""
    assert activations.state_of(RULE, InMemoryClaims(), NOON + after).phase == expected


def test_phase_of_a_draw() -> None:
    """A draw without a closing time is closed by a person, then drawn; then the seed is public."""
    rule = activation(Mode.DRAW, Tier("main", quantity=1), opens_at=None)
    store = InMemoryClaims()
    publish_commitments(store.commit, {"launch": rule, "other": RULE}, lambda: SECRET, NOON)
    store.record(
        ClaimRecord("launch", "a", "act", Status.ENTERED, NOON, "c"),
        Enter(),
    )

    before = activations.state_of(rule, store, NOON)
    closed = activations.close(rule, store, NOON)
    between = activations.state_of(rule, store, NOON)
    drawn = activations.draw(rule, store, SECRET, NOON)
    after = activations.state_of(rule, store, NOON)

    assert before.opens_at == STACK_SINCE
    assert [before.phase, between.phase, after.phase] == ["open", "closed", "drawn"]
    assert (before.draw, between.draw, after.draw) == (None, closed, drawn)
    assert before.commitment == after.commitment
    assert before.committed_at == NOON
    assert set(store.commitments) == {"launch"}
    assert activations.close(rule, store, NOON + HOUR) == closed
