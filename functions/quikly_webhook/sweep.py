"""Every minute: sends the jobs of claims that nobody is known to have sent.

A claim is kept before its job is sent, and marking it as sent afterwards would be another trip to
DynamoDB in every call. So nothing is marked: every claim's job is sent once more here, two minutes
later, which delivery takes for the duplicate it mostly is; and after that the row forgets who the
person is.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from braze_bridge.cold_start import collector_off

with collector_off():
    from braze_bridge.aws import clients
    from braze_bridge.aws.secrets import SecretsManagerSource
    from braze_bridge.clock import SystemClock
    from braze_bridge.jobs.forward import SqsForwardQueue
    from braze_bridge.jobs.queue import QueueUnavailableError, SqsJobQueue
    from braze_bridge.keys import claims_key
    from braze_bridge.observability import EmfMeter, Metric, logger, metrics
    from braze_bridge.partner_config.compiled import load_compiled
    from braze_bridge.partner_config.quikly import QuiklyConfig
    from braze_bridge.partner_config.quikly_activations import ProfileRule, Status
    from braze_bridge.settings import load_settings
    from quikly_webhook.claim_jobs import claim_id
    from quikly_webhook.claim_records import DUE_INDEX, SHARDS, of_row
    from quikly_webhook.commitments import publish_commitments
    from quikly_webhook.dynamo_claims import DynamoClaimStore
    from quikly_webhook.outbox import Outbox
    from quikly_webhook.settings import ClaimsSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from aws_lambda_powertools import Logger
    from types_boto3_dynamodb import DynamoDBClient

    from braze_bridge.clock import Clock
    from braze_bridge.observability import Meter
    from braze_bridge.partner_config.quikly_activations import ActivationRule
    from quikly_webhook.claim_records import ClaimRecord

SIDE_BY_SIDE: Final = 8
"""Claims at once; under the connections of :mod:`braze_bridge.aws.clients`."""

BATCH: Final = 200

TIME_KEPT_SECONDS: Final = 15.0
"""Of the function's time, to end in: the next run goes on where this one stopped."""


class DueClaims(Protocol):
    """The claims whose job may not have been sent."""

    def due(self, now: datetime) -> Iterator[ClaimRecord]:
        """Those whose time has come."""
        ...

    def settle(self, claim: ClaimRecord) -> None:
        """Take one off, unless it became due anew meanwhile."""
        ...


class Sweep:
    """One run."""

    def __init__(
        self,
        *,
        due: DueClaims,
        outbox: Outbox,
        activations: Mapping[str, ActivationRule],
        meter: Meter,
        log: Logger,
    ) -> None:
        """Build one.

        Args:
            due: What waits.
            outbox: Takes what follows from a claim.
            activations: By ``q_scope``; the claims of one that is gone leave no trace in Braze.
            meter: Counts.
            log: Says what is not taken.
        """
        self._due = due
        self._outbox = outbox
        self._activations = activations
        self._meter = meter
        self._log = log

    def run(self, now: datetime, seconds_left: Callable[[], float]) -> int:
        """Send what is due.

        Args:
            now: The present.
            seconds_left: Until the function is ended.

        Returns:
            How many claims were settled.
        """
        swept = 0
        waiting = self._due.due(now)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            while batch := list(islice(waiting, BATCH)):
                settled = sum(pool.map(self._send, batch))
                swept += settled
                if settled < len(batch) or seconds_left() < TIME_KEPT_SECONDS:
                    break
        self._meter.add(Metric.CLAIMS_SWEPT, swept)
        return swept

    def _send(self, claim: ClaimRecord) -> bool:
        rule = self._activations.get(claim.q_scope)
        try:
            self._outbox.send(claim, ProfileRule() if rule is None else rule.profile)
        except QueueUnavailableError as error:
            # Still due: the next run meets it again.
            self._log.error("queue refused a claim", error=str(error), claim=claim_id(claim))
            return False
        self._due.settle(claim)
        return True


class DynamoDueClaims:
    """:class:`DueClaims` by the table's index."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def due(self, now: datetime) -> Iterator[ClaimRecord]:
        """See :meth:`DueClaims.due`."""
        pages = self._client.get_paginator("query")
        for shard in SHARDS:
            for page in pages.paginate(
                TableName=self._table,
                IndexName=DUE_INDEX,
                KeyConditionExpression="due_shard = :shard AND due_at <= :now",
                ExpressionAttributeValues={
                    ":shard": {"S": shard},
                    ":now": {"N": str(int(now.timestamp()))},
                },
            ):
                yield from map(of_row, page["Items"])

    def settle(self, claim: ClaimRecord) -> None:
        """See :meth:`DueClaims.settle`."""
        if claim.due_at is None:
            return
        # An entry keeps its person until the draw: the winner is to be told.
        forgotten = "" if claim.status is Status.ENTERED else ", claimer"
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": claim.row_id}},
                UpdateExpression=f"REMOVE due_shard, due_at{forgotten}",
                ConditionExpression="due_at = :due_at AND #status = :status",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={
                    ":due_at": {"N": str(int(claim.due_at.timestamp()))},
                    ":status": {"S": claim.status.value},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return


class ScheduledSweep:
    """The function: publishes commitments once in a process's life, sweeps at every call."""

    def __init__(self, sweep: Sweep, publish: Callable[[datetime], None], clock: Clock) -> None:
        """Build one.

        Args:
            sweep: What runs.
            publish: Publishes every commitment, as of a time.
            clock: Says what is due.
        """
        self._sweep = sweep
        self._publish = publish
        self._clock = clock
        self._is_published = False

    def __call__(self, seconds_left: Callable[[], float]) -> int:
        """One run: how many claims it settled."""
        swept = self._sweep.run(self._clock.now(), seconds_left)
        if not self._is_published:
            # Anew: a sweep may take most of a minute, and this time says what was published when.
            self._publish(self._clock.now())
            self._is_published = True
        return swept


def compose() -> ScheduledSweep:
    """Wire the function as it runs in Lambda."""
    settings = load_settings(ClaimsSettings)
    config = load_compiled(settings.partner_config_dir, "quikly", QuiklyConfig)
    clock = SystemClock()
    client = clients.dynamodb()
    secret = claims_key(SecretsManagerSource(settings.claims_secret))
    store = DynamoClaimStore(client, settings.claims_table)
    return ScheduledSweep(
        Sweep(
            due=DynamoDueClaims(client, settings.claims_table),
            outbox=Outbox(
                SqsJobQueue(clients.sqs(), settings.delivery_queue_url),
                SqsForwardQueue(clients.sqs(), settings.forward_queue_url),
                clock,
            ),
            activations=config.activations,
            meter=EmfMeter(metrics()),
            log=logger(),
        ),
        lambda now: publish_commitments(store, config.activations, secret, now),
        clock,
    )


@cache
def scheduled() -> ScheduledSweep:
    """What runs, made at the first call."""
    return compose()


@logger().inject_lambda_context(clear_state=True)
@metrics().log_metrics
def lambda_handler(_event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ANN401 - Lambda's
    """Lambda's entry point."""
    return {"swept": scheduled()(lambda: context.get_remaining_time_in_millis() / 1000)}
