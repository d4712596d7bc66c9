"""The gate on DynamoDB's wire format."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.gate.dynamo import DynamoGateStore, dynamo_gate
from braze_bridge.gate.port import ADMITTED
from braze_bridge.gate.rules import OPEN, UNREADABLE, GateState
from braze_bridge.gate.shared import GateStoreUnavailableError, SharedGate, StoredGate
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.dynamodb import TABLE, FakeDynamo

if TYPE_CHECKING:
    from collections.abc import Callable

TRACK = EndpointFamily.TRACK


def gate(dynamo: FakeDynamo, clock: FixedClock) -> SharedGate:
    return dynamo_gate(dynamo.client(), TABLE, clock=clock, lambdas=10)


@pytest.mark.parametrize(
    "state",
    [
        OPEN,
        GateState(NOON, "rate_limited", NOON),
        GateState(NOON + timedelta(seconds=90), "key_refused", NOON, 60.5),
        GateState(last_success=NOON + timedelta(seconds=1.5)),
    ],
)
def test_a_state_reads_back_as_it_was_written(dynamo: FakeDynamo, state: GateState) -> None:
    """Under the revision it was written with."""
    store = DynamoGateStore(dynamo.client(), TABLE)
    assert store.write("all", state, None, b"one")
    assert store.read(["all", "users.track"]) == {"all": StoredGate(state, b"one")}


@pytest.mark.parametrize("probing", [True, False])
def test_rows_of_older_versions_stay_readable(dynamo: FakeDynamo, probing: bool) -> None:
    """A series of probes, taken by a Lambda or not; its time is over after it."""
    dynamo.items["gate:all"] = {
        "id": {"S": "gate:all"},
        "rev": {"B": "b25l"},
        "reason": {"S": "key_refused"},
        "probe_seconds": {"N": "60.0"},
        "probing": {"BOOL": probing},
        "closed_until": {"N": str(round(NOON.timestamp() * 1_000))},
        "since": {"N": str(round(NOON.timestamp() * 1_000) - 60_000)},
    }
    read = DynamoGateStore(dynamo.client(), TABLE).read(["all"])["all"].state
    assert read == GateState(NOON, "key_refused", NOON - timedelta(minutes=1), 60)
    assert read.needs_probe(NOON)

    clock = FixedClock()
    ours, others = gate(dynamo, clock), gate(dynamo, clock)
    assert ours.admit(TRACK) == ADMITTED
    assert not ours.may_start(TRACK, 1)
    ours.record_success(TRACK, None)
    assert others.admit(TRACK) == ADMITTED
    assert others.may_start(TRACK, 19)


def test_a_row_has_what_older_versions_read(dynamo: FakeDynamo) -> None:
    """A rollback meets the rows of this version."""
    gate(dynamo, FixedClock()).close(TRACK, NOON + timedelta(seconds=20), "rate_limited")
    row = dynamo.items["gate:users.track"]
    assert {"rev", "reason", "probe_seconds", "probing", "closed_until", "since"} <= row.keys()


def test_a_closing_is_rounded_upwards(dynamo: FakeDynamo) -> None:
    """It is kept in milliseconds."""
    store = DynamoGateStore(dynamo.client(), TABLE)
    store.write("all", GateState(NOON + timedelta(microseconds=1)), None, b"one")
    read = store.read(["all"])["all"].state.closed_until
    assert read == NOON + timedelta(milliseconds=1)


def test_only_the_expected_revision_is_replaced(dynamo: FakeDynamo) -> None:
    """Neither an item that is new to us, nor one that changed, nor one that went."""
    store = DynamoGateStore(dynamo.client(), TABLE)
    assert not store.write("all", OPEN, b"zero", b"one")
    assert store.write("all", OPEN, None, b"one")
    assert not store.write("all", OPEN, None, b"two")
    assert not store.write("all", OPEN, b"zero", b"two")
    assert store.write("all", OPEN, b"one", b"two")


def test_lambdas_see_each_others_closings(dynamo: FakeDynamo) -> None:
    """One call a batch; two to close."""
    clock = FixedClock()
    gate(dynamo, clock).close(TRACK, NOON + timedelta(seconds=20), "rate_limited")
    dynamo.counted.clear()

    other = gate(dynamo, clock)
    assert other.admit(TRACK).closed_until == NOON + timedelta(seconds=20)
    assert dynamo.counted == [("BatchGetItem", 2)]
    assert other.admit(EndpointFamily.EXPORT_IDS) == ADMITTED


def read_timeout(*_: Any) -> None:
    raise ReadTimeoutError(endpoint_url="dynamodb")


@pytest.mark.parametrize("failing", [read_timeout, lambda *_: ("ThrottlingException", 400)])
def test_a_table_that_does_not_answer_closes_the_gate(
    dynamo: FakeDynamo, failing: Callable[..., Any]
) -> None:
    """Admission, closing and reporting do not raise; opening and showing do."""
    dynamo.failing = failing
    ours = gate(dynamo, FixedClock())

    assert ours.admit(TRACK).reason == UNREADABLE
    ours.close(TRACK, NOON + timedelta(seconds=20), "rate_limited")
    ours.record_success(TRACK, None)
    with pytest.raises(GateStoreUnavailableError):
        ours.open(TRACK)
    with pytest.raises(GateStoreUnavailableError):
        ours.show([TRACK])


def test_keys_left_unprocessed_are_asked_for_once_more(dynamo: FakeDynamo) -> None:
    """Then it counts as unreadable: half a gate is none."""
    store = DynamoGateStore(dynamo.client(), TABLE)
    store.write("all", OPEN, None, b"one")
    dynamo.unprocessed = ["gate:all"]
    assert store.read(["all"]) == {"all": StoredGate(OPEN, b"one")}
    dynamo.unprocessed = ["gate:all", "gate:all"]
    with pytest.raises(GateStoreUnavailableError):
        store.read(["all"])
