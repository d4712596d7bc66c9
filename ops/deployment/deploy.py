"""`make deploy`: build as the deployment's parameters say, deploy, and check a test response.

The layer holds compiled packages, so the build must use the stack's runtime and instruction set.
Both are template parameters in `samconfig.toml`. Before the first deployment of an environment, it
asks for the parameters without a default. It keeps the answers there, too.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ops.deployment.first_deployment import UnansweredError, ask, keep, person

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = ROOT / "samconfig.toml"

REQUIRED: Final = "BrazeInstance"
"""The parameter without a default: if the table lacks it, a person is asked."""

BUILD_SECONDS: Final = 900
DEPLOY_SECONDS: Final = 3600
VERIFY_SECONDS: Final = 300

VERIFIED: Final = "outgrow"
"""The partner of the test response; all partners use the same queue."""


class Target(NamedTuple):
    """The platform that the layer is built for."""

    runtime: str = "python3.13"
    architecture: str = "arm64"


class StackName(NamedTuple):
    """A stack, and its region if the file names one."""

    stack: str
    region: str | None = None


class UnknownEnvironmentError(Exception):
    """`samconfig.toml` has no such table."""


def parameters_of(config: Mapping[str, Any], environment: str) -> dict[str, str]:
    """Read a table's template parameters in `samconfig.toml`: a string (as SAM writes) or a list.

    Args:
        config: The file, parsed.
        environment: The table: `dev`, `prod`, …

    Raises:
        UnknownEnvironmentError: There is no such table.
    """
    try:
        table = config[environment]["deploy"]["parameters"]
    except KeyError:
        raise UnknownEnvironmentError(
            f"samconfig.toml has no [{environment}.deploy.parameters]"
        ) from None
    overrides = table.get("parameter_overrides", [])
    pairs = shlex.split(overrides) if isinstance(overrides, str) else overrides
    return dict(pair.split("=", 1) for pair in pairs)


def target_of(parameters: Mapping[str, str]) -> Target:
    """Return the platform to build for; missing parameters have the template's default."""
    default = Target()
    return Target(
        parameters.get("PythonRuntime", default.runtime),
        parameters.get("Architecture", default.architecture),
    )


def deploy(
    environment: str,
    sam: list[str],
    config: Path = CONFIG,
    asked: Callable[[], Callable[[str], str]] = person,
) -> int:
    """Build and deploy; ask first if the environment's table lacks a required parameter.

    Args:
        environment: The table of `samconfig.toml`.
        sam: The command that runs SAM.
        config: The `samconfig.toml`.
        asked: Gives the function that asks a person.

    Returns:
        SAM's exit code; 2 if a question was not answered.

    Raises:
        UnknownEnvironmentError: There is no such table.
    """
    if REQUIRED not in _parameters(config, environment):
        try:
            keep(config, environment, ask(asked(), _say))
        except UnansweredError as error:
            _say(str(error))
            return 2
    target = target_of(_parameters(config, environment))
    return _build(sam, environment, target) or _deploy(sam, environment)


def verify(environment: str, bridge: list[str], config: Path = CONFIG) -> int:
    """Run `bridge verify` on the new deployment; for a new stack it says what to do first.

    Args:
        environment: The table of `samconfig.toml`.
        bridge: The command that runs `bridge`.
        config: The `samconfig.toml`.

    Returns:
        The exit code of `bridge verify`.
    """
    with config.open("rb") as file:
        table = stack_of(tomllib.load(file), environment)
    _say(f"\nDeployed. A test response to {table.stack}:")
    region = [] if table.region is None else ["--region", table.region]
    where = ["--stack", table.stack, *region]
    return _run([*bridge, "verify", VERIFIED, "--unless-new", *where], {}, VERIFY_SECONDS)


def stack_of(config: Mapping[str, Any], environment: str) -> StackName:
    """Return the stack that a table of `samconfig.toml` deploys.

    Raises:
        UnknownEnvironmentError: The table names none.
    """
    for name in (environment, "default"):
        for command in ("deploy", "global"):
            table = config.get(name, {}).get(command, {}).get("parameters", {})
            if "stack_name" in table:
                return StackName(table["stack_name"], table.get("region"))
    raise UnknownEnvironmentError(f"samconfig.toml names no stack for [{environment}]")


def _parameters(config: Path, environment: str) -> dict[str, str]:
    with config.open("rb") as file:
        return parameters_of(tomllib.load(file), environment)


def _build(sam: list[str], environment: str, target: Target) -> int:
    variables = {"PYTHON_RUNTIME": target.runtime, "ARCHITECTURE": target.architecture}
    return _run([*sam, "build", "--config-env", environment], variables, BUILD_SECONDS)


def _deploy(sam: list[str], environment: str) -> int:
    return _run([*sam, "deploy", "--config-env", environment], {}, DEPLOY_SECONDS)


def _run(command: list[str], variables: Mapping[str, str], seconds: float) -> int:
    # Without a terminal, SAM folds its tables at 80 columns.
    columns = str(shutil.get_terminal_size((200, 50)).columns)
    done = subprocess.run(  # noqa: S603 - SAM, with our own arguments
        command,
        cwd=ROOT,
        env={"COLUMNS": columns, **os.environ, **variables},
        timeout=seconds,
        check=False,
    )
    return done.returncode


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> int:
    """Run SAM, found by its own interpreter's path on the command line; then `bridge verify`."""
    parser = argparse.ArgumentParser(prog="python -m ops.deployment.deploy", description=__doc__)
    parser.add_argument("--env", required=True, help="table of samconfig.toml")
    parser.add_argument("--sam-python", required=True, help="interpreter that has aws-sam-cli")
    given = parser.parse_args()
    try:
        code = deploy(given.env, [given.sam_python, "-m", "samcli"])
        return code or verify(given.env, [sys.executable, "-m", "ops.bridge"])
    except UnknownEnvironmentError as error:
        _say(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
