"""The table in `docs/sandbox.md`: fact, test that holds it, how sure we are."""

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "sandbox.md"
ROOMS = {"": ROOT / "tests" / "functional" / "sandbox", "unit": ROOT / "tests" / "unit" / "sandbox"}
SURE = {"recorded", "documented", "contradictory", "silent", "design"}
SECTIONS = {
    *(f"1.{number}" for number in range(1, 11)),
    "2",
    *(f"3.{number}" for number in range(1, 6)),
    *(f"4.{number}" for number in range(1, 5)),
    "5",
    "6",
    "7.3",
    "7.7",
    "9",
}
"""Every section the stand-in is held to."""
A_PAGE = re.compile(r"\[[\w ]+\]\(https://www\.braze\.com/docs/api/[a-z_/]+\)")
"""In place of a section: Braze's page of an endpoint that the reference does not have."""


def rows() -> list[list[str]]:
    table = PAGE.read_text().partition("| § | fact | test | how sure |")[2]
    lines = [line for line in table.splitlines()[2:] if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def named_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_names_a_test_that_exists() -> None:
    """Each row has four cells, and its test is a function of the file it names."""
    missing = []
    for section, fact, test, sure in rows():
        found = re.fullmatch(r"`(?:(unit)/)?(test_\w+\.py)::(test_\w+)`", test)
        assert found, test
        room, file, name = found.groups()
        path = ROOMS[room or ""] / file
        if not path.is_file() or name not in named_in(path):
            missing.append(test)
        assert section in SECTIONS or A_PAGE.fullmatch(section), section
        assert fact
        assert sure in SURE, sure

    assert missing == []


def test_every_section_is_held() -> None:
    """No section the stand-in is held to is without a row."""
    assert {row[0] for row in rows() if not A_PAGE.fullmatch(row[0])} == SECTIONS


def test_no_fact_is_told_twice() -> None:
    """A fact has one row."""
    assert [fact for fact, count in Counter(row[1] for row in rows()).items() if count > 1] == []
