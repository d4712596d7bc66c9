"""The claims table's ports in memory, and a webhook on top of them."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from braze_bridge.partner_config.quikly_activations import (
    ActivationRule,
    Mode,
    ProfileRule,
    Status,
    Tier,
)
from braze_bridge.web.door import Door
from ops.activations.book import Closed, Drawn
from quikly_webhook.app import ROUTES, QuiklyWebhook
from quikly_webhook.claim_records import Counters, shard_of
from quikly_webhook.claim_store import (
    Enter,
    EntriesClosed,
    Exhausted,
    Existing,
    Overtaken,
    Recorded,
    Take,
)
from quikly_webhook.claims import Claims
from quikly_webhook.outbox import Outbox
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.forwarding import InMemoryForwardQueue
from tests.fakes.jobs import InMemoryJobQueue
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from quikly_webhook.claim_records import ClaimRecord
    from quikly_webhook.claim_store import Outcome

ResultT = TypeVar("ResultT")

SECRET = b"a secret that keys the claims"
STACK_SINCE = datetime(2026, 11, 1, tzinfo=UTC)


def nothing(_operation: str) -> None:
    """No fault, and no other thread's turn."""


class InMemoryClaims:
    """The claims table: a ``ClaimStore``, an ``ActivationBook`` and ``DueClaims``.

    Each write is atomic, as DynamoDB's are; between two calls anything may happen.

    Attributes:
        rows: Claims by scope and claimant.
        taken: Awards by scope and tier.
        ranks: Positions given, by scope.
        entries: Entries by scope and shard; closed shards are in ``closed_shards``.
        calls: How often each operation was asked for.
        before: Called with the operation before it takes place; may raise.
        after: Called with it when it has taken place; may raise, and the answer is lost.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], ClaimRecord] = {}
        self.taken: Counter[tuple[str, str]] = Counter()
        self.totals: Counter[str] = Counter()
        self.ranks: Counter[str] = Counter()
        self.entries: Counter[tuple[str, str]] = Counter()
        self.closed_shards: set[tuple[str, str]] = set()
        self.commitments: dict[str, tuple[str, datetime]] = {}
        self.published: dict[str, Closed | Drawn] = {}
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str], None] = nothing
        self.after: Callable[[str], None] = nothing
        self._lock = threading.Lock()

    # -- ClaimStore

    def stack_exists_since(self) -> datetime:
        """See the ports."""
        return STACK_SINCE

    def find(self, q_scope: str, claimant: str) -> ClaimRecord | None:
        """See :meth:`quikly_webhook.claim_store.ClaimStore.find`."""
        return self._do("find", lambda: self.rows.get((q_scope, claimant)))

    def last_rank(self, q_scope: str) -> int:
        """See :meth:`quikly_webhook.claim_store.ClaimStore.last_rank`."""
        return self._do("last_rank", lambda: self.ranks[q_scope])

    def next_rank(self, q_scope: str) -> int:
        """See :meth:`quikly_webhook.claim_store.ClaimStore.next_rank`."""

        def up() -> int:
            self.ranks[q_scope] += 1
            return self.ranks[q_scope]

        return self._do("next_rank", up)

    def record(self, claim: ClaimRecord, counted: Take | Enter | None) -> Outcome:
        """See :meth:`quikly_webhook.claim_store.ClaimStore.record`."""
        return self._do("record", lambda: self._record(claim, counted))

    def _record(self, claim: ClaimRecord, counted: Take | Enter | None) -> Outcome:
        scope = claim.q_scope
        known = self.rows.get((scope, claim.claimant))
        if known is not None:
            return Existing(known)
        if isinstance(counted, Enter):
            shard = (scope, shard_of(claim.claimant))
            if shard in self.closed_shards:
                return EntriesClosed()
            self.entries[shard] += 1
        if isinstance(counted, Take):
            if counted.after is not None and self.ranks[scope] != counted.after:
                return Overtaken(self.ranks[scope])
            tier = (scope, counted.tier)
            if (counted.quantity is not None and self.taken[tier] >= counted.quantity) or (
                counted.total is not None and self.totals[scope] >= counted.total
            ):
                return Exhausted(self._counters(scope))
            self.ranks[scope] += counted.after is not None
            self.taken[tier] += 1
            self.totals[scope] += 1
        self.rows[scope, claim.claimant] = claim
        return Recorded()

    # -- ActivationBook

    def counters(self, q_scope: str) -> Counters:
        """See :meth:`ops.activations.book.ActivationBook.counters`."""
        return self._do("counters", lambda: self._counters(q_scope))

    def _counters(self, q_scope: str) -> Counters:
        commitment, committed_at = self.commitments.get(q_scope, (None, None))
        taken = {tier: number for (scope, tier), number in self.taken.items() if scope == q_scope}
        return Counters(taken, self.totals[q_scope], commitment, committed_at)

    def claims(self, q_scope: str) -> Iterator[ClaimRecord]:
        """See :meth:`ops.activations.book.ActivationBook.claims`."""
        rows = self._do("claims", lambda: list(self.rows.items()))
        return (claim for (scope, _), claim in rows if scope == q_scope)

    def commit(self, q_scope: str, commitment: str, now: datetime) -> str:
        """See :meth:`ops.activations.book.ActivationBook.commit`."""
        return self._do(
            "commit", lambda: self.commitments.setdefault(q_scope, (commitment, now))[0]
        )

    def close_entries(self, q_scope: str, now: datetime) -> int:
        """See :meth:`ops.activations.book.ActivationBook.close_entries`."""

        def shut() -> int:
            self.closed_shards |= {(q_scope, shard) for shard in "0123456789abcdef"}
            return sum(n for (scope, _), n in self.entries.items() if scope == q_scope)

        return self._do("close_entries", shut)

    def closed(self, q_scope: str) -> Closed | Drawn | None:
        """See :meth:`ops.activations.book.ActivationBook.closed`."""
        return self._do("closed", lambda: self.published.get(q_scope))

    def keep_closed(self, closed: Closed) -> None:
        """See :meth:`ops.activations.book.ActivationBook.keep_closed`."""
        self._do("keep_closed", lambda: self.published.setdefault(closed.q_scope, closed))

    def keep_drawn(self, result: Drawn) -> Drawn:
        """See :meth:`ops.activations.book.ActivationBook.keep_drawn`."""

        def keep() -> Drawn:
            known = self.published.get(result.closed.q_scope)
            if isinstance(known, Drawn):
                return known
            self.published[result.closed.q_scope] = result
            return result

        return self._do("keep_drawn", keep)

    def decide(self, claims: Iterable[ClaimRecord]) -> int:
        """See :meth:`ops.activations.book.ActivationBook.decide`."""
        return sum(self._do("decide", partial(self._over, claim)) for claim in claims)

    def _over(self, claim: ClaimRecord) -> bool:
        key = (claim.q_scope, claim.claimant)
        undecided = self.rows[key].status is Status.ENTERED
        if undecided:
            self.rows[key] = claim
        return undecided

    # -- DueClaims

    def due(self, now: datetime) -> Iterator[ClaimRecord]:
        """See :meth:`quikly_webhook.sweep.DueClaims.due`."""
        rows = self._do("due", lambda: list(self.rows.values()))
        return (claim for claim in rows if claim.due_at is not None and claim.due_at <= now)

    def settle(self, claim: ClaimRecord) -> None:
        """See :meth:`quikly_webhook.sweep.DueClaims.settle`."""

        def off() -> None:
            key = (claim.q_scope, claim.claimant)
            known = self.rows[key]
            if (known.due_at, known.status) == (claim.due_at, claim.status):
                claimer = known.claimer if known.status is Status.ENTERED else None
                self.rows[key] = known._replace(due_at=None, claimer=claimer)

        self._do("settle", off)

    def _do(self, operation: str, act: Callable[[], ResultT]) -> ResultT:
        self.before(operation)
        with self._lock:
            self.calls[operation] += 1
            result = act()
        self.after(operation)
        return result


PROFILE = ProfileRule(
    events={status: f"quikly_{status}" for status in Status},
    attributes={},
)


def activation(mode: Mode, *tiers: Tier, **given: Any) -> ActivationRule:
    """An activation ``launch`` that takes ``act`` and opened at noon."""
    usual: dict[str, Any] = {"opens_at": NOON, "profile": PROFILE}
    return ActivationRule("launch", mode, ("act",), tiers=tiers, **usual | given)


class Webhook:
    """The function's own code on the fakes.

    Attributes:
        store: The claims.
        jobs: Delivery's queue.
        forwards: Quikly's.
        clock: The Lambda's.
        slept: The pauses asked for, in seconds; no thread sleeps.
    """

    def __init__(
        self,
        *rules: ActivationRule,
        store: InMemoryClaims | None = None,
        placeholders: frozenset[str] = frozenset(),
    ) -> None:
        self.placeholders = placeholders
        self.store = store or InMemoryClaims()
        self.jobs = InMemoryJobQueue()
        self.forwards = InMemoryForwardQueue()
        self.clock = FixedClock()
        self.meter = RecordingMeter()
        self.log = RecordingLog()
        self.secret = FixedSecret(TOKEN)
        self.slept: list[float] = []
        self.rules = {rule.q_scope: rule for rule in rules}
        self.outbox = Outbox(self.jobs, self.forwards, self.clock)

    def lambda_(self, claims: Claims | None = None) -> QuiklyWebhook:
        """One execution environment."""
        return QuiklyWebhook(
            door=Door(routes=ROUTES, secret=self.secret, meter=self.meter, clock=self.clock),
            activations=self.rules,
            claims=claims or self.claims(),
            outbox=self.outbox,
            meter=self.meter,
            log=self.log.logger,
            placeholders=self.placeholders,
        )

    def claims(self) -> Claims:
        """What decides in one execution environment."""
        return Claims(
            self.store,
            lambda: SECRET,
            clock=self.clock,
            sleep=self.sleep,
            random=lambda: 1.0,
        )

    def sleep(self, seconds: float) -> None:
        """Only gives way to other threads."""
        self.slept.append(seconds)
        time.sleep(0)


def webhook_event(
    email: str = "ada@example.com",
    *,
    at: datetime | None = NOON,
    q_scope: str = "launch",
    event: str = "act",
    **more: Any,
) -> dict[str, Any]:
    """A campaign's call.

    Args:
        email: Whose.
        at: When API Gateway took it; ``None``: it does not say.
        q_scope: The activation.
        event: What the person did.
        more: Further keys of the body.
    """
    body = {"q_scope": q_scope, "event": event, "email": email, **more}
    made = proxy_event(json.dumps(body), path="/quikly/webhook")
    if at is not None:
        made["requestContext"]["requestTimeEpoch"] = round(at.timestamp() * 1000)
    return made
