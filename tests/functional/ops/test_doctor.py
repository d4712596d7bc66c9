"""``bridge doctor`` against the stand-in Braze, and against AWS in process."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from botocore.stub import Stubber

from braze_bridge.braze.errors import ConnectFailedError
from braze_bridge.braze.instances import INSTANCES
from ops.doctor.checks import alarms_on, braze_findings, concurrency, token_findings
from ops.doctor.findings import Level
from ops.stack.access import (
    BrazeTarget,
    SecretsAccess,
    Site,
    StackUnavailableError,
    describe,
    site_of,
)
from ops.stack.partners import PARTNERS
from ops.stack_secrets.stored_secrets import secret_id
from sandbox.server import Sandbox, running
from tests.fakes.recording_transport import RecordingTransport, answer
from tests.functional.ops.conftest import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from braze_bridge.braze.transport import Transport
    from ops.doctor.findings import Finding

KEY = "the-key-of-this-test"
STACK = "bridge-test"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with running(Sandbox(key=KEY)) as url:
        yield url


@pytest.fixture
def braze(sandbox: str) -> str:
    requests.post(f"{sandbox}/_sandbox/reset", json={}, timeout=10).raise_for_status()
    return sandbox


def secrets_with(key: str) -> SecretsAccess:
    client = boto3.client("secretsmanager", region_name=REGION)
    stack = f"{STACK}-{key or 'blank'}"
    client.create_secret(
        Name=f"{stack}/braze", SecretString=json.dumps({"current": key, "previous": ""})
    )
    return SecretsAccess(stack, client)


def asked(
    braze: str, key: str = KEY, integrations: tuple[str, ...] = ("iterate",)
) -> list[Finding]:
    target = BrazeTarget("US-01", braze, allow_loopback=True)
    return list(braze_findings(target, secrets_with(key), integrations, find_instance=False))


def level_of(found: list[Finding], check: str) -> Level:
    (finding,) = [each for each in found if each.check == check]
    return finding.level


@pytest.mark.usefixtures("aws")
def test_a_sound_key_is_asked_about_what_the_integration_needs_and_no_more(braze: str) -> None:
    """Iterate: users.track, reading the profile, in-app surveys. Nothing is written."""
    found = asked(braze)

    assert {each.level for each in found} == {Level.OK}
    logged = requests.get(f"{braze}/_sandbox/requests", timeout=10).json()
    assert [row["path"] for row in logged] == [
        "/users/track",
        "/users/export/ids",
        "/kpi/mau/data_series",
    ]
    assert requests.get(f"{braze}/_sandbox/profiles", timeout=10).json() == []


@pytest.mark.usefixtures("aws")
def test_a_missing_permission_is_distinguished_from_a_wrong_key(braze: str) -> None:
    """The first needs a new key with more permissions, the second the right key."""
    requests.post(
        f"{braze}/_sandbox/settings", json={"keys": {KEY: ["users.track"]}}, timeout=10
    ).raise_for_status()

    missing, wrong, blank = asked(braze), asked(braze, "another-key"), asked(braze, "")

    assert level_of(missing, "key") is Level.OK
    assert level_of(missing, "permission kpi.mau.data_series") is Level.WARNING
    assert level_of(wrong, "key") is Level.PROBLEM
    assert level_of(blank, "key") is Level.PROBLEM
    assert "no Braze key is set" in blank[-1].what
    assert "another-key" not in repr(wrong)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("fault", "words"),
    [({"status": 503}, "503"), ({"status": 429}, "rate limit"), ({"reset": "before"}, "not sent")],
)
def test_a_braze_in_trouble_is_no_verdict_on_a_permission(
    braze: str, fault: dict[str, Any], words: str
) -> None:
    """A warning to ask later."""
    requests.post(
        f"{braze}/_sandbox/faults",
        json={"path": "/kpi/mau/data_series", "times": 1, **fault},
        timeout=10,
    ).raise_for_status()

    (finding,) = [each for each in asked(braze) if each.check.endswith("data_series")]

    assert finding.level is Level.WARNING
    assert words in finding.what or fault.get("reset")


@pytest.mark.usefixtures("aws")
def test_a_refused_key_is_shown_to_braze_s_other_instances_only_when_asked() -> None:
    """The one that knows it is named; only Braze's instances see the key."""
    shown: list[str] = []

    def transport(endpoint: str) -> Transport:
        shown.append(endpoint)
        status = 400 if endpoint == INSTANCES["EU-02"] else 401
        return RecordingTransport(*[answer(status, {})] * 5)

    target = BrazeTarget("US-01", "", allow_loopback=False)
    secrets = secrets_with(KEY)

    def ask(*, everywhere: bool) -> Finding:
        found = braze_findings(
            target, secrets, ["outgrow"], find_instance=everywhere, transport=transport
        )
        return next(each for each in found if each.check == "key")

    alone = ask(everywhere=False)
    assert shown == [INSTANCES["US-01"]]
    assert "--find-instance" in alone.do
    found = ask(everywhere=True)
    assert "it is at EU-02" in found.what
    assert set(shown) == set(INSTANCES.values())


