"""What the ledger costs: DynamoDB calls per 1,000 jobs, and CPU against botocore alone.

Both sides make the same calls on the same kind of client, without a network. They get the same
canned answers. The ratio counts (design: at most 1.5, and at most 150 calls).
"""

from __future__ import annotations

import base64
import gc
import io
import json
import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

from braze_bridge.aws.clients import ledger_client
from braze_bridge.jobs.envelope import DeliveryJob, JobUser
from braze_bridge.ledger.dynamo import DynamoMemoryStore
from braze_bridge.ledger.person_memory import (
    BLANK,
    Fingerprints,
    LeaseRequest,
    Moment,
    apply_update,
    encode,
)
from braze_bridge.ledger.port import PersonState
from braze_bridge.ledger.shared import SharedLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from types_boto3_dynamodb import DynamoDBClient

JOBS = 1_000
ROUNDS = 40
TABLE = "ledger"
KEY = b"a key of the benchmark"
LEASE_SECONDS = 65.0
ATTRIBUTES = 5
KNOWN_ATTRIBUTES = 10
KNOWN_JOBS = 3
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

Call = tuple[str, dict[str, Any]]


class StandingClock:
    """Always noon, so that every round is alike."""

    def now(self) -> datetime:
        """Return noon."""
        return NOW


class Canned:
    """Answers a client's calls without a network.

    It computes and keeps the answers first; later it repeats them in the same order.

    Attributes:
        calls: Operation and parameters of each call, in order.
    """

    def __init__(self, client: DynamoDBClient, memory: bytes | None) -> None:
        self.calls: list[Call] = []
        self._memory = memory
        self._bodies: list[bytes] = []
        self._next = 0
        self._keeping = True
        client.meta.events.register("provide-client-params.dynamodb", self._keep)
        _register(client, self._answer)

    def repeat(self) -> None:
        """Repeat the same answers from the start."""
        self._keeping = False
        self._next = 0

    def same_for(self, client: DynamoDBClient) -> None:
        """Give another client the same answers."""
        _register(client, self._answer)

    def _keep(self, params: dict[str, Any], model: Any, **_: Any) -> None:  # noqa: ANN401 - botocore's
        if self._keeping:
            self.calls.append((model.name, params))

    def _answer(self, request: Any, **_: Any) -> AWSResponse:  # noqa: ANN401
        if self._keeping:
            operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
            self._bodies.append(self._body(operation, json.loads(request.body)))
        body = self._bodies[self._next]
        self._next += 1
        headers = HTTPHeaders()
        headers["content-type"] = "application/x-amz-json-1.0"
        return AWSResponse(request.url, 200, headers, _Raw(body))

    def _body(self, operation: str, asked: dict[str, Any]) -> bytes:
        if operation == "BatchExecuteStatement":
            answers = [{"TableName": TABLE}] * len(asked["Statements"])
            return json.dumps({"Responses": answers}).encode()
        items = []
        if self._memory is not None:
            expires_at = int((NOW + timedelta(days=20)).timestamp())
            rest = {
                "rev": {"B": base64.b64encode(bytes(12)).decode()},
                "memory": {"B": base64.b64encode(self._memory).decode()},
                "expires_at": {"N": str(expires_at)},
            }
            items = [key | rest for key in asked["RequestItems"][TABLE]["Keys"]]
        return json.dumps({"Responses": {TABLE: items}, "UnprocessedKeys": {}}).encode()


def _register(client: DynamoDBClient, answer: Callable[..., Any]) -> None:
    """Answer instead of the network. The stubs do not know that such a hook may return."""
    client.meta.events.register_first("before-send.dynamodb", answer)


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Any:  # noqa: ANN401 - what botocore reads a body by
        yield self.read()


def crowd() -> list[DeliveryJob]:
    """Make 1,000 jobs about as many people."""
    return [
        DeliveryJob(
            job_id=f"outgrow:quiz:response-{number}",
            source="outgrow",
            occurred_at=NOW,
            received_at=NOW,
            correlation_id=f"correlation-{number}",
            user=JobUser(external_id=f"person-{number}"),
            attributes={f"outgrow_answer_{index}": number for index in range(ATTRIBUTES)},
        )
        for number in range(JOBS)
    ]


