"""What commands print: tables that are never cut, JSON, and texts that cannot steer a terminal."""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from braze_bridge.clock import iso_millis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LONG: Final = 25
"""Number of steps from which a progress bar is shown."""

_AGE: Final = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class UnreadableAgeError(ValueError):
    """A text that is no age."""


def read_age(text: str) -> timedelta:
    """Read an age such as ``90s``, ``15m``, ``6h`` or ``2d``.

    Raises:
        UnreadableAgeError: The text is no age.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise UnreadableAgeError("an age is a number and s, m, h or d, such as 15m or 2d")
    return timedelta(**{_UNITS[match["unit"]]: int(match["number"])})


def harmless(text: str) -> str:
    """Escape the characters of a text that would steer a terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else f"\\u{ord(character):04x}"
        for character in text
    )


def columns(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lay out the lines of a table; no cell is cut, so that people can copy names."""
    cells = [[harmless(_shown(cell)).replace("\n", " ") for cell in row] for row in rows]
    table = [list(headings), *cells]
    widths = [max(len(row[index]) for row in table) for index in range(len(headings))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Draw a progress bar on stderr for a long task, if stderr is a terminal.

    Args:
        what: A few words.
        total: Number of steps.

    Yields:
        A function that takes the number of steps that are done.
    """
    if total < LONG or not sys.stderr.isatty():
        yield lambda _: None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # lines above the bar; a pipe gets them unchanged
    ) as drawn:
        task = drawn.add_task(what, total=total)
        yield lambda done: drawn.update(task, completed=done)


def as_json(value: object) -> str:
    """Write a value as indented JSON; times as ISO 8601, ASCII only."""
    return json.dumps(value, indent=2, default=_plain)


def _shown(cell: object) -> str:
    if cell is None:
        return "-"
    return iso_millis(cell) if isinstance(cell, datetime) else str(cell)


def _plain(value: Any) -> object:  # noqa: ANN401 - any value that json does not know
    if isinstance(value, datetime):
        return iso_millis(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(type(value).__name__)
