"""A crowd at one activation: 2,000 calls by 500 people, 64 at a time, 100 rewards."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from braze_bridge.jobs.queue import QueueUnavailableError
from braze_bridge.partner_config.quikly_activations import Mode, Odds, Status, Tier
from braze_bridge.web.edge import lambda_handler_of
from ops.activations import actions as activations
from quikly_webhook.app import arrival
from quikly_webhook.claim_records import Award, Claimer, ClaimRecord
from quikly_webhook.claim_store import ClaimConflictError, ClaimsUnavailableError
from quikly_webhook.claims import Claims, Decided
from quikly_webhook.draws import claimant_of
from quikly_webhook.sweep import Sweep
from tests.fakes.claims import SECRET, Webhook, activation, webhook_event
from tests.fakes.jobs import InMemoryJobQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.partner_config.quikly_activations import ActivationRule
    from quikly_webhook.models import WebhookCall

PEOPLE = 500
CALLS_EACH = 4
AT_A_TIME = 64
REWARDS = 100
LAMBDAS = 16
MOST_RETRIES = 200
"""A caller that is never answered would otherwise hang the test."""


class LambdaDied(BaseException):
    """The execution environment ends in the middle of a call."""


@pytest.fixture(autouse=True)
def many_turns() -> Iterator[None]:
    """Threads take turns as often as the interpreter allows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


class Result(NamedTuple):
    """What the crowd saw.

    Attributes:
        answers: The bodies of every 200, by person.
        refused: Other answers, which the caller followed by another call.
    """

    answers: dict[str, list[dict[str, Any]]]
    refused: Counter[int]


def crowd(webhook: Webhook, make_claims: Callable[[], Claims] | None = None) -> Result:
    """Let every person call several times, and again if not answered 200 (as Braze does)."""
    handlers = []
    for _ in range(LAMBDAS):
        answering = webhook.lambda_(None if make_claims is None else make_claims())
        handlers.append(
            lambda_handler_of(lambda one=answering: one, log=lambda: webhook.log.logger)  # type: ignore[misc]  # mypy cannot type a lambda's default
        )
    calls = [f"person{number}@example.com" for number in range(PEOPLE)] * CALLS_EACH
    random.Random(7).shuffle(calls)
    answers: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    refused: Counter[int] = Counter()
    lock = threading.Lock()

    def call(number: int) -> None:
        email = calls[number]
        event = webhook_event(email)
        for retry in range(MOST_RETRIES):
            try:
                response = handlers[(number + retry) % LAMBDAS](event, None)
            except LambdaDied:
                status = 502
            else:
                status = response["statusCode"]
                if status == 200:
                    with lock:
                        answers[email].append(json.loads(response["body"]))
                    return
            with lock:
                refused[status] += 1

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(call, range(len(calls))))
    return Result(dict(answers), refused)


def check(result: Result, webhook: Webhook, awards: int = REWARDS) -> None:
    """Check what must be true of a served crowd, after any faults."""
    answers = result.answers
    assert len(answers) == PEOPLE
    assert {len(each) for each in answers.values()} == {CALLS_EACH}
    for each in answers.values():
        assert all(answer == each[0] for answer in each), "a repeat was answered otherwise"
    winners = {email for email, each in answers.items() if each[0]["status"] == "awarded"}
    assert len(winners) == awards
    kept = webhook.store.rows.values()
    assert len(kept) == PEOPLE
    assert sum(claim.status is Status.AWARDED for claim in kept) == awards
    assert rewarded(webhook.jobs.jobs) == winners


def rewarded(jobs: list[DeliveryJob]) -> set[str]:
    """Return whose profile gets an award; a job that came twice must be the same job."""
    by_id: dict[str, set[str | None]] = defaultdict(set)
    for job in jobs:
        if job.events[0].name == "quikly_awarded":
            by_id[job.job_id].add(job.user.email)
    assert all(len(people) == 1 for people in by_id.values())
    people = [email for emails in by_id.values() for email in emails if email]
    assert len(people) == len(set(people)), "two awards for one person"
    return set(people)


