"""Ask a person for what the first deployment of an environment needs; keep it in `samconfig.toml`.

SAM's own guide would ask for every parameter of the template. It would then ask for each function
behind the API whether it may have "no authentication"; it does not see that the functions check a
token. Enter at that question ends the deployment. Here three answers are enough.
"""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

from braze_bridge.braze.instances import INSTANCES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_ADDRESS: Final = re.compile(r"([^@\s\"'\\]+@[^@\s\"'\\]+\.[^@\s\"'\\]+)?")
_TRIES: Final = 3
"""For one question."""


class UnansweredError(Exception):
    """There is no terminal, or the answers cannot be kept. The text says what to write."""


class Question(NamedTuple):
    """A setting without a default.

    Attributes:
        name: The template's parameter, or ``region``.
        text: For people.
        accepts: Whether an answer is valid.
        hint: The form of a valid answer.
    """

    name: str
    text: str
    accepts: Callable[[str], bool]
    hint: str


REGION: Final = "region"

QUESTIONS: Final = (
    Question(
        REGION,
        "AWS region of the stack, best near your Braze instance (such as us-east-1, eu-central-1)",
        lambda text: bool(_REGION.fullmatch(text)),
        "a region's code",
    ),
    Question(
        "BrazeInstance",
        "Braze instance of the workspace (dashboard-01.braze.com is US-01, dashboard-01.braze.eu "
        "is EU-01)",
        lambda text: text in INSTANCES,
        f"one of {', '.join(INSTANCES)}",
    ),
    Question(
        "AlarmEmail",
        "E-mail address for alarms (empty: none are sent)",
        lambda text: bool(_ADDRESS.fullmatch(text)),
        "one address, or nothing",
    ),
)


def person(terminal: TextIO | None = None) -> Callable[[str], str]:
    """Return a function that asks the person at a terminal.

    Args:
        terminal: Gives the answers; by default standard input.

    Raises:
        UnansweredError: It is no terminal.
    """
    if not (terminal or sys.stdin).isatty():
        raise UnansweredError(
            "The Braze instance is not in samconfig.toml, and there is no terminal to ask: write "
            'region = "…" and parameter_overrides = ["BrazeInstance=…"] into its table.'
        )
    return input


def ask(read: Callable[[str], str], say: Callable[[str], object]) -> dict[str, str]:
    """Ask each question until the answer is valid.

    Args:
        read: Shows a text and returns what was typed.
        say: Shows a line.

    Returns:
        Answers by name.

    Raises:
        UnansweredError: A question got three invalid answers.
    """
    say("The first deployment. The answers go into samconfig.toml; all the rest has a default.")
    return {question.name: _answer(question, read, say) for question in QUESTIONS}


def _answer(question: Question, read: Callable[[str], str], say: Callable[[str], object]) -> str:
    for _ in range(_TRIES):
        text = read(f"{question.text}: ").strip()
        for candidate in (text, text.upper(), text.lower()):
            if question.accepts(candidate):
                return candidate
        say(f"  That is not {question.hint}.")
    raise UnansweredError(f"{question.name}: no usable answer; nothing was deployed.")


def keep(config: Path, environment: str, answers: Mapping[str, str]) -> None:
    """Write answers into an environment's table of the file; raises as :func:`with_answers`."""
    config.write_text(with_answers(config.read_text(), environment, answers))


def with_answers(text: str, environment: str, answers: Mapping[str, str]) -> str:
    """Add answers to the text of a `samconfig.toml`; its other lines stay as they are.

    Args:
        text: Of the file.
        environment: A table that it has.
        answers: By parameter, and ``region``.

    Raises:
        UnansweredError: The table's form is not one that this can add to. The text says what to
            write by hand.
    """
    region = answers[REGION]
    # An empty answer is the template's default; SAM does not read an empty value.
    overrides = [f"{name}={value}" for name, value in answers.items() if name != REGION and value]
    entries = [f'  "{each}",' for each in overrides]
    lines = text.splitlines()
    header = f"[{environment}.deploy.parameters]"
    before = tomllib.loads(text)[environment]["deploy"]["parameters"]
    wanted = before | {
        REGION: region,
        "parameter_overrides": [*_listed(before.get("parameter_overrides", [])), *overrides],
    }
    if header in lines:
        start = lines.index(header) + 1
        end = next((at for at in range(start, len(lines)) if lines[at].startswith("[")), len(lines))
        block = lines[start:end]
        rest = [line for line in block if not line.startswith(f"{REGION} =")]
        opening = "parameter_overrides = ["
        if opening in rest:
            at = rest.index("]", rest.index(opening)) if "]" in rest else len(rest)
            rest[at:at] = entries
        else:
            rest = [line for line in rest if not line.startswith("parameter_overrides =")]
            listed = [f'  "{each}",' for each in _listed(before.get("parameter_overrides", []))]
            last = max((at for at, line in enumerate(rest) if _says(line)), default=-1) + 1
            rest[last:last] = [opening, *listed, *entries, "]"]
        lines[start:end] = [f'{REGION} = "{region}"', *rest]
    made = "\n".join(lines) + "\n"
    try:
        found = tomllib.loads(made)[environment]["deploy"]["parameters"]
    except tomllib.TOMLDecodeError:
        found = None
    if found != wanted:
        raise UnansweredError(
            f"samconfig.toml has an unexpected form. Write into its table "
            f'{header}: region = "{region}", and into parameter_overrides: {" ".join(overrides)}'
        )
    return made


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _listed(overrides: str | list[str]) -> list[str]:
    """Return the overrides as a list: SAM itself writes them as one text."""
    return shlex.split(overrides) if isinstance(overrides, str) else list(overrides)
