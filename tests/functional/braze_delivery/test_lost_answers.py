"""Lost answers and killed invocations, over the stand-in Braze: what is looked up counts once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Literal

import pytest

from braze_bridge.braze.errors import UnknownOutcomeError
from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.envelope import JobUser, UserAlias, parse_job
from braze_delivery.delivery import Ports, deliver
from braze_delivery.verifying import LAG, Verdict
from tests.fakes.braze import InlineExecutor
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.delivery_jobs import event, job
from tests.fakes.gate import InMemoryGate
from tests.fakes.jobs import InMemoryRejectedStore
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.stand_in import StandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from braze_bridge.braze.transport import HttpRequest
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.port import Leases, PersonKey, PersonState

TRACK = "/users/track"
EXPORT = "/users/export/ids"
VISIBILITY = 420.0
"""Seconds after which SQS hands out the messages of a killed invocation again."""


class KilledError(BaseException):
    """Lambda ends the function here."""


class KilledAtRecord(InMemoryLedger):
    """A ledger whose holder is sometimes killed before it records."""

    is_killed: Callable[[], bool] = staticmethod(lambda: False)

    def record(
        self,
        leases: Leases,
        updates: Mapping[PersonKey, PersonState],
        seconds_left: Callable[[], float] = lambda: 10.0,
    ) -> frozenset[PersonKey]:
        if self.is_killed():
            raise KilledError
        return super().record(leases, updates, seconds_left)


@dataclass
class Campaign:
    """A queue, a Braze that loses answers, and Lambdas that are killed, on a virtual clock."""

    policy: Literal["verify", "resend", "park"]
    on_unverified: Literal["resend", "park"] = "park"
    seed: int = 1
    lost: float = 0.4
    killed: float = 0.1
    lag: timedelta = LAG
    clock: FixedClock = field(default_factory=FixedClock)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    batches: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.braze = StandIn(self.clock, self.seed)
        self.braze.configure(
            read_delay_ms=2_000, apply_jitter_ms=2_000, limits={EXPORT: [250, 60], TRACK: [3000, 3]}
        )
        self.braze.before = self._fault
        self.braze.after = self._fault
        self.rejected = InMemoryRejectedStore()
        ledger = KilledAtRecord(self.clock)
        ledger.is_killed = lambda: self.random.random() < self.killed
        self.ports = Ports(
            track=self.braze.client.track,
            export_ids=self.braze.client.export_ids,
            gate=InMemoryGate(self.clock),
            ledger=ledger,
            rejected=self.rejected,
            clock=self.clock,
            executor=InlineExecutor(),
            jitter=self.random.random,
            concurrency=20,
            retention=timedelta(days=4),
            on_unknown_outcome=self.policy,
            on_unverified=self.on_unverified,
            verify_lag=self.lag,
        )

    def _fault(self, request: HttpRequest) -> None:
        """Lose an answer, before or after the request is processed, or kill the Lambda."""
        if request.path == TRACK:
            drawn = self.random.random()
            if drawn < self.killed / 4:
                raise KilledError
            if drawn < self.lost / 2:
                raise UnknownOutcomeError("lost")

    def run(self, jobs: list[DeliveryJob]) -> None:
        """Deliver everything, in batches of up to 100 messages."""
        queue = [(0.0, each, 1) for each in jobs]
        while queue:
            self.batches += 1
            assert self.batches < 2_000, "it never ends"
            now = (self.clock.now() - NOON).total_seconds()
            queue.sort(key=lambda each: each[0])
            if queue[0][0] > now:
                self.clock.advance(queue[0][0] - now)
                now = queue[0][0]
            batch = [each for each in queue[:100] if each[0] <= now]
            queue = queue[len(batch) :]
            messages = [
                SqsMessage(str(n), each.to_json(), receive_count=receives)
                for n, (_, each, receives) in enumerate(batch)
            ]
            try:
                result = deliver(messages, self.ports, lambda: 60.0)
                self.verdicts += result.verified
                back = {int(id_): delay for id_, delay in result.retry.items()}
            except KilledError:
                back = dict.fromkeys(range(len(batch)), VISIBILITY)
            self.clock.advance(self.random.uniform(0.5, 3))
            queue += [(now + back[n], batch[n][1], batch[n][2] + 1) for n in back]
        self.clock.advance(300)  # the writes that are under way
        self.braze.workspace.settle()

    @property
    def counts(self) -> Counter[str]:
        """How often each event is on a profile."""
        return Counter(
            str(each.properties["answer"])
            for profile in self.braze.workspace.profiles
            for each in profile.events
        )

    @property
    def parked(self) -> set[str]:
        """The events in the rejected table."""
        rows = [parse_job(row.payload) for row in self.rejected.records.values()]
        return {str(each.properties["answer"]) for row in rows for each in row.events}


def people(count: int) -> list[JobUser]:
    """People with each kind of identifier that a partner gives."""
    makers: list[Callable[[int], JobUser]] = [
        lambda n: JobUser(external_id=f"user-{n}"),
        lambda n: JobUser(external_id=f"id {n}"),
        lambda n: JobUser(user_alias=UserAlias(alias_name=f"name-{n}", alias_label="quiz")),
        lambda n: JobUser(email=f"person{n}@example.com"),
        lambda n: JobUser(phone=f"+4915112{n:06}"),
    ]
    return [makers[n % len(makers)](n) for n in range(count)]


def answers(users: list[JobUser], each: int = 1) -> list[DeliveryJob]:
    """So many answers of each person, minutes apart, with a value and an event."""
    jobs = []
    for number, user in enumerate(users):
        for nth in range(each):
            age = 300.0 + 90 * nth + number / 7
            at = NOON - timedelta(seconds=age)
            name = f"{number}-{nth}"
            events = [event("quiz finished", at, answer=name)]
            jobs.append(job(name, user, attributes={"score": nth}, events=events, age=age))
    return jobs


def name_of(answer: DeliveryJob) -> str:
    return answer.job_id.rpartition(":")[2]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("on_unverified", ["resend", "park"])
def test_750_answers_count_once_whatever_is_lost(
    seed: int, on_unverified: Literal["resend", "park"]
) -> None:
    """Nobody answered twice, so Braze can always tell."""
    campaign = Campaign("verify", on_unverified, seed)
    jobs = answers(people(750))

    campaign.run(jobs)

    assert campaign.counts == dict.fromkeys(
        (str(each.job_id).rpartition(":")[2] for each in jobs), 1
    )
    assert campaign.parked == set()
    assert campaign.verdicts[Verdict.ARRIVED] > 0
    assert campaign.verdicts[Verdict.NOT_ARRIVED] > 0
    assert campaign.verdicts[Verdict.UNKNOWN] == 0
    assert set(campaign.braze.statuses(EXPORT)) == {201}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_event_that_a_later_one_hides_follows_on_unverified(seed: int) -> None:
    """With `park` none counts twice, and what is on no profile is in the rejected table."""
    campaign = Campaign("verify", "park", seed)
    jobs = answers(people(250), each=3)

    campaign.run(jobs)

    assert max(campaign.counts.values()) == 1
    assert {name_of(each) for each in jobs} - campaign.counts.keys() <= campaign.parked
    assert 0 < len(campaign.parked) <= campaign.verdicts[Verdict.UNKNOWN]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_the_look_up_some_events_count_twice(seed: int) -> None:
    """The negative control: the faults are strong enough."""
    campaign = Campaign("resend", seed=seed)

    campaign.run(answers(people(750)))

    assert len(campaign.counts) == 750
    assert sum(count > 1 for count in campaign.counts.values()) > 20


def test_without_the_lag_some_events_count_twice() -> None:
    """The other control: here Braze shows an event two minutes after it took it."""
    campaign = Campaign("verify", lag=timedelta(0))
    campaign.braze.configure(read_delay_ms=120_000)

    campaign.run(answers(people(750)))

    assert len(campaign.counts) == 750
    assert max(campaign.counts.values()) > 1
