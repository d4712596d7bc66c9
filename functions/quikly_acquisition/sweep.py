"""The sweep: once a minute it queues a message for every step that is due and has none.

Some steps wait longer than a message can (15 minutes). Others have no message because a worker
crashed, the queue was unavailable or the message was lost.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.aws import clients
from braze_bridge.clock import Clock, SystemClock
from braze_bridge.handlers import background_handler
from braze_bridge.observability import logger
from braze_bridge.settings import load_settings
from quikly_acquisition.dynamo_records import DynamoDueSteps
from quikly_acquisition.settings import AcquisitionSweepSettings
from quikly_acquisition.step_queue import QueuedStep, SqsStepQueue, StepQueue

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from quikly_acquisition.records import DueSteps

MAX_STEPS: Final = 2000
"""Most steps a run: 50 seconds are enough for them at 10 ms a step."""

CHUNK: Final = 100


class Dependencies(NamedTuple):
    """What the sweep needs, built once an execution environment."""

    due: DueSteps
    queue: StepQueue
    clock: Clock
    log: Logger


def sweep(deps: Dependencies) -> int:
    """Queue the messages; returns how many.

    Raises:
        RecordsUnavailableError: The next run queues the rest.
    """
    now = deps.clock.now()
    steps = deps.due.due(now, MAX_STEPS)
    oldest = max(((now - step.due_at).total_seconds() for step in steps), default=0.0)
    made = 0
    for start in range(0, len(steps), CHUNK):
        chunk = [QueuedStep(step.message) for step in steps[start : start + CHUNK]]
        left = {step.message for step in deps.queue.send(chunk)}
        queued = [step.message for step in chunk if step.message not in left]
        # After the queue took them: a crash in between repeats messages and never loses one.
        deps.due.queued(queued, now)
        made += len(queued)
    deps.log.info("sweep", extra={"due": len(steps), "queued": made, "oldest": round(oldest)})
    return made


@cache
def dependencies() -> Dependencies:
    """Build the dependencies from the environment."""
    settings = load_settings(AcquisitionSweepSettings)
    return Dependencies(
        due=DynamoDueSteps(clients.dynamodb(), settings.acquisition_table),
        queue=SqsStepQueue(clients.sqs(), settings.acquisition_queue_url),
        clock=SystemClock(),
        log=logger(),
    )


lambda_handler = background_handler(lambda _event, _seconds_left: sweep(dependencies()))