def known_memory() -> bytes:
    """Encode a person with three earlier answers and ten attributes."""
    earlier = NOW - timedelta(days=1)
    updates = PersonState(
        delivered=frozenset(f"outgrow:quiz:earlier-{number}" for number in range(KNOWN_JOBS)),
        newest={f"outgrow_answer_{index}": earlier for index in range(KNOWN_ATTRIBUTES)},
    )
    return encode(
        apply_update(
            BLANK, updates, LeaseRequest((), [], {}), b"", Moment.of(earlier), Fingerprints(KEY)
        )
    )


def cpu(work: Callable[[], None]) -> float:
    """Measure the CPU seconds of this process."""
    gc.collect()
    gc.disable()  # as timeit does: when a collection runs is chance
    started = time.process_time()
    work()
    spent = time.process_time() - started
    gc.enable()
    return spent


def bare_client(*, validating: bool) -> DynamoDBClient:
    """Make a client like the ledger's, or one with boto3's defaults."""
    if not validating:
        return ledger_client(10)
    return boto3.client("dynamodb", config=Config())


def measure(memory: bytes | None) -> dict[str, float]:
    """Lease and record 1,000 jobs, and make the same calls without the ledger.

    Args:
        memory: What is known of each person; ``None`` for new people.

    Returns:
        Calls, the least µs of CPU a job over all rounds, and their ratios: to a bare client as the
        ledger uses it, and to one that validates parameters as boto3 does by default.
    """
    client = ledger_client(10)
    canned = Canned(client, memory)
    ledger = SharedLedger(
        DynamoMemoryStore(client, TABLE),
        StandingClock(),
        lambda: KEY,
        LEASE_SECONDS,
        token=lambda length: bytes(length - 1) + b"\1",
    )
    jobs = crowd()
    updates = {
        job.user.key: PersonState(
            delivered=frozenset([job.job_id]),
            newest=dict.fromkeys(job.attributes, job.occurred_at),
        )
        for job in jobs
    }

    def whole() -> None:
        leases = ledger.lease(jobs)
        if len(leases.held) != JOBS or ledger.record(leases, updates):
            raise AssertionError("the benchmark does not measure what it should")

    whole()
    calls = list(canned.calls)
    plain, default = bare_client(validating=False), bare_client(validating=True)
    for each in (plain, default):
        canned.same_for(each)

    def bare(through: DynamoDBClient) -> Callable[[], None]:
        methods: dict[str, Callable[..., Any]] = {
            "BatchGetItem": through.batch_get_item,
            "BatchExecuteStatement": through.batch_execute_statement,
        }

        def run() -> None:
            for operation, params in calls:
                methods[operation](**params)

        return run

    figures: dict[str, list[float]] = {"ledger": [], "plain": [], "default": []}
    works: Sequence[tuple[str, Callable[[], None]]] = (
        ("ledger", whole),
        ("plain", bare(plain)),
        ("default", bare(default)),
    )
    for _ in range(ROUNDS):
        for name, work in works:
            canned.repeat()
            figures[name].append(cpu(work))
    best = {name: min(each) * 1e6 / JOBS for name, each in figures.items()}
    return {
        "calls per 1,000 jobs": float(len(calls)),
        "ledger, µs a job": best["ledger"],
        "botocore alone, µs a job": best["plain"],
        "ratio": best["ledger"] / best["plain"],
        "ratio to boto3's defaults": best["ledger"] / best["default"],
    }


def report() -> None:
    """Print a line for new and one for returning people."""
    os.environ.update(
        AWS_DEFAULT_REGION="eu-central-1",
        AWS_ACCESS_KEY_ID="nobody",
        AWS_SECRET_ACCESS_KEY="nothing",  # noqa: S106 - no request leaves this process
    )
    for name, memory in (("new people", None), ("returning people", known_memory())):
        figures = measure(memory)
        print(
            f"ledger, {name}:",
            json.dumps(
                {key: round(value, 2) for key, value in figures.items()}, ensure_ascii=False
            ),
        )


if __name__ == "__main__":
    report()
