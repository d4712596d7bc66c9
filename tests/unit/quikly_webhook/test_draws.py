"""Verifiable chance: lots, instant wins, draws, and tampering with them."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.partner_config.quikly_activations import (
    Decay,
    Mode,
    Odds,
    ProfileRule,
    Status,
    Tier,
)
from ops.activations import actions as activations
from ops.activations.book import ActivationError, Drawn
from quikly_webhook.claim_jobs import job_of
from quikly_webhook.claim_records import Award, Claimer, ClaimRecord
from quikly_webhook.claim_store import Enter, Recorded, Take
from quikly_webhook.draws import (
    Prize,
    capped,
    claimant_of,
    commitment_to,
    drawn,
    entries_hash,
    lot_of,
    seed_of,
    tier_of_lot,
)
from tests.fakes.claims import SECRET, InMemoryClaims, activation
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

ENTRIES = 10_000
DAY = timedelta(days=1)
SEED = seed_of(SECRET, "launch")
RULE = activation(
    Mode.DRAW,
    Tier("main", "A trip", 1),
    Tier("second", "A poster", 99),
    Tier("third", None, 900),
    opens_at=NOON,
    closes_at=NOON + timedelta(hours=1),
)
CLOSED_AT = NOON + timedelta(hours=1, minutes=1)


def entrants(number: int) -> list[ClaimRecord]:
    return [
        ClaimRecord(
            q_scope="launch",
            claimant=claimant_of(SECRET, "launch", f"person{index}@example.com"),
            event="act",
            status=Status.ENTERED,
            decided_at=NOON + timedelta(milliseconds=index),
            correlation_id="c",
            claimer=Claimer(f"person{index}@example.com"),
        )
        for index in range(number)
    ]


def entered(number: int) -> InMemoryClaims:
    """An activation whose commitment was published in time, with so many entries."""
    store = InMemoryClaims()
    store.commit("launch", commitment_to(SEED), NOON - timedelta(days=1))
    for claim in entrants(number):
        assert store.record(claim, Enter()) == Recorded()
    return store


@pytest.fixture(scope="module")
def great_draw() -> tuple[InMemoryClaims, Drawn]:
    store = entered(ENTRIES)
    return store, activations.draw(RULE, store, SECRET, CLOSED_AT)


def independent_winners(
    entries: list[str], seed: str, prizes: list[tuple[str, int]]
) -> dict[str, str]:
    """A verification written from the published rules, without our code."""
    key = bytes.fromhex(seed)
    order = sorted(entries, key=lambda e: hmac.new(key, e.encode(), hashlib.sha256).digest())
    names = [name for name, quantity in prizes for _ in range(quantity)]
    return dict(zip(order, names, strict=False))


def test_draw_of_ten_thousand_verifies_independently(
    great_draw: tuple[InMemoryClaims, Drawn],
) -> None:
    """The published seed, number and hash give the same winners, by a script of a few lines."""
    store, result = great_draw
    claims = list(store.claims("launch"))
    entries = sorted(claim.claimant for claim in claims)

    assert len(entries) == result.closed.number == ENTRIES
    listed = "".join(entry + "\n" for entry in entries).encode()
    assert hashlib.sha256(listed).hexdigest() == result.closed.entries_hash
    commitment = store.commitments["launch"][0]
    assert hashlib.sha256(bytes.fromhex(result.seed)).hexdigest() == commitment
    winners = independent_winners(
        entries, result.seed, [("main", 1), ("second", 99), ("third", 900)]
    )
    assert winners == {
        claim.claimant: claim.award.tier
        for claim in claims
        if claim.status is Status.AWARDED and claim.award
    }
    assert Counter(winners.values()) == {"main": 1, "second": 99, "third": 900}
    assert activations.verify(RULE, store, SECRET) == (ENTRIES, ())


def test_draw_of_ten_thousand_is_spread_evenly(great_draw: tuple[InMemoryClaims, Drawn]) -> None:
    """Over ten stretches of the order in which people came, winners are spread as chance would.

    Chi-squared of 9 degrees of freedom exceeds 27.88 once in a thousand; the seed is fixed, so the
    test says the same each time.
    """
    store, _ = great_draw
    wins = {claim.claimant: claim.status is Status.AWARDED for claim in store.claims("launch")}
    won = [wins[entrant.claimant] for entrant in entrants(ENTRIES)]
    stretches = [sum(won[start : start + 1000]) for start in range(0, ENTRIES, 1000)]

    assert sum(stretches) == 1000
    assert sum((count - 100) ** 2 / 100 / 0.9 for count in stretches) < 27.88


def test_every_seed_is_fair() -> None:
    """Over 2,000 seeds and 10 entries, each entry wins about as often as the others."""
    entries = [f"{number:032x}" for number in range(10)]
    wins = Counter(
        next(iter(drawn(number.to_bytes(32, "big"), entries, [Prize("main", 1)])))
        for number in range(2_000)
    )

    assert sum((wins[entry] - 200) ** 2 / 200 for entry in entries) < 27.88


def altered(store: InMemoryClaims) -> None:
    key, claim = next(iter(store.rows.items()))
    store.rows[key] = claim._replace(claimant="0" * 32)


def added(store: InMemoryClaims) -> None:
    claim = next(iter(store.rows.values()))._replace(
        claimant="f" * 32, status=Status.NO_AWARD, award=None
    )
    store.rows["launch", claim.claimant] = claim


def removed(store: InMemoryClaims) -> None:
    key = next(key for key, claim in store.rows.items() if claim.status is Status.NO_AWARD)
    del store.rows[key]


def promoted(store: InMemoryClaims) -> None:
    key, claim = next(
        (key, claim) for key, claim in store.rows.items() if claim.status is Status.NO_AWARD
    )
    store.rows[key] = claim._replace(status=Status.AWARDED, award=Award("main"))


def demoted(store: InMemoryClaims) -> None:
    key, claim = next(
        (key, claim) for key, claim in store.rows.items() if claim.status is Status.AWARDED
    )
    store.rows[key] = claim._replace(status=Status.NO_AWARD, award=None)


def other_commitment(store: InMemoryClaims) -> None:
    store.commitments["launch"] = ("0" * 64, NOON)


def late_commitment(store: InMemoryClaims) -> None:
    store.commitments["launch"] = (commitment_to(SEED), NOON + timedelta(seconds=1))


def other_seed(store: InMemoryClaims) -> None:
    result = store.published["launch"]
    assert isinstance(result, Drawn)
    store.published["launch"] = result._replace(seed="00" * 32)


def other_number(store: InMemoryClaims) -> None:
    result = store.published["launch"]
    assert isinstance(result, Drawn)
    store.published["launch"] = result._replace(closed=result.closed._replace(number=499))


@pytest.mark.parametrize(
    "tamper",
    [
        altered,
        added,
        removed,
        promoted,
        demoted,
        other_commitment,
        late_commitment,
        other_seed,
        other_number,
    ],
)
def test_tampering_is_found(tamper: Callable[[InMemoryClaims], None]) -> None:
    """One entry altered, added or removed, one winner changed, another seed: nothing verifies."""
    store = entered(500)
    rule = RULE._replace(tiers=(Tier("main", quantity=5),))
    activations.draw(rule, store, SECRET, CLOSED_AT)
    assert activations.verify(rule, store, SECRET).holds

    tamper(store)

    assert not activations.verify(rule, store, SECRET).holds


def test_draw_waits_for_the_close() -> None:
    """Before the closing time nothing is drawn, and entries stay open."""
    store = entered(3)

    with pytest.raises(ActivationError, match="takes entries until"):
        activations.draw(RULE, store, SECRET, NOON + timedelta(minutes=59))

    assert store.closed_shards == set()


def test_draw_without_closing_time_closes_when_drawn() -> None:
    """Without a closing time, the draw closes it."""
    store = entered(3)

    result = activations.draw(RULE._replace(closes_at=None), store, SECRET, NOON)

    assert result.closed.number == 3
    assert len(store.closed_shards) == 16


def test_only_a_draw_is_drawn() -> None:
    """Another mode has nothing to draw."""
    rule = activation(Mode.FIRST, Tier("reward", quantity=1))

    with pytest.raises(ActivationError, match="no draw"):
        activations.draw(rule, InMemoryClaims(), SECRET, CLOSED_AT)


def test_entries_that_do_not_add_up_are_not_drawn() -> None:
    """The count shows a row that was lost before the close."""
    store = entered(10)
    store.rows.popitem()

    with pytest.raises(ActivationError, match="10 entries were taken, but 9"):
        activations.draw(RULE, store, SECRET, CLOSED_AT)


def test_entries_changed_after_the_close_are_not_drawn() -> None:
    """Between the close, with its hash, and the draw no entry is added or removed."""
    store = entered(10)
    activations.close(RULE, store, CLOSED_AT)
    altered(store)

    with pytest.raises(ActivationError, match="not those of the close"):
        activations.draw(RULE, store, SECRET, CLOSED_AT)


def test_changed_secret_does_not_draw() -> None:
    """A seed other than the one committed to decides nothing."""
    store = entered(10)

    with pytest.raises(ActivationError, match="was the secret changed"):
        activations.draw(RULE, store, SECRET + b"!", CLOSED_AT)


class CutOffError(Exception):
    """The connection is gone."""


def test_an_interrupted_draw_continues() -> None:
    """After any number of interruptions, the published draw is the one that is written."""
    store = entered(50)
    calls = 0

    def cut(operation: str) -> None:
        nonlocal calls
        calls += 1
        if operation == "decide" and calls % 7 == 0:
            raise CutOffError

    store.before = cut
    result = None
    for _ in range(60):
        try:
            result = activations.draw(RULE, store, SECRET, CLOSED_AT)
            break
        except CutOffError:
            continue

    assert result is not None
    store.before = lambda _operation: None
    assert Status.ENTERED not in {claim.status for claim in store.rows.values()}
    assert activations.verify(RULE, store, SECRET).holds


def test_losers_get_the_consolation_and_every_entry_is_due() -> None:
    """After the draw each entry has an answer that the sweep can send."""
    store = entered(5)
    rule = RULE._replace(tiers=(Tier("main", quantity=1),), consolation=Tier("consolation", "10 %"))

    activations.draw(rule, store, SECRET, CLOSED_AT)

    claims = list(store.claims("launch"))
    assert Counter(claim.status for claim in claims) == {Status.AWARDED: 1, Status.NO_AWARD: 4}
    assert {claim.award for claim in claims if claim.status is Status.NO_AWARD} == {
        Award("consolation", "10 %")
    }
    assert {(claim.due_at, claim.claimer is None) for claim in claims} == {(CLOSED_AT, False)}


@pytest.mark.parametrize(
    ("total", "expected"), [(None, [3, 4]), (5, [3, 2]), (3, [3, 0]), (0, [0, 0])]
)
def test_total_caps_the_prizes(total: int | None, expected: list[int]) -> None:
    """A total cuts the lower tiers first."""
    prizes = capped([Prize("a", 3), Prize("b", 4)], total)

    assert [prize.quantity for prize in prizes] == expected


ODDS = st.builds(
    lambda wins, more: Odds(wins, wins + more), st.integers(1, 1000), st.integers(0, 10**6)
)


@given(st.lists(ODDS, max_size=5), st.integers(0, 2**256 - 1))
def test_lot_falls_into_its_stretch(odds: list[Odds], lot: int) -> None:
    """The tier is the one whose interval of the exact cumulated odds holds the lot."""
    tiers = [Tier(str(number), odds=each) for number, each in enumerate(odds)]
    share = Fraction(lot, 2**256)
    cumulated = Fraction(0)
    expected = None
    for tier, each in zip(tiers, odds, strict=True):
        cumulated += Fraction(each.wins, each.of)
        if share < cumulated:
            expected = tier
            break

    assert tier_of_lot(tiers, lot) == expected


def test_instant_wins_come_as_often_as_their_odds() -> None:
    """Of 20,000 people about as many win as the odds say, within four standard deviations."""
    tiers = [Tier("jackpot", odds=Odds(1, 100)), Tier("prize", odds=Odds(1, 4))]
    won: Counter[str | None] = Counter()
    for number in range(20_000):
        lot = lot_of(SEED, claimant_of(SECRET, "launch", f"person{number}@example.com"))
        tier = tier_of_lot(tiers, lot)
        won[tier.name if tier else None] += 1

    for name, chance in {"jackpot": 0.01, "prize": 0.25}.items():
        deviation = (20_000 * chance * (1 - chance)) ** 0.5
        assert abs(won[name] - 20_000 * chance) < 4 * deviation


def random_claims(decide: Mapping[str, str | None] | None = None) -> InMemoryClaims:
    """Fifty people at an instant win, decided by their lots, or by ``decide``."""
    store = InMemoryClaims()
    store.commit("launch", commitment_to(SEED), NOON - timedelta(days=1))
    for entry in entrants(50):
        tier = tier_of_lot(INSTANT.tiers, lot_of(SEED, entry.claimant))
        name = tier.name if tier else None
        name = (decide or {}).get(entry.claimant, name)
        status = Status.NO_AWARD if name is None else Status.AWARDED
        claim = entry._replace(status=status, award=Award(name) if name else None)
        store.record(claim, None if name is None else Take(name, 50, None))
    return store


INSTANT = activation(
    Mode.RANDOM,
    Tier("jackpot", quantity=50, odds=Odds(1, 5)),
    Tier("prize", quantity=50, odds=Odds(1, 5)),
)


def test_instant_wins_verify() -> None:
    """What the lots decided verifies."""
    assert activations.verify(INSTANT, random_claims(), SECRET) == (50, ())


@pytest.mark.parametrize("tier", [None, "jackpot", "prize"])
def test_instant_win_that_the_lot_did_not_give_is_found(tier: str | None) -> None:
    """An outcome that differs from a person's lot fails the verification."""
    victim = next(
        entry.claimant
        for entry in entrants(50)
        if (
            (won := tier_of_lot(INSTANT.tiers, lot_of(SEED, entry.claimant))) is not None
            and won.name != tier
        )
        or (won is None and tier is not None)
    )

    found = activations.verify(INSTANT, random_claims({victim: tier}), SECRET)

    assert [problem[:32] for problem in found.problems] == [victim]


