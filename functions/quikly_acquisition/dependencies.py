"""The acquisition worker's dependencies: clients, stores and configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from aws_lambda_powertools import Logger

    from braze_bridge.aws.secrets import SecretSource
    from braze_bridge.braze.client import BrazeClient
    from braze_bridge.clock import Clock
    from braze_bridge.gate.port import Gate
    from braze_bridge.jobs.queue import JobQueue
    from braze_bridge.observability import Meter
    from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule
    from braze_bridge.quikly import QuiklyApi
    from quikly_acquisition.records import AcquisitionRecords
    from quikly_acquisition.step_queue import StepQueue
    from quikly_acquisition.workflow import WorkflowSettings


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the worker needs, built once an execution environment.

    Attributes:
        quikly: ``None`` if no address is configured.
        jobs: Delivery's queue.
        executor: Runs calls in parallel.
        storing: Stores records in parallel, also while a call hangs in each thread of ``executor``.
        concurrency: Most calls at once.
        rules: The configured activations, by scope.
        jitter: Makes random numbers in [0, 1).
    """

    braze: BrazeClient
    braze_secret: SecretSource
    quikly: QuiklyApi | None
    quikly_secret: SecretSource
    jobs: JobQueue
    steps: StepQueue
    records: AcquisitionRecords
    gate: Gate
    rules: Mapping[str, AcquisitionRule]
    settings: WorkflowSettings
    clock: Clock
    executor: Executor
    storing: Executor
    concurrency: int
    jitter: Callable[[], float]
    meter: Meter
    log: Logger
