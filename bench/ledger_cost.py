"""What the ledger costs: CPU a job to lease and record 1,000 people, each with one job.

The real adapter makes its calls to a DynamoDB on loopback (:mod:`bench.instant_aws`) in another
process. Beside it botocore makes the same calls, alone. Budget (design): 22 µs a job for new and 30
for returning people, on a machine where botocore alone takes 124.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench.delivery_jobs import SECRET, known_memory
from bench.instant_http import running
from braze_bridge.aws.clients import ledger_client
from braze_bridge.aws.dynamodb import READ_SECONDS, DynamoCalls, dynamo_calls
from braze_bridge.clock import SystemClock
from braze_bridge.jobs.envelope import DeliveryJob, JobUser
from braze_bridge.ledger.dynamo import DynamoMemoryStore
from braze_bridge.ledger.port import PersonState
from braze_bridge.ledger.shared import SharedLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_dynamodb import DynamoDBClient

JOBS = 1_000
ROUNDS = 20
ATTRIBUTES = 5
BOTOCORE = 124.0
"""µs a job of botocore's calls, on a quiet machine of the budget's kind."""

TABLES = {"new": ("ledger", 22.0), "returning": ("ledger-half", 30.0)}
"""The table that answers so, and µs a job. Half of the second one's people are known."""


class Recorded:
    """Makes the real calls and keeps them."""

    def __init__(self, calls: DynamoCalls) -> None:
        self.kept: list[tuple[str, dict[str, Any]]] = []
        self._calls = calls

    def call(self, operation: str, body: bytes, seconds: float = READ_SECONDS) -> Any:  # noqa: ANN401 - JSON
        """See :meth:`DynamoCalls.call`."""
        self.kept.append((operation, json.loads(body)))
        return self._calls.call(operation, body, seconds)


def crowd() -> list[DeliveryJob]:
    """Make 1,000 jobs about as many people."""
    now = datetime.now(UTC)
    return [
        DeliveryJob(
            job_id=f"outgrow:quiz:response-{number}",
            source="outgrow",
            occurred_at=now,
            received_at=now,
            correlation_id=f"correlation-{number}",
            user=JobUser(external_id=f"person-{number}"),
            attributes={f"outgrow_answer_{index}": number for index in range(ATTRIBUTES)},
        )
        for number in range(JOBS)
    ]


def cpu(work: Callable[[], None]) -> float:
    """Measure the CPU µs a job of this process."""
    gc.collect()
    gc.disable()  # as timeit does: when a collection runs is chance
    started = time.process_time()
    work()
    spent = time.process_time() - started
    gc.enable()
    return spent * 1e6 / JOBS


def measure(table: str, client: DynamoDBClient) -> tuple[float, float]:
    """Lease and record, and make the same calls with botocore.

    Returns:
        The least µs a job of each, over all rounds.
    """
    jobs = crowd()
    updates = {
        job.user.key: PersonState(
            delivered=frozenset([job.job_id]),
            newest=dict.fromkeys(job.attributes, job.occurred_at),
            exists=True,
        )
        for job in jobs
    }
    calls = dynamo_calls(client)

    def ledger(calls: DynamoCalls) -> None:
        store = DynamoMemoryStore(calls, table)
        ledger = SharedLedger(store, SystemClock(), SECRET.encode, 65)
        leases = ledger.lease(jobs)
        if len(leases.held) != JOBS or ledger.record(leases, updates):
            raise AssertionError("the benchmark does not measure what it should")

    recorded = Recorded(calls)
    ledger(recorded)
    methods: dict[str, Callable[..., Any]] = {
        "BatchGetItem": client.batch_get_item,
        "BatchExecuteStatement": client.batch_execute_statement,
    }

    def botocore() -> None:
        for operation, parameters in recorded.kept:
            methods[operation](**parameters)

    rounds = [(cpu(lambda: ledger(calls)), cpu(botocore)) for _ in range(ROUNDS)]
    ours, theirs = zip(*rounds, strict=True)
    return min(ours), min(theirs)


def report() -> bool:
    """Print a line for new and one for returning people.

    Returns:
        Whether both keep their budget, as a share of what botocore takes.
    """
    holds = True
    with running("bench.instant_aws", "0", SECRET, known_memory()) as url:
        os.environ.update(
            AWS_DEFAULT_REGION="eu-central-1",
            AWS_ACCESS_KEY_ID="nobody",
            AWS_SECRET_ACCESS_KEY="nothing",  # noqa: S106 - the server is our own
            AWS_ENDPOINT_URL=url,
        )
        client = ledger_client(10)
        for name, (table, budget) in TABLES.items():
            ours, theirs = measure(table, client)
            scaled = ours * BOTOCORE / theirs
            holds &= scaled <= budget
            print(
                f"ledger, {name:9} people: {ours:6.1f} µs CPU a job; the same calls by botocore"
                f" {theirs:6.1f}; at {BOTOCORE:.0f} for those: {scaled:5.1f} (budget {budget:.0f})"
            )
    return holds


if __name__ == "__main__":
    sys.exit(not report())
