"""``make demo``: the sample events through the real API of a local stack, and what became of them.

Exits with 1 if an answer, an acquisition or a profile is not what the event's file says.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import requests
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sandbox.event_files import EventCase, event_cases, fits
from sandbox.stack import lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sandbox.stack.stack_file import StackFile

SAMPLES: Final = ("outgrow", "iterate", "quikly")
"""The folders under ``events/``."""

ACQUISITIONS: Final = "/quikly/acquisitions"
ARRIVAL_SECONDS: Final = 40
CALL_SECONDS: Final = 30
GLIMPSE: Final = 40
"""Characters of a long text that the tables show."""

Profile = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One attribute that an event should have left on a profile.

    Attributes:
        case: The event.
        person: The identifier's value.
        name: The attribute.
        expected: The value, with its type.
        found: What is on the profile, or ``None``.
    """

    case: EventCase
    person: str
    name: str
    expected: object
    found: object

    @property
    def is_right(self) -> bool:
        """Same value, same type."""
        return fits(self.expected, self.found)


def prepared(stack: StackFile, case: EventCase) -> EventCase:
    """The event as it can be posted: about a profile that is there already, where it needs one.

    A profile that cannot be made leaves the event as it is: it is about nobody then, and missed.
    """
    case = case.posted_at(datetime.now(UTC))
    if case.profile is None:
        return case
    key = {"Authorization": f"Bearer {stack.braze_api_key}"}
    made = requests.post(
        f"{stack.braze_url}/users/track",
        json={"attributes": [case.profile]},
        headers=key,
        timeout=CALL_SECONDS,
    )
    if not made.ok:
        return case
    found = _find(profiles(stack), case.profile)
    return case.about(str(found["braze_id"]))


class Posted(NamedTuple):
    """An event that was posted.

    Attributes:
        case: The event.
        status: Of the answer.
        answer: Its JSON, or ``None`` where it is none.
    """

    case: EventCase
    status: int
    answer: Any = None

    @property
    def complaint(self) -> str | None:
        """What is wrong with the answer."""
        expect = self.case.expect
        if self.status != expect["status"]:
            return f"{self.case.name}: answered {self.status}, not {expect['status']}"
        if "answer" in expect and not fits(expect["answer"], self.answer):
            return f"{self.case.name}: answered {json.dumps(self.answer, ensure_ascii=False)}"
        return None

    @property
    def acquisition_id(self) -> str | None:
        """Where it began an acquisition."""
        is_begun = self.case.path == ACQUISITIONS and self.status == HTTPStatus.ACCEPTED
        return self.answer["acquisition_id"] if is_begun else None


def post(stack: StackFile, case: EventCase) -> Posted:
    """Post one event."""
    answer = requests.post(
        stack.api_url + case.path,
        data=case.sent_bytes(),
        headers=case.sent_headers(stack.tokens[case.token_name]),
        timeout=CALL_SECONDS,
    )
    try:
        return Posted(case, answer.status_code, answer.json())
    except requests.JSONDecodeError:
        return Posted(case, answer.status_code)


@dataclass(frozen=True)
class Acquisition:
    """An acquisition, as the status route tells it.

    Attributes:
        case: The event that began it.
        state: Where it is now.
        steps: What happened, in order.
        credits: What Quikly was told of this person.
    """

    case: EventCase
    state: str
    steps: tuple[str, ...]
    credits: tuple[Mapping[str, Any], ...]

    @property
    def is_right(self) -> bool:
        """Whether it is where it should come to rest, and Quikly was told so, once or not."""
        expected = self.case.expect
        told = (expected["credit"],) if "credit" in expected else ()
        return (self.state, self.credits) == (expected["state"], told)


def acquisitions(stack: StackFile, posted: Iterable[Posted]) -> list[Acquisition]:
    """Ask for each acquisition; whoever is asked for a double opt-in answers the prompt."""
    told = _get(stack, "quikly")["calls"]
    bodies = [json.loads(call["body"]) for call in told if call["status"] == HTTPStatus.OK]
    found = []
    for each in posted:
        case, acquisition_id = each.case, each.acquisition_id
        if acquisition_id is None:
            continue
        answer = requests.get(
            f"{stack.api_url}{ACQUISITIONS}/{acquisition_id}",
            headers={"Authorization": f"Bearer {stack.tokens[case.token_name]}"},
            timeout=CALL_SECONDS,
        )
        answer.raise_for_status()
        story = answer.json()
        if story["state"] == "awaiting_opt_in" and case.answers_opt_in is not None:
            # Refused as long as Braze has not asked yet.
            requests.post(
                f"{stack.braze_url}/_sandbox/double_opt_in",
                json=case.answers_opt_in,
                timeout=CALL_SECONDS,
            )
        person = case.expect.get("credit", {})
        found.append(
            Acquisition(
                case,
                story["state"],
                tuple(entry["step"] for entry in story["history"]),
                tuple(body for body in bodies if _is_of(body, person)),
            )
        )
    return found