REWARD = Tier("reward", quantity=REWARDS)
MODES = {
    "first": activation(Mode.FIRST, REWARD),
    "first, two tiers": activation(
        Mode.FIRST, Tier("gold", quantity=40), Tier("silver", quantity=60)
    ),
    "first, capped in total": activation(
        Mode.FIRST, Tier("gold", quantity=80), Tier("silver", quantity=80), total=REWARDS
    ),
    "rank": activation(Mode.RANK, Tier("gold", quantity=30), Tier("silver", quantity=70)),
    "random": activation(Mode.RANDOM, Tier("prize", quantity=REWARDS, odds=Odds(1, 1))),
}


class Faults:
    """Throttling, conflicts, lost answers, full queues and dying Lambdas, at random but seeded."""

    def __init__(self, share: float) -> None:
        self._random = random.Random(11)
        self._share = share
        self._lock = threading.Lock()

    def _strikes(self) -> float | None:
        with self._lock:
            return self._random.random() if self._random.random() < self._share else None

    def before(self, _operation: str) -> None:
        """Before a write: nothing has happened yet."""
        strike = self._strikes()
        if strike is None:
            return
        if strike < 0.4:
            raise ClaimConflictError("TransactionConflict")
        if strike < 0.7:
            raise ClaimsUnavailableError("ReadTimeoutError")
        raise LambdaDied

    def after(self, _operation: str) -> None:
        """After it: it has happened, and its answer is lost."""
        strike = self._strikes()
        if strike is not None:
            raise LambdaDied if strike < 0.5 else ClaimsUnavailableError("ReadTimeoutError")


