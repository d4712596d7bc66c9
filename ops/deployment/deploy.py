"""`make deploy`: build as the deployment's parameters say, deploy, and check a test response.

The layer holds compiled packages, so the build must use the stack's runtime and instruction set.
Both are template parameters in `samconfig.toml`. Before the first deployment of an environment, it
asks for the parameters without a default. It keeps the answers there, too.

It looks into the account (`account.py`) for what SAM does not tell or decide: whether the account
has a role for API Gateway's logs, whether the last creation failed, whether SAM changed anything.
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

from ops.deployment.account import AccountError, AwsAccount
from ops.deployment.first_deployment import UnansweredError, ask, keep, person
from ops.stack.errors import NOT_DONE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ops.deployment.account import Account, DeployedStack

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = ROOT / "samconfig.toml"

REQUIRED: Final = "BrazeInstance"
"""The parameter without a default: if the table lacks it, a person is asked."""

LOGGING_PARAMETER: Final = "ManageApiLoggingRole"
"""If the table lacks it, `deploy` decides it by what the account has."""

FAILED_CREATION: Final = "ROLLBACK_COMPLETE"
"""The status after a failed first deployment: the stack is empty and can only be deleted."""

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
    """A stack, and its region and AWS profile if the file names them."""

    stack: str
    region: str | None = None
    profile: str | None = None


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
    pairs = [each for text in _overrides(config, environment) for each in shlex.split(text)]
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _overrides(config: Mapping[str, Any], environment: str) -> list[str]:
    """Return a table's parameters as SAM takes them on its command line."""
    try:
        table = config[environment]["deploy"]["parameters"]
    except KeyError:
        raise UnknownEnvironmentError(
            f"samconfig.toml has no [{environment}.deploy.parameters]"
        ) from None
    overrides = table.get("parameter_overrides", [])
    return [overrides] if isinstance(overrides, str) else list(overrides)


def target_of(parameters: Mapping[str, str]) -> Target:
    """Return the platform to build for; missing parameters have the template's default."""
    default = Target()
    return Target(
        parameters.get("PythonRuntime", default.runtime),
        parameters.get("Architecture", default.architecture),
    )


def manages_logging_role(account_role: str | None, own_role: str | None) -> bool:
    """Decide whether the stack sets the account's role for API Gateway's logs.

    There is one role for all APIs of an account and region. CloudFormation replaces another
    owner's role without a word (https://github.com/aws/aws-cdk/issues/10878).

    Args:
        account_role: Its ARN; ``None`` if the account has none.
        own_role: Name of the role that this stack made.
    """
    if account_role is None:
        return True
    return own_role is not None and account_role.endswith(f"/{own_role}")


