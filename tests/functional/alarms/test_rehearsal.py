"""Each alarm is caused here and seen to be on, by its own definition in the template."""

from __future__ import annotations

from typing import Final

import pytest

from tests.functional.alarms.causes import CAUSES, TEMPLATE, by_aws
from tests.functional.alarms.evaluation import Figure, is_on
from tests.infra.template import ROOT
from tests.infra.test_alarms import ALARMS, URGENT

SWEEPS: Final = ("QuiklyAcquisitionSweepFunction", "QuiklyWebhookSweepFunction")


def running() -> list[Figure]:
    """What a healthy stack writes: both sweeps run each minute."""
    return [
        figure
        for minute in range(15)
        for sweep in SWEEPS
        for figure in by_aws(
            "AWS/Lambda", "Invocations", {"FunctionName": {"Ref": sweep}}, 1.0, at=minute * 60
        )
    ]


def test_every_alarm_is_rehearsed() -> None:
    """A new alarm needs a cause."""
    assert sorted(CAUSES) == ALARMS


@pytest.mark.parametrize("alarm", CAUSES)
def test_an_alarm_is_off_while_all_is_well(alarm: str) -> None:
    """Otherwise nobody would look any more."""
    assert not is_on(TEMPLATE.properties(alarm), running())


@pytest.mark.parametrize("alarm", CAUSES)
def test_an_alarm_is_on_after_its_cause(alarm: str) -> None:
    """The function's own figures, in its own log lines, ring it."""
    figures = CAUSES[alarm].figures()

    assert is_on(TEMPLATE.properties(alarm), figures), figures


@pytest.mark.parametrize("alarm", [name for name in CAUSES if name.endswith("SweepErrorsAlarm")])
def test_a_cause_rings_no_alarm_of_others(alarm: str) -> None:
    """Negative control: the dimensions tell functions apart."""
    figures = running() + CAUSES[alarm].figures()

    assert [name for name in CAUSES if is_on(TEMPLATE.properties(name), figures)] == [alarm]


def row(alarm: str) -> str:
    """A row of the table in docs/operations.md."""
    cause = CAUSES[alarm]
    severity = "urgent" if alarm in URGENT else "morning"
    by = "our code" if cause.ours else "as AWS writes them"
    return f"| `{alarm}` | {severity} | {cause.what} | {by} |"


def test_the_table_of_the_rehearsal_is_in_the_instructions() -> None:
    """A reader sees what was tried, and what only AWS can show."""
    text = (ROOT / "docs" / "operations.md").read_text()
    head = "| Alarm | Severity | Cause in the rehearsal | Figures |\n| --- | --- | --- | --- |\n"

    assert head + "\n".join(map(row, CAUSES)) + "\n" in text