@pytest.mark.usefixtures("aws")
def test_an_instance_that_does_not_answer_is_passed_over() -> None:
    """The other instances are still asked."""
    target = BrazeTarget("US-01", "", allow_loopback=False)

    def transport(endpoint: str) -> Transport:
        if endpoint == INSTANCES["US-01"]:
            return RecordingTransport(*[answer(401, {})] * 5)
        return RecordingTransport(ConnectFailedError("refused"))

    found = list(
        braze_findings(
            target, secrets_with(KEY), ["outgrow"], find_instance=True, transport=transport
        )
    )
    assert "at any of Braze's instances" in found[1].what


@pytest.mark.usefixtures("aws")
def test_every_partner_s_token_is_looked_at() -> None:
    """Set, and missing."""
    client = boto3.client("secretsmanager", region_name=REGION)
    client.create_secret(
        Name=secret_id(STACK, "outgrow"), SecretString='{"current":"t","previous":"s"}'
    )

    access, now = SecretsAccess(STACK, client), datetime.now(UTC)
    findings = token_findings(access, now, timedelta(0))
    found = {each.check: each.level for each in findings}

    assert found["token of Outgrow"] is Level.WARNING
    assert found["token of Iterate"] is Level.PROBLEM
    assert len(found) == len(PARTNERS)


class FakeCloudWatch:
    """Two pages of alarms."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def describe_alarms(self, **arguments: Any) -> Any:
        self.asked.append(dict(arguments))
        if "NextToken" in arguments:
            return {"MetricAlarms": [{"AlarmName": f"{STACK}-DoorErrorsAlarm-2"}]}
        return {
            "MetricAlarms": [{"AlarmName": f"{STACK}-OldestWaitAlarm-1"}],
            "NextToken": "more",
        }

    def get_metric_statistics(self, **arguments: Any) -> Any:
        raise AssertionError(arguments)


def site_with(client: Any) -> Site:
    site = Site("s", "s", "https://api.example", BrazeTarget("US-01", "", False), client)
    return site._replace(lambda_limits=client, queue_executions=22)


def test_the_account_s_concurrency_quota_is_asked() -> None:
    """What functions with reserved concurrency hold is not shared."""
    client = boto3.client("lambda", region_name=REGION)
    limits = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 20}
    with Stubber(client) as stub:
        stub.add_response("get_account_settings", {"AccountLimit": limits}, {})
        (found,) = concurrency(site_with(client))

    assert (found.level, found.what.partition(";")[0]) == (Level.PROBLEM, "the account has 20")


def test_a_quota_that_may_not_be_asked_is_a_warning() -> None:
    """Everything else is checked."""
    client = boto3.client("lambda", region_name=REGION)
    with Stubber(client) as stub:
        stub.add_client_error("get_account_settings", "AccessDeniedException")
        (found,) = concurrency(site_with(client))

    assert (found.level, "AccessDeniedException" in found.what) == (Level.WARNING, True)


def test_the_local_engine_has_no_quota() -> None:
    """Nothing is reported."""
    assert list(concurrency(site_with(None))) == []


def test_the_stack_s_active_alarms_are_found_on_every_page() -> None:
    """By the name's beginning, and only those in ALARM."""
    watch = FakeCloudWatch()
    place = Site("x", STACK, "https://x", BrazeTarget("US-01", "", allow_loopback=False), watch)

    found = [each.what for each in alarms_on(place)]

    assert found == ["OldestWaitAlarm is on", "DoorErrorsAlarm is on"]
    assert watch.asked[0] == {"AlarmNamePrefix": f"{STACK}-", "StateValue": "ALARM"}


def described(**more: Any) -> dict[str, Any]:
    return {
        "StackName": STACK,
        "CreationTime": "2026-11-22T12:00:00Z",
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://api.example/live"}],
        **more,
    }


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"BrazeInstance": "EU-01", "BrazeEndpoint": ""}, BrazeTarget("EU-01", "", False)),
        (
            {"BrazeInstance": "US-01", "BrazeEndpoint": "https://rest.fra-02.braze.eu"},
            BrazeTarget("US-01", "https://rest.fra-02.braze.eu", False),
        ),
        ({}, None),
    ],
)
def test_a_deployed_stack_is_found_by_its_outputs_and_parameters(
    parameters: dict[str, str], expected: BrazeTarget | None
) -> None:
    """Its address, and its Braze."""
    client = boto3.client("cloudformation", region_name=REGION)
    given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
    with Stubber(client) as stub:
        stub.add_response("describe_stacks", {"Stacks": [described(Parameters=given)]})
        found = describe(client, STACK)
    watch = FakeCloudWatch()

    if expected is None:
        with pytest.raises(StackUnavailableError, match="BrazeInstance"):
            site_of(STACK, found, watch)
    else:
        place = site_of(STACK, found, watch)
        assert (place.api_url, place.braze) == ("https://api.example/live", expected)
