"""What the first deployment of an environment has to be told, asked and kept in `samconfig.toml`.

SAM's own guide would ask for each of the template's parameters, and then, for every function behind
the API, whether it is well that it "has no authentication" (it does not see that the functions
check a token themselves); who presses Enter there ends the deployment. Three answers are enough.
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
_NOT_AN_ANSWER: Final = 3
"""Tries at one question."""


class UnansweredError(Exception):
    """Nobody is there to answer, or the answers cannot be kept. The text says what to write."""


class Question(NamedTuple):
    """Something that has no default.

    Attributes:
        name: The template's parameter, or ``region``.
        text: For people.
        accepts: Whether an answer can be one.
        hint: What an answer looks like.
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
        "E-mail address to tell about alarms (empty: nobody is told)",
        lambda text: bool(_ADDRESS.fullmatch(text)),
        "one address, or nothing",
    ),
)


def person(terminal: TextIO | None = None) -> Callable[[str], str]:
    """Asks whoever sits at the terminal.

    Args:
        terminal: Where answers come from; left out, the process's own.

    Raises:
        UnansweredError: Nobody does.
    """
    if not (terminal or sys.stdin).isatty():
        raise UnansweredError(
            "The Braze instance is not in samconfig.toml, and nobody is here to be asked: write "
            'region = "…" and parameter_overrides = ["BrazeInstance=…"] into its table.'
        )
    return input


def ask(read: Callable[[str], str], say: Callable[[str], object]) -> dict[str, str]:
    """Ask each question until the answer can be one.

    Args:
        read: Shows a text and returns what was typed.
        say: Shows a line.

    Returns:
        Answers by name.

    Raises:
        UnansweredError: The same question was answered wrongly three times.
    """
    say("The first deployment. The answers go into samconfig.toml; all else has a default.")
    return {question.name: _answer(question, read, say) for question in QUESTIONS}


def _answer(question: Question, read: Callable[[str], str], say: Callable[[str], object]) -> str:
    for _ in range(_NOT_AN_ANSWER):
        text = read(f"{question.text}: ").strip()
        for candidate in (text, text.upper(), text.lower()):
            if question.accepts(candidate):
                return candidate
        say(f"  That is not {question.hint}.")
    raise UnansweredError(f"{question.name}: no usable answer; nothing was deployed.")


def keep(config: Path, environment: str, answers: Mapping[str, str]) -> None:
    """Write answers into an environment's table; comments and all else stay as they are.

    Args:
        config: The `samconfig.toml`.
        environment: A table that it has.
        answers: Of :func:`ask`.

    Raises:
        UnansweredError: The file is written in a way that this cannot add to.
    """
    written = with_answers(config.read_text(), environment, answers)
    config.write_text(written)


def with_answers(text: str, environment: str, answers: Mapping[str, str]) -> str:
    """The file with the answers in it.

    Args:
        text: Of a `samconfig.toml`.
        environment: A table that it has.
        answers: By parameter, and ``region``.

    Returns:
        The same text with lines added.

    Raises:
        UnansweredError: As for :func:`keep`; the text says what to write by hand.
    """
    region = answers[REGION]
    # Nothing said is the template's default; SAM does not read an empty value.
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
            f"samconfig.toml is written in another way than expected. Write into its table "
            f'{header}: region = "{region}", and into parameter_overrides: {" ".join(overrides)}'
        )
    return made


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _listed(overrides: str | list[str]) -> list[str]:
    """The overrides one by one: SAM itself writes them as one text."""
    return shlex.split(overrides) if isinstance(overrides, str) else list(overrides)