def _is_of(body: Mapping[str, Any], person: Mapping[str, Any]) -> bool:
    return all(body.get(key) == person.get(key) for key in ("q_scope", "email", "phone"))


def profiles(stack: StackFile) -> list[Profile]:
    """Every profile of the stand-in Braze."""
    found: list[Profile] = _get(stack, "profiles")
    return found


def _get(stack: StackFile, route: str) -> Any:  # noqa: ANN401 - whatever the control route tells
    answer = requests.get(f"{stack.braze_url}/_sandbox/{route}", timeout=CALL_SECONDS)
    answer.raise_for_status()
    return answer.json()


def rows(cases: Iterable[EventCase], found: Sequence[Profile]) -> list[Row]:
    """Hold the profiles against what the events' files expect."""
    return [
        Row(case, _value(case.expect["user"]), name, expected, _attribute(profile, name))
        for case in cases
        if "user" in case.expect
        for profile in [_find(found, case.expect["user"])]
        for name, expected in case.expect["attributes"].items()
    ]


def _value(user: Mapping[str, Any]) -> str:
    value = next(iter(user.values()))
    if isinstance(value, dict):
        return f"{value['alias_label']}:{value['alias_name']}"
    return str(value)


def _find(found: Sequence[Profile], user: Mapping[str, Any]) -> Profile:
    ((kind, value),) = user.items()
    for profile in found:
        if kind == "user_alias" and value in profile.get("user_aliases", ()):
            return profile
        if profile.get(kind) == value:
            return profile
    return {}


def _attribute(profile: Profile, name: str) -> object:
    return profile.get("custom_attributes", {}).get(name, profile.get(name))


class Outcome(NamedTuple):
    """What became of the events.

    Attributes:
        rows: Attribute by attribute.
        acquisitions: One by one.
        strays: What is at Braze and should not be, or not yet what it should be.
    """

    rows: list[Row]
    acquisitions: list[Acquisition]
    strays: list[str]

    @property
    def is_right(self) -> bool:
        """Whether all of it is as the files say."""
        rows_are_right = all(row.is_right for row in self.rows)
        return (
            rows_are_right and all(each.is_right for each in self.acquisitions) and not self.strays
        )


def arrived(stack: StackFile, posted: Sequence[Posted], seconds: float) -> Outcome:
    """Wait until everything is right, or so many seconds have passed."""
    end = time.monotonic() + seconds
    good = [each.case for each in posted if each.case.is_good]
    while True:
        begun = acquisitions(stack, posted)
        found = profiles(stack)
        outcome = Outcome(rows(good, found), begun, strays(good, found))
        if outcome.is_right or time.monotonic() > end:
            return outcome
        time.sleep(0.2)


def strays(cases: Iterable[EventCase], found: Sequence[Profile]) -> list[str]:
    """What is at Braze and should not be: more profiles, attributes or events than were posted."""
    wrong = []
    people = [case for case in cases if "user" in case.expect]
    if len(found) != len(people):
        wrong.append(f"{len(found)} profiles, not {len(people)}")
    for case in people:
        profile = _find(found, case.expect["user"])
        more = set(profile.get("custom_attributes", {})) - set(case.expect["attributes"])
        if more:
            wrong.append(f"{case.name}: {len(more)} attribute(s) that nobody sent")
        events = [
            {"name": event["name"], "properties": event["properties"]}
            for event in profile.get("events", ())
        ]
        if not fits(case.expect.get("events", []), events):
            wrong.append(f"{case.name}: {len(events)} event(s), or not as expected")
        groups = {group["id"]: group["status"] for group in profile.get("subscription_groups", ())}
        if groups != case.expect.get("subscriptions", {}):
            wrong.append(f"{case.name}: subscriptions are not as expected")
    return wrong


