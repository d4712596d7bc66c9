"""``bridge check-kpi``: does the key have what Iterate needs for in-app surveys?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from botocore.stub import Stubber
from typer.testing import CliRunner

from ops.braze_access import BrazeClients, braze_client, endpoint_of, local_braze
from ops.bridge import app
from ops.permission_checks import Verdict, check_in_app_surveys
from ops.stack_access import StackUnavailableError
from sandbox.braze.server import Sandbox, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from braze_bridge.braze.client import BrazeClient

KEY = "the-key-of-this-test"


class OnlyBraze(BrazeClients):
    """Finds one Braze, whatever stack is asked for; or none."""

    def __init__(self, url: str | None, key: str = KEY) -> None:
        self._url = url
        self._key = key

    def of(self, stack: str | None, region: str | None, folder: Path) -> BrazeClient:
        if self._url is None:
            raise StackUnavailableError(f"no stack {stack}")
        return braze_client(self._url, self._key)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with running(Sandbox(key=KEY)) as url:
        yield url


@pytest.fixture
def braze(sandbox: str) -> str:
    requests.post(f"{sandbox}/_sandbox/reset", json={}, timeout=10).raise_for_status()
    return sandbox


def settings(braze: str, **changes: Any) -> None:
    requests.post(f"{braze}/_sandbox/settings", json=changes, timeout=10).raise_for_status()


def fault(braze: str, **changes: Any) -> None:
    wanted = {"path": "/kpi/mau/data_series"} | changes
    requests.post(f"{braze}/_sandbox/faults", json=wanted, timeout=10).raise_for_status()


def test_a_key_with_the_permission_is_well(braze: str) -> None:
    """One read, nothing written."""
    finding = check_in_app_surveys(braze_client(braze, KEY).mau_data_series)

    assert (finding.permission, finding.verdict) == ("kpi.mau.data_series", Verdict.OK)
    logged = requests.get(f"{braze}/_sandbox/requests", timeout=10).json()
    assert [(row["method"], row["status"]) for row in logged] == [("GET", 200)]


def test_a_key_without_it_is_told_from_a_wrong_one(braze: str) -> None:
    """The one needs a new key with more permissions, the other the right key."""
    settings(braze, keys={KEY: ["users.track"]})

    missing = check_in_app_surveys(braze_client(braze, KEY).mau_data_series)
    wrong = check_in_app_surveys(braze_client(braze, "another-key").mau_data_series)
    blank = check_in_app_surveys(braze_client(braze, "").mau_data_series)

    assert missing.verdict is Verdict.PERMISSION_MISSING
    assert wrong.verdict is blank.verdict is Verdict.KEY_REFUSED
    assert "another-key" not in wrong.advice
    assert "new one" in missing.advice


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": 503}, "answers 503"),
        ({"status": 429}, "limit"),
        ({"reset": "before"}, "does not answer"),
    ],
)
def test_a_braze_in_trouble_tells_nothing(braze: str, changes: dict[str, Any], words: str) -> None:
    """No verdict on the key by an outage."""
    fault(braze, **changes)

    finding = check_in_app_surveys(braze_client(braze, KEY).mau_data_series)

    assert finding.verdict is Verdict.NOT_TOLD
    assert words in finding.advice


@pytest.mark.parametrize(
    ("permissions", "code"), [(["users.track", "kpi.mau.data_series"], 0), (["users.track"], 1)]
)
def test_the_command_says_what_to_do(braze: str, permissions: list[str], code: int) -> None:
    """Exit 0 or 1, one line, no key in it."""
    settings(braze, keys={KEY: permissions})

    result = CliRunner().invoke(app, ["check-kpi"], obj=OnlyBraze(braze))

    assert result.exit_code == code
    assert "kpi.mau.data_series" in result.output
    assert KEY not in result.output


def test_the_command_without_an_answer_ends_with_3(braze: str) -> None:
    """Neither Braze's outage nor a missing stack is a finding."""
    fault(braze, status=500)
    down = CliRunner().invoke(app, ["check-kpi"], obj=OnlyBraze(braze))
    nowhere = CliRunner().invoke(app, ["check-kpi", "--stack", "x"], obj=OnlyBraze(None))

    assert (down.exit_code, nowhere.exit_code) == (3, 3)
    assert "no stack x" in nowhere.output


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"BrazeInstance": "EU-01", "BrazeEndpoint": ""}, "https://rest.fra-01.braze.eu"),
        (
            {"BrazeInstance": "US-01", "BrazeEndpoint": "https://rest.fra-02.braze.eu"},
            "https://rest.fra-02.braze.eu",
        ),
        ({"BrazeInstance": "US-09"}, None),
        ({}, None),
    ],
)
def test_a_deployed_stack_s_endpoint(parameters: dict[str, str], expected: str | None) -> None:
    """By its own parameters, checked as delivery checks them."""
    client = boto3.client(
        "cloudformation", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    found = {
        "StackName": "bridge",
        "CreationTime": "2026-11-22T12:00:00Z",
        "StackStatus": "CREATE_COMPLETE",
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ],
    }
    with Stubber(client) as stub:
        stub.add_response("describe_stacks", {"Stacks": [found]}, {"StackName": "bridge"})
        if expected is None:
            with pytest.raises(StackUnavailableError, match="bridge"):
                endpoint_of(client, "bridge")
        else:
            assert endpoint_of(client, "bridge") == expected


def test_a_stack_that_is_not_there() -> None:
    """The reason is AWS's own word."""
    client = boto3.client(
        "cloudformation", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    with Stubber(client) as stub:
        stub.add_client_error("describe_stacks", "ValidationError")
        with pytest.raises(StackUnavailableError, match="ValidationError"):
            endpoint_of(client, "bridge")


def test_no_local_stack(tmp_path: Path) -> None:
    """Said with what to do about it."""
    with pytest.raises(StackUnavailableError, match="make up"):
        local_braze(tmp_path)
