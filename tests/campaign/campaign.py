"""A fault campaign: the real delivery code on a virtual clock, with seeded faults."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final, Literal

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.gate.dynamo import PREFIX, DynamoGateStore
from braze_bridge.gate.shared import GateStoreUnavailableError, SharedGate
from tests.campaign.answers import BEGIN, SECONDS, plan_answers
from tests.campaign.aws_models import Link, QueueModel, RejectedModel, TableModel
from tests.campaign.braze_model import BrazeModel
from tests.campaign.broken import broken
from tests.campaign.virtual_time import Process, Timeline, VirtualClock
from tests.campaign.weather import Weather
from tests.fakes.dynamodb import TABLE
from tests.fakes.log import RecordingLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from braze_delivery.delivery import Ports
    from braze_delivery.reporting import BatchResult
    from tests.campaign.answers import Message
    from tests.campaign.invocations import Invocation

LONGEST: Final = 5 * 86_400.0
"""After so long nothing may be in the queue."""

OPERATOR_SECONDS: Final = 180.0
"""A closing of more than this is opened by hand, soon or late."""

Policy = Literal["verify", "verify_or_park", "resend", "park"]
"""``OnUnknownOutcome``, and of ``verify`` also ``OnUnverified``."""


class Campaign:
    """One run.

    Args:
        seed: Decides everything.
        jobs: Number of messages, about.
        policy: What happens to events whose answer was lost.
        variant: What is broken on purpose; see :mod:`tests.campaign.broken`.

    Attributes:
        invocations: In order.
        is_over: Nothing is in the queue, and nothing comes.
        may_double: An event may count twice after an unknown outcome.
        lambdas: How many may run side by side.
        opened_by_hand: When an operator opened the gate.
    """

    def __init__(self, seed: int, jobs: int, policy: Policy = "verify", variant: str = "") -> None:
        self.seed = seed
        self.policy: Literal["verify", "resend", "park"] = (
            "verify" if policy == "verify_or_park" else policy
        )
        self.on_unverified: Literal["resend", "park"] = (
            "park" if policy == "verify_or_park" else "resend"
        )
        self.may_double = policy in {"verify", "resend"}
        self.variant = variant
        self.lambdas = 5
        self.random = Random(f"{seed} lambdas")
        self.timeline = Timeline(Random(f"{seed} order"), BEGIN)
        self.weather = Weather(Random(f"{seed} weather"), BEGIN, BEGIN + SECONDS)
        self.plan = plan_answers(Random(f"{seed} answers"), jobs, BEGIN, SECONDS * 0.95)
        self.braze = BrazeModel(self.timeline, self.weather, Random(f"{seed} braze"))
        self.queue = QueueModel(self.timeline, self.weather, Random(f"{seed} queue"))
        self.table = TableModel(self.timeline, self.weather)
        self.rejected = RejectedModel(self.timeline, self.weather)
        self.log = RecordingLog()
        self.invocations: list[Invocation] = []
        self.is_over = False
        self.ended_at = 0.0
        self.opened_by_hand: list[float] = []
        self._to_come = len(self.plan.messages)

    def run(
        self,
        slots: Sequence[Callable[[], None]],
        check_batch: Callable[[Invocation, BatchResult], None],
    ) -> None:
        """Run until the queue is empty.

        Args:
            slots: Each runs the batches of one Lambda.
            check_batch: Is asked after each batch.
        """
        self._check_batch = check_batch
        for message in self.plan.messages:
            self.timeline.call_at(message.sent_at, partial(self._put, message))
        for number, slot in enumerate(slots, start=1):
            self.timeline.spawn(Process(f"slot {number}"), slot)
        self.timeline.spawn(Process("operator"), self._operate)
        self.timeline.run(BEGIN + LONGEST)

    def break_ports(self, ports: Ports) -> Ports:
        """Break what the variant says."""
        return broken(ports, self.variant)

    def finish(self, invocation: Invocation) -> None:
        """Take an invocation's answer, as Lambda does: delete what it does not return."""
        result = invocation.result
        assert result is not None
        self._check_batch(invocation, result)
        for message in invocation.messages:
            if message.message_id not in result.retry:
                self.queue.end(message.message_id, "done")
        self._check_end()

    def _put(self, message: Message) -> None:
        self._to_come -= 1
        self.queue.put(message)

    def _check_end(self) -> None:
        if not (self.is_over or self._to_come or self.queue.left):
            self.is_over = True
            self.ended_at = self.timeline.now

    def _operate(self) -> None:
        """Open a gate by hand that is closed for long."""
        timeline = self.timeline
        clock = VirtualClock(timeline, 0.0)
        client = self.table.gate_client(Link)
        gate = SharedGate(DynamoGateStore(client, TABLE), clock, self.lambdas)
        while not self.is_over:
            timeline.sleep(self.weather.between(60, 300))
            self._check_end()
            for name, writes in self.table.gate_writes.items():
                if writes[-1][1] - timeline.now > OPERATOR_SECONDS:
                    family = None if name == f"{PREFIX}all" else EndpointFamily.TRACK
                    with suppress(GateStoreUnavailableError):  # it may be open all the same
                        gate.open(family)
                    self.opened_by_hand.append(timeline.now)
