"""``make demo``: the sample events through the real API of a local stack, and what became of them.

Exits with 1 if an answer or a profile is not what the event's file says it should be.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sandbox.event_files import EventCase, event_cases, fits
from sandbox.stack import lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sandbox.stack.stack_file import StackFile

PARTNERS: Final = ("outgrow", "iterate", "quikly")
ARRIVAL_SECONDS: Final = 30
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


def post(stack: StackFile, case: EventCase) -> str | None:
    """Post one event.

    Returns:
        What is wrong with the answer, or ``None``.
    """
    answer = requests.post(
        stack.api_url + case.path,
        data=case.sent_bytes(),
        headers=case.sent_headers(stack.tokens[case.token_name]),
        timeout=CALL_SECONDS,
    )
    if answer.status_code != case.expect["status"]:
        return f"{case.name}: answered {answer.status_code}, not {case.expect['status']}"
    if "answer" in case.expect and not fits(case.expect["answer"], answer.json()):
        return f"{case.name}: answered {answer.text}"
    return None


def profiles(stack: StackFile) -> list[Profile]:
    """Every profile of the stand-in Braze."""
    answer = requests.get(f"{stack.braze_url}/_sandbox/profiles", timeout=CALL_SECONDS)
    answer.raise_for_status()
    found: list[Profile] = answer.json()
    return found


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
    return ":".join(value.values()) if isinstance(value, dict) else str(value)


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


def arrived(stack: StackFile, cases: Sequence[EventCase], seconds: float) -> list[Row]:
    """Wait until every profile is right, or so many seconds have passed."""
    end = time.monotonic() + seconds
    while True:
        table = rows(cases, profiles(stack))
        if all(row.is_right for row in table) or time.monotonic() > end:
            return table
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
        for partner in PARTNERS
        for case in event_cases(partner)
        if not case.is_for_the_function_only
    ]
    wrong = [complaint for case in cases if (complaint := post(stack, case)) is not None]
    good = [case for case in cases if case.is_good]
    ignored = [case for case in cases if "ignored" in case.expect]
    console.print(
        f"Posted {len(cases)} sample events: {len(good)} good ones, {len(ignored)} to be ignored, "
        f"{len(cases) - len(good) - len(ignored)} that must be refused"
    )
    table = arrived(stack, good, seconds)
    show(table, console)
    show_events(good, profiles(stack), console)
    wrong += [f"{row.person}: {row.name} is not as expected" for row in table if not row.is_right]
    wrong += strays(good, profiles(stack))
    for complaint in wrong:
        console.print(complaint)
    if not wrong:
        console.print("Every answer and every profile is as it should be.")
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
