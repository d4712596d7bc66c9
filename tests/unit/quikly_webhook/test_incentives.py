"""What a call can win."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.partner_config.quikly_activations import Decay, Mode, Odds, Status, Tier
from quikly_webhook.incentives import Window, candidates, response_time, tier_at
from tests.fakes.claims import activation
from tests.fakes.clock import NOON

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)

SPANS = st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=400))
MONEY = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("arrived_at", "expected"),
    [
        (NOON - MILLISECOND, Status.NOT_OPEN),
        (NOON, None),
        (NOON + HOUR - MILLISECOND, None),
        (NOON + HOUR, Status.CLOSED),
    ],
)
def test_window_begins_with_the_opening_and_ends_before_the_closing(
    arrived_at: datetime, expected: Status | None
) -> None:
    """The moment of opening is inside, the moment of closing is outside."""
    assert Window(NOON, NOON + HOUR).refusal(arrived_at) is expected


def test_window_without_closing_stays_open() -> None:
    """Without a closing time it stays open."""
    assert Window(NOON, None).refusal(NOON + 10_000 * HOUR) is None


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (None, 90 * SECOND),
        (NOON + 30 * SECOND, 60 * SECOND),
        (NOON - HOUR, 90 * SECOND),
        (NOON + HOUR, timedelta(0)),
    ],
    ids=["opening", "since", "since before the opening", "since by a clock that is ahead"],
)
def test_response_time(since: datetime | None, expected: timedelta) -> None:
    """It counts from the later of opening and since, and never below zero."""
    assert response_time(NOON + 90 * SECOND, NOON, since) == expected


LINEAR = Decay(5000, 1000, "EUR", over=timedelta(seconds=400))
STEPS = Decay(5000, 1000, "EUR", every=timedelta(seconds=60), drop=1500)


@pytest.mark.parametrize(
    ("decay", "seconds", "expected"),
    [
        (LINEAR, -5, 5000),
        (LINEAR, 0, 5000),
        (LINEAR, 1, 4990),
        (LINEAR, 200, 3000),
        (LINEAR, 399.999, 1001),
        (LINEAR, 400, 1000),
        (LINEAR, 4000, 1000),
        (STEPS, 0, 5000),
        (STEPS, 59.999, 5000),
        (STEPS, 60, 3500),
        (STEPS, 120, 2000),
        (STEPS, 180, 1000),
        (STEPS, 6000, 1000),
    ],
)
def test_value_falls(decay: Decay, seconds: float, expected: int) -> None:
    """From the start value, straight or in steps, down to the floor."""
    assert decay.value_at(timedelta(seconds=seconds)) == expected


@st.composite
def decays(draw: st.DrawFn) -> Decay:
    floor, start = sorted((draw(MONEY), draw(MONEY)))
    seconds = timedelta(seconds=draw(st.integers(1, 10**7)))
    if draw(st.booleans()):
        return Decay(start, floor, "EUR", over=seconds)
    return Decay(start, floor, "EUR", every=seconds, drop=draw(st.integers(1, 10**9)))


@given(decays(), SPANS, SPANS)
def test_value_never_rises_and_stays_within_bounds(
    decay: Decay, one: timedelta, other: timedelta
) -> None:
    """Later is never worth more, nothing is worth more than the start or less than the floor."""
    early, late = sorted((one, other))

    assert decay.start >= decay.value_at(early) >= decay.value_at(late) >= decay.floor


@given(decays().filter(lambda decay: decay.over is not None), SPANS)
def test_straight_fall_is_exact_but_for_one_unit(decay: Decay, elapsed: timedelta) -> None:
    """The integer is the exact value, rounded up."""
    assert decay.over is not None
    passed = min(max(elapsed, timedelta(0)) // MILLISECOND, decay.over // MILLISECOND)
    exact = decay.start - Fraction((decay.start - decay.floor) * passed, decay.over // MILLISECOND)

    assert 0 <= decay.value_at(elapsed) - exact < 1


SPEED = activation(
    Mode.SPEED,
    Tier("gold", within=10 * SECOND),
    Tier("silver", within=60 * SECOND),
    Tier("bronze"),
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, ["gold", "silver", "bronze"]),
        (10, ["gold", "silver", "bronze"]),
        (10.001, ["silver", "bronze"]),
        (60, ["silver", "bronze"]),
        (61, ["bronze"]),
    ],
)
def test_speed_gives_the_tier_by_response_time(seconds: float, expected: list[str]) -> None:
    """The tier includes its longest response time; a faster person may get a lower tier."""
    tiers = candidates(SPEED, response=timedelta(seconds=seconds), elapsed=timedelta(0), lot=None)

    assert [tier.name for tier in tiers] == expected


def test_decay_gives_the_value_of_the_moment() -> None:
    """The tier's award has the decayed value, in the decay's currency."""
    rule = activation(Mode.DECAY, Tier("voucher", "Off"), decay=LINEAR)

    [tier] = candidates(rule, response=timedelta(0), elapsed=timedelta(seconds=200), lot=None)

    assert (tier.value, tier.currency, tier.incentive) == (3000, "EUR", "Off")


@pytest.mark.parametrize("mode", [Mode.DRAW, Mode.FORWARD])
def test_nothing_is_won_at_once_if_it_is_decided_later(mode: Mode) -> None:
    """A draw's entry and a forwarded call win nothing at once."""
    rule = activation(mode, Tier("main", quantity=1))

    assert candidates(rule, response=timedelta(0), elapsed=timedelta(0), lot=0) == ()


