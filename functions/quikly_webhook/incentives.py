"""What a call can win, by the configuration, the times, a rank and a lot: pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from braze_bridge.partner_config.quikly_activations import Mode, Status
from quikly_webhook.claim_records import Award
from quikly_webhook.draws import tier_of_lot

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.partner_config.quikly_activations import ActivationRule, Tier


class Window(NamedTuple):
    """When an activation takes claims: from the opening on, and before the closing, if any."""

    opening: datetime
    closing: datetime | None

    def refusal(self, arrived_at: datetime) -> Status | None:
        """Return ``not_open`` or ``closed``; ``None`` if a claim can be made."""
        if arrived_at < self.opening:
            return Status.NOT_OPEN
        if self.closing is not None and arrived_at >= self.closing:
            return Status.CLOSED
        return None


def response_time(arrived_at: datetime, opening: datetime, since: datetime | None) -> timedelta:
    """Return how long a person took to respond; zero or more.

    Args:
        arrived_at: When API Gateway took the call.
        since: When this person could first respond, by the caller's clock, which may be a little
            ahead of ours.
    """
    began = opening if since is None else max(since, opening)
    return max(arrived_at - began, timedelta(0))


def candidates(
    rule: ActivationRule, *, response: timedelta, elapsed: timedelta, lot: int | None
) -> tuple[Tier, ...]:
    """Return the tiers a claim may win, the best first. It wins the first that is not exhausted.

    An instant win of an exhausted tier wins no other tier: that would change the published odds.

    Args:
        response: Of :func:`response_time`.
        elapsed: Since the opening.
        lot: Of :func:`quikly_webhook.draws.lot_of`, if chance decides.
    """
    if rule.total == 0 or rule.mode in {Mode.DRAW, Mode.FORWARD}:
        return ()
    tiers = rule.tiers
    if rule.mode is Mode.SPEED:
        tiers = tuple(tier for tier in tiers if tier.within is None or response <= tier.within)
    elif rule.mode is Mode.RANDOM:
        won = None if lot is None else tier_of_lot(tiers, lot)
        tiers = () if won is None else (won,)
    elif rule.mode is Mode.DECAY and rule.decay is not None:
        value = rule.decay.value_at(elapsed)
        tiers = tuple(tier._replace(value=value, currency=rule.decay.currency) for tier in tiers)
    return tuple(tier for tier in tiers if tier.quantity != 0)


def award_of(tier: Tier) -> Award:
    """Return the award of a tier."""
    return Award(tier.name, tier.incentive, tier.value, tier.currency)


def tier_at(rule: ActivationRule, position: int) -> Tier | None:
    """Return the tier of a position from 1, in rank mode: each tier follows the one before it.

    Returns:
        ``None`` after the last award, and in a tier without a limit: it needs no position.
    """
    if rule.total is not None and position > rule.total:
        return None
    last = 0
    for tier in rule.tiers:
        if tier.quantity is None:
            return None if rule.total is None else tier
        last += tier.quantity
        if position <= last:
            return tier
    return None
