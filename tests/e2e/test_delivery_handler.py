"""Batches larger than the local engine's: the handler runs in this process, the rest is real."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from braze_bridge.braze.client import BrazeClient, partner_user_agent
from braze_bridge.braze.transport import PooledTransport
from braze_bridge.clock import SystemClock
from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.envelope import DeliveryJob, JobUser, parse_job
from braze_bridge.jobs.rejected import DynamoRejectedStore
from braze_delivery.delivery import Ports, deliver
from tests.fakes.gate import NoGate
from tests.fakes.ledger import NoLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from braze_delivery.reporting import BatchResult
    from sandbox.stack.stack_file import StackFile


@pytest.fixture
def ports(stack: StackFile) -> Iterator[Ports]:
    requests.post(f"{stack.braze_url}/_sandbox/reset", json={}, timeout=10).raise_for_status()
    client = BrazeClient(
        api_key=lambda: stack.braze_api_key,
        transport=PooledTransport(stack.braze_url, pool_size=20),
        user_agent=partner_user_agent("BrazePartnerBridge", "Delivery", "0.1.0"),
        now=time.time,
        timeout=(3, 10),
    )
    dynamodb = stack.session().client("dynamodb", **stack.client_options())
    with ThreadPoolExecutor(20) as executor:
        yield Ports(
            track=client.track,
            gate=NoGate(),
            ledger=NoLedger(),
            rejected=DynamoRejectedStore(dynamodb, stack.tables["rejected"]),
            clock=SystemClock(),
            executor=executor,
            jitter=lambda: 0.5,
            concurrency=20,
            retention=timedelta(days=4),
            on_unknown_outcome="resend",
        )


def run(ports: Ports, jobs: list[DeliveryJob]) -> BatchResult:
    messages = [SqsMessage(str(n), job.to_json()) for n, job in enumerate(jobs)]
    return deliver(messages, ports, lambda: 60.0)


def jobs(count: int, **attributes: Any) -> list[DeliveryJob]:
    now = datetime.now(UTC) - timedelta(seconds=1)
    return [
        DeliveryJob(
            job_id=f"outgrow:e2e:{n}",
            source="outgrow",
            occurred_at=now,
            received_at=now,
            correlation_id="e2e",
            user=JobUser(external_id=f"e2e-{n}"),
            attributes={"score": n} | attributes,
        )
        for n in range(count)
    ]


def sandbox(stack: StackFile, route: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{stack.braze_url}/_sandbox/{route}", timeout=30)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def test_1050_records_take_exactly_14_requests(stack: StackFile, ports: Ports) -> None:
    """As Braze counts them, and every profile is right."""
    result = run(ports, jobs(1_050))

    assert result.delivered == 1_050
    log = sandbox(stack, "requests?since=0")
    assert [(entry["path"], entry["objects"]) for entry in log] == [("/users/track", 75)] * 14
    scores = {
        profile["external_id"]: profile["custom_attributes"]["score"]
        for profile in sandbox(stack, "profiles")
    }
    assert scores == {f"e2e-{n}": n for n in range(1_050)}


def test_one_bad_object_among_74_good_ones(stack: StackFile, ports: Ports) -> None:
    """A 201 with an error: 74 profiles, one row with Braze's own reason, nothing sent twice."""
    batch = jobs(75)
    # Valid for us (e-mail is Braze's to judge as an attribute), refused by Braze by name.
    batch[40] = batch[40].model_copy(update={"attributes": {"email": "not an address"}})

    result = run(ports, batch)

    assert (result.delivered, result.rejected, result.retried) == (74, 1, 0)
    (entry,) = sandbox(stack, "requests?since=0")
    assert (entry["status"], entry["objects"]) == (201, 75)
    assert {profile["external_id"] for profile in sandbox(stack, "profiles")} == {
        f"e2e-{n}" for n in range(75) if n != 40
    }
    dynamodb = stack.session().client("dynamodb", **stack.client_options())
    row = dynamodb.get_item(
        TableName=stack.tables["rejected"], Key={"id": {"S": "outgrow#outgrow:e2e:40"}}
    )["Item"]
    assert row["reason"]["S"] == "braze_refused"
    assert "email" in row["reasons"]["S"]
    assert parse_job(row["payload"]["S"]).attributes == {"email": "not an address"}


def test_one_invalid_object_without_a_name_among_1050(stack: StackFile, ports: Ports) -> None:
    """Its request's objects are sent alone: 1,049 delivered once, 1 parked, 75 extra requests."""
    fault = {
        "path": "/users/track",
        "match": '"e2e-500"',
        "times": 1_000,
        "status": 400,
        "body": {"message": "Something in this request is not valid"},
    }
    requests.post(f"{stack.braze_url}/_sandbox/faults", json=fault, timeout=10).raise_for_status()

    result = run(ports, jobs(1_050))

    log = sandbox(stack, "requests?since=0")
    print(f"{len(log)} requests for 1,050 jobs with one invalid object")  # noqa: T201 - for the note
    assert (result.delivered, result.rejected, result.retried) == (1_049, 1, 0)
    assert len(log) <= 14 + 75
    assert sum(entry["objects"] for entry in log if entry["status"] == 201) == 1_049
    assert {profile["external_id"] for profile in sandbox(stack, "profiles")} == {
        f"e2e-{n}" for n in range(1_050) if n != 500
    }
    dynamodb = stack.session().client("dynamodb", **stack.client_options())
    row = dynamodb.get_item(
        TableName=stack.tables["rejected"], Key={"id": {"S": "outgrow#outgrow:e2e:500"}}
    )["Item"]
    assert "Something in this request is not valid" in row["reasons"]["S"]
