"""The acquisition worker: SQS hands over steps that are due, Braze and Quikly get the calls."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from braze_bridge.aws import clients
from braze_bridge.aws.clients import ledger_client
from braze_bridge.aws.secrets import SecretsManagerSource, SecretSource
from braze_bridge.braze.client import BrazeClient, partner_user_agent
from braze_bridge.braze.instances import rest_endpoint
from braze_bridge.braze.transport import RequestsTransport
from braze_bridge.clock import SystemClock
from braze_bridge.gate.dynamo import dynamo_gate
from braze_bridge.jobs.queue import SqsJobQueue
from braze_bridge.keys import braze_key, fingerprint_key, quikly_key
from braze_bridge.observability import EmfMeter, Meter, logger, metrics
from braze_bridge.partner_config.compiled import load_compiled
from braze_bridge.partner_config.quikly import QuiklyConfig
from braze_bridge.quikly import HttpQuiklyApi, quikly_endpoint
from braze_bridge.settings import load_settings
from quikly_acquisition.dynamo_records import dynamo_records
from quikly_acquisition.performing import CONNECT_TIMEOUT, QUIKLY_TIMEOUT, READ_TIMEOUT, World
from quikly_acquisition.running import Desk, ReceivedStep, run
from quikly_acquisition.settings import AcquisitionWorkerSettings
from quikly_acquisition.step_queue import SqsStepQueue
from quikly_acquisition.workflow import Terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools import Logger
from quikly_acquisition.reporting import report

VERSION: Final = "0.1.0"

LEDGER_CONNECTIONS: Final = 2
"""The gate's: one call at a time."""

LEASE_MARGIN_SECONDS: Final = 30
"""A credit is taken up by another no sooner than this after its Lambda can have lived."""


class LambdaContext(Protocol):
    """What is used of Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this invocation is killed."""
        ...


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the handler needs, built once an execution environment."""

    desk: Desk
    braze_secret: SecretSource
    quikly_secret: SecretSource
    meter: Meter
    log: Logger


@cache
def dependencies() -> Dependencies:
    """The real ones, from the environment."""
    settings = load_settings(AcquisitionWorkerSettings)
    clock = SystemClock()
    braze_secret = SecretsManagerSource(settings.braze_secret)
    quikly_secret = SecretsManagerSource(settings.quikly_api_secret)
    pool = settings.send_concurrency
    endpoint = rest_endpoint(
        settings.braze_instance,
        settings.braze_endpoint or None,
        allow_loopback=settings.allow_loopback_braze,
    )
    quikly = None
    if settings.quikly_api_url:
        at = quikly_endpoint(settings.quikly_api_url, allow_loopback=settings.allow_loopback_braze)
        transport = RequestsTransport(at.base_url, pool_size=pool)
        quikly = HttpQuiklyApi(
            at.path,
            quikly_key(quikly_secret),
            transport,
            lambda: clock.now().timestamp(),
            timeout=QUIKLY_TIMEOUT,
        )
    world = World(
        braze=BrazeClient(
            api_key=braze_key(braze_secret),
            transport=RequestsTransport(endpoint, pool_size=pool),
            user_agent=partner_user_agent("BrazePartnerBridge", "Acquisition", VERSION),
            now=lambda: clock.now().timestamp(),
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
        ),
        quikly=quikly,
        jobs=SqsJobQueue(clients.sqs(), settings.delivery_queue_url),
        gate=dynamo_gate(
            ledger_client(connections=LEDGER_CONNECTIONS),
            settings.ledger_table,
            clock=clock,
            lambdas=settings.acquisition_lambdas,
        ),
        records=dynamo_records(
            clients.pooled_dynamodb(pool),
            settings.acquisition_table,
            clock=clock,
            key=fingerprint_key(SecretsManagerSource(settings.ledger_secret)),
        ),
        clock=clock,
        executor=ThreadPoolExecutor(pool, thread_name_prefix="acquisition"),
        concurrency=pool,
    )
    terms = Terms(
        profile_wait=timedelta(seconds=settings.profile_wait_seconds),
        tells_quikly=quikly is not None,
        credit_lease=timedelta(seconds=settings.function_timeout_seconds + LEASE_MARGIN_SECONDS),
        on_unknown_outcome=settings.on_unknown_outcome,
    )
    desk = Desk(
        world=world,
        steps=SqsStepQueue(clients.sqs(), settings.acquisition_queue_url),
        rules=load_compiled(settings.partner_config_dir, "quikly", QuiklyConfig).acquisitions,
        terms=terms,
        jitter=random.random,
    )
    return Dependencies(desk, braze_secret, quikly_secret, EmfMeter(metrics()), logger())


def handle(
    event: Mapping[str, Any], context: LambdaContext, needs: Dependencies
) -> dict[str, list[dict[str, str]]]:
    """Take the steps of an SQS event's records and tell SQS which messages to keep.

    Args:
        event: ``{"Records": [{"messageId", "body"}]}``.
        context: Tells how long is left.
        needs: The world.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": messageId}]}`` for every message that goes back.
    """
    messages = [ReceivedStep(record["messageId"], record["body"]) for record in event["Records"]]
    result = run(messages, needs.desk, lambda: context.get_remaining_time_in_millis() / 1000)
    if result.figures.key_refused:
        needs.braze_secret.drop()
    if result.figures.quikly_key_refused:
        needs.quikly_secret.drop()
    report(result, needs.meter, needs.log)
    return {"batchItemFailures": [{"itemIdentifier": message} for message in result.back]}


@logger().inject_lambda_context(clear_state=True)
@metrics().log_metrics
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's
    """Lambda's entry point."""
    return handle(event, context, dependencies())
