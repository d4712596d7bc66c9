"""Ledger and gate on a DynamoDB that others use at the same time: the local engine's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from botocore.config import Config

from braze_bridge.aws.dynamodb import dynamo_calls
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.gate.dynamo import DynamoGateStore, dynamo_gate
from braze_bridge.gate.port import ADMITTED
from braze_bridge.gate.rules import OPEN
from braze_bridge.ledger.dynamo import DynamoMemoryStore
from braze_bridge.ledger.port import PersonState
from braze_bridge.ledger.shared import CONFLICT, SharedLedger, Stored, Writes
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.delivery_jobs import job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb import DynamoDBClient

    from braze_bridge.aws.dynamodb import DynamoCalls
    from braze_bridge.jobs.envelope import DeliveryJob
    from sandbox.stack.stack_file import StackFile

LAMBDAS = 8
LONG = partial(float, 30)
PEOPLE = 60
TRACK = EndpointFamily.TRACK


@pytest.fixture(scope="module")
def client(stack: StackFile) -> DynamoDBClient:
    return stack.session().client(
        "dynamodb",
        endpoint_url=stack.aws_endpoint_url,
        config=Config(
            max_pool_connections=LAMBDAS,
            retries={"total_max_attempts": 1},
            parameter_validation=False,
            connect_timeout=5,
            read_timeout=30,
        ),
    )


@pytest.fixture(scope="module")
def calls(client: DynamoDBClient, stack: StackFile) -> DynamoCalls:
    return dynamo_calls(client, stack.session().get_credentials(), longest=30)


@pytest.fixture
def table(client: DynamoDBClient) -> Iterator[str]:
    """A table of its own, keyed as the template's."""
    name = f"shared-{uuid4().hex}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    yield name
    client.delete_table(TableName=name)


class CarelessMemoryStore(DynamoMemoryStore):
    """The negative control: it replaces whatever stands there."""

    def write(
        self, writes: Writes, revision: bytes, expires_at: int, seconds_left: object = None
    ) -> dict[str, str]:
        left = writes
        while left:
            found, _ = self.read(list(left), LONG)
            now = {id_: stored.revision for id_, stored in found.items()}
            tries: Writes = {id_: (now.get(id_), data) for id_, (_, data) in left.items()}
            failed = super().write(tries, revision, expires_at, LONG)
            left = {id_: each for id_, each in left.items() if id_ in failed}
        return {}


def crowd(lambda_number: int) -> list[DeliveryJob]:
    return [
        job(f"{lambda_number}-{n}", f"user-{n}", attributes={"score": n}) for n in range(PEOPLE)
    ]


def ledger_on(store: DynamoMemoryStore, clock: FixedClock) -> SharedLedger:
    return SharedLedger(store, clock, lambda: b"the key of tests", 65)


def winners_a_person(calls: DynamoCalls, table: str, kind: type[DynamoMemoryStore]) -> list[int]:
    """How many of eight Lambdas, leasing the same people at once, got each of them."""
    start = threading.Barrier(LAMBDAS)

    def lease(number: int) -> list[tuple[str, ...]]:
        ledger = ledger_on(kind(calls, table), FixedClock())
        start.wait()
        return list(ledger.lease(crowd(number)).held)

    with ThreadPoolExecutor(LAMBDAS) as executor:
        won = list(executor.map(lease, range(LAMBDAS)))
    return [sum(("external_id", f"user-{n}") in each for each in won) for n in range(PEOPLE)]


def test_of_eight_lambdas_exactly_one_gets_each_person(calls: DynamoCalls, table: str) -> None:
    """All of them lease all of the people in the same instant."""
    assert winners_a_person(calls, table, DynamoMemoryStore) == [1] * PEOPLE


def test_without_the_condition_several_would(calls: DynamoCalls, table: str) -> None:
    """The control."""
    assert max(winners_a_person(calls, table, CarelessMemoryStore)) > 1