def test_lot_without_award_is_right_when_its_tier_was_exhausted() -> None:
    """A lot of an exhausted tier wins neither that tier nor another."""
    rule = INSTANT._replace(
        tiers=(Tier("jackpot", quantity=1, odds=Odds(1, 1)),),
    )
    store = InMemoryClaims()
    store.commit("launch", commitment_to(SEED), NOON - timedelta(days=1))
    for number, entry in enumerate(entrants(5)):
        won = entry._replace(status=Status.AWARDED, award=Award("jackpot"))
        lost = entry._replace(status=Status.NO_AWARD)
        store.record(
            won if number == 2 else lost, Take("jackpot", 1, None) if number == 2 else None
        )

    assert activations.verify(rule, store, SECRET) == (5, ())


def test_missing_commitment_is_found() -> None:
    """Without a commitment, an outcome cannot be verified."""
    store = random_claims()
    store.commitments.clear()

    assert activations.verify(INSTANT, store, SECRET).problems == ("no commitment was published",)


@pytest.mark.parametrize(
    ("opens_at", "after_first", "problem"),
    [
        (NOON, -DAY, None),
        (NOON, timedelta(milliseconds=1), "the commitment was published after the opening"),
        (None, timedelta(seconds=29), None),
        (None, timedelta(seconds=30), "the commitment was published after the first claim"),
    ],
    ids=["in time", "after the opening", "by the first call", "after the first claim"],
)
def test_late_commitment_is_found(
    opens_at: datetime | None, after_first: timedelta, problem: str | None
) -> None:
    """Before the opening; if that is the stack's creation, not after the first claim."""
    store = random_claims()
    store.commitments["launch"] = (commitment_to(SEED), NOON + after_first)

    found = activations.verify(INSTANT._replace(opens_at=opens_at), store, SECRET)

    assert found.problems == (() if problem is None else (problem,))


