"""Decides claims by one conditional write; a repeat reads its own award from the same write.

An award is one transaction: *put the claim unless the person has one* and *count the tier up unless
it is exhausted*. Both happen or neither, so no person has two awards and no quantity is exceeded. A
refused transaction returns what it found (``ALL_OLD``): the person's own claim, or the counters. A
claim without an award needs no counter: one conditional put. So a claim takes one trip to DynamoDB.

In rank mode it takes one more trip, for the position. It is read before the transaction that gives
it to a person together with its award. So no later position comes first. Once every award has a
position, the position is counted up.

If chance decides, a process checks once that the commitment is published, and publishes it if not:
no claim comes before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from braze_bridge.partner_config.quikly_activations import Mode, Status
from quikly_webhook.claim_records import Claimer, ClaimRecord, Counters
from quikly_webhook.claim_store import (
    ClaimConflictError,
    ClaimStore,
    ClaimsUnavailableError,
    Enter,
    EntriesClosed,
    Exhausted,
    Existing,
    Overtaken,
    Recorded,
    Take,
)
from quikly_webhook.draws import claimant_of, commitment_to, lot_of, seed_of
from quikly_webhook.incentives import Window, award_of, candidates, response_time, tier_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.clock import Clock
    from braze_bridge.partner_config.quikly_activations import ActivationRule, Tier
    from quikly_webhook.models import WebhookCall

DUE_AFTER: Final = timedelta(seconds=120)
"""When the sweep sends a claim's job: long after this function's timeout."""

TRIES: Final = 8
"""Most tries of one claim against conflicts; with the pauses between them about two seconds."""

FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
"""Seconds, before full jitter."""

RANK_TRIES: Final = 60
"""Most tries of one claim to take the next position."""

RANK_PAUSE: Final = 0.05
"""Seconds between two of them, before full jitter: about one and a half seconds in all."""

_BY_CHANCE: Final = frozenset({Mode.RANDOM, Mode.DRAW})

ResultT = TypeVar("ResultT")


class ClaimsBusyError(Exception):
    """Too many other claims at the same time: every try met a conflict."""


class SeedChangedError(ClaimsUnavailableError):
    """The seed is not the one committed to, so its outcomes could not be verified."""


class Decided(NamedTuple):
    """The decision about a call.

    Attributes:
        is_repeat: The person had a claim, or another call of theirs was first.
        pauses: How often it waited after a conflict.
    """

    claim: ClaimRecord
    is_repeat: bool = False
    pauses: int = 0


@dataclass(slots=True)
class _Jitter:
    """The pauses and tries of one call."""

    sleep: Callable[[float], None]
    random: Callable[[], float]
    pauses: int = 0
    rank_tries: int = 1

    def pause(self) -> None:
        """Wait after a conflict, each time longer.

        Raises:
            ClaimsBusyError: There is no try left.
        """
        self.pauses += 1
        if self.pauses >= TRIES:
            raise ClaimsBusyError
        longest = min(FIRST_PAUSE * 2.0**self.pauses, LONGEST_PAUSE)
        self.sleep(longest * self.random())

    def pause_for_rank(self) -> None:
        """Wait shortly before the next try to take a position.

        Raises:
            ClaimsBusyError: There is no try left.
        """
        if self.rank_tries >= RANK_TRIES:
            raise ClaimsBusyError
        self.rank_tries += 1
        self.sleep(RANK_PAUSE * self.random())

    def without_conflict(self, act: Callable[[], ResultT]) -> ResultT:
        """Try until there is no conflict."""
        while True:
            try:
                return act()
            except ClaimConflictError:
                self.pause()


class Claims:
    """Decides claims; it may be kept for the life of a process.

    Args:
        secret: Keys hashes and seeds; asked at each call. What it raises is not caught.
        clock: Says when a commitment was published. A call's time is the gateway's.
        sleep: Waits so many seconds.
        random: From 0 up to 1, for jitter only: no outcome depends on it.
    """

    def __init__(
        self,
        store: ClaimStore,
        secret: Callable[[], bytes],
        *,
        clock: Clock,
        sleep: Callable[[float], None],
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._secret = secret
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._stack_exists_since: datetime | None = None
        # Counters only rise. A deployment may raise a quantity, but it starts new processes. So an
        # exhausted tier stays exhausted and need not be tried.
        self._exhausted: set[tuple[str, str]] = set()
        self._all_placed: set[str] = set()
        self._committed: dict[str, str] = {}

    def claim(
        self, rule: ActivationRule, call: WebhookCall, arrived_at: datetime, correlation_id: str
    ) -> Decided:
        """Decide a call, or return how it was decided.

        Args:
            rule: Of the call's activation, which accepts its event.
            arrived_at: At API Gateway.
            correlation_id: Stored with a new claim.

        Raises:
            ClaimsBusyError: The call may succeed in some seconds.
            ClaimsUnavailableError: As :class:`ClaimStore`.
            SeedChangedError: Chance decides, and the claims secret was changed.
        """
        secret = self._secret()
        own_event = call.event if rule.mode is Mode.FORWARD else ""
        claimant = claimant_of(secret, rule.q_scope, call.email, own_event)
        opening = rule.opening(self._stack_since)
        window = Window(opening, rule.closing(opening))
        claim = ClaimRecord(
            q_scope=rule.q_scope,
            claimant=claimant,
            event=call.event,
            status=Status.NO_AWARD,
            decided_at=arrived_at,
            correlation_id=correlation_id,
            claimer=Claimer(call.email, call.external_id, call.braze_id, rule.create_profiles),
            due_at=arrived_at + DUE_AFTER,
        )
        refusal = window.refusal(arrived_at)
        if refusal is not None:
            # A person who has a claim keeps it, and gets the same answer.
            known = self._store.find(rule.q_scope, claimant)
            return Decided(known, True) if known else Decided(_outside(claim, refusal))  # noqa: FBT003 - a field
        jitter = _Jitter(self._sleep, self._random)
        if rule.mode is Mode.FORWARD:
            return self._keep(claim._replace(status=Status.FORWARDED), None, jitter)
        seed = seed_of(secret, rule.q_scope)
        if rule.mode in _BY_CHANCE:
            self._commit(rule.q_scope, commitment_to(seed), jitter)
        if rule.mode is Mode.DRAW:
            return self._keep(claim._replace(status=Status.ENTERED), Enter(), jitter)
        response = response_time(arrived_at, opening, call.since)
        claim = claim._replace(response_ms=response // timedelta(milliseconds=1))
        tiers = candidates(
            rule,
            response=response,
            elapsed=arrived_at - opening,
            lot=lot_of(seed, claimant) if rule.mode is Mode.RANDOM else None,
        )
        return self._decide(rule, claim, tiers, jitter)

    def _commit(self, q_scope: str, commitment: str, jitter: _Jitter) -> None:
        """Publish the commitment before the first claim."""
        if self._committed.get(q_scope) == commitment:
            return
        published = jitter.without_conflict(
            lambda: self._store.commit(q_scope, commitment, self._clock.now())
        )
        if published != commitment:
            raise SeedChangedError("the claims secret is not the one committed to")
        self._committed[q_scope] = commitment

    def _decide(
        self, rule: ActivationRule, claim: ClaimRecord, tiers: Sequence[Tier], jitter: _Jitter
    ) -> Decided:
        if rule.mode is Mode.RANK:
            placed = self._place(rule, claim, jitter)
            if placed is not None:
                return placed
            rank = jitter.without_conflict(lambda: self._store.next_rank(rule.q_scope))
            claim = claim._replace(rank=rank)
        for tier in tiers:
            if (rule.q_scope, tier.name) in self._exhausted:
                continue
            take = Take(tier.name, tier.quantity, rule.total)
            counted = None if tier.quantity is None and rule.total is None else take
            won = claim._replace(status=Status.AWARDED, award=award_of(tier))
            decided = self._try(won, counted, jitter)
            if isinstance(decided, Decided):
                return decided
            if isinstance(decided, Exhausted):
                self._note_exhausted(rule, decided.counters)
        consolation = None if rule.consolation is None else award_of(rule.consolation)
        return self._keep(claim._replace(award=consolation), None, jitter)

    def _place(self, rule: ActivationRule, claim: ClaimRecord, jitter: _Jitter) -> Decided | None:
        """Give the next position that has an award, and the award: both or neither.

        Returns:
            ``None`` if every such position is given. Awards that are left then come from a quantity
            raised since, and are given without regard to the position.
        """
        if rule.q_scope in self._all_placed:
            return None
        last = jitter.without_conflict(lambda: self._store.last_rank(rule.q_scope))
        while (tier := tier_at(rule, last + 1)) is not None:
            won = claim._replace(status=Status.AWARDED, award=award_of(tier), rank=last + 1)
            take = Take(tier.name, tier.quantity, rule.total, after=last)
            decided = self._try(won, take, jitter)
            if isinstance(decided, Decided):
                return decided
            if isinstance(decided, Exhausted):
                self._note_exhausted(rule, decided.counters)
                return None
            last = decided.last
            jitter.pause_for_rank()
        self._all_placed.add(rule.q_scope)
        return None

    def _keep(self, claim: ClaimRecord, counted: Enter | None, jitter: _Jitter) -> Decided:
        decided = self._try(claim, counted, jitter)
        if not isinstance(decided, Decided):  # pragma: no cover - nothing was to be taken
            raise ClaimsUnavailableError("a claim that takes nothing was refused")
        return decided

    def _try(
        self, claim: ClaimRecord, counted: Take | Enter | None, jitter: _Jitter
    ) -> Decided | Exhausted | Overtaken:
        outcome = jitter.without_conflict(lambda: self._store.record(claim, counted))
        match outcome:
            case Recorded():
                return Decided(claim, pauses=jitter.pauses)
            case Existing(known):
                return Decided(known, is_repeat=True, pauses=jitter.pauses)
            case EntriesClosed():
                return Decided(_outside(claim, Status.CLOSED), pauses=jitter.pauses)
            case Exhausted() | Overtaken():
                return outcome

    def _note_exhausted(self, rule: ActivationRule, counters: Counters) -> None:
        all_given = rule.total is not None and counters.total >= rule.total
        for tier in rule.tiers:
            taken = counters.taken.get(tier.name, 0)
            if all_given or (tier.quantity is not None and taken >= tier.quantity):
                self._exhausted.add((rule.q_scope, tier.name))

    def _stack_since(self) -> datetime:
        if self._stack_exists_since is None:
            self._stack_exists_since = self._store.stack_exists_since()
        return self._stack_exists_since


def _outside(claim: ClaimRecord, status: Status) -> ClaimRecord:
    """Return the answer of a call that is not stored."""
    return claim._replace(status=status, due_at=None)


def publish_commitments(
    commit: Callable[[str, str, datetime], object],
    activations: Mapping[str, ActivationRule],
    secret: Callable[[], bytes],
    now: datetime,
) -> None:
    """Publish the commitment of each activation that chance decides, unless it has one.

    Args:
        commit: Keeps an activation's commitment, unless there is one.
        activations: By ``q_scope``.
        secret: The claims secret.
    """
    for q_scope, rule in activations.items():
        if rule.mode in _BY_CHANCE:
            commit(q_scope, commitment_to(seed_of(secret(), q_scope)), now)
