"""Once a minute: sends again what claims lead to, and then removes the person from the row.

A claim is stored before its job is sent. To mark the job as sent would cost another trip to
DynamoDB in every call. So nothing is marked: each claim's job is sent once more here, two minutes
later. Delivery drops most of them as duplicates.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from braze_bridge.cold_start import collector_off

with collector_off():
    from braze_bridge.aws import clients
    from braze_bridge.aws.errors import aws_errors
    from braze_bridge.aws.secrets import SecretsManagerSource
    from braze_bridge.clock import SystemClock
    from braze_bridge.handlers import background_handler
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
    from quikly_webhook.claim_store import ClaimsUnavailableError
    from quikly_webhook.claims import publish_commitments
    from quikly_webhook.dynamo_claims import commit
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
"""Claims at once; fewer than the connections of :mod:`braze_bridge.aws.clients`."""

BATCH: Final = 200

TIME_KEPT_SECONDS: Final = 15.0
"""No batch starts with less of the function's time left: the next run continues."""


class DueClaims(Protocol):
    """The store of claims whose job may not have been sent."""

    def due(self, now: datetime) -> Iterator[ClaimRecord]:
        """Return the claims that are due."""
        ...

    def settle(self, claim: ClaimRecord) -> None:
        """Mark a claim as no longer due, unless it became due again meanwhile."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Sends the jobs of due claims.

    Attributes:
        activations: By ``q_scope``; a claim of a removed one writes nothing to Braze.
    """

    due: DueClaims
    outbox: Outbox
    activations: Mapping[str, ActivationRule]
    meter: Meter
    log: Logger

    def run(self, now: datetime, seconds_left: Callable[[], float]) -> int:
        """Send the jobs of due claims; returns how many claims were settled.

        Args:
            seconds_left: Until Lambda ends the function.
        """
        swept = 0
        waiting = self.due.due(now)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            while batch := list(islice(waiting, BATCH)):
                settled = sum(pool.map(self._send, batch))
                swept += settled
                if settled < len(batch) or seconds_left() < TIME_KEPT_SECONDS:
                    break
        self.meter.add(Metric.CLAIMS_SWEPT, swept)
        return swept

    def _send(self, claim: ClaimRecord) -> bool:
        rule = self.activations.get(claim.q_scope)
        try:
            self.outbox.send(claim, ProfileRule() if rule is None else rule.profile)
        except QueueUnavailableError as error:
            # It is still due: the next run sends it again.
            self.log.error(  # noqa: TRY400 - a traceback may quote an address
                "queue refused a claim", error=str(error), claim=claim_id(claim)
            )
            return False
        self.due.settle(claim)
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
        # An entry keeps its person until the draw, to write the award to the winner's profile.
        forgotten = "" if claim.status is Status.ENTERED else ", claimer"
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
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


@dataclass
class ScheduledSweep:
    """Sweeps at every call, and publishes commitments once in a process's life.

    Attributes:
        publish: Publishes every commitment, as of a time.
    """

    sweep: Sweep
    publish: Callable[[datetime], None]
    clock: Clock
    is_published: bool = False

    def __call__(self, seconds_left: Callable[[], float]) -> int:
        """Run the sweep; returns how many claims were settled."""
        swept = self.sweep.run(self.clock.now(), seconds_left)
        if not self.is_published:
            # The time of publishing is stored, and the sweep may have taken most of a minute.
            self.publish(self.clock.now())
            self.is_published = True
        return swept


def compose() -> ScheduledSweep:
    """Wire the function as it runs in Lambda."""
    settings = load_settings(ClaimsSettings)
    config = load_compiled(settings.partner_config_dir, "quikly", QuiklyConfig)
    clock = SystemClock()
    client = clients.dynamodb()
    secret = claims_key(SecretsManagerSource(settings.claims_secret))

    def publish(now: datetime) -> None:
        # By the update only: the sweep's role may not read claims.
        keep = partial(commit, client, settings.claims_table)
        with aws_errors(ClaimsUnavailableError):
            publish_commitments(keep, config.activations, secret, now)

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
        publish,
        clock,
    )


@cache
def scheduled() -> ScheduledSweep:
    """Return the sweep, made at the first call."""
    return compose()


lambda_handler = background_handler(
    lambda _event, seconds_left: {"swept": scheduled()(seconds_left)}
)