def test_erased_person_stays_an_entry() -> None:
    """Without the address no profile is written; the draw and its verification still hold."""
    store = entered(1_000)
    for key, claim in store.rows.items():
        store.rows[key] = claim._replace(claimer=None)

    activations.draw(RULE, store, SECRET, CLOSED_AT)

    assert activations.verify(RULE, store, SECRET).holds
    profile = ProfileRule({Status.AWARDED: "won"})
    assert {job_of(claim, profile, CLOSED_AT) for claim in store.rows.values()} == {None}


def test_counters_that_do_not_count_the_claims_are_found() -> None:
    """A counter that differs from the claims is found, and so is an exceeded quantity."""
    rule = activation(Mode.FIRST, Tier("reward", quantity=2), total=2)
    store = InMemoryClaims()
    for entry in entrants(3):
        store.record(entry._replace(status=Status.AWARDED, award=Award("reward")), None)

    assert activations.verify(rule, store, SECRET).problems == (
        "tier reward: 3 awards of 2",
        "tier reward: 0 counted, but 3 claims have it",
        "3 awards of 2 in total",
    )


@pytest.mark.parametrize(
    ("milliseconds", "value", "expected"),
    [(60_000, 4000, 0), (60_001, 4000, 1), (60_000, 4001, 1)],
    ids=["right", "too slow", "worth more"],
)
def test_times_and_values_are_recomputed(milliseconds: int, value: int, expected: int) -> None:
    """An award that was too late for its tier, or has a wrong decayed value, is found."""
    rule = activation(
        Mode.DECAY,
        Tier("gold", within=timedelta(seconds=60)),
        decay=Decay(5000, 1000, "EUR", over=timedelta(seconds=240)),
    )
    store = InMemoryClaims()
    [entry] = entrants(1)
    won = entry._replace(
        status=Status.AWARDED,
        award=Award("gold", value=value, currency="EUR"),
        decided_at=NOON + timedelta(seconds=60),
        response_ms=milliseconds,
    )
    store.record(won, None)

    assert len(activations.verify(rule, store, SECRET).problems) == expected


def test_hours_of_a_draw_are_those_of_its_entries() -> None:
    """After the draw, too, it shows when the entries came."""
    store = entered(5)
    before = activations.state_of(RULE, store, CLOSED_AT).hours

    activations.draw(RULE, store, SECRET, CLOSED_AT)

    after = activations.state_of(RULE, store, CLOSED_AT).hours
    assert [(hour.starts_at, hour.claims) for hour in after] == [
        (hour.starts_at, hour.claims) for hour in before
    ]


def test_claimants_of_two_activations_cannot_be_linked() -> None:
    """A person has another hash in another activation, and per event if each event counts."""
    known = {
        claimant_of(SECRET, "one", "ada@example.com"),
        claimant_of(SECRET, "two", "ada@example.com"),
        claimant_of(SECRET, "one", "ada@example.com", "act"),
        claimant_of(SECRET + b"!", "one", "ada@example.com"),
    }

    assert len(known) == 4


def test_hash_of_entries_knows_no_order() -> None:
    """The same entries in any order have one hash; the empty list has one, too."""
    assert entries_hash(["b", "a"]) == hashlib.sha256(b"a\nb\n").hexdigest()
    assert entries_hash([]) == hashlib.sha256(b"").hexdigest()