class Deployer(NamedTuple):
    """What a deployment needs beside its table.

    Attributes:
        sam: The command that runs SAM.
        account: Opens the account of a stack.
        asked: Gives the function that asks a person.
        has_terminal: Whether a person can answer SAM's question.
        config: The `samconfig.toml`.
    """

    sam: list[str]
    account: Callable[[StackName], Account]
    asked: Callable[[], Callable[[str], str]] = person
    has_terminal: bool = True
    config: Path = CONFIG

    def deploy(self, environment: str) -> int:
        """Build and deploy; ask first if the environment's table lacks a required parameter.

        Args:
            environment: The table of `samconfig.toml`.

        Returns:
            SAM's exit code; 1 if SAM ended well and deployed nothing, because a person declined
            the change set; 2 if a question was not answered.

        Raises:
            UnknownEnvironmentError: There is no such table.
            AccountError: AWS did not answer.
        """
        if REQUIRED not in parameters_of(_read(self.config), environment):
            try:
                keep(self.config, environment, ask(self.asked(), _say))
            except UnansweredError as error:
                _say(str(error))
                return 2
        table = _read(self.config)
        target = target_of(parameters_of(table, environment))
        return self._build(environment, target) or self._release(environment, table)

    def _build(self, environment: str, target: Target) -> int:
        variables = {"PYTHON_RUNTIME": target.runtime, "ARCHITECTURE": target.architecture}
        return _run(self._command("build", environment), variables, BUILD_SECONDS)

    def _release(self, environment: str, table: Mapping[str, Any]) -> int:
        stack = stack_of(table, environment)
        account = self.account(stack)
        found = account.stack(stack.stack)
        if found.status == FAILED_CREATION:
            _say(f"\nThe first deployment of {stack.stack} failed: deleting its empty stack.")
            account.delete(stack.stack)
        overrides = [*_overrides(table, environment), *_decided(account, found, table, environment)]
        command = [*self._command("deploy", environment), "--parameter-overrides", *overrides]
        if not self.has_terminal:
            # SAM would ask, find no answer, and end. Who starts a build server's job has decided.
            command.append("--no-confirm-changeset")
        before = account.waiting_change_sets(stack.stack)
        code = _run(command, _profile(stack), DEPLOY_SECONDS)
        if code:
            return code
        if account.waiting_change_sets(stack.stack) - before:
            # SAM's exit code is 0, too, if a person answers no.
            _say(f"\nNot deployed: the change set was declined. {stack.stack} is as it was.")
            return NOT_DONE
        account.protect(stack.stack)
        return 0

    def _command(self, name: str, environment: str) -> list[str]:
        return [*self.sam, name, "--config-file", str(self.config), "--config-env", environment]


def _decided(
    account: Account, found: DeployedStack, table: Mapping[str, Any], environment: str
) -> list[str]:
    if LOGGING_PARAMETER in parameters_of(table, environment):
        return []
    role = account.logging_role()
    manages = manages_logging_role(role, found.logging_role)
    if role is not None and not manages:
        _say("\nThe account's own role writes API Gateway's logs; it stays as it is.")
    return [f"{LOGGING_PARAMETER}={str(manages).lower()}"]


def verify(environment: str, bridge: list[str], config: Path = CONFIG) -> int:
    """Run `bridge verify` on the new deployment; for a new stack it says what to do first.

    Args:
        environment: The table of `samconfig.toml`.
        bridge: The command that runs `bridge`.
        config: The `samconfig.toml`.

    Returns:
        The exit code of `bridge verify`.
    """
    table = stack_of(_read(config), environment)
    _say(f"\nDeployed. A test response to {table.stack}:")
    region = [] if table.region is None else ["--region", table.region]
    where = ["--stack", table.stack, *region]
    command = [*bridge, "verify", VERIFIED, "--unless-new", *where]
    return _run(command, _profile(table), VERIFY_SECONDS)


def stack_of(config: Mapping[str, Any], environment: str) -> StackName:
    """Return the stack that a table of `samconfig.toml` deploys.

    Raises:
        UnknownEnvironmentError: The table names none.
    """
    for name in (environment, "default"):
        for command in ("deploy", "global"):
            table = config.get(name, {}).get(command, {}).get("parameters", {})
            if "stack_name" in table:
                return StackName(table["stack_name"], table.get("region"), table.get("profile"))
    raise UnknownEnvironmentError(f"samconfig.toml names no stack for [{environment}]")


def _read(config: Path) -> dict[str, Any]:
    with config.open("rb") as file:
        return tomllib.load(file)


def _profile(stack: StackName) -> dict[str, str]:
    return {} if stack.profile is None else {"AWS_PROFILE": stack.profile}


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
    parser.add_argument("--config", type=Path, default=CONFIG, help="another samconfig.toml")
    given = parser.parse_args()
    sam = [given.sam_python, "-m", "samcli"]
    deployer = Deployer(
        sam,
        lambda stack: AwsAccount.of(stack.region, stack.profile),
        has_terminal=sys.stdin.isatty(),
        config=given.config,
    )
    bridge = [sys.executable, "-m", "ops.bridge"]
    try:
        return deployer.deploy(given.env) or verify(given.env, bridge, given.config)
    except UnknownEnvironmentError as error:
        _say(str(error))
        return 2
    except AccountError as error:
        _say(f"AWS did not answer: {error}")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
