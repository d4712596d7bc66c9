"""The build matches the platform of the deployment."""

from __future__ import annotations

import json
import sys
import tomllib
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from ops.deployment.deploy import (
    StackName,
    Target,
    UnknownEnvironmentError,
    deploy,
    parameters_of,
    stack_of,
    target_of,
    verify,
)
from ops.deployment.first_deployment import UnansweredError

if TYPE_CHECKING:
    from pathlib import Path

SAM = """
import json, os, pathlib, sys
folder = pathlib.Path({folder!r})
call = {{"arguments": sys.argv[1:], "runtime": os.environ.get("PYTHON_RUNTIME"),
        "architecture": os.environ.get("ARCHITECTURE")}}
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(call) + chr(10))
sys.exit({code})
"""


class Sam:
    """A `sam` that records its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "samconfig.toml"

    def command(self, *, code: int = 0) -> list[str]:
        script = self.folder / "sam.py"
        script.write_text(SAM.format(folder=str(self.folder), code=code))
        return [sys.executable, str(script)]

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def sam(tmp_path: Path) -> Sam:
    return Sam(tmp_path)


def table(overrides: str) -> str:
    return f"[dev.deploy.parameters]\nparameter_overrides = {overrides}\n"


@pytest.mark.parametrize(
    "overrides",
    [
        ["BrazeInstance=EU-01", "AlarmEmail="],
        'BrazeInstance="EU-01" AlarmEmail=""',
        "BrazeInstance=EU-01 AlarmEmail=''",
    ],
    ids=["as people write it", "as SAM writes it", "in single quotes"],
)
def test_parameters_are_read_as_people_and_as_sam_write_them(overrides: object) -> None:
    """Both forms of a table have the same meaning."""
    config = {"dev": {"deploy": {"parameters": {"parameter_overrides": overrides}}}}

    assert parameters_of(config, "dev") == {"BrazeInstance": "EU-01", "AlarmEmail": ""}


def test_a_table_may_be_empty() -> None:
    """The first deployment of an environment."""
    assert parameters_of({"dev": {"deploy": {"parameters": {}}}}, "dev") == {}
    assert target_of({}) == Target("python3.13", "arm64")


def test_an_unknown_environment_is_named() -> None:
    """A misspelt ENV deploys nothing."""
    with pytest.raises(UnknownEnvironmentError, match="staging"):
        parameters_of({}, "staging")


def test_a_known_environment_is_deployed_without_questions(sam: Sam) -> None:
    """Built for the platform in its table."""
    sam.config.write_text(table('["BrazeInstance=EU-01", "Architecture=x86_64"]'))

    assert deploy("dev", sam.command(), sam.config) == 0

    build, deployment = sam.calls()
    assert build == {
        "arguments": ["build", "--config-env", "dev"],
        "runtime": "python3.13",
        "architecture": "x86_64",
    }
    assert deployment["arguments"] == ["deploy", "--config-env", "dev"]


def test_the_first_deployment_asks_and_keeps_the_answers(sam: Sam) -> None:
    """Then it builds and deploys like every later one, without SAM's own questions."""
    sam.config.write_text(table('["Architecture=x86_64"]'))
    answers = iter(["eu-central-1", "EU-01", ""])

    assert deploy("dev", sam.command(), sam.config, lambda: lambda _: next(answers)) == 0

    build, deployment = sam.calls()
    assert build["architecture"] == "x86_64"
    assert deployment["arguments"] == ["deploy", "--config-env", "dev"]
    with sam.config.open("rb") as file:
        kept = tomllib.load(file)
    assert kept["dev"]["deploy"]["parameters"]["region"] == "eu-central-1"
    assert parameters_of(kept, "dev") == {"Architecture": "x86_64", "BrazeInstance": "EU-01"}


def test_nothing_is_deployed_without_an_answer(sam: Sam) -> None:
    """A build server has no terminal: the message says what to write; the file does not change."""
    sam.config.write_text(table("[]"))

    def no_terminal() -> NoReturn:
        raise UnansweredError("write it yourself")

    assert deploy("dev", sam.command(), sam.config, no_terminal) == 2

    assert not (sam.folder / "calls").exists()
    assert sam.config.read_text() == table("[]")


def test_a_failed_build_is_not_deployed(sam: Sam) -> None:
    """SAM's code is ours."""
    sam.config.write_text(table('["BrazeInstance=EU-01"]'))

    assert deploy("dev", sam.command(code=3), sam.config) == 3

    assert [call["arguments"][0] for call in sam.calls()] == ["build"]


@pytest.mark.parametrize("code", [0, 1])
def test_a_deployment_ends_with_a_test_response(sam: Sam, code: int) -> None:
    """`bridge verify` on the stack and region of the table; its exit code counts."""
    sam.config.write_text(
        '[dev.deploy.parameters]\nstack_name = "braze-bridge-dev"\nregion = "eu-west-1"\n'
    )

    assert verify("dev", sam.command(code=code), sam.config) == code

    (call,) = sam.calls()
    assert call["arguments"] == [
        *("verify", "outgrow", "--unless-new"),
        *("--stack", "braze-bridge-dev", "--region", "eu-west-1"),
    ]


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"dev": {"deploy": {"parameters": {"stack_name": "a"}}}}, StackName("a")),
        ({"dev": {"global": {"parameters": {"stack_name": "a"}}}}, StackName("a")),
        ({"default": {"deploy": {"parameters": {"stack_name": "a"}}}}, StackName("a")),
        (
            {"dev": {"deploy": {"parameters": {"stack_name": "a", "region": "r"}}}},
            StackName("a", "r"),
        ),
    ],
)
def test_the_stack_is_found_where_sam_finds_it(config: dict[str, Any], found: StackName) -> None:
    """In the table's own parameters, then in those for all commands or tables."""
    assert stack_of(config, "dev") == found


def test_a_table_without_a_stack_is_an_error() -> None:
    """It verifies no other stack instead."""
    with pytest.raises(UnknownEnvironmentError, match="names no stack"):
        stack_of({"prod": {"deploy": {"parameters": {"stack_name": "a"}}}}, "dev")
