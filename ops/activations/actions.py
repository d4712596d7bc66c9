"""What people do with an activation: look at its state, close it, hold the draw, verify it.

The decisions are pure, over the port :class:`ActivationBook`.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.partner_config.quikly_activations import Mode, Status
from ops.activations.book import ActivationError, Closed, Drawn
from quikly_webhook.claim_records import Award
from quikly_webhook.draws import (
    Prize,
    capped,
    commitment_to,
    drawn,
    entries_hash,
    lot_of,
    seed_of,
    tier_of_lot,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.partner_config.quikly_activations import ActivationRule
    from ops.activations.book import ActivationBook
    from quikly_webhook.claim_records import ClaimRecord, Counters

LONGEST_CALL: Final = timedelta(seconds=29)
"""API Gateway's limit for an integration. The first call publishes a missing commitment, so the
commitment may be this much later than the first claim."""


class TierState(NamedTuple):
    """One tier; the fields are Quikly's.

    Attributes:
        remaining: ``None``: unlimited.
    """

    name: str
    incentive: str | None
    quantity: int | None
    claim_count: int
    remaining: int | None
    all_claimed: bool


class Hour(NamedTuple):
    """Claims and awards of one hour (UTC)."""

    starts_at: datetime
    claims: int
    awards: int


class ActivationState(NamedTuple):
    """The state of an activation.

    Attributes:
        phase: ``not_open``, ``open``, ``closed`` or ``drawn``.
        claims: Number of people, awarded or not.
        statuses: Claims by the status that was answered.
        remaining: Awards left in all; ``None``: unlimited.
        hours: Those with a claim, in order.
        unsent: Claims whose job the sweep must still send (again).
        commitment: To the seed; ``None`` if the mode has no chance, or none is published yet.
        draw: What is published of it.
    """

    q_scope: str
    mode: Mode
    phase: str
    opens_at: datetime
    closes_at: datetime | None
    claims: int
    statuses: Mapping[Status, int]
    awarded: int
    remaining: int | None
    tiers: tuple[TierState, ...]
    hours: tuple[Hour, ...]
    unsent: int
    commitment: str | None
    committed_at: datetime | None
    draw: Closed | Drawn | None


def state_of(rule: ActivationRule, book: ActivationBook, now: datetime) -> ActivationState:
    """Work out the state of an activation; reads all of its claims."""
    claims = list(book.claims(rule.q_scope))
    counters = book.counters(rule.q_scope)
    published = book.closed(rule.q_scope)
    opening = rule.opening(book.stack_exists_since)
    closing = rule.closing(opening)
    counts = _awarded(claims)
    tiers = tuple(
        TierState(
            name=tier.name,
            incentive=tier.incentive,
            quantity=tier.quantity,
            claim_count=counts[tier.name],
            remaining=None if tier.quantity is None else max(tier.quantity - counts[tier.name], 0),
            all_claimed=tier.quantity is not None and counts[tier.name] >= tier.quantity,
        )
        for tier in rule.tiers
    )
    return ActivationState(
        q_scope=rule.q_scope,
        mode=rule.mode,
        phase=_phase(opening, closing, published, now),
        opens_at=opening,
        closes_at=closing,
        claims=len(claims),
        statuses=Counter(claim.status for claim in claims),
        awarded=counts.total(),
        remaining=_remaining(rule, tiers, counts.total()),
        tiers=tiers,
        hours=_hours(claims),
        unsent=sum(claim.due_at is not None for claim in claims),
        commitment=counters.commitment,
        committed_at=counters.committed_at,
        draw=published,
    )


def _phase(
    opening: datetime, closing: datetime | None, published: Closed | Drawn | None, now: datetime
) -> str:
    if isinstance(published, Drawn):
        return "drawn"
    if now < opening:
        return "not_open"
    return "closed" if published or (closing is not None and now >= closing) else "open"


def _awarded(claims: Iterable[ClaimRecord]) -> Counter[str]:
    return Counter(
        claim.award.tier for claim in claims if claim.status is Status.AWARDED and claim.award
    )


def _remaining(rule: ActivationRule, tiers: Sequence[TierState], awarded: int) -> int | None:
    left = [tier.remaining for tier in tiers if tier.remaining is not None]
    in_tiers = sum(left) if len(left) == len(tiers) else None
    in_total = None if rule.total is None else max(rule.total - awarded, 0)
    limits = [limit for limit in (in_tiers, in_total) if limit is not None]
    return min(limits, default=None)


def _hours(claims: Iterable[ClaimRecord]) -> tuple[Hour, ...]:
    every: Counter[datetime] = Counter()
    won: Counter[datetime] = Counter()
    for claim in claims:
        hour = (claim.entered_at or claim.decided_at).replace(minute=0, second=0, microsecond=0)
        every[hour] += 1
        won[hour] += claim.status is Status.AWARDED
    return tuple(Hour(hour, number, won[hour]) for hour, number in sorted(every.items()))


def close(rule: ActivationRule, book: ActivationBook, now: datetime) -> Closed:
    """Close the entries of a draw, and publish their number and hash.

    Returns:
        What was published, now or before.

    Raises:
        ActivationError: The mode is not ``draw``, the closing time has not come, or the entries
            do not match their count.
    """
    published = book.closed(rule.q_scope)
    if published is not None:
        return published.closed if isinstance(published, Drawn) else published
    if rule.mode is not Mode.DRAW:
        raise ActivationError(f"{rule.q_scope} is no draw but of mode {rule.mode}")
    closing = rule.closing(rule.opening(book.stack_exists_since))
    if closing is not None and now < closing:
        raise ActivationError(f"{rule.q_scope} takes entries until {closing.isoformat()}")
    number = book.close_entries(rule.q_scope, now)
    entries = [claim.claimant for claim in book.claims(rule.q_scope)]
    if len(entries) != number:
        raise ActivationError(f"{number} entries were taken, but {len(entries)} are there")
    closed = Closed(rule.q_scope, number, entries_hash(entries), now)
    book.keep_closed(closed)
    return closed


def draw(rule: ActivationRule, book: ActivationBook, secret: bytes, now: datetime) -> Drawn:
    """Hold a draw, or finish one that was cut off.

    The winners' rows become due at once: the sweep updates their profiles. The other rows get
    ``no_award``, with the consolation if there is one.

    Returns:
        The first draw that was held; calling it again changes nothing.

    Raises:
        ActivationError: As :func:`close`; or the seed is not the one committed to; or entries were
            altered since the close.
        BookUnavailableError: The same call goes on where it stopped.
    """
    closed = close(rule, book, now)
    seed = seed_of(secret, rule.q_scope)
    if book.commit(rule.q_scope, commitment_to(seed), now) != commitment_to(seed):
        raise ActivationError("the seed is not the one committed to: was the secret changed?")
    claims = list(book.claims(rule.q_scope))
    if entries_hash(claim.claimant for claim in claims) != closed.entries_hash:
        raise ActivationError("the entries are not those of the close")
    prizes = capped((Prize(tier.name, tier.quantity or 0) for tier in rule.tiers), rule.total)
    result = book.keep_drawn(Drawn(closed, seed.hex(), prizes, now))
    winners = drawn(seed, (claim.claimant for claim in claims), result.prizes)
    book.decide(
        _decided(claim, rule, winners.get(claim.claimant), result.drawn_at, now)
        for claim in claims
        if claim.status is Status.ENTERED
    )
    return result


def _decided(
    claim: ClaimRecord, rule: ActivationRule, won: str | None, drawn_at: datetime, now: datetime
) -> ClaimRecord:
    tier = rule.tier(won) if won is not None else rule.consolation
    if tier is not None:
        award: Award | None = Award(tier.name, tier.incentive, tier.value, tier.currency)
    else:
        award = None if won is None else Award(won)
    return claim._replace(
        status=Status.NO_AWARD if won is None else Status.AWARDED,
        award=award,
        # A draw is later than its entries; our clock may be behind API Gateway's.
        decided_at=max(drawn_at, claim.decided_at),
        due_at=now,
        entered_at=claim.decided_at,
    )


class Verification(NamedTuple):
    """The result of recomputing an activation.

    Attributes:
        checked: Number of claims.
        problems: For people; they name claimants by their hash.
    """

    checked: int
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(rule: ActivationRule, book: ActivationBook, secret: bytes) -> Verification:
    """Recompute an activation's outcomes.

    Every mode: quantities, and that the counters match the claims. ``speed``: each tier's response
    time. ``decay``: each value. ``random``: each claim's lot. ``draw``: the entries and each
    winner. The last two: the commitment.

    Args:
        rule: Quantities and odds as they were while the activation ran.
        book: Its claims.
        secret: The claims secret.
    """
    claims = list(book.claims(rule.q_scope))
    counters = book.counters(rule.q_scope)
    problems = list(_quantities(rule, claims, counters))
    opening = rule.opening(book.stack_exists_since)
    seed = seed_of(secret, rule.q_scope)
    if rule.mode in {Mode.RANDOM, Mode.DRAW}:
        problems.extend(_commitment(rule, claims, counters, seed, opening))
    problems.extend(_times(rule, claims, opening))
    if rule.mode is Mode.RANDOM:
        problems.extend(_lots(rule, claims, seed))
    if rule.mode is Mode.DRAW:
        problems.extend(_draw_problems(claims, book.closed(rule.q_scope), counters))
    return Verification(len(claims), tuple(problems))


def _quantities(
    rule: ActivationRule, claims: Sequence[ClaimRecord], counters: Counters
) -> Iterator[str]:
    counts = _awarded(claims)
    names = {tier.name for tier in rule.tiers}
    for name in sorted(counts.keys() - names):
        yield f"tier {name} was awarded but is not configured"
    for tier in rule.tiers:
        if tier.quantity is not None and counts[tier.name] > tier.quantity:
            yield f"tier {tier.name}: {counts[tier.name]} awards of {tier.quantity}"
        is_counted = rule.mode is not Mode.DRAW and (
            tier.quantity is not None or rule.total is not None
        )
        if is_counted and counters.taken.get(tier.name, 0) != counts[tier.name]:
            yield (
                f"tier {tier.name}: {counters.taken.get(tier.name, 0)} counted, but"
                f" {counts[tier.name]} claims have it"
            )
    if rule.total is not None and counts.total() > rule.total:
        yield f"{counts.total()} awards of {rule.total} in total"


def _times(rule: ActivationRule, claims: Iterable[ClaimRecord], opening: datetime) -> Iterator[str]:
    for claim in claims:
        if claim.status is not Status.AWARDED or claim.award is None:
            continue
        tier = rule.tier(claim.award.tier)
        if tier is not None and tier.within is not None and claim.response_ms is not None:
            most = tier.within.total_seconds()
            if claim.response_ms > most * 1000:
                yield f"{claim.claimant}: {claim.response_ms} ms, but {tier.name} takes {most:g} s"
        if rule.decay is not None:
            due = rule.decay.value_at(claim.decided_at - opening)
            if claim.award.value != due:
                yield f"{claim.claimant}: worth {claim.award.value}, but it was {due} then"


def _commitment(
    rule: ActivationRule,
    claims: Iterable[ClaimRecord],
    counters: Counters,
    seed: bytes,
    opening: datetime,
) -> Iterator[str]:
    if counters.commitment is None:
        yield "no commitment was published"
        return
    if counters.commitment != commitment_to(seed):
        yield "the seed is not the one committed to"
    if counters.committed_at is None:
        return
    # Without a time of its own it opens with the stack, so only the first claim counts.
    if rule.opens_at is not None and counters.committed_at > opening:
        yield "the commitment was published after the opening"
    early = counters.committed_at - LONGEST_CALL
    if any((claim.entered_at or claim.decided_at) < early for claim in claims):
        yield "the commitment was published after the first claim"


def _lots(rule: ActivationRule, claims: Sequence[ClaimRecord], seed: bytes) -> Iterator[str]:
    counts = _awarded(claims)
    is_over = rule.total is not None and counts.total() >= rule.total
    for claim in claims:
        due = tier_of_lot(rule.tiers, lot_of(seed, claim.claimant))
        has = claim.award.tier if claim.award and claim.status is Status.AWARDED else None
        if due is None and has is not None:
            yield f"{claim.claimant}: has {has}, but the lot wins nothing"
        elif due is not None and has is None:
            if not is_over and (due.quantity is None or counts[due.name] < due.quantity):
                yield f"{claim.claimant}: the lot wins {due.name}, which was not given"
        elif due is not None and has != due.name:
            yield f"{claim.claimant}: has {has}, but the lot wins {due.name}"


def _draw_problems(
    claims: Sequence[ClaimRecord], published: Closed | Drawn | None, counters: Counters
) -> Iterator[str]:
    if not isinstance(published, Drawn):
        yield "it was not drawn yet"
        return
    entries = [claim.claimant for claim in claims]
    if len(entries) != published.closed.number:
        yield f"{len(entries)} entries, but {published.closed.number} were published"
    if entries_hash(entries) != published.closed.entries_hash:
        yield "the entries are not those whose hash was published"
    seed = bytes.fromhex(published.seed)
    if commitment_to(seed) != counters.commitment:
        yield "the published seed is not the one committed to"
    winners = drawn(seed, entries, published.prizes)
    for claim in claims:
        due = winners.get(claim.claimant)
        has = claim.award.tier if claim.award and claim.status is Status.AWARDED else None
        if claim.status is Status.ENTERED:
            yield f"{claim.claimant}: not decided yet; draw again to finish it"
        elif has != due:
            yield f"{claim.claimant}: has {has or 'no award'}, but the draw says {due or 'none'}"
