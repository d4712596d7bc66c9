"""`bridge gate` on a table in process."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import pytest
from typer.testing import CliRunner

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.clock import SystemClock
from braze_bridge.gate.dynamo import dynamo_gate
from ops.bridge import app
from ops.stack.access import StackAccess, Stacks
from tests.functional.ops.conftest import REGION

if TYPE_CHECKING:
    from typer.testing import Result

    from braze_bridge.gate.shared import SharedGate

TABLE = "ledger"


class OneStack(Stacks):
    """Finds this stack for every name."""

    def open(self, *_: object) -> StackAccess:
        return StackAccess(
            name="bridge",
            delivery_queue="",
            delivery_dead_letter_queue="",
            acquisition_queue="",
            acquisition_dead_letter_queue="",
            forward_queue="",
            forward_dead_letter_queue="",
            rejected_table="",
            ledger_table=TABLE,
            acquisitions_table="",
            claims_table="",
            sqs=boto3.client("sqs", region_name=REGION),
            dynamodb=boto3.client("dynamodb", region_name=REGION),
        )


@pytest.fixture
def gate(aws: None) -> SharedGate:
    client = boto3.client("dynamodb", region_name=REGION)
    client.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return dynamo_gate(client, TABLE, clock=SystemClock(), lambdas=1)


def bridge(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["gate", *arguments], obj=OneStack())


@pytest.mark.usefixtures("gate")
def test_gates_that_were_never_closed_are_open() -> None:
    """Each is named, also before anything was written."""
    shown = bridge("show")

    assert shown.exit_code == 0
    assert shown.stdout.count(" open") == 1 + len(EndpointFamily)


def test_a_closed_gate_says_until_when_and_why_and_can_be_opened(gate: SharedGate) -> None:
    """What on-call looks for, and does after the key is corrected."""
    until = SystemClock().now() + timedelta(minutes=10)
    gate.close(None, until, "key_refused")

    shown = bridge("show", "--json")
    state = json.loads(shown.stdout)["all"]
    assert (state["state"], state["reason"]) == (
        "closed",
        "key_refused",
    )

    opened = bridge("open", "all", "--json")
    told = json.loads(opened.stdout)
    assert (opened.exit_code, told["opened"]) == (0, "all")
    # A closing that is seconds old: jobs come back within a minute and the spread.
    next_try = datetime.fromisoformat(told["next_try_by"])
    assert timedelta(0) < next_try - SystemClock().now() <= timedelta(seconds=65)
    assert json.loads(bridge("show", "--json").stdout)["all"]["state"] == "open"

    assert json.loads(bridge("open", "all", "--json").stdout)["next_try_by"] is None


def test_opening_says_in_words_when_the_next_try_comes(gate: SharedGate) -> None:
    """Only if something waits."""
    gate.close(EndpointFamily.TRACK, SystemClock().now() + timedelta(minutes=10), "rate_limited")
    assert "come back by" in bridge("open", "users.track").stdout
    assert bridge("open", "users.track").stdout.splitlines() == ["users.track is open"]


def test_opening_names_the_gates_that_still_stop_the_calls(gate: SharedGate) -> None:
    """`all` stops every family; another family stops only its own calls."""
    until = SystemClock().now() + timedelta(minutes=10)
    for family in (None, EndpointFamily.TRACK, EndpointFamily.EXPORT_IDS):
        gate.close(family, until, "key_refused")

    one = json.loads(bridge("open", "users.track", "--json").stdout)
    assert one["still_closed"].keys() == {"all"}
    assert one["still_closed"]["all"]["reason"] == "key_refused"
    assert one["next_try_by"] is None

    told, closed = bridge("open", "users.track").stdout.splitlines()
    assert told == "users.track is open"
    assert closed.startswith("all is still closed until 20")
    assert "bridge gate open all" in closed

    opened = bridge("open", "all").stdout
    assert "users.export.ids is still closed" in opened
    assert "users.track is still" not in opened
    assert "come back by" in opened
    assert json.loads(bridge("open", "users.export.ids", "--json").stdout)["still_closed"] == {}


@pytest.mark.usefixtures("gate")
def test_a_gate_that_does_not_exist_is_refused_with_the_names_that_do() -> None:
    """A typo opens nothing."""
    result = bridge("open", "users.trak")

    assert result.exit_code == 2
    assert "users.track" in result.stderr
