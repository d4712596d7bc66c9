"""`sam build` and `sam deploy` of the template into the local engine.

The built template gets the action names that only the engine knows (`engine_actions`).
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests

from sandbox.stack import interrupts
from sandbox.stack.engine_actions import add_engine_actions
from sandbox.stack.environments import ROOT, UV, python_of, uv_variables
from sandbox.stack.servers import REGION
from sandbox.stack.stack_file import StackFile, client_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.stack.stack_file import AccessKey

CONFIG_ENV: Final = "local"
"""The table of `samconfig.toml` with the stack's name and the parameters that never change."""

BUILD_SECONDS: Final = 300
DEPLOY_SECONDS: Final = 180
PROBE_SECONDS: Final = 60
PROBES_AT_ONCE: Final = os.cpu_count() or 2
"""Each starts an interpreter: more than there are cores only run into the function timeout."""

_PARTNER_SECRETS: Final = {
    "outgrow": "OutgrowSecretName",
    "iterate": "IterateSecretName",
    "quikly": "QuiklySecretName",
    "braze_webhook": "BrazeWebhookSecretName",
}
"""The template's output with the name of each caller's secret."""

_BEHIND_THE_DOOR: Final = {
    "outgrow_ingest": "/outgrow",
    "iterate_responses": "/iterate",
    "quikly_acquisition_api": "/quikly/acquisitions",
    "quikly_webhook": "/quikly/webhook",
    "quikly_events": "/quikly/events",
}
"""Functions that answer 401 to a call without a token, with their paths."""

_BEHIND_A_QUEUE: Final = (
    "braze_delivery",
    "quikly_acquisition_worker",
    "quikly_acquisition_sweep",
    "quikly_forward",
    "quikly_webhook_sweep",
)
"""Functions that a queue or a schedule calls; they accept a call without records."""

FUNCTIONS: Final = (*_BEHIND_THE_DOOR, *_BEHIND_A_QUEUE)

_NO_PROXIES: Final = {"http": ""}
"""A proxy set in the environment cannot reach this machine's loopback."""


class DeploymentError(Exception):
    """SAM failed, or the stack lacks an output."""


def build(folder: Path, log: Path) -> None:
    """Run `sam build`, with the layer built for this interpreter.

    Raises:
        DeploymentError: It failed or took too long.
    """
    arguments = ["build", "--template", str(ROOT / "template.yaml"), "--build-dir", str(folder)]
    variables = {
        "LAYER_TARGET": "here",
        "LAYER_PIP": f'"{UV}" pip',
        "LAYER_PYTHON": f'"{python_of("installers")}"',
        **uv_variables(),
    }
    _sam(arguments, _parameters({}), variables, log, BUILD_SECONDS)
    add_engine_actions(folder / "template.yaml")


def deploy(folder: Path, log: Path, key: AccessKey, *, endpoint_url: str, braze_url: str) -> None:
    """Run `sam deploy`.

    Raises:
        DeploymentError: It failed or took too long.
    """
    parameters = {
        "BrazeEndpoint": braze_url,
        "QuiklyApiUrl": f"{braze_url}/quikly/webhook/braze",
        # The engine keeps layers in folders of their own and has no /opt: the built layer serves.
        "PartnerConfigDir": str(folder / "PartnerConfigLayer" / "partner_config"),
    }
    variables = {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "SAM_CLI_POLL_DELAY": "0.1",  # asking this machine often costs nothing
    }
    arguments = ["deploy", "--template-file", str(folder / "template.yaml"), "--no-progressbar"]
    _sam(arguments, _parameters(parameters), variables, log, DEPLOY_SECONDS)


def describe(
    key: AccessKey,
    *,
    endpoint_url: str,
    braze_url: str,
    braze_api_key: str,
    quikly_api_key: str,
    logs: Path,
) -> StackFile:
    """Put the stand-ins' keys into the stack, and return its addresses, names and tokens.

    Raises:
        DeploymentError: An output is missing.
    """
    name = stack_name()
    session = key.session(REGION)
    options = client_options(endpoint_url)
    stacks = session.client("cloudformation", **options).describe_stacks(StackName=name)["Stacks"]
    found = {item["OutputKey"]: item["OutputValue"] for item in stacks[0].get("Outputs", [])}
    try:
        secrets_manager = session.client("secretsmanager", **options)
        for output, value in (
            ("BrazeSecretName", braze_api_key),
            ("QuiklyApiSecretName", quikly_api_key),
        ):
            secrets_manager.put_secret_value(
                SecretId=found[output], SecretString=json.dumps({"current": value, "previous": ""})
            )
        secrets = {partner: found[output] for partner, output in _PARTNER_SECRETS.items()}
        return StackFile(
            api_url=f"{endpoint_url}/_aws/execute-api/{found['BridgeApiId']}/live",
            braze_url=braze_url,
            braze_api_key=braze_api_key,
            console_url=f"{braze_url}/_sandbox/",
            tokens={
                partner: json.loads(
                    secrets_manager.get_secret_value(SecretId=name)["SecretString"]
                )["current"]
                for partner, name in secrets.items()
            },
            queues={
                f"{queue}{kind}": found[f"{_logical_id(queue + kind)}QueueUrl"]
                for queue in ("delivery", "acquisition", "forward")
                for kind in ("", "_dead_letter")
            },
            tables={
                "rejected": found["RejectedTableName"],
                "ledger": found["LedgerTableName"],
                "acquisitions": found["AcquisitionTableName"],
                "claims": found["ClaimsTableName"],
            },
            secrets={
                "braze": found["BrazeSecretName"],
                "quikly_api": found["QuiklyApiSecretName"],
                "claims": found["ClaimsSecretName"],
                **secrets,
            },
            functions={each: found[f"{_logical_id(each)}FunctionName"] for each in FUNCTIONS},
            log_groups={each: f"/{name}/{each.replace('_', '-')}" for each in ("door", *FUNCTIONS)},
            aws_endpoint_url=endpoint_url,
            access_key_id=key.id,
            secret_access_key=key.secret,
            region=REGION,
            stack_name=name,
            logs=str(logs),
        )
    except KeyError as missing:
        raise DeploymentError(f"the deployed stack has no output {missing}") from missing


