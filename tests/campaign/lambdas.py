"""The Lambdas of a campaign: execution environments that run delivery, freeze, thaw and die."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from braze_bridge.braze.client import BrazeClient, partner_user_agent
from braze_bridge.gate.calls import CONNECT_TIMEOUT, READ_TIMEOUT
from braze_bridge.gate.dynamo import DynamoGateStore
from braze_bridge.gate.shared import SharedGate
from braze_bridge.jobs.queue import SqsMessageHider
from braze_bridge.ledger.dynamo import DynamoMemoryStore
from braze_bridge.ledger.fingerprints import Fingerprints
from braze_bridge.ledger.port import lease_length, update_only
from braze_bridge.ledger.shared import SharedLedger
from braze_delivery import app
from braze_delivery.delivery import Ports, deliver
from braze_delivery.reporting import report
from tests.campaign.answers import job_of
from tests.campaign.aws_models import RETENTION, VISIBILITY, QueueClient
from tests.campaign.braze_model import KEY
from tests.campaign.invocations import Invocation
from tests.campaign.network import CampaignTransport
from tests.campaign.virtual_time import Process, VirtualClock, VirtualEvent, VirtualExecutor
from tests.fakes.clock import FixedClock
from tests.fakes.dynamodb import TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from braze_bridge.handlers import SqsMessage
    from braze_bridge.ledger.port import Ledger
    from tests.campaign.answers import Answer
    from tests.campaign.campaign import Campaign

FUNCTION_TIMEOUT: Final = 60.0
BATCH_WINDOW: Final = 5.0
EARLIEST: Final = (datetime(1970, 1, 1, tzinfo=UTC),) * 2
LEDGER_KEY: Final = b"the key of the campaign"
HIDE_RESERVE: Final = app.HIDE_RESERVE


class Environment:
    """One execution environment, with what a Lambda keeps between invocations."""

    def __init__(self, campaign: Campaign, name: str) -> None:
        self.process = Process(name)
        self.name = name
        self.invocation = Invocation(0, name, [], 0.0)
        timeline, weather, variant = campaign.timeline, campaign.weather, campaign.variant
        random = campaign.random
        self._campaign = campaign
        clock = VirtualClock(timeline, weather.between(-0.5, 0.5))
        transport = CampaignTransport(
            timeline,
            weather,
            campaign.braze,
            lambda: self.invocation,
            keeps_deadlines=variant != "late_requests_leave",
        )
        client = BrazeClient(
            api_key=lambda: KEY,
            transport=transport,
            user_agent=partner_user_agent("BrazePartnerBridge", "Delivery", "1"),
            now=lambda: clock.now().timestamp(),
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
        )
        table = campaign.table

        def executor(workers: int) -> VirtualExecutor:
            return VirtualExecutor(timeline, self.process, workers)

        ledger: Ledger = SharedLedger(
            DynamoMemoryStore(
                table.ledger_calls(lambda: self.invocation.link),
                TABLE,
                executor(app.LEDGER_CONNECTIONS),
            ),
            clock,
            lambda: LEDGER_KEY,
            lease_length(FUNCTION_TIMEOUT, VISIBILITY),
            token=random.randbytes,
            monotonic=lambda: timeline.now,
            pause=timeline.sleep,
            jitter=random.random,
        )
        tail = executor(app.TAIL_CALLS)
        ports = Ports(
            track=client.track,
            gate=SharedGate(
                DynamoGateStore(table.gate_client(lambda: self.invocation.link), TABLE),
                clock,
                campaign.lambdas,
                token=random.randbytes,
            ),
            ledger=ledger,
            rejected=campaign.rejected,
            clock=clock,
            executor=executor(20),
            jitter=random.random,
            concurrency=20,
            retention=timedelta(seconds=RETENTION),
            on_unknown_outcome=campaign.policy,
            tail=tail,
            export_ids=client.export_ids,
            on_unverified=campaign.on_unverified,
        )
        self._ports = campaign.break_ports(ports)
        self._hider = SqsMessageHider(
            QueueClient(campaign.queue, timeline, weather),  # type: ignore[arg-type]
            "queue",
            tail,
        )

    def handle(self, invocation: Invocation, done: VirtualEvent) -> None:
        """Run an invocation, as :func:`braze_delivery.app.handle` does."""
        timeline = self._campaign.timeline
        end = invocation.began_at + FUNCTION_TIMEOUT

        def seconds_left() -> float:
            return end - timeline.now

        try:
            result = deliver(invocation.messages, self._ports, seconds_left)
            handles = {each.message_id: each.receipt_handle for each in invocation.messages}
            hidden = self._hider.hide(
                {handles[each]: delay for each, delay in result.retry.items()},
                lambda: seconds_left() - HIDE_RESERVE,
            )
            invocation.unhidden = len(result.retry) - hidden
            report(
                result, invocation.meter, self._campaign.log.logger, unhidden=invocation.unhidden
            )
            invocation.result = result
        except Exception as error:  # noqa: BLE001 - Lambda reports it, and the messages come back
            invocation.failure = repr(error)
        done.set()


class Slot:
    """Takes batches from the queue, one after the other, as Lambda's event source does."""

    def __init__(self, campaign: Campaign, number: int) -> None:
        self._campaign = campaign
        self._number = number
        self._made = 0
        self._environment: Environment | None = None

    def run(self) -> None:
        """Work until the queue is empty and nothing more comes."""
        campaign = self._campaign
        timeline, weather, queue = campaign.timeline, campaign.weather, campaign.queue
        while not campaign.is_over:
            most = campaign.random.choice((5, 75, 300, 1_050))
            batch = queue.receive(most)
            if not batch:
                at = queue.next_at
                timeline.sleep(
                    min(max((at or 0) - timeline.now, 1.0), 60.0) + weather.between(0, 1)
                )
                continue
            timeline.sleep(BATCH_WINDOW)
            batch += queue.receive(most - len(batch))
            # As `answer_batch` does: SQS may hand a message out twice in one batch.
            self._invoke(list({each.message_id: each for each in batch}.values()))
            timeline.sleep(weather.between(0.0, 5.0))

    def _invoke(self, batch: Sequence[SqsMessage]) -> None:
        campaign = self._campaign
        timeline, weather = campaign.timeline, campaign.weather
        environment = self._environment
        if environment is None:
            self._made += 1
            environment = Environment(campaign, f"L{self._number}.{self._made}")
        invocation = Invocation(
            len(campaign.invocations) + 1, environment.name, batch, timeline.now
        )
        campaign.invocations.append(invocation)
        environment.invocation = invocation
        process = environment.process
        process.calls_left = None
        if weather.happens(0.03, timeline.now):
            invocation.link.calls_left = campaign.random.randrange(2, 12)
        if weather.happens(0.04, timeline.now):
            process.calls_left = campaign.random.randrange(40)
        timeline.thaw(process)
        if weather.happens(0.02, timeline.now):
            begin = timeline.now + weather.between(0.01, 2)
            pause = partial(self._pause, invocation, process, weather.between(1, 70))
            timeline.call_at(begin, pause)
        done = VirtualEvent(timeline)
        timeline.spawn(process, partial(environment.handle, invocation, done))
        self._await(done, process, invocation.began_at + FUNCTION_TIMEOUT)
        invocation.ended_at = timeline.now
        if not done.is_set():
            timeline.kill(process)
            invocation.killed = True
        if invocation.result is not None:
            campaign.finish(invocation)
        self._environment = environment
        if process.killed or weather.happens(0.05, timeline.now):
            timeline.kill(process)
            self._environment = None
        else:
            timeline.freeze(process, float("inf"))

    def _await(self, done: VirtualEvent, process: Process, until: float) -> None:
        """Await the end of an invocation: it returns, it dies, or its time is over."""
        timeline = self._campaign.timeline
        while not done.is_set() and not process.killed and timeline.now < until:
            done.wait(min(until - timeline.now, 1.0))

    def _pause(self, invocation: Invocation, process: Process, seconds: float) -> None:
        """Let the machine stand still for a while."""
        timeline = self._campaign.timeline
        if invocation.ended_at is None:
            invocation.frozen = True
            timeline.freeze(process, timeline.now + seconds)


