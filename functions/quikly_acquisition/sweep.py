"""The sweep: once a minute, a message for every step whose time has come and that has none.

It wakes what waits longer than a message can (15 minutes), and mends what a crash, a queue that did
not answer or a message lost for good left behind.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.aws import clients
from braze_bridge.clock import Clock, SystemClock
from braze_bridge.handlers import background_handler
from braze_bridge.observability import EmfMeter, Meter, Metric, logger, metrics
from braze_bridge.settings import load_settings
from quikly_acquisition.dynamo_records import DynamoDueSteps
from quikly_acquisition.settings import AcquisitionSweepSettings
from quikly_acquisition.step_queue import QueuedStep, SqsStepQueue, StepQueue

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from quikly_acquisition.records import DueSteps

MAX_STEPS: Final = 2000
"""A minute's most: what 50 seconds are enough for at 10 ms a step."""

CHUNK: Final = 100


class Dependencies(NamedTuple):
    """What the handler needs, built once an execution environment."""

    due: DueSteps
    queue: StepQueue
    clock: Clock
    meter: Meter
    log: Logger


def sweep(needs: Dependencies) -> int:
    """Make the messages.

    Returns:
        How many.

    Raises:
        RecordsUnavailableError: What is left is found by the next minute's run.
    """
    now = needs.clock.now()
    steps = needs.due.due(now, MAX_STEPS)
    oldest = max(((now - step.due_at).total_seconds() for step in steps), default=0.0)
    needs.meter.add(Metric.OLDEST_WAIT, oldest)
    made = 0
    for start in range(0, len(steps), CHUNK):
        chunk = [QueuedStep(step.message) for step in steps[start : start + CHUNK]]
        left = {step.message for step in needs.queue.send(chunk)}
        queued = [step.message for step in chunk if step.message not in left]
        # After the queue took them: a crash in between makes a message twice, never not at all.
        needs.due.queued(queued, now)
        made += len(queued)
    needs.log.info("sweep", extra={"due": len(steps), "queued": made, "oldest": round(oldest)})
    return made


@cache
def dependencies() -> Dependencies:
    """The real ones, from the environment."""
    settings = load_settings(AcquisitionSweepSettings)
    return Dependencies(
        due=DynamoDueSteps(clients.dynamodb(), settings.acquisition_table),
        queue=SqsStepQueue(clients.sqs(), settings.acquisition_queue_url),
        clock=SystemClock(),
        meter=EmfMeter(metrics()),
        log=logger(),
    )


lambda_handler = background_handler(lambda _event, _seconds_left: sweep(dependencies()))