def probe(stack: StackFile) -> None:
    """Call each function once, so that one that cannot start is reported now.

    Raises:
        DeploymentError: One did not answer as it should.
    """

    def post(function: str) -> None:
        answer = requests.post(
            stack.api_url + _BEHIND_THE_DOOR[function], timeout=PROBE_SECONDS, proxies=_NO_PROXIES
        )
        if answer.status_code != HTTPStatus.UNAUTHORIZED:
            raise DeploymentError(f"{function} answered {answer.status_code}: {answer.text[:500]}")

    client = stack.session().client("lambda", **stack.client_options())

    def invoke(function: str) -> None:
        invoked = client.invoke(
            FunctionName=stack.functions[function], Qualifier="live", Payload=b'{"Records": []}'
        )
        if "FunctionError" in invoked:
            answer = invoked["Payload"].read().decode()
            raise DeploymentError(f"{function} failed: {answer[:500]}")

    with ThreadPoolExecutor(max_workers=PROBES_AT_ONCE) as pool:
        for probed in (pool.map(post, _BEHIND_THE_DOOR), pool.map(invoke, _BEHIND_A_QUEUE)):
            list(probed)


def introduce(stack: StackFile) -> None:
    """Send the stack's addresses and tokens to the stand-in, so that its page can post samples.

    The tokens go over loopback into its memory. The only file with them is the stack's own.

    Raises:
        DeploymentError: It did not take it.
    """
    answer = requests.post(
        f"{stack.braze_url}/_sandbox/stack",
        json={
            "api_url": stack.api_url,
            "tokens": stack.tokens,
            "ledger": {
                "endpoint_url": stack.aws_endpoint_url,
                "access_key_id": stack.access_key_id,
                "secret_access_key": stack.secret_access_key,
                "region": stack.region,
                "table": stack.tables["ledger"],
            },
        },
        timeout=PROBE_SECONDS,
        proxies=_NO_PROXIES,
    )
    if answer.status_code != HTTPStatus.OK:
        raise DeploymentError(f"the stand-in answered {answer.status_code}: {answer.text[:500]}")


def _logical_id(name: str) -> str:
    return "".join(word.title() for word in name.split("_"))


def stack_name() -> str:
    """Read the CloudFormation stack's name from `samconfig.toml`."""
    name: str = _config()["deploy"]["parameters"]["stack_name"]
    return name


def _parameters(changing: Mapping[str, str]) -> list[str]:
    """Join the parameters of `samconfig.toml` (SAM would forget them), this machine's, and more."""
    constant = dict(
        pair.split("=", 1) for pair in _config()["deploy"]["parameters"]["parameter_overrides"]
    )
    machine = {
        "PythonRuntime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Architecture": "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64",
    }
    return [f'{key}="{value}"' for key, value in {**constant, **machine, **changing}.items()]


def _config() -> dict[str, Any]:
    with (ROOT / "samconfig.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)[CONFIG_ENV]
    return table


def _sam(
    arguments: Sequence[str],
    parameters: Sequence[str],
    variables: Mapping[str, str],
    log: Path,
    seconds: float,
) -> None:
    command = [str(python_of("sam")), "-m", "samcli", *arguments, "--config-env", CONFIG_ENV]
    command += ["--config-file", str(ROOT / "samconfig.toml"), "--parameter-overrides", *parameters]
    process: subprocess.Popen[bytes] | None = None
    try:
        with log.open("wb") as output, interrupts.postponed():
            process = subprocess.Popen(  # noqa: S603 - our own tool
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**_environment(), **variables},
                cwd=ROOT,
                start_new_session=True,  # its own process group, so that make and pip end with it
            )
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise DeploymentError(f"not done within {seconds} s") from None
    finally:
        if process is not None:
            _end(process)
    if code:
        raise DeploymentError(f"sam {arguments[0]} ended with code {code}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group, unless it has ended already."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment() -> dict[str, str]:
    """Return the caller's variables, without those for a real AWS account or another Python."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "SAM_", "PYTHON")) and name != "VIRTUAL_ENV"
    }
    return {
        **kept,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",  # or it waits for a network
        "NO_PROXY": f"127.0.0.1,localhost,{os.environ.get('NO_PROXY', '')}",
        "COLUMNS": "200",
    }
