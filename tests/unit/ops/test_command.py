"""Every command on a stack has the same options, and reports errors in the same way."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from braze_bridge.partner_config.problems import ConfigError, Problem
from ops.stack.access import StackUnavailableError
from ops.stack.command import OpenStack, on_stack
from ops.stack.errors import NOT_DONE, UNAVAILABLE, CommandError


class NotDoneError(CommandError):
    """An error with a line of its own."""

    exit_code = NOT_DONE
    line = "{stack.option} was not done: {}"


ERRORS = {
    "stack": StackUnavailableError("no such stack"),
    "own": NotDoneError("b\x1b"),
    "file": ConfigError((Problem("a.toml", "x", "is wrong"), Problem("a.toml", "y", "is, too"))),
}

app = typer.Typer(rich_markup_mode=None)


@app.command()
@on_stack
def greet(stack: OpenStack, who: str, fail: Annotated[str, typer.Option()] = "") -> None:
    """Greet or fail."""
    if fail:
        raise ERRORS[fail]
    stack.show({"hello": who}, [f"hello {who}{stack.option}"])
    stack.note("done")


def test_a_command_has_the_stack_s_options_and_its_own() -> None:
    """The stack's options come first, and --json last."""
    shown = CliRunner().invoke(app, ["--help"]).output

    options = ("--stack", "--region", "--dir", "--fail", "--json")
    places = [shown.index(f"  {option}") for option in options]
    assert places == sorted(places)
    assert "Greet or fail." in shown


def test_a_command_prints_lines_for_people_or_json() -> None:
    """Notes are for people, and go to stderr."""
    text = CliRunner().invoke(app, ["ada", "--stack", "live"])
    data = CliRunner().invoke(app, ["ada", "--json"])

    assert (text.stdout, text.stderr) == ("hello ada --stack live\n", "done\n")
    assert (json.loads(data.stdout), data.stderr) == ({"hello": "ada"}, "")


@pytest.mark.parametrize(
    ("fail", "exit_code", "said"),
    [
        ("stack", UNAVAILABLE, "no such stack\n"),
        ("own", NOT_DONE, " --stack live was not done: b\\u001b\n"),
        ("file", NOT_DONE, "a.toml: x: is wrong\na.toml: y: is, too\n"),
    ],
)
def test_a_known_error_is_a_line_and_an_exit_code(fail: str, exit_code: int, said: str) -> None:
    """Nothing is printed on stdout, and control characters are escaped."""
    result = CliRunner().invoke(app, ["ada", "--stack", "live", "--fail", fail])

    assert (result.exit_code, result.stdout, result.stderr) == (exit_code, "", said)
