"""Objects a second through the whole delivery handler, compared with posting ready-made bodies.

Both use the same transport, pool and server, alternately, in one run, in batches of 1,050 jobs. The
ratio counts (design: at least 0.45 / 0.85 / 0.95 at 0, 50 and 200 ms of Braze latency).
"""

from __future__ import annotations

import contextlib
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from braze_bridge.braze.client import BrazeClient, partner_user_agent
from braze_bridge.braze.identifiers import UserIdentifier
from braze_bridge.braze.models import AttributesObject, TrackRequest
from braze_bridge.braze.transport import RequestsTransport
from braze_bridge.clock import SystemClock
from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.envelope import DeliveryJob, JobUser
from braze_delivery.delivery import Ports, deliver
from tests.fakes.gate import NoGate
from tests.fakes.ledger import InMemoryLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_delivery.reporting import BatchResult

BATCH = 1_050
ROUNDS = 7
SETTINGS = ((0, 20, 6), (50, 20, 4), (200, 64, 10))
"""Latency in ms, connections, batches a round."""


class NothingParked:
    """A ``RejectedStore`` for a run in which nothing is rejected."""

    def park(self, record: RejectedRecord) -> None:
        """Fail: a rejected job makes the figures meaningless."""
        raise AssertionError(record.reasons)


def attributes(number: int) -> dict[str, Any]:
    """Answer that make a job of about 500 bytes."""
    return {
        "outgrow_quiz_score": number % 100,
        "outgrow_custom_segment": f"segment-{number % 7}",
        "outgrow_skin_type": "combination",
        "outgrow_newsletter": number % 2 == 0,
        "outgrow_products": ["cleanser", "serum", "cream"],
    }


def batch(offset: int) -> list[SqsMessage]:
    """Make a batch of jobs about different people."""
    now = datetime.now(UTC) - timedelta(seconds=5)
    return [
        SqsMessage(
            str(number),
            DeliveryJob(
                job_id=f"outgrow:quiz:{offset + number}",
                source="outgrow",
                occurred_at=now,
                received_at=now,
                correlation_id=f"correlation-{offset + number}",
                user=JobUser(external_id=f"person-{offset + number}"),
                attributes=attributes(number),
            ).to_json(),
        )
        for number in range(BATCH)
    ]


def ready_made(offset: int) -> list[TrackRequest]:
    """Make the same batch as finished requests."""
    objects = [
        AttributesObject(
            UserIdentifier(external_id=f"person-{offset + number}"), None, attributes(number)
        ).encode()
        for number in range(BATCH)
    ]
    return [TrackRequest(objects[start : start + 75]) for start in range(0, BATCH, 75)]


@contextlib.contextmanager
def braze(delay_ms: int) -> Iterator[str]:
    """Run a server for one setting, and stop it at the end."""
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "bench.instant_braze", str(delay_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()
        process.wait(10)


def measure(delay_ms: int, connections: int, batches: int) -> dict[str, float]:
    """Run both ways alternately at one latency.

    Returns:
        Median objects a second of each, the median of their ratios, and requests against the
        arithmetic minimum.
    """
    with braze(delay_ms) as url, ThreadPoolExecutor(connections) as executor:
        client = BrazeClient(
            api_key=lambda: "key",
            transport=RequestsTransport(url, pool_size=connections),
            user_agent=partner_user_agent("BrazePartnerBridge", "Bench", "1"),
            now=time.time,
            timeout=(3, 10),
        )
        ports = Ports(
            track=client.track,
            gate=NoGate(),
            ledger=InMemoryLedger(SystemClock()),
            rejected=NothingParked(),
            clock=SystemClock(),
            executor=executor,
            jitter=random.random,
            concurrency=connections,
            retention=timedelta(days=4),
            on_unknown_outcome="resend",
        )
        messages = [batch(n * BATCH) for n in range(batches)]
        requests = [ready_made(n * BATCH) for n in range(batches)]
        one_batch = [message for group in messages for message in group]
        flat = [request for group in requests for request in group]
        raw: list[float] = []
        whole: list[float] = []
        sent = 0
        for _ in range(ROUNDS):
            ports = replace(ports, ledger=InMemoryLedger(SystemClock()))  # or all are duplicates
            started = time.perf_counter()
            for group in requests:
                for _answer in executor.map(client.track, group):
                    pass
            raw.append(len(one_batch) / (time.perf_counter() - started))
            started = time.perf_counter()
            results: list[BatchResult] = [
                deliver(group, ports, lambda: 900.0) for group in messages
            ]
            whole.append(len(one_batch) / (time.perf_counter() - started))
            if sum(result.delivered for result in results) != len(one_batch):
                raise AssertionError(results)
            sent = sum(result.requests for result in results)
    return {
        "raw objects/s": statistics.median(raw),
        "handler objects/s": statistics.median(whole),
        "ratio": statistics.median(w / r for w, r in zip(whole, raw, strict=True)),
        "requests / minimum": sent / len(flat),
    }


def report() -> None:
    """Print a line for each setting."""
    for delay_ms, connections, batches in SETTINGS:
        figures = measure(delay_ms, connections, batches)
        print(
            f"{delay_ms:>4} ms, {connections} connections:",
            json.dumps({name: round(value, 3) for name, value in figures.items()}),
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak:.0f} MB")


if __name__ == "__main__":
    report()
