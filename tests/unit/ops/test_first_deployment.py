"""The few questions of a first deployment, and where their answers are kept."""

from __future__ import annotations

import io
import tomllib
from typing import TYPE_CHECKING

import pytest

from ops.deployment.deploy import parameters_of
from ops.deployment.first_deployment import UnansweredError, ask, person, with_answers
from tests.infra.template import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWERS = {"region": "eu-central-1", "BrazeInstance": "EU-01", "AlarmEmail": "ops@example.com"}


def typed(*texts: str) -> Callable[[str], str]:
    left = iter(texts)
    return lambda _: next(left)


def test_three_answers_are_enough() -> None:
    """Whatever their case, and with spaces around them."""
    said: list[str] = []

    assert ask(typed(" EU-CENTRAL-1 ", "eu-01", "ops@example.com"), said.append) == ANSWERS
    assert len(said) == 1


def test_an_invalid_answer_is_asked_again() -> None:
    """With a hint about the form; there is no US-09."""
    said: list[str] = []

    found = ask(typed("Frankfurt", "eu-central-1", "US-09", "EU-01", "a b@c.d", ""), said.append)

    assert found == ANSWERS | {"AlarmEmail": ""}
    assert [line.partition(" not ")[2].split()[0] for line in said[1:]] == ["a", "one", "one"]


def test_three_invalid_answers_deploy_nothing() -> None:
    """Data must not go to a guessed cluster."""
    with pytest.raises(UnansweredError, match="BrazeInstance"):
        ask(typed("eu-central-1", "?", "?", "?"), lambda _: None)


def test_without_a_terminal_it_asks_no_questions() -> None:
    """It would wait for ever; the message says what to write."""
    with pytest.raises(UnansweredError, match="parameter_overrides"):
        person(io.StringIO("EU-01"))


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_answers_go_into_the_file_as_it_is_delivered(environment: str) -> None:
    """Other settings stay, production's canary included; every comment stays."""
    before = (ROOT / "samconfig.toml").read_text()

    made = with_answers(before, environment, ANSWERS)

    old, new = tomllib.loads(before), tomllib.loads(made)
    assert parameters_of(new, environment) == parameters_of(old, environment) | {
        "BrazeInstance": "EU-01",
        "AlarmEmail": "ops@example.com",
    }
    assert new[environment]["deploy"]["parameters"]["region"] == "eu-central-1"
    assert {name: new[name] for name in old if name != environment} == {
        name: old[name] for name in old if name != environment
    }
    assert [line for line in before.splitlines() if line not in made.splitlines()] == []


@pytest.mark.parametrize(
    "table",
    [
        "",
        'stack_name = "a"\n# a word\n\n',
        'region = "us-east-1"\nparameter_overrides = []\n',
        'parameter_overrides = "Architecture=x86_64 LogLevel=\\"INFO\\""\n',
        'parameter_overrides = ["Architecture=x86_64"]\nstack_name = "a"\n',
        'parameter_overrides = [\n  "Architecture=x86_64",\n]\nstack_name = "a"\n',
    ],
    ids=["empty", "others", "an empty list", "as SAM writes it", "on one line", "on several"],
)
def test_answers_go_into_any_usual_spelling(table: str) -> None:
    """What was there is still there, and the next table is untouched."""
    text = f"version = 0.1\n[dev.deploy.parameters]\n{table}[prod.deploy.parameters]\nx = 1\n"

    new = tomllib.loads(with_answers(text, "dev", ANSWERS))

    old = tomllib.loads(text)
    assert new["prod"] == old["prod"]
    assert parameters_of(new, "dev") == parameters_of(old, "dev") | {
        name: value for name, value in ANSWERS.items() if name != "region"
    }
    assert new["dev"]["deploy"]["parameters"]["region"] == "eu-central-1"


@pytest.mark.parametrize(
    "text",
    [
        'dev.deploy.parameters.stack_name = "a"\n',
        '[dev.deploy.parameters]\nparameter_overrides = ["A=1",\n"B=2"]\n',
    ],
    ids=["dotted keys", "an odd list"],
)
def test_what_cannot_be_added_to_is_left_alone(text: str) -> None:
    """The message says what to write, with the answers in it."""
    with pytest.raises(UnansweredError, match="BrazeInstance=EU-01"):
        with_answers(text, "dev", ANSWERS)