@pytest.mark.parametrize(
    "rule",
    [activation(Mode.FIRST, Tier("none", quantity=0)), activation(Mode.FIRST, Tier("x"), total=0)],
    ids=["tier of none", "total of none"],
)
def test_a_tier_of_zero_awards_is_not_tried(rule: object) -> None:
    """A quantity or total of zero is no candidate."""
    assert candidates(rule, response=timedelta(0), elapsed=timedelta(0), lot=None) == ()  # type: ignore[arg-type]  # parametrize gives object


def test_lot_decides_between_tiers() -> None:
    """A lot wins one tier, or none; an exhausted tier is not replaced by another."""
    rule = activation(Mode.RANDOM, Tier("jackpot", odds=Odds(1, 4)), Tier("prize", odds=Odds(1, 4)))
    quarter = 2**254

    def won(lot: int) -> list[str]:
        tiers = candidates(rule, response=timedelta(0), elapsed=timedelta(0), lot=lot)
        return [tier.name for tier in tiers]

    assert [won(0), won(quarter - 1)] == [["jackpot"], ["jackpot"]]
    assert [won(quarter), won(2 * quarter - 1)] == [["prize"], ["prize"]]
    assert [won(2 * quarter), won(2**256 - 1)] == [[], []]


@pytest.mark.parametrize(
    ("total", "positions"),
    [
        (None, {1: "gold", 3: "gold", 4: "silver", 10: "silver", 11: None, 10**9: None}),
        (5, {3: "gold", 4: "silver", 5: "silver", 6: None}),
        (12, {10: "silver", 11: "bronze", 12: "bronze", 13: None}),
    ],
)
def test_positions_of_a_tier_are_the_quantities_added_up(
    total: int | None, positions: dict[int, str | None]
) -> None:
    """Gold 1 to 3, silver 4 to 10; a tier without a quantity has positions only under a total."""
    rule = activation(
        Mode.RANK, Tier("gold", quantity=3), Tier("silver", quantity=7), Tier("bronze"), total=total
    )

    found = {position: tier_at(rule, position) for position in positions}

    assert {position: tier and tier.name for position, tier in found.items()} == positions


def test_there_is_no_position_behind_the_last_quantity() -> None:
    """If every tier has a quantity."""
    rule = activation(Mode.RANK, Tier("gold", quantity=0), Tier("silver", quantity=2))

    assert [tier_at(rule, position) is None for position in (1, 2, 3)] == [False, False, True]
