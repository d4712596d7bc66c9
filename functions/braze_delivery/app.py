"""The delivery function: send a batch of jobs from SQS to Braze in as few requests as possible."""

from __future__ import annotations

import gc
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from braze_bridge.aws import clients
from braze_bridge.aws.clients import ledger_client
from braze_bridge.aws.dynamodb import dynamo_calls
from braze_bridge.aws.secrets import KEY_KEPT_SECONDS, SecretsManagerSource, SecretSource
from braze_bridge.braze.client import BrazeClient, partner_user_agent
from braze_bridge.braze.instances import rest_endpoint
from braze_bridge.braze.transport import PooledTransport
from braze_bridge.clock import SystemClock
from braze_bridge.gate.calls import CONNECT_TIMEOUT, READ_TIMEOUT
from braze_bridge.gate.dynamo import dynamo_gate
from braze_bridge.handlers import SqsMessage, answer_batch, background_handler
from braze_bridge.jobs.queue import SqsMessageHider
from braze_bridge.jobs.rejected import DynamoRejectedStore
from braze_bridge.keys import braze_key, fingerprint_key
from braze_bridge.ledger.dynamo import DynamoMemoryStore
from braze_bridge.ledger.port import lease_length
from braze_bridge.ledger.shared import SharedLedger
from braze_bridge.observability import EmfMeter, PartnerMeter, logger, metrics
from braze_bridge.settings import load_settings
from braze_delivery.delivery import Ports, deliver
from braze_delivery.reporting import report
from braze_delivery.senders import Senders
from braze_delivery.settings import DeliverySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from aws_lambda_powertools import Logger

    from braze_bridge.handlers import SqsMessage
    from braze_bridge.jobs.queue import MessageHider

VERSION = "0.1.0"

LEDGER_CONNECTIONS = 8
"""A batch of 1,050 people is 11 reads and 42 writes; more connections would not be faster."""


TAIL_CALLS = 8
"""Calls side by side that park jobs and hide messages."""

HIDE_RESERVE = 0.2
"""Seconds of the invocation that are left to report."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients and stores, built once an execution environment."""

    ports: Ports
    hider: MessageHider
    secret: SecretSource
    meter: PartnerMeter
    log: Logger


@cache
def dependencies() -> Dependencies:
    """Build the dependencies from environment variables."""
    settings = load_settings(DeliverySettings)
    clock = SystemClock()
    secret = SecretsManagerSource(settings.braze_secret, kept=KEY_KEPT_SECONDS)
    endpoint = rest_endpoint(
        settings.braze_instance,
        settings.braze_endpoint or None,
        allow_loopback=settings.allow_loopback_braze,
    )
    client = BrazeClient(
        api_key=braze_key(secret),
        transport=PooledTransport(endpoint, pool_size=settings.send_concurrency),
        user_agent=partner_user_agent("BrazePartnerBridge", "Delivery", VERSION),
        now=lambda: clock.now().timestamp(),
        timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
    )
    tail = ThreadPoolExecutor(TAIL_CALLS, thread_name_prefix="tail")
    table = ledger_client(connections=LEDGER_CONNECTIONS)
    ports = Ports(
        track=client.track,
        gate=dynamo_gate(
            table,
            settings.ledger_table,
            clock=clock,
            lambdas=settings.delivery_lambdas,
        ),
        ledger=SharedLedger(
            DynamoMemoryStore(
                dynamo_calls(table),
                settings.ledger_table,
                ThreadPoolExecutor(LEDGER_CONNECTIONS, thread_name_prefix="ledger"),
            ),
            clock,
            fingerprint_key(SecretsManagerSource(settings.ledger_secret)),
            lease_length(settings.function_timeout_seconds, settings.queue_visibility_seconds),
        ),
        rejected=DynamoRejectedStore(clients.dynamodb(), settings.rejected_table),
        clock=clock,
        executor=ThreadPoolExecutor(settings.send_concurrency, thread_name_prefix="braze"),
        jitter=random.random,
        concurrency=settings.send_concurrency,
        retention=timedelta(seconds=settings.queue_retention_seconds),
        on_unknown_outcome=settings.on_unknown_outcome,
        tail=tail,
        export_ids=client.export_ids,
        on_unverified=settings.on_unverified,
        verify_lag=timedelta(seconds=settings.verify_lag_seconds),
        senders=Senders(
            settings.job_senders, frozenset(filter(None, settings.operator_ids.split(",")))
        ),
    )
    hider = SqsMessageHider(clients.sqs(), settings.delivery_queue_url, tail)
    _collect_between_batches()
    return Dependencies(ports, hider, secret, EmfMeter(metrics()), logger())


def _collect_between_batches() -> None:
    """Keep the garbage collector out of the batches, and away from what never ends.

    All objects of a batch live until its end: a collection in it would find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.disable()


def handle(
    received: Sequence[SqsMessage], seconds_left: Callable[[], float], deps: Dependencies
) -> Collection[str]:
    """Deliver a batch of messages.

    Args:
        seconds_left: Until this invocation is killed.

    Returns:
        The ids of the messages that go back.
    """
    result = deliver(received, deps.ports, seconds_left)
    if result.key_refused:
        deps.secret.drop()
    handles = {each.message_id: each.receipt_handle for each in received}
    hidden = deps.hider.hide(
        {handles[mid]: delay for mid, delay in result.retry.items()},
        lambda: seconds_left() - HIDE_RESERVE,
    )
    report(result, deps.meter, deps.log, unhidden=len(result.retry) - hidden)
    if not gc.isenabled():
        gc.collect()
    return result.retry


lambda_handler = background_handler(
    lambda event, seconds_left: answer_batch(event, seconds_left, handle, dependencies())
)
