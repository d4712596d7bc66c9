"""What the demo prints fits every terminal: values, types and verdicts are always visible."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from sandbox.demo import PARTNERS, PIPED_WIDTH, compare
from sandbox.demo_report import Acquisition, Outcome, Posted, shortened, show
from sandbox.event_files import event_cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.event_files import EventCase

WIDTHS = [80, PIPED_WIDTH, 200]
SAMPLES = [
    case
    for partner in PARTNERS
    for case in event_cases(partner)
    if not case.is_for_the_function_only
]


def concrete(value: Any) -> Any:
    """A value that fits what a file expects."""
    if value == {"any": "number"}:
        return 7.25
    if value == {"any": "string"}:
        return "2026-11-21T09:00:00+00:00"
    if isinstance(value, dict):
        return {name: concrete(each) for name, each in value.items()}
    return value


def profile_of(case: EventCase) -> dict[str, Any]:
    """The profile that Braze holds if everything works."""
    ((kind, value),) = case.expect["user"].items()
    return {
        **({"user_aliases": [value]} if kind == "user_alias" else {kind: value}),
        "custom_attributes": concrete(case.expect["attributes"]),
        "events": [
            {"time": "2026-11-21T09:00:00Z", **concrete(event)}
            for event in case.expect.get("events", ())
        ],
        "subscription_groups": [
            {"id": group, "status": status}
            for group, status in case.expect.get("subscriptions", {}).items()
        ],
    }


def everything_right() -> Outcome:
    posted = [
        Posted(case, case.expect["status"], concrete(case.expect.get("answer"))) for case in SAMPLES
    ]
    begun = [
        Acquisition(
            case,
            case.expect["state"],
            ["accept", "track", "track", "credit"],
            [case.expect["credit"]] if "credit" in case.expect else [],
        )
        for case in SAMPLES
        if "state" in case.expect
    ]
    return compare(posted, begun, [profile_of(case) for case in SAMPLES if case.is_good])


def printed(outcome: Outcome, width: int, *, verbose: bool = False) -> list[str]:
    file = io.StringIO()
    show(outcome, Console(file=file, width=width), verbose=verbose)
    return file.getvalue().splitlines()


def rows(lines: Sequence[str], outcome: Outcome) -> list[str]:
    """The lines of the table, without its heading."""
    return list(lines[1 : 1 + len(outcome.attributes)])


@pytest.mark.parametrize("width", WIDTHS)
def test_every_row_shows_value_type_and_verdict_within_the_width(width: int) -> None:
    """Short values stand in full, and a 255-character name squeezes nothing away."""
    outcome = everything_right()
    lines = printed(outcome, width)

    assert outcome.wrong == []
    assert max(map(cell_len, lines)) <= width
    assert max(cell_len(each.name) for each in outcome.attributes) == 255
    for row, each in zip(rows(lines, outcome), outcome.attributes, strict=True):
        value, kind = str(each.found), type(each.found).__name__
        assert row.split()[-2:] == [kind, "ok"]
        assert value in row or (len(value) > 20 and "…" in row)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_name_is_shortened_in_its_middle(width: int) -> None:
    """Its beginning and its end identify it."""
    outcome = everything_right()
    [row] = [row for row in rows(printed(outcome, width), outcome) if "Please " in row]
    [name] = [each.name for each in outcome.attributes if "Please tell us" in each.name]

    assert "…" in row
    assert name[-9:] in row
    assert "Because" in row


@pytest.mark.parametrize("width", WIDTHS)
def test_a_line_a_partner_sums_up(width: int) -> None:
    """Each begins with the partner and ends with the verdict."""
    lines = printed(everything_right(), width)

    for partner in PARTNERS:
        [summary] = [line for line in lines if line.startswith(f"{partner}: ")]
        assert summary.endswith(": ok")
    assert lines[-1] == "Every answer, every acquisition and every profile is as it should be."


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_wrong_is_marked_in_its_row_its_summary_and_at_the_end(width: int) -> None:
    """The last lines say what is there and what was expected."""
    right = everything_right()
    profiles = [dict(profile) for profile in right.profiles]
    ada = next(each for each in profiles if each.get("email") == "ada.winter@example.com")
    ada["custom_attributes"] = {**ada["custom_attributes"], "outgrow_quiz_score": "87"}
    outcome = compare(right.posted, right.acquisitions, profiles)
    lines = printed(outcome, width)

    [row] = [row for row in rows(lines, outcome) if row.endswith("WRONG")]
    assert row.split()[-3:] == ["87", "str", "WRONG"]
    assert any(line.startswith("outgrow: ") and line.endswith(": 1 WRONG") for line in lines)
    assert lines[-1] == (
        "WRONG: outgrow: ada.winter@example.com: outgrow_quiz_score is '87', not 87"
    )


def test_a_missing_profile_a_foreign_one_and_a_wrong_answer_are_reported() -> None:
    """Profiles, acquisitions and answers are compared, not only attributes."""
    right = everything_right()
    posted = [right.posted[0]._replace(status=500), *right.posted[1:]]
    begun = [right.acquisitions[0]._replace(credits=[]), *right.acquisitions[1:]]
    outcome = compare(posted, begun, [*right.profiles[1:], {"external_id": "nobody"}, {}])
    texts = [text for _, text in outcome.wrong]
    missing = [line.split()[-3:] for line in printed(outcome, 80) if line.endswith("WRONG")]

    assert any("answered 500" in text for text in texts)
    assert any("not credited as expected" in text for text in texts)
    assert any("is None, not" in text for text in texts)
    assert any("profiles, not" in text for text in texts)
    assert ["(missing)", "-", "WRONG"] in missing


def test_details_show_custom_events_and_the_steps_of_acquisitions() -> None:
    """Verbose output leaves nothing out, however long it is."""
    outcome = everything_right()
    text = "\n".join(printed(outcome, 80, verbose=True))

    assert "survey-question-response" in text
    assert "accept > track > credit" in text
    assert "survey-question-response" not in "\n".join(printed(outcome, 80))


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 5, "abc  "),
        ("abcdefgh", 5, "ab…gh"),
        ("abcdefgh", 6, "ab…fgh"),
        ("学生学生学生", 6, "学 …生"),
    ],
)
def test_a_text_fills_exactly_its_column(text: str, width: int, shown: str) -> None:
    """Wide characters count double."""
    assert shortened(text, width) == shown
    assert cell_len(shown) == width
