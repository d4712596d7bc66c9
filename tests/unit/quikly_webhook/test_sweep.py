"""The sweep: everything due is sent once more, through all faults."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from braze_bridge.observability import Metric
from braze_bridge.partner_config.quikly_activations import Mode, Status, Tier
from quikly_webhook.claim_records import Award, Claimer, ClaimRecord
from quikly_webhook.sweep import BATCH, ScheduledSweep, Sweep
from tests.fakes.claims import Webhook, activation
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.claims import InMemoryClaims

LATER = NOON + timedelta(seconds=120)


def plenty() -> float:
    return 50.0


def with_claims(number: int, **given: object) -> Webhook:
    """A webhook whose claims are all due, and none sent."""
    webhook = Webhook(activation(Mode.FIRST, Tier("reward")))
    for index in range(number):
        claim = ClaimRecord(
            q_scope="launch",
            claimant=f"{index:032x}",
            event="act",
            status=Status.AWARDED,
            decided_at=NOON,
            correlation_id="c",
            award=Award("reward"),
            claimer=Claimer(f"p{index}@example.com"),
            due_at=LATER,
        )
        webhook.store.record(claim._replace(**given), None)  # type: ignore[arg-type]  # a test's own
    return webhook


def sweep_of(webhook: Webhook) -> Sweep:
    return Sweep(
        due=webhook.store,
        outbox=webhook.outbox,
        activations=webhook.rules,
        meter=webhook.meter,
        log=webhook.log.logger,
    )


def test_every_due_claim_is_sent_once() -> None:
    """More than one batch of them, in one run; the next finds nothing."""
    webhook = with_claims(BATCH + 5)

    assert sweep_of(webhook).run(LATER, plenty) == BATCH + 5
    assert sweep_of(webhook).run(LATER, plenty) == 0
    assert len({job.job_id for job in webhook.jobs.jobs}) == len(webhook.jobs.jobs) == BATCH + 5
    assert webhook.meter.totals[Metric.CLAIMS_SWEPT] == BATCH + 5


def test_two_runs_at_once_make_the_same_jobs() -> None:
    """Lambda may call it twice, and a slow run may meet the next. The ledger drops the copies."""
    webhook = with_claims(3)
    seen = list(webhook.store.due(LATER))

    late = replace(sweep_of(webhook), due=AlreadyRead(webhook.store, seen))
    assert sweep_of(webhook).run(LATER, plenty) == 3
    assert late.run(LATER, plenty) == 3

    ids = [job.job_id for job in webhook.jobs.jobs]
    assert sorted(ids[3:]) == sorted(ids[:3])
    assert list(webhook.store.due(LATER)) == []


class AlreadyRead:
    """The claims as a run read them before another run settled them."""

    def __init__(self, store: InMemoryClaims, seen: list[ClaimRecord]) -> None:
        self._seen = seen
        self.settle = store.settle

    def due(self, now: datetime) -> Iterator[ClaimRecord]:
        del now
        return iter(self._seen)


def test_what_the_queue_refused_stays_due() -> None:
    """The run ends, and the next sends it."""
    webhook = with_claims(3)
    webhook.jobs.refusing = True

    assert sweep_of(webhook).run(LATER, plenty) == 0
    webhook.jobs.refusing = False
    assert sweep_of(webhook).run(LATER, plenty) == 3
    assert "p0@example.com" not in webhook.log.text


def test_run_ends_before_the_function_does() -> None:
    """With no time left one batch is done, and the rest waits for the next minute."""
    webhook = with_claims(BATCH + 5)

    assert sweep_of(webhook).run(LATER, lambda: 14.0) == BATCH
    assert sweep_of(webhook).run(LATER, lambda: 14.0) == 5


def test_claims_of_a_vanished_activation_are_settled() -> None:
    """If the configuration no longer has it, the claim is settled and nothing is written."""
    webhook = with_claims(1, q_scope="gone")

    assert sweep_of(webhook).run(LATER, plenty) == 1
    assert webhook.jobs.jobs == []
    [claim] = webhook.store.rows.values()
    assert claim.claimer is None


def test_commitments_that_cannot_be_published_do_not_stop_the_sweep() -> None:
    """The sweep comes first; each call tries to publish until it succeeds."""
    webhook = with_claims(1)
    attempts: list[datetime] = []

    def publish(now: datetime) -> None:
        attempts.append(now)
        if len(attempts) == 1:
            raise ConnectionError

    webhook.clock.advance(120)
    scheduled = ScheduledSweep(sweep_of(webhook), publish, webhook.clock)

    with pytest.raises(ConnectionError):
        scheduled(plenty)
    assert len(webhook.jobs.jobs) == 1
    assert [scheduled(plenty), scheduled(plenty)] == [0, 0]
    assert attempts == [LATER, LATER]
