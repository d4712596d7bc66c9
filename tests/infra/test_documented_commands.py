"""Every command of the pages that people deploy and operate with can be typed as it is written.

`bridge` runs, with a stack that does not answer: so names, options and values are checked, and the
commands that need no stack run whole. `make` runs without executing. `sam` and `aws` are checked
against their own options: SAM's help, and AWS's model of each call.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import UnknownServiceError
from typer.testing import CliRunner

from ops.bridge import app
from ops.stack.access import Stacks, StackUnavailableError
from ops.stack.errors import UNAVAILABLE
from sandbox.stack.environments import python_of
from tests.infra.template import ROOT

if TYPE_CHECKING:
    from typer.testing import Result

    from ops.stack.access import SecretsAccess, Site, StackAccess

PAGES: Final = ("deploying.md", "operations.md", "upgrading.md")
SECONDS: Final = 120
USAGE: Final = 2
ARGUMENTS_LEFT_OUT: Final = r"Missing argument|give ids|\[OPTIONS\] COMMAND"

VALUES: Final = {
    "ACCOUNT": "123456789012",
    "FILE": "events/outgrow/ambiguous_time.json",
    "ID": "outgrow#body:1",
    "KIND": "email",
    "NAME": "braze-bridge-dev",
    "PARTNER": "outgrow",
    "R": "no_identity",
    "ROLE": "deployer",
    "SCOPE": "demo-draw",
    "STACK": "braze-bridge-dev",
    "TABLE": "braze-bridge-dev-LedgerTable-1",
    "VALUE": "ada@example.com",
}
"""What a reader puts in place of each word in capitals."""

NAMED: Final = {"secrets show NAME": "secrets show outgrow", "gate open NAME": "gate open all"}
"""NAME elsewhere is a stack."""

PROGRAMS: Final = ("bridge", "make", "sam", "aws", "git", "python")


class Command(NamedTuple):
    """A command of a page.

    Attributes:
        is_whole: Whether it stands in a block; inside a sentence, arguments may be left out.
    """

    page: str
    words: tuple[str, ...]
    is_whole: bool

    @property
    def program(self) -> str:
        return Path(self.words[0]).name


def commands() -> list[Command]:
    found = {command: None for page in PAGES for command in commands_of(page)}
    return list(found)


def commands_of(page: str) -> list[Command]:
    text = (ROOT / "docs" / page).read_text()
    fences = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = [line for kind, block in fences if kind == "sh" for line in block.splitlines()]
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", prose)
    return [
        *(Command(page, words, is_whole=True) for words in map(words_of, lines) if words),
        *(
            Command(page, words, is_whole=False)
            for words in map(words_of, spans)
            if len(words) > 1 and Path(words[0]).name in PROGRAMS
        ),
    ]


def words_of(line: str) -> tuple[str, ...]:
    """Split a line as a shell does, with values for the words in capitals."""
    line = re.sub(r"\[([A-Z]+)\]|…", r"\1", line)
    for text, named in NAMED.items():
        line = line.replace(text, named)
    line = re.sub(r"\b[A-Z]+\b(?!=)", lambda word: VALUES.get(word[0], word[0]), line)
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a sentence with an apostrophe
        return ()
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # variables of this one command
        words.pop(0)
    return tuple(words)


class NoStacks(Stacks):
    """No stack answers."""

    def open(self, stack: str | None, region: str | None, folder: Path) -> StackAccess:
        self._fail()

    def open_secrets(self, stack: str | None, region: str | None, folder: Path) -> SecretsAccess:
        self._fail()

    def open_site(self, stack: str | None, region: str | None, folder: Path) -> Site:
        self._fail()

    def _fail(self) -> NoReturn:
        raise StackUnavailableError("no stack answers")


def run_bridge(words: tuple[str, ...]) -> Result:
    return CliRunner().invoke(app, list(words), input="ada@example.com\n" * 2, obj=NoStacks())


def bridge_problem(command: Command) -> str:
    result = run_bridge(command.words[1:])
    is_name = not command.is_whole and not any(each.startswith("-") for each in command.words)
    if result.exit_code == USAGE and not (is_name and re.search(ARGUMENTS_LEFT_OUT, result.output)):
        return result.output
    return "" if result.exit_code in {0, 1, USAGE, UNAVAILABLE} else repr(result.exception)


def make_problem(command: Command) -> str:
    done = subprocess.run(  # noqa: S603 - commands of our own pages
        ["make", "--dry-run", *command.words[1:]],  # noqa: S607 - the system's make
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stderr if done.returncode else ""


@functools.cache
def sam_help(words: tuple[str, ...]) -> str:
    done = subprocess.run(  # noqa: S603 - commands of our own pages
        [str(python_of("sam")), "-m", "samcli", *words, "--help"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout if done.returncode == 0 else ""


def sam_problem(command: Command) -> str:
    options = [word for word in command.words if word.startswith("--")]
    words = command.words[1:]
    names = words[: words.index(options[0])] if options else words
    help_text = sam_help(names)
    if not help_text:
        return f"sam has no command {' '.join(names)}"
    unknown = [each for each in options if not re.search(rf"{each}\b", help_text)]
    return f"unknown: {unknown}" if unknown else ""


def aws_problem(command: Command) -> str:
    _, service, operation, *given = command.words
    try:
        model = botocore.session.get_session().get_service_model(service)
    except UnknownServiceError as error:
        return str(error)
    calls = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in calls:
        return f"{service} has no {operation}"
    shape = model.operation_model(calls[operation]).input_shape
    members = {} if shape is None else shape.members
    required = set() if shape is None else set(shape.required_members)
    known = {f"--{xform_name(name, '-')}": name for name in members}
    # --no-… and --… are the two forms of a flag; --query is the command line's own.
    options = [word for word in given if word.startswith("--") and word != "--query"]
    unknown = [each for each in options if each not in known]
    missing = required - {known[each] for each in options if each in known}
    if command.is_whole and missing:
        return f"missing: {sorted(missing)}"
    return f"unknown: {unknown}" if unknown else ""


def python_problem(command: Command) -> str:
    module, *rest = command.words[2:]
    paths = [word for word in rest if "/" in word]
    missing = [path for path in paths if not (ROOT / path).exists()]
    return f"missing: {missing}" if module != "pytest" or missing else ""


def git_problem(command: Command) -> str:
    """Find no fault: what it takes is in the reader's own history."""
    return ""