def _glimpse(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A long text's beginning: names stand whole in a table, what people wrote need not."""
    if isinstance(value, str) and len(value) > GLIMPSE:
        return value[: GLIMPSE - 1] + "…"
    return value


def show(table: Sequence[Row], console: Console) -> None:
    """Print what is on the profiles, a line an attribute."""
    drawn = Table(title="Braze profiles", title_justify="left")
    for heading in ("posted to", "person", "attribute", "value", "type", ""):
        drawn.add_column(heading, no_wrap=True)
    for row in table:
        shown = row.expected if row.found is None else row.found
        drawn.add_row(
            row.case.path,
            row.person,
            escape(row.name),
            escape(_glimpse(str(shown))),
            type(shown).__name__,
            "ok" if row.is_right else f"WRONG: {'missing' if row.found is None else row.expected}",
        )
    console.print(drawn, soft_wrap=not console.is_terminal)


def show_events(cases: Iterable[EventCase], found: Sequence[Profile], console: Console) -> None:
    """Print the custom events on the profiles, a line an event."""
    drawn = Table(title="Braze events", title_justify="left")
    for heading in ("posted to", "person", "event", "time", "properties"):
        drawn.add_column(heading, no_wrap=True)
    for case in cases:
        for event in _find(found, case.expect["user"]).get("events", ()):
            drawn.add_row(
                case.path,
                _value(case.expect["user"]),
                event["name"],
                event["time"],
                escape(
                    json.dumps(
                        {name: _glimpse(value) for name, value in event["properties"].items()},
                        ensure_ascii=False,
                    )
                ),
            )
    console.print(drawn, soft_wrap=not console.is_terminal)


def show_acquisitions(begun: Sequence[Acquisition], console: Console) -> None:
    """Print each acquisition's way."""
    drawn = Table(title="Quikly acquisitions", title_justify="left")
    for heading in ("scope", "person", "state", "Quikly told", "steps", ""):
        drawn.add_column(heading, no_wrap=True)
    for each in begun:
        drawn.add_row(
            json.loads(each.case.body)["q_scope"],
            _value(each.case.expect["user"]),
            each.state,
            "once" if len(each.credits) == 1 else f"{len(each.credits)} times",
            " > ".join(step for step, _ in groupby(each.steps)),
            "ok" if each.is_right else f"WRONG: {each.case.expect['state']}",
        )
    console.print(drawn, soft_wrap=not console.is_terminal)


def wide_console() -> Console:
    """A console that, where nobody's terminal is, folds and cuts nothing."""
    return Console() if sys.stdout.isatty() else Console(width=1000)


def demonstrate(stack: StackFile, console: Console, seconds: float = ARRIVAL_SECONDS) -> int:
    """Post every event and judge.

    Args:
        stack: Where to.
        console: What to print on.
        seconds: How long the profiles may take.

    Returns:
        The number of things that are not as they should be.
    """
    cases = [
        prepared(stack, case)
        for partner in SAMPLES
        for case in event_cases(partner)
        if not case.is_for_the_function_only
    ]
    posted = [post(stack, case) for case in cases]
    wrong = [each.complaint for each in posted if each.complaint is not None]
    good = [case for case in cases if case.is_good]
    ignored = [case for case in cases if "ignored" in case.expect]
    console.print(
        f"Posted {len(cases)} sample events: {len(good)} good ones, {len(ignored)} to be ignored, "
        f"{len(cases) - len(good) - len(ignored)} that must be refused"
    )
    outcome = arrived(stack, posted, seconds)
    show(outcome.rows, console)
    show_events(good, profiles(stack), console)
    show_acquisitions(outcome.acquisitions, console)
    wrong += [
        f"{row.person}: {row.name} is not as expected" for row in outcome.rows if not row.is_right
    ]
    wrong += [
        f"{each.case.name}: the acquisition is {each.state}, or not credited as expected"
        for each in outcome.acquisitions
        if not each.is_right
    ]
    wrong += outcome.strays
    for complaint in wrong:
        console.print(complaint)
    if not wrong:
        console.print("Every answer, every acquisition and every profile is as it should be.")
    return len(wrong)


def run(folder: Path) -> int:
    """Start a stack in ``folder``, demonstrate, stop it.

    Returns:
        The exit status: 0 if all is well.
    """
    console = wide_console()
    try:
        with (
            lifecycle.terminated_like_interrupted(),
            lifecycle.local_stack(folder, lambda text: console.out(text, end="")) as stack,
        ):
            return 1 if demonstrate(stack, console) else 0
    except lifecycle.StackError as error:
        console.out(str(error))
        return 1
    except KeyboardInterrupt:
        console.out("\ninterrupted; nothing is left running")
        return 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--dir", type=Path, default=lifecycle.DEFAULT_FOLDER / "demo")
    sys.exit(run(parser.parse_args().dir))
