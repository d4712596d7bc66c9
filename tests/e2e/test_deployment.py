"""`make deploy` with the real SAM, against the local engine instead of AWS.

What is deployed is a small template, except in one test: the local stack itself is a deployment of
the whole one. The build is left out, since the local stack was built in the same way. A deployment
takes SAM four seconds, so these tests are for `make test-all`.
"""

from __future__ import annotations

import json
import os
import platform
import pty
import select
import subprocess
import sys
import time
import tomllib
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from ops.deployment.account import STACK_POLICY
from ops.stack.access import API_URL, OUTPUTS
from sandbox.stack.environments import ROOT, python_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.stack.stack_file import StackFile

pytestmark = pytest.mark.campaign

SECONDS: Final = 280
SMALL: Final[dict[str, Any]] = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Parameters": {
        "BrazeInstance": {"Type": "String"},
        "AlarmEmail": {"Type": "String", "Default": ""},
        "ManageApiLoggingRole": {"Type": "String", "Default": "false"},
    },
    "Resources": {
        "BrazeSecret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {
                "Name": {"Fn::Sub": "${AWS::StackName}/braze"},
                "Description": {"Fn::Sub": "Changes: ${AlarmEmail}, ${ManageApiLoggingRole}"},
                "SecretString": '{"current": "", "previous": ""}',
            },
        },
        "OutgrowSecret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {
                "Name": {"Fn::Sub": "${AWS::StackName}/partner/outgrow"},
                "SecretString": '{"current": "a-token", "previous": ""}',
            },
        },
    },
    "Outputs": {name: {"Value": "none"} for name in [API_URL, *OUTPUTS.values()]},
}
"""What `make deploy` and `bridge verify` need of a template."""

THEIRS: Final = "arn:aws:iam::000000000000:role/of-another-team"

SAM: Final = """#!/bin/sh
[ "$3" = build ] || exec {python} "$@" --template-file {template}
"""

BRIDGE: Final = "no Braze key is set"
"""What `bridge verify` says about a new stack, and ends with 0."""


class Deployment:
    """A stack's `samconfig.toml`, and `make deploy` with it."""

    def __init__(self, folder: Path, local: StackFile, name: str) -> None:
        self.folder = folder
        self.local = local
        self.name = name
        self.output = ""
        session, options = local.session(), local.client_options()
        self.formation = session.client("cloudformation", **options)

    def run(self, *parameters: str, answer: str | None = None, template: Path | None = None) -> int:
        """Deploy; with an answer there is a terminal, at which a person gives it.

        Returns:
            The exit code.
        """
        if template is None:
            template = self.folder / "template.json"
            template.write_text(json.dumps(SMALL))
        sam = self.folder / "sam"
        sam.write_text(SAM.format(python=python_of("sam"), template=template))
        sam.chmod(0o755)
        config = self.folder / "samconfig.toml"
        config.write_text(
            "version = 0.1\n[prod.deploy.parameters]\n"
            f'stack_name = "{self.name}"\nregion = "{self.local.region}"\n'
            'resolve_s3 = true\ncapabilities = "CAPABILITY_IAM"\nconfirm_changeset = true\n'
            "fail_on_empty_changeset = false\n"
            f"parameter_overrides = {json.dumps(['BrazeInstance=US-01', *parameters])}\n"
        )
        command = [sys.executable, "-m", "ops.deployment.deploy", "--env", "prod"]
        command += ["--config", str(config), "--sam-python", str(sam)]
        code, self.output = ran(command, self.environment(), answer)
        return code

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **kept,
            "AWS_ENDPOINT_URL": self.local.aws_endpoint_url,
            "AWS_ACCESS_KEY_ID": self.local.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.local.secret_access_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.1",
        }

    def found(self) -> dict[str, Any]:
        (found,) = self.formation.describe_stacks(StackName=self.name)["Stacks"]
        return dict(found)

    def parameter(self, name: str) -> str:
        pairs = self.found()["Parameters"]
        return str({each["ParameterKey"]: each["ParameterValue"] for each in pairs}[name])