def fingerprints_of(people: Mapping[str, Any]) -> dict[str, str]:
    """Compute the ledger's id of each person's key, by the person's name."""
    prints = Fingerprints(LEDGER_KEY)
    return {name: prints.person(key) for name, key in people.items()}


def audit(
    campaign: Campaign, answers: Sequence[Answer], received: Mapping[int, float]
) -> list[Answer]:
    """Find the answers with an attribute that the ledger knows no moment or an older one of.

    Args:
        received: When the first message of each came.
    """
    clock = FixedClock(datetime.fromtimestamp(campaign.timeline.now + 3_600, UTC))
    store = DynamoMemoryStore(campaign.table.dynamo.calls(), TABLE)
    ledger = SharedLedger(store, clock, lambda: LEDGER_KEY, 65.0)
    # Jobs of another name, since a delivered job needs no lease and no times.
    jobs = {
        each.number: job_of(each, received[each.number], "audit").model_copy(
            update={"job_id": f"audit{each.number}"}
        )
        for each in answers
        if each.attributes and not each.poison
    }
    states = ledger.lease(list(jobs.values())).states
    forgotten = []
    for each in answers:
        job = jobs.get(each.number)
        if job is not None:
            newest = states[job.user.key].newest
            if any(
                max(newest.get(name, EARLIEST), newest.get(update_only(name), EARLIEST))
                < (job.occurred_at, job.received_at)
                for name in each.attributes
            ):
                forgotten.append(each)
    return forgotten
