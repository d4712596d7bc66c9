"""The acquisition worker: runs the steps that SQS hands over, at Braze and Quikly."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from braze_bridge.aws import clients
from braze_bridge.aws.clients import ledger_client
from braze_bridge.aws.secrets import KEY_KEPT_SECONDS, SecretsManagerSource
from braze_bridge.braze.client import BrazeClient, partner_user_agent
from braze_bridge.braze.instances import rest_endpoint
from braze_bridge.braze.transport import PooledTransport
from braze_bridge.clock import SystemClock
from braze_bridge.gate.calls import CONNECT_TIMEOUT, READ_TIMEOUT
from braze_bridge.gate.dynamo import dynamo_gate
from braze_bridge.handlers import SqsMessage, answer_batch, background_handler
from braze_bridge.jobs.queue import SqsJobQueue
from braze_bridge.keys import braze_key, fingerprint_key, quikly_key
from braze_bridge.observability import EmfMeter, logger, metrics
from braze_bridge.partner_config.compiled import load_compiled
from braze_bridge.partner_config.quikly import QuiklyConfig
from braze_bridge.quikly import HttpQuiklyApi, quikly_endpoint
from braze_bridge.settings import load_settings
from quikly_acquisition.batch import run_batch
from quikly_acquisition.dependencies import Dependencies
from quikly_acquisition.dynamo_records import DynamoAcquisitionRecords
from quikly_acquisition.parallel_calls import QUIKLY_TIMEOUT
from quikly_acquisition.reporting import report
from quikly_acquisition.settings import AcquisitionWorkerSettings
from quikly_acquisition.step_queue import SqsStepQueue
from quikly_acquisition.workflow import WorkflowSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from braze_bridge.handlers import SqsMessage

VERSION: Final = "0.1.0"

LEDGER_CONNECTIONS: Final = 2
"""The gate makes one call at a time."""

LEASE_MARGIN_SECONDS: Final = 30
"""Another worker takes over a credit only this long after its Lambda must have ended."""

STORING_CALLS = 8
"""Calls side by side that store records."""


@cache
def dependencies() -> Dependencies:
    """Build the dependencies from the environment."""
    settings = load_settings(AcquisitionWorkerSettings)
    clock = SystemClock()
    braze_secret = SecretsManagerSource(settings.braze_secret, kept=KEY_KEPT_SECONDS)
    quikly_secret = SecretsManagerSource(settings.quikly_api_secret, kept=KEY_KEPT_SECONDS)
    pool = settings.send_concurrency
    endpoint = rest_endpoint(
        settings.braze_instance,
        settings.braze_endpoint or None,
        allow_loopback=settings.allow_loopback_braze,
    )
    quikly = None
    if settings.quikly_api_url:
        at = quikly_endpoint(settings.quikly_api_url, allow_loopback=settings.allow_loopback_braze)
        transport = PooledTransport(at.base_url, pool_size=pool)
        quikly = HttpQuiklyApi(
            at.path,
            quikly_key(quikly_secret),
            transport,
            lambda: clock.now().timestamp(),
            timeout=QUIKLY_TIMEOUT,
        )
    return Dependencies(
        braze=BrazeClient(
            api_key=braze_key(braze_secret),
            transport=PooledTransport(endpoint, pool_size=pool),
            user_agent=partner_user_agent("BrazePartnerBridge", "Acquisition", VERSION),
            now=lambda: clock.now().timestamp(),
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
        ),
        braze_secret=braze_secret,
        quikly=quikly,
        quikly_secret=quikly_secret,
        jobs=SqsJobQueue(clients.sqs(), settings.delivery_queue_url),
        steps=SqsStepQueue(clients.sqs(), settings.acquisition_queue_url),
        records=DynamoAcquisitionRecords(
            clients.pooled_dynamodb(pool),
            settings.acquisition_table,
            clock=clock,
            key=fingerprint_key(SecretsManagerSource(settings.ledger_secret)),
        ),
        gate=dynamo_gate(
            ledger_client(connections=LEDGER_CONNECTIONS),
            settings.ledger_table,
            clock=clock,
            lambdas=settings.acquisition_lambdas,
        ),
        rules=load_compiled(settings.partner_config_dir, "quikly", QuiklyConfig).acquisitions,
        settings=WorkflowSettings(
            profile_wait=timedelta(seconds=settings.profile_wait_seconds),
            tells_quikly=quikly is not None,
            credit_lease=timedelta(
                seconds=settings.function_timeout_seconds + LEASE_MARGIN_SECONDS
            ),
            on_unknown_outcome=settings.on_unknown_outcome,
        ),
        clock=clock,
        executor=ThreadPoolExecutor(pool, thread_name_prefix="acquisition"),
        storing=ThreadPoolExecutor(STORING_CALLS, thread_name_prefix="storing"),
        concurrency=pool,
        jitter=random.random,
        meter=EmfMeter(metrics()),
        log=logger(),
    )


def handle(
    received: Sequence[SqsMessage], seconds_left: Callable[[], float], deps: Dependencies
) -> Collection[str]:
    """Run the steps of a batch of messages.

    Args:
        seconds_left: Until this invocation is killed.

    Returns:
        The ids of the messages that go back.
    """
    result = run_batch(received, deps, seconds_left)
    if result.figures.key_refused:
        deps.braze_secret.drop()
    if result.figures.quikly_key_refused:
        deps.quikly_secret.drop()
    report(result, deps.meter, deps.log)
    return result.back


lambda_handler = background_handler(
    lambda event, seconds_left: answer_batch(event, seconds_left, handle, dependencies())
)