def ran(command: list[str], environment: dict[str, str], answer: str | None) -> tuple[int, str]:
    """Run a command without a terminal, or at one where a person answers SAM's question."""
    if answer is None:
        done = subprocess.run(  # noqa: S603 - our own program
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode, done.stdout
    ours, theirs = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 - as above
        command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    output, deadline = "", time.monotonic() + SECONDS
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                read = os.read(ours, 65536).decode()
            except OSError:  # the other side is closed
                break
            if not read:
                break
            output += read
            if "Deploy this changeset? [y/N]: " in output and answer:
                os.write(ours, f"{answer}\n".encode())
                answer = ""
        return process.wait(timeout=max(1, deadline - time.monotonic())), output
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


@pytest.fixture
def deployment(
    tmp_path: Path, stack: StackFile, request: pytest.FixtureRequest
) -> Iterator[Deployment]:
    made = Deployment(tmp_path, stack, f"deployed-{zlib.crc32(request.node.name.encode())}")
    yield made
    made.formation.delete_stack(StackName=made.name)
    made.formation.get_waiter("stack_delete_complete").wait(
        StackName=made.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def test_a_declined_first_change_set_is_not_deployed(deployment: Deployment) -> None:
    """SAM ends with 0. The next deployment is a first one again, and sets the stack policy."""
    assert deployment.run(answer="n") == 1, deployment.output

    assert deployment.found()["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert "Not deployed" in deployment.output
    assert "Deployed." not in deployment.output
    assert BRIDGE not in deployment.output

    assert deployment.run(answer="y") == 0, deployment.output

    policy = deployment.formation.get_stack_policy(StackName=deployment.name)["StackPolicyBody"]
    assert json.loads(policy) == json.loads(STACK_POLICY.read_text())
    assert "Deployed." in deployment.output


def test_a_build_server_deploys_and_a_person_declines_the_update(deployment: Deployment) -> None:
    """Then the person confirms it. Then there is nothing to change, and nothing to ask."""
    assert deployment.run() == 0, deployment.output

    assert deployment.found()["StackStatus"] == "CREATE_COMPLETE"
    assert "Deployed." in deployment.output
    assert BRIDGE in deployment.output

    assert deployment.run("AlarmEmail=a@example.com", answer="n") == 1, deployment.output

    assert "Deployed." not in deployment.output
    assert deployment.parameter("AlarmEmail") == ""

    assert deployment.run("AlarmEmail=a@example.com", answer="y") == 0, deployment.output

    assert deployment.parameter("AlarmEmail") == "a@example.com"
    assert deployment.found()["StackStatus"] == "UPDATE_COMPLETE"

    assert deployment.run("AlarmEmail=a@example.com", answer="y") == 0, deployment.output

    assert "Deploy this changeset?" not in deployment.output


def test_a_failed_first_deployment_can_be_tried_again(deployment: Deployment) -> None:
    """CloudFormation cannot update the empty stack that is left. The same command deploys again."""
    broken = deployment.folder / "broken.json"
    policy = {"PolicyName": "p", "Roles": ["of-nobody"], "PolicyDocument": {"Statement": []}}
    resource = {"Type": "AWS::IAM::Policy", "Properties": policy}
    resources = {**SMALL["Resources"], "Broken": resource}
    broken.write_text(json.dumps({**SMALL, "Resources": resources}))

    assert deployment.run(template=broken) != 0, deployment.output

    assert "Deployed." not in deployment.output
    assert deployment.found()["StackStatus"] == "ROLLBACK_COMPLETE"

    assert deployment.run() == 0, deployment.output

    assert "deleting its empty stack" in deployment.output
    assert deployment.found()["StackStatus"] == "CREATE_COMPLETE"


def test_another_owner_s_role_for_api_logs_stays(deployment: Deployment) -> None:
    """The account has one such role, for all its APIs."""
    local = deployment.local
    gateway: Any = local.session().client("apigateway", **local.client_options())
    before = gateway.get_account().get("cloudwatchRoleArn", "")
    set_logging_role(gateway, THEIRS)
    try:
        assert deployment.run() == 0, deployment.output
        assert deployment.parameter("ManageApiLoggingRole") == "false"
        set_logging_role(gateway, "")
        assert deployment.run() == 0, deployment.output
        assert deployment.parameter("ManageApiLoggingRole") == "true"
    finally:
        set_logging_role(gateway, before)


def set_logging_role(gateway: Any, arn: str) -> None:
    change = {"op": "replace", "path": "/cloudwatchRoleArn", "value": arn}
    gateway.update_account(patchOperations=[change])


def test_the_whole_template_is_deployed_beside_the_local_stack(deployment: Deployment) -> None:
    """Two stacks share an account, since every name begins with the stack's."""
    with (ROOT / "samconfig.toml").open("rb") as file:
        parameters = tomllib.load(file)["local"]["deploy"]["parameters"]["parameter_overrides"]
    machine = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    local = Path(deployment.local.logs).parent / "build"
    given = [
        *(each for each in parameters if not each.startswith("BrazeInstance")),
        f"PythonRuntime=python3.{sys.version_info.minor}",
        f"Architecture={machine}",
        f"BrazeEndpoint={deployment.local.braze_url}",
        f"PartnerConfigDir={local / 'PartnerConfigLayer' / 'partner_config'}",
    ]

    assert deployment.run(*given, template=local / "template.yaml") == 0, deployment.output

    assert BRIDGE in deployment.output