CHECKS: Final = {
    "bridge": bridge_problem,
    "make": make_problem,
    "sam": sam_problem,
    "aws": aws_problem,
    "python": python_problem,
    "git": git_problem,
}


@pytest.mark.parametrize(
    "command", commands(), ids=lambda each: f"{each.page}: {' '.join(each.words)}"
)
def test_a_documented_command_can_be_typed(command: Command) -> None:
    """A program that nothing here can check would be a reason to think again."""
    assert CHECKS[command.program](command) == ""


@pytest.mark.parametrize(
    "words",
    [
        ("bridge", "rejected", "list", "--raeson", "x"),
        ("bridge", "doktor"),
        ("bridge", "secrets", "rotate", "outgrw"),
        ("make", "deplyo"),
        ("sam", "list", "stack-outputs", "--stack-nam", "x"),
        ("sam", "lisst"),
        ("aws", "iam", "creat-policy"),
        ("aws", "iam", "create-policy", "--policy-nam", "x"),
        ("aws", "iam", "create-policy", "--policy-name", "x"),
        ("aws", "iamm", "create-policy"),
        (".venv/bin/python", "-m", "pytest", "tests/clouds"),
    ],
    ids=" ".join,
)
def test_a_misspelt_command_is_found(words: tuple[str, ...]) -> None:
    """Negative control."""
    command = Command("a page", words, is_whole=True)

    assert CHECKS[command.program](command) != ""


def test_the_pages_have_commands_of_every_kind() -> None:
    """Without commands the test above would check nothing."""
    found = [each.program for each in commands()]

    assert {"bridge", "make", "sam", "aws", "python"} <= set(found)
    assert len(found) > 60


def test_the_policy_in_the_page_allows_everything() -> None:
    """It lifts the stack policy for one update."""
    (lift,) = (each for each in commands() if "set-stack-policy" in each.words)
    policy = json.loads(lift.words[lift.words.index("--stack-policy-body") + 1])

    assert policy["Statement"][0]["Effect"] == "Allow"
    assert policy["Statement"][0]["Action"] == "Update:*"