class FaultyQueue(InMemoryJobQueue):
    """Refuses some jobs; crashes during others."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._random = random.Random(13)
        self._share = share
        self._lock = threading.Lock()

    def send(self, job: DeliveryJob) -> None:
        with self._lock:
            strike = self._random.random()
        if strike < self._share / 2:
            raise LambdaDied
        if strike < self._share:
            raise QueueUnavailableError("full")
        super().send(job)


def faulty(webhook: Webhook) -> Webhook:
    """The same webhook with faults."""
    faults = Faults(0.1)
    webhook.store.before, webhook.store.after = faults.before, faults.after
    webhook.jobs = FaultyQueue(0.1)
    webhook.outbox.jobs = webhook.jobs
    return webhook


def test_as_many_winners_as_rewards() -> None:
    """Exactly the rewards are won, one a person, and every repeat gets the same answer."""
    webhook = Webhook(MODES["first"])

    result = crowd(webhook)

    assert result.refused == Counter()
    check(result, webhook)


@pytest.mark.parametrize("rule", MODES.values(), ids=MODES)
def test_as_many_winners_through_faults(rule: ActivationRule) -> None:
    """The same while calls are throttled, answers are lost, queues are full and Lambdas die."""
    webhook = faulty(Webhook(rule))

    result = crowd(webhook)

    assert {429, 502, 503} & set(result.refused), "no fault struck: this proved nothing"
    check(result, webhook)
    webhook.store.before = webhook.store.after = lambda _operation: None
    found = activations.verify(rule._replace(opens_at=None), webhook.store, SECRET)
    assert [problem for problem in found.problems if "commitment" not in problem] == []


def test_rank_numbers_are_burnt_not_shared() -> None:
    """Positions are all different, rise from 1, and may have gaps; each person keeps one."""
    webhook = Webhook(MODES["rank"])

    result = crowd(webhook)

    ranks = [each[0]["rank"] for each in result.answers.values()]
    assert len(set(ranks)) == PEOPLE
    assert min(ranks) >= 1
    assert max(ranks) <= PEOPLE * CALLS_EACH


def test_claim_of_a_dead_lambda_is_sent_by_the_sweep() -> None:
    """Lambdas crash between decision and queue, no call comes again: the sweep sends every job."""
    webhook = Webhook(MODES["first"])
    webhook.outbox.jobs = FaultyQueue(2.0)
    handler = webhook.lambda_()
    for number in range(120):
        with pytest.raises(LambdaDied):
            handler(webhook_event(f"person{number}@example.com"))
    assert webhook.jobs.jobs == []
    webhook.outbox.jobs = webhook.jobs
    sweep = Sweep(
        due=webhook.store,
        outbox=webhook.outbox,
        activations=webhook.rules,
        meter=webhook.meter,
        log=webhook.log.logger,
    )

    early = sweep.run(webhook.clock.now(), lambda: 60.0)
    webhook.clock.advance(121)
    swept = sweep.run(webhook.clock.now(), lambda: 60.0)
    again = sweep.run(webhook.clock.now(), lambda: 60.0)

    assert (early, swept, again) == (0, 120, 0)
    assert len(rewarded(webhook.jobs.jobs)) == REWARDS
    assert {claim.claimer for claim in webhook.store.rows.values()} == {None}


class NaiveClaims(Claims):
    """The negative control: look how many rewards are given, then insert the claim.

    Only one call runs at a time, so the count rises in steps of one and some call sees one reward
    left. That call waits, between its look and its insert, until another person has looked, too.
    Both then take the last reward, in every run.

    Args:
        one_at_a_time: Held by the running call; shared by all Lambdas.
        saw_the_last: The people who saw one reward left; shared by all Lambdas.
    """

    def __init__(
        self, webhook: Webhook, one_at_a_time: threading.Condition, saw_the_last: set[str]
    ) -> None:
        super().__init__(
            webhook.store,
            lambda: SECRET,
            clock=webhook.clock,
            sleep=webhook.sleep,
            random=lambda: 1.0,
        )
        self._rows = webhook.store.rows
        self._one_at_a_time = one_at_a_time
        self._saw_the_last = saw_the_last

    def claim(
        self, rule: ActivationRule, call: WebhookCall, arrived_at: datetime, correlation_id: str
    ) -> Decided:
        """Look and insert; a call that waits lets others run."""
        claimant = claimant_of(SECRET, rule.q_scope, call.email)
        with self._one_at_a_time:
            known = self._rows.get((rule.q_scope, claimant))
            if known is not None:
                return Decided(known, is_repeat=True)
            taken = sum(claim.status is Status.AWARDED for claim in self._rows.values())
            if taken == REWARDS - 1:
                self._saw_the_last.add(claimant)
                self._one_at_a_time.notify_all()
                self._one_at_a_time.wait_for(lambda: len(self._saw_the_last) > 1)
            has_won = taken < REWARDS
            claim = ClaimRecord(
                q_scope=rule.q_scope,
                claimant=claimant,
                event=call.event,
                status=Status.AWARDED if has_won else Status.NO_AWARD,
                decided_at=arrived_at,
                correlation_id=correlation_id,
                award=Award("reward") if has_won else None,
                claimer=Claimer(call.email),
                due_at=arrived_at,
            )
            self._rows[rule.q_scope, claimant] = claim
            return Decided(claim)


def test_check_then_insert_fails_the_same_check() -> None:
    """The naive version gives one reward too many, and the check sees it."""
    webhook = Webhook(MODES["first"])
    one_at_a_time = threading.Condition()
    saw_the_last: set[str] = set()

    result = crowd(webhook, lambda: NaiveClaims(webhook, one_at_a_time, saw_the_last))

    assert len(saw_the_last) > 1
    with pytest.raises(AssertionError):
        check(result, webhook)


def test_arrival_is_taken_from_the_gateway() -> None:
    """The time of a call is API Gateway's, whatever the Lambda's clock says."""
    webhook = Webhook()
    event = webhook_event()

    assert arrival(event, webhook.clock.now().replace(year=2030)) == webhook.clock.now()
