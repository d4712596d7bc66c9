"""``make demo``: post the sample events to a local stack, then compare the profiles with the files.

Exits with 1 if an answer, an acquisition or a profile is not what the event's file says.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests
from rich.console import Console

from sandbox.demo_report import Acquisition, Attribute, Outcome, Posted, find, person_of, show
from sandbox.event_files import EventCase, event_cases, fits
from sandbox.stack import lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sandbox.demo_report import Profile
    from sandbox.stack.stack_file import StackFile

PARTNERS: Final = ("outgrow", "iterate", "quikly")
"""The folders under ``events/``."""

ACQUISITIONS: Final = "/quikly/acquisitions"
ARRIVAL_SECONDS: Final = 40
CALL_SECONDS: Final = 30
PIPED_WIDTH: Final = 120
"""Columns if the output is no terminal."""


def prepared(stack: StackFile, case: EventCase) -> EventCase:
    """Create what an event needs before it, and return the event with the profile's id."""
    case = case.posted_at(datetime.now(UTC))
    if case.earlier is not None:
        post(stack, case.earlier)
    if case.profile is None:
        return case
    made = requests.post(
        f"{stack.braze_url}/users/track",
        json={"attributes": [case.profile]},
        headers={"Authorization": f"Bearer {stack.braze_api_key}"},
        timeout=CALL_SECONDS,
    )
    if not made.ok:
        return case  # it names an unknown person then, so the demo reports it as wrong
    return case.about(str(find(profiles(stack), case.profile)["braze_id"]))


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


def acquisitions(stack: StackFile, posted: Iterable[Posted]) -> list[Acquisition]:
    """Read each acquisition that was begun, and answer the double opt-in of those who are asked."""
    calls = _get(stack, "quikly")["calls"]
    credits_taken = [json.loads(call["body"]) for call in calls if call["status"] == HTTPStatus.OK]
    found = []
    for case, status, answer in posted:
        if case.path != ACQUISITIONS or status != HTTPStatus.ACCEPTED:
            continue
        shown = requests.get(
            f"{stack.api_url}{ACQUISITIONS}/{answer['acquisition_id']}",
            headers={"Authorization": f"Bearer {stack.tokens[case.token_name]}"},
            timeout=CALL_SECONDS,
        )
        shown.raise_for_status()
        acquisition = shown.json()
        if acquisition["state"] == "awaiting_opt_in" and case.answers_opt_in is not None:
            # The stand-in refuses this until the opt-in message is sent; the next round repeats it.
            requests.post(
                f"{stack.braze_url}/_sandbox/double_opt_in",
                json=case.answers_opt_in,
                timeout=CALL_SECONDS,
            )
        person = case.expect.get("credit", {})
        theirs = [
            body
            for body in credits_taken
            if all(body.get(key) == person.get(key) for key in ("q_scope", "email", "phone"))
        ]
        steps = [entry["step"] for entry in acquisition["history"]]
        found.append(Acquisition(case, acquisition["state"], steps, theirs))
    return found


def profiles(stack: StackFile) -> list[Profile]:
    """Return every profile of the stand-in Braze."""
    found: list[Profile] = _get(stack, "profiles")
    return found


def _get(stack: StackFile, route: str) -> Any:  # noqa: ANN401 - any JSON of a control route
    answer = requests.get(f"{stack.braze_url}/_sandbox/{route}", timeout=CALL_SECONDS)
    answer.raise_for_status()
    return answer.json()


def compare(
    posted: Sequence[Posted], begun: Sequence[Acquisition], found: Sequence[Profile]
) -> Outcome:
    """Compare answers, acquisitions and profiles with what the events' files expect."""
    people = [(case, find(found, case.expect["user"])) for case, _, _ in posted if case.is_good]
    attributes = [
        Attribute(
            case, name, expected, profile.get("custom_attributes", {}).get(name, profile.get(name))
        )
        for case, profile in people
        for name, expected in case.expect["attributes"].items()
    ]
    wrong = [(each.case.partner, text) for each in posted for text in _wrong_answer(each)]
    wrong += [
        (
            each.case.partner,
            f"{person_of(each.case)}: {each.name} is {each.found!r}, not {each.expected!r}",
        )
        for each in attributes
        if not each.is_right
    ]
    wrong += [
        (
            each.case.partner,
            f"{each.case.name}: the acquisition is {each.state}, or not credited as expected",
        )
        for each in begun
        if not each.is_right
    ]
    wrong += [
        (case.partner, f"{case.name}: {text}")
        for case, profile in people
        for text in _unexpected(case, profile)
    ]
    if len(found) != len(people):
        wrong.append(("all partners", f"{len(found)} profiles, not {len(people)}"))
    return Outcome(posted, attributes, begun, found, wrong)


def _wrong_answer(posted: Posted) -> Iterator[str]:
    case, expect = posted.case, posted.case.expect
    if posted.status != expect["status"]:
        yield f"{case.name}: answered {posted.status}, not {expect['status']}"
    elif "answer" in expect and not fits(expect["answer"], posted.answer):
        yield f"{case.name}: answered {json.dumps(posted.answer, ensure_ascii=False)}"


def _unexpected(case: EventCase, profile: Profile) -> Iterator[str]:
    """Name attributes, custom events and subscriptions that the file does not expect."""
    more = set(profile.get("custom_attributes", {})) - set(case.expect["attributes"])
    if more:
        yield f"{len(more)} attribute(s) that the event does not have"
    events = [
        {"name": event["name"], "properties": event["properties"]}
        for event in profile.get("events", ())
    ]
    if not fits(case.expect.get("events", []), events):
        yield f"{len(events)} custom event(s), or not as expected"
    groups = {group["id"]: group["status"] for group in profile.get("subscription_groups", ())}
    if groups != case.expect.get("subscriptions", {}):
        yield "subscriptions are not as expected"


def demonstrate(
    stack: StackFile, console: Console, *, verbose: bool = False, seconds: float = ARRIVAL_SECONDS
) -> bool:
    """Post every event, wait until all is right or the time is over, and print the outcome.

    Returns:
        Whether everything is as the events' files expect.
    """
    cases = [case for partner in PARTNERS for case in event_cases(partner)]
    posted = [
        post(stack, prepared(stack, case)) for case in cases if not case.is_for_the_function_only
    ]
    console.out(f"Posted {len(posted)} sample events, good and bad.\n")
    end = time.monotonic() + seconds
    outcome = compare(posted, acquisitions(stack, posted), profiles(stack))
    while outcome.wrong and time.monotonic() < end:
        time.sleep(0.2)
        outcome = compare(posted, acquisitions(stack, posted), profiles(stack))
    show(outcome, console, verbose=verbose)
    return not outcome.wrong


def run(folder: Path, *, verbose: bool) -> int:
    """Start a stack in ``folder``, post the events, stop the stack.

    Returns:
        The exit status: 0 if everything is as expected.
    """
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    console = Console(width=width, highlight=False)
    try:
        with lifecycle.local_stack(folder, lambda text: console.out(text, end="")) as stack:
            return 0 if demonstrate(stack, console, verbose=verbose) else 1
    except lifecycle.StackError as error:
        console.out(str(error))
        return 1
    except KeyboardInterrupt:
        console.out("\ninterrupted; nothing is left running")
        return 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--dir", type=Path, default=lifecycle.DEFAULT_FOLDER / "demo")
    parser.add_argument("-v", "--verbose", action="store_true", help="custom events and steps too")
    given = parser.parse_args()
    sys.exit(run(given.dir, verbose=given.verbose))
