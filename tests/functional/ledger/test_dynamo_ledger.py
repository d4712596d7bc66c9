"""The ledger on DynamoDB's wire format: batches, and each way in which a call can go wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.aws.clients import ledger_client
from braze_bridge.aws.dynamodb import DynamoCallError
from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.keys import fingerprint_key
from braze_bridge.ledger.dynamo import DynamoMemoryStore
from braze_bridge.ledger.port import PersonState
from braze_bridge.ledger.shared import SharedLedger
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.delivery_jobs import job
from tests.fakes.dynamodb import TABLE, FakeDynamo
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.ledger.shared import MemoryStore, Writes

KEY = b"the key of tests"


def crowd(count: int) -> list[DeliveryJob]:
    return [job(str(n), f"user-{n}", attributes={"score": n}) for n in range(count)]


def all_done(jobs: list[DeliveryJob]) -> dict[tuple[str, ...], PersonState]:
    return {
        each.user.key: PersonState(frozenset({each.job_id}), {"score": (NOON, NOON)})
        for each in jobs
    }


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def ledger(dynamo: FakeDynamo, clock: FixedClock) -> SharedLedger:
    store: MemoryStore = DynamoMemoryStore(dynamo.calls(), TABLE)
    return SharedLedger(store, clock, lambda: KEY, 65, pause=lambda _: None, jitter=lambda: 0.5)


@pytest.mark.parametrize("people", ["new", "returning"])
def test_1000_jobs_take_90_calls(dynamo: FakeDynamo, ledger: SharedLedger, people: str) -> None:
    """At most 150 are allowed, for new people and for those who are known."""
    jobs = crowd(1_000)
    if people == "returning":
        earlier = [job(f"earlier-{n}", f"user-{n}") for n in range(1_000)]
        assert ledger.record(ledger.lease(earlier), all_done(earlier)) == frozenset()
        dynamo.counted.clear()

    leases = ledger.lease(jobs)
    assert len(leases.held) == 1_000
    assert ledger.record(leases, all_done(jobs)) == frozenset()

    assert sum(count for operation, count in dynamo.counted if operation == "BatchGetItem") == 1_000
    assert len(dynamo.counted) == 90
    states = ledger.lease(jobs).states.values()
    assert all(state.delivered and state.newest == {"score": (NOON, NOON)} for state in states)


def test_calls_run_side_by_side_on_an_executor(dynamo: FakeDynamo, clock: FixedClock) -> None:
    """And come to the same."""
    with ThreadPoolExecutor(4) as executor:
        store = DynamoMemoryStore(dynamo.calls(), TABLE, executor)
        ledger = SharedLedger(store, clock, lambda: KEY, 65)
        leases = ledger.lease(crowd(301))
        assert len(leases.held) == 301
        assert ledger.record(leases, all_done(crowd(301))) == frozenset()
        assert all(state.delivered for state in ledger.lease(crowd(301)).states.values())


def test_an_item_is_what_the_table_is_declared_for(
    dynamo: FakeDynamo, ledger: SharedLedger
) -> None:
    """A string key, and a TTL in epoch seconds 30 days ahead."""
    ledger.lease(crowd(1))
    ((id_, item),) = dynamo.items.items()
    assert item.keys() == {"id", "rev", "memory", "expires_at"}
    assert item["id"] == {"S": id_}
    assert int(item["expires_at"]["N"]) == int(NOON.timestamp()) + 30 * 86_400
    assert len(id_) == 32


def test_keys_left_unprocessed_are_asked_for_again(
    dynamo: FakeDynamo, ledger: SharedLedger
) -> None:
    """DynamoDB answers at most 16 MB a read."""
    ledger.record(ledger.lease(crowd(5)), all_done(crowd(5)))
    dynamo.unprocessed = [*list(dynamo.items)[:3], *list(dynamo.items)[:2]]
    dynamo.counted.clear()

    assert all(state.delivered for state in ledger.lease(crowd(5)).states.values())
    # Not taken for new people, which would only come to light when they are inserted.
    assert dynamo.counted == [("BatchGetItem", 5), ("BatchGetItem", 3), ("BatchGetItem", 2)]


@pytest.mark.parametrize(
    "code", ["ProvisionedThroughputExceeded", "ThrottlingError", "InternalServerError"]
)
def test_single_statements_refused_are_tried_again(
    dynamo: FakeDynamo, ledger: SharedLedger, code: str
) -> None:
    """One throttled item of a batch is neither lost nor taken for leased."""
    ledger.lease(crowd(1))
    (victim,) = dynamo.items
    dynamo.items.clear()
    dynamo.refused = {victim: [code, code]}
    leases = ledger.lease(crowd(30))
    assert len(leases.held) == 30

    dynamo.refused = {victim: [code, code]}
    assert ledger.record(leases, all_done(crowd(30))) == frozenset()
    assert all(state.delivered for state in ledger.lease(crowd(30)).states.values())


def test_a_statement_refused_for_good_leaves_its_person_busy(
    dynamo: FakeDynamo, ledger: SharedLedger
) -> None:
    """The 29 others go on; the answer has the code."""
    ledger.lease(crowd(1))
    (victim,) = dynamo.items
    dynamo.items.clear()
    dynamo.refused = {victim: ["ThrottlingError"] * 99}

    leases = ledger.lease(crowd(30))

    assert len(leases.held) == 29
    assert leases.busy.keys() == {("external_id", "user-0")}
    assert leases.store_errors == {"ThrottlingError": 1}


def read_timeout(*_: Any) -> None:
    raise DynamoCallError("ReadTimeoutError")


def connect_timeout(*_: Any) -> None:
    raise DynamoCallError("ConnectTimeoutError")


@pytest.mark.parametrize(
    ("failing", "code"),
    [
        (lambda *_: ("ThrottlingException", 400), "ThrottlingException"),
        (lambda *_: ("InternalServerError", 500), "InternalServerError"),
        (lambda *_: ("AccessDeniedException", 400), "AccessDeniedException"),
        (read_timeout, "ReadTimeoutError"),
        (connect_timeout, "ConnectTimeoutError"),
    ],
)
def test_no_person_is_leased_if_dynamodb_fails(
    dynamo: FakeDynamo, ledger: SharedLedger, failing: Callable[..., Any], code: str
) -> None:
    """And nothing is recorded in silence."""
    leases = ledger.lease(crowd(3))
    dynamo.failing = failing

    assert ledger.record(leases, all_done(crowd(3))) == set(leases.states)
    leases = ledger.lease(crowd(3))
    assert (leases.states, leases.held, leases.store_errors) == ({}, {}, {code: 3})


@pytest.mark.parametrize("how", [read_timeout, lambda *_: ("InternalServerError", 500)])
def test_lost_answers_of_writes_are_cleared_up_by_reading(
    dynamo: FakeDynamo, ledger: SharedLedger, how: Callable[..., Any]
) -> None:
    """The lease was taken, the record made; both are recognised, none is made twice."""
    losses = ["lease", "record"]

    def lose(operation: str, _: Any) -> tuple[str, int] | None:
        if operation == "BatchExecuteStatement" and losses:
            losses.pop(0)
            lost: tuple[str, int] | None = how()
            return lost
        return None

    dynamo.losing = lose
    leases = ledger.lease(crowd(3))
    assert len(leases.held) == 3
    losses[:] = ["record"]
    assert ledger.record(leases, all_done(crowd(3))) == frozenset()
    assert [
        count for operation, count in dynamo.counted if operation == "BatchExecuteStatement"
    ] == [
        3,
        3,
    ]


def test_large_memories_are_written_in_smaller_batches(dynamo: FakeDynamo) -> None:
    """Some hundred kilobytes each would make a call too long."""
    store = DynamoMemoryStore(dynamo.calls(), TABLE)
    writes: Writes = {f"{n:032}": (None, bytes(300_000)) for n in range(20)}

    assert store.write(writes, b"r" * 12, 5, lambda: 9) == {}

    assert [count for _, count in dynamo.counted] == [6, 6, 6, 2]
    found, failed = store.read(list(writes), lambda: 9)
    assert not failed
    assert {stored.data for stored in found.values()} == {bytes(300_000)}


def test_the_key_comes_out_of_its_secret() -> None:
    """A secret that is empty or away is no key: everybody would look new."""
    assert fingerprint_key(FixedSecret("x" * 48))() == b"x" * 48
    for secret in (FixedSecret(""), FixedSecret("short")):
        with pytest.raises(SecretUnavailableError):
            fingerprint_key(secret)()


def test_the_client_gives_up_soon_and_does_not_try_again_by_itself() -> None:
    """The ledger tries again item by item; botocore would repeat whole batches."""
    config: Any = ledger_client(7).meta.config  # its options are attributes stubs do not know
    assert (config.connect_timeout, config.read_timeout, config.max_pool_connections) == (1, 2, 7)
    assert config.retries["total_max_attempts"] == 1


@pytest.mark.parametrize("operation", ["BatchGetItem", "BatchExecuteStatement"])
def test_any_fault_of_a_call_is_a_failed_call(
    dynamo: FakeDynamo, ledger: SharedLedger, operation: str
) -> None:
    """Such as credentials that cannot be renewed. The jobs come back."""

    def failing(asked: str, _: Any) -> None:
        if asked == operation:
            raise RuntimeError("cannot renew")

    dynamo.failing = failing
    jobs = crowd(2)
    leases = ledger.lease(jobs)
    assert (len(leases.held), set(leases.store_errors)) == (0, {"RuntimeError"})
