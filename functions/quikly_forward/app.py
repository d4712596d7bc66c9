"""The forward function: sends the calls that SQS hands over to Quikly, each once."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from braze_bridge.aws import clients
from braze_bridge.aws.secrets import KEY_KEPT_SECONDS, SecretsManagerSource
from braze_bridge.braze.transport import PooledTransport
from braze_bridge.clock import SystemClock
from braze_bridge.handlers import SqsMessage, answer_batch, background_handler
from braze_bridge.jobs.queue import SqsMessageHider
from braze_bridge.jobs.rejected import DynamoRejectedStore
from braze_bridge.keys import quikly_key
from braze_bridge.observability import EmfMeter, Metric, logger, metrics
from braze_bridge.quikly import HttpQuiklyApi, QuiklyError, quikly_endpoint
from braze_bridge.settings import load_settings
from quikly_forward.forwarding import Dependencies, forward
from quikly_forward.sent_calls import DynamoSentCalls
from quikly_forward.settings import ForwardSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from aws_lambda_powertools import Logger

    from braze_bridge.aws.secrets import SecretSource
    from braze_bridge.clock import Clock
    from braze_bridge.handlers import SqsMessage
    from braze_bridge.observability import Meter
    from braze_bridge.quikly import QuiklyApi, QuiklyCall
    from quikly_forward.forwarding import ForwardResult

LEASE_MARGIN_SECONDS: Final = 30


class UnsetQuiklyApi:
    """Stands in if no address is configured: calls wait as after a refused key."""

    def send(
        self,
        call: QuiklyCall,  # noqa: ARG002 - the port's argument
        deadline: float,  # noqa: ARG002 - the port's argument
    ) -> None:
        """See :meth:`braze_bridge.quikly.QuiklyApi.send`."""
        raise QuiklyError("Quikly's address is not set", retryable=True, key_refused=True)


@cache
def dependencies() -> Dependencies:
    """Build the dependencies from the environment."""
    settings = load_settings(ForwardSettings)
    clock = SystemClock()
    secret = SecretsManagerSource(settings.quikly_api_secret, kept=KEY_KEPT_SECONDS)
    return Dependencies(
        api=_api(settings, secret, clock),
        sent_calls=DynamoSentCalls(clients.dynamodb(), settings.claims_table),
        rejected=DynamoRejectedStore(clients.dynamodb(), settings.rejected_table),
        clock=clock,
        jitter=random.random,
        retention=timedelta(seconds=settings.queue_retention_seconds),
        lease=timedelta(seconds=settings.function_timeout_seconds + LEASE_MARGIN_SECONDS),
        hider=SqsMessageHider(clients.sqs(), settings.forward_queue_url),
        secret=secret,
        meter=EmfMeter(metrics()),
        log=logger(),
    )


def _api(settings: ForwardSettings, secret: SecretSource, clock: Clock) -> QuiklyApi:
    if not settings.quikly_api_url:
        return UnsetQuiklyApi()
    endpoint = quikly_endpoint(
        settings.quikly_api_url, allow_loopback=settings.allow_loopback_quikly
    )
    return HttpQuiklyApi(
        endpoint.path,
        quikly_key(secret),
        PooledTransport(endpoint.base_url, pool_size=1),
        lambda: clock.now().timestamp(),
    )


def handle(
    received: Sequence[SqsMessage], seconds_left: Callable[[], float], deps: Dependencies
) -> Collection[str]:
    """Send a batch of calls to Quikly.

    Args:
        seconds_left: Until this invocation is killed.

    Returns:
        The ids of the messages that go back.
    """
    result = forward(received, deps, seconds_left)
    if result.key_refused:
        deps.secret.drop()
    handles = {each.message_id: each.receipt_handle for each in received}
    hidden = deps.hider.hide({handles[mid]: seconds for mid, seconds in result.retry.items()})
    report(result, deps.meter, deps.log, unhidden=len(result.retry) - hidden)
    return result.retry


def report(result: ForwardResult, meter: Meter, log: Logger, *, unhidden: int) -> None:
    """Write a batch's figures, and a line for each parked call.

    Args:
        unhidden: Messages whose visibility could not be changed; they return after the queue's
            default.
    """
    meter.add(Metric.FORWARDS_TOLD, len(result.sent))
    meter.add(Metric.FORWARDS_RETRIED, len(result.retry))
    meter.add(Metric.FORWARDS_REJECTED, len(result.parked))
    meter.add(Metric.QUIKLY_KEY_REFUSED, result.key_refused)
    for forward_id, code in result.parked:
        log.warning("forward rejected", extra={"forward": forward_id, "reason": code})
    level = log.warning if result.retry or result.unnoted else log.info
    level(
        "forwards",
        extra={
            "told": result.sent,
            "duplicate": result.duplicate,
            "rejected": len(result.parked),
            "retried": len(result.retry),
            "causes": sorted(set(result.causes)),
            "key_refused": result.key_refused,
            "unnoted": result.unnoted,
            "unhidden": unhidden,
        },
    )


lambda_handler = background_handler(
    lambda event, seconds_left: answer_batch(event, seconds_left, handle, dependencies())
)