def test_nothing_is_lost_when_eight_record_at_once(calls: DynamoCalls, table: str) -> None:
    """Each lost its lease to the next; all records stand, and the newest time."""
    clock = FixedClock()
    ledger = ledger_on(DynamoMemoryStore(calls, table), clock)
    held = []
    for number in range(LAMBDAS):
        held.append(ledger.lease(crowd(number)))
        clock.advance(65)
    start = threading.Barrier(LAMBDAS)

    def record(number: int) -> frozenset[tuple[str, ...]]:
        updates = {
            each.user.key: PersonState(
                frozenset({each.job_id}), {"score": (NOON + timedelta(seconds=number), NOON)}
            )
            for each in crowd(number)
        }
        start.wait()
        return ledger.record(held[number], updates)

    with ThreadPoolExecutor(LAMBDAS) as executor:
        unrecorded = list(executor.map(record, range(LAMBDAS)))

    assert unrecorded == [frozenset()] * LAMBDAS
    newest = NOON + timedelta(seconds=LAMBDAS - 1)
    for number in range(LAMBDAS):
        leases = ledger.lease(crowd(number))
        assert len(leases.states) == PEOPLE
        for each in crowd(number):
            state = leases.states[each.user.key]
            assert each.job_id in state.delivered
            assert state.newest == {"score": (newest, NOON)}


def test_the_engine_answers_as_the_fake_does(calls: DynamoCalls, table: str) -> None:
    """Inserts, replacements, both conflicts, binary values and absent items."""
    store = DynamoMemoryStore(calls, table)
    data = bytes(range(256))
    assert store.write({"a": (None, data), "b": (None, b"")}, b"one", 5, LONG) == {}
    writes: Writes = {
        "a": (None, data),
        "b": (b"another", data),
        "c": (b"one", data),
        "d": (None, data),
    }
    assert store.write(writes, b"two", 6, LONG) == dict.fromkeys("abc", CONFLICT)
    assert store.write({"a": (b"one", data[:9])}, b"three", 7, LONG) == {}

    found, failed = store.read(["a", "b", "c", "d"], LONG)
    assert failed == {}
    assert found == {
        "a": Stored(b"three", data[:9], 7),
        "b": Stored(b"one", b"", 5),
        "d": Stored(b"two", data, 6),
    }


def test_eight_refused_probes_lengthen_the_closing_once(client: DynamoDBClient, table: str) -> None:
    """When a refused key's minute is over, all try at once."""
    clock = FixedClock()

    first = dynamo_gate(client, table, clock=clock, lambdas=LAMBDAS)
    first.close(None, NOON + timedelta(seconds=60), "key_refused")
    clock.advance(60)
    start = threading.Barrier(LAMBDAS)

    def refused(_: int) -> None:
        ours = dynamo_gate(client, table, clock=clock, lambdas=LAMBDAS)
        assert ours.admit(TRACK) == ADMITTED
        start.wait()
        ours.close(None, NOON + timedelta(seconds=120), "key_refused")

    with ThreadPoolExecutor(LAMBDAS) as executor:
        list(executor.map(refused, range(LAMBDAS)))
    assert first.admit(TRACK).closed_until == NOON + timedelta(seconds=60 + 120)


def test_of_eight_closings_the_longest_stands(client: DynamoDBClient, table: str) -> None:
    """All of them written at once."""
    clock = FixedClock()
    start = threading.Barrier(LAMBDAS)

    def close(number: int) -> None:
        ours = dynamo_gate(client, table, clock=clock, lambdas=LAMBDAS)
        start.wait()
        ours.close(TRACK, NOON + timedelta(seconds=20 + number), "rate_limited")

    with ThreadPoolExecutor(LAMBDAS) as executor:
        list(executor.map(close, range(LAMBDAS)))

    gate = dynamo_gate(client, table, clock=clock, lambdas=LAMBDAS)
    assert gate.admit(TRACK).closed_until == NOON + timedelta(seconds=20 + LAMBDAS - 1)
    gate.open(TRACK)
    assert DynamoGateStore(client, table).read(["users.track"])["users.track"].state == OPEN


def test_the_deployed_table_takes_both(
    calls: DynamoCalls, client: DynamoDBClient, stack: StackFile
) -> None:
    """The template's key and names are what the code writes."""
    clock = FixedClock()
    store = DynamoMemoryStore(calls, stack.tables["ledger"])
    ledger = SharedLedger(store, clock, lambda: uuid4().bytes, 65)
    leases = ledger.lease(crowd(0))
    assert len(leases.held) == PEOPLE
    assert ledger.record(leases, dict.fromkeys(leases.states, PersonState())) == frozenset()
    gate = dynamo_gate(client, stack.tables["ledger"], clock=clock, lambdas=1)
    family = EndpointFamily.SHARED_DEFAULT
    gate.close(family, NOON + timedelta(seconds=1), "rate_limited")
    assert gate.show([family])["default"].reason == "rate_limited"
    gate.open(family)
    opened = gate.show([family])["default"]
    assert replace(opened, last_success=None) == OPEN  # the stack's own calls may have succeeded
