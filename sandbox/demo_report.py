"""What the demo prints: the profiles as a table that fits the terminal, and a line a partner."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.cells import cell_len, set_cell_size

from sandbox.event_files import fits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from sandbox.event_files import EventCase

    Profile = dict[str, Any]

HEADINGS: Final = ("PERSON", "ATTRIBUTE", "VALUE", "TYPE", "")
GAP: Final = "  "
TYPE_AND_VERDICT: Final = 5
"""Columns of each of the last two: `float`, `WRONG`."""


class Posted(NamedTuple):
    """An event that was posted, and the answer; its JSON is `None` if it had none."""

    case: EventCase
    status: int
    answer: Any = None


class Attribute(NamedTuple):
    """An attribute that an event should set on a profile; `found` is `None` if it is missing."""

    case: EventCase
    name: str
    expected: object
    found: object

    @property
    def is_right(self) -> bool:
        """Whether value and type are as expected."""
        return fits(self.expected, self.found)


class Acquisition(NamedTuple):
    """An acquisition, as the status route shows it, and the credits that Quikly got for it."""

    case: EventCase
    state: str
    steps: Sequence[str]
    credits: Sequence[Mapping[str, Any]]

    @property
    def is_right(self) -> bool:
        """Whether it ended in the expected state, and Quikly got the expected credit once."""
        expect = self.case.expect
        credit = [expect["credit"]] if "credit" in expect else []
        return self.state == expect["state"] and list(self.credits) == credit


class Outcome(NamedTuple):
    """The state after posting; `wrong` holds a partner and a sentence for each difference."""

    posted: Sequence[Posted]
    attributes: Sequence[Attribute]
    acquisitions: Sequence[Acquisition]
    profiles: Sequence[Profile]
    wrong: Sequence[tuple[str, str]]


def find(profiles: Sequence[Profile], user: Mapping[str, Any]) -> Profile:
    """Return the profile that one identifier names, or an empty one."""
    ((kind, value),) = user.items()
    for profile in profiles:
        if profile.get(kind) == value or (
            kind == "user_alias" and value in profile.get("user_aliases", ())
        ):
            return profile
    return {}


def person_of(case: EventCase) -> str:
    """Return the identifier's value."""
    value = next(iter(case.expect["user"].values()))
    if isinstance(value, dict):
        return f"{value['alias_label']}:{value['alias_name']}"
    return str(value)


def show(outcome: Outcome, console: Console, *, verbose: bool = False) -> None:
    """Print every attribute, a summary line a partner, and whatever is wrong."""
    table = [(each, _cells(each)) for each in outcome.attributes]
    widths = _widths([HEADINGS, *(cells for _, cells in table)], console.width)
    console.out(_line(HEADINGS, widths), style="bold")
    for each, cells in table:
        console.out(_line(cells, widths), style=None if each.is_right else "bold red")
    if verbose:
        _show_details(outcome, console)
    console.out("")
    for partner in dict.fromkeys(each.case.partner for each in outcome.posted):
        console.out(_summary(outcome, partner))
    for partner, text in outcome.wrong:
        console.out(f"WRONG: {partner}: {text}", style="bold red")
    if not outcome.wrong:
        console.out("Every answer, every acquisition and every profile is as it should be.")


def _summary(outcome: Outcome, partner: str) -> str:
    posted = [each for each in outcome.posted if each.case.partner == partner]
    refused = sum(each.status >= 400 for each in posted)
    people = sum(each.case.is_good for each in posted)
    attributes = sum(each.case.partner == partner for each in outcome.attributes)
    acquisitions = sum(each.case.partner == partner for each in outcome.acquisitions)
    wrong = sum(name == partner for name, _ in outcome.wrong)
    return (
        f"{partner}: {len(posted)} events ({refused} refused), {people} profiles, "
        f"{attributes} attributes"
        + (f", {acquisitions} acquisitions" if acquisitions else "")
        + (f": {wrong} WRONG" if wrong else ": ok")
    )


def _show_details(outcome: Outcome, console: Console) -> None:
    """Print custom events and acquisitions in full; the terminal folds long lines."""
    console.out("\nCUSTOM EVENTS", style="bold")
    for case in (each.case for each in outcome.posted if each.case.is_good):
        for event in find(outcome.profiles, case.expect["user"]).get("events", ()):
            properties = json.dumps(event["properties"], ensure_ascii=False)
            console.out(person_of(case), event["name"], event["time"], properties, sep=GAP)
    console.out("\nQUIKLY ACQUISITIONS", style="bold")
    for each in outcome.acquisitions:
        steps = " > ".join(step for step, _ in groupby(each.steps))
        credited = f"credited {len(each.credits)} time(s)"
        console.out(person_of(each.case), each.state, credited, steps, sep=GAP)


def _cells(attribute: Attribute) -> tuple[str, ...]:
    value, kind = str(attribute.found), type(attribute.found).__name__
    if attribute.found is None:
        value, kind = "(missing)", "-"
    verdict = "ok" if attribute.is_right else "WRONG"
    texts = (person_of(attribute.case), attribute.name, value, kind, verdict)
    return tuple(" ".join(text.split()) for text in texts)


def _widths(lines: Sequence[Sequence[str]], width: int) -> list[int]:
    """Share a line among the columns; what a narrow column leaves is for the wide ones."""
    room = width - 4 * len(GAP) - 2 * TYPE_AND_VERDICT
    wanted = [max(cell_len(line[column]) for line in lines) for column in range(3)]
    found = [0, 0, 0, TYPE_AND_VERDICT, TYPE_AND_VERDICT]
    for left, column in zip((3, 2, 1), sorted(range(3), key=wanted.__getitem__), strict=True):
        found[column] = min(wanted[column], room // left)
        room -= found[column]
    return found


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return GAP.join(map(shortened, cells, widths)).rstrip()


def shortened(text: str, width: int) -> str:
    """Return a text as exactly so many terminal cells; a long one loses its middle."""
    if cell_len(text) > width:
        tail = text[-(width // 2) :]
        while cell_len(tail) > width // 2:
            tail = tail[1:]
        text = set_cell_size(text, width - 1 - cell_len(tail)) + "…" + tail
    return set_cell_size(text, width)
