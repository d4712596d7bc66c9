"""The documents: every link resolves, and everything they name exists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
import typer
from typer.core import TyperGroup

from braze_bridge.jobs import rejected
from braze_bridge.observability import Metric
from ops.bridge import app
from quikly_acquisition import models as acquisition_models
from quikly_acquisition import records as acquisition_records
from quikly_forward import sent_calls
from quikly_webhook import claim_records
from tests.infra.template import ROOT, STACK, default_template

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

TEMPLATE: Final = default_template()
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "events").rglob("*.md")],
)
GUIDES: Final = [
    page for page in PAGES if page.name not in {"CHANGELOG.md", "decisions.md", "sandbox.md"}
]
"""Pages whose instructions people follow. The others describe code and history."""

COMMAND_WORD: Final = re.compile(r"[a-z][a-z-]*")
CODE: Final = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
FENCED: Final = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
MAKE: Final = re.compile(r"(?:^|`)make((?: [a-z][a-z-]*)+)", re.MULTILINE)
CAMEL: Final = re.compile(r"[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]*)+")
FOREIGN: Final = {
    "BatchGetItem",  # DynamoDB's calls
    "BatchExecuteStatement",
    "BrazeBridge",  # the metrics' namespace
    "DoorThrottled",  # of the access log
    "NumberOfMessagesReceived",  # of SQS
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCED.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """Return the inline code of a page."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def slugs(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    """The file exists, and has the heading."""
    dead = []
    for link in LINK.findall(CODE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in slugs(target)):
            dead.append(link)

    assert dead == []


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_what_a_guide_names_is_in_the_template(page: Path) -> None:
    """Parameters, alarms, tables, queues, outputs, metrics: a misspelt name finds nothing."""
    known = {
        *TEMPLATE.source["Parameters"],
        *TEMPLATE.plain["Resources"],
        *TEMPLATE.plain["Outputs"],
        *(metric.value for metric in Metric),
        *FOREIGN,
    }
    named = {word for span in spans(page) for word in CAMEL.findall(span) if is_name(word, span)}

    assert sorted(named - known) == []


def is_name(word: str, span: str) -> bool:
    """Whether the inline code is only this word, or this word with a value."""
    return bool(re.fullmatch(rf"['\"]?{word}(=.*)?", span))


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_parameters_in_examples_are_the_template_s(page: Path) -> None:
    """SAM refuses a copied parameter that the template does not have."""
    given = re.findall(r"\"([A-Z]\w+)=[^\"]*\",", page.read_text())

    assert set(given) <= TEMPLATE.source["Parameters"].keys()


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_secrets_and_logs_are_called_as_in_the_template(page: Path) -> None:
    """`STACK/…` is a secret, `/STACK/…` a log."""
    plain = {
        TEMPLATE.properties(name)[key].replace(f"{STACK}/", "STACK/")
        for kind, key in (
            ("AWS::SecretsManager::Secret", "Name"),
            ("AWS::Logs::LogGroup", "LogGroupName"),
        )
        for name in TEMPLATE.of_type(kind)
    }
    named = {span for span in spans(page) if re.fullmatch(r"/?STACK/[a-z/-]+", span)}

    assert named <= plain


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """Paths begin at the repository's root."""
    rooms = ("layers/", "tests/", "docs/", "ops/", "events/", "functions/", "sandbox/", "bench/")
    named = [span for span in spans(page) if span.startswith(rooms) and "…" not in span]

    assert [span for span in named if not list(ROOT.glob(span.rstrip("/")))] == []


def test_every_url_to_paste_is_explained() -> None:
    """Each output that is a partner's URL is in the table of what goes where."""
    page = (DOCS / "deploying.md").read_text()
    pasted = {name for name in TEMPLATE.plain["Outputs"] if re.fullmatch(r"(?!Api)\w+Url", name)}
    partners = {name for name in pasted if not re.search("Queue|Dashboard", name)}

    assert [name for name in sorted(partners) if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("RejectedTable", [rejected.RETENTION]),
        ("AcquisitionTable", [acquisition_models.RETENTION, acquisition_records.KNOWN_RETENTION]),
        ("ClaimsTable", [claim_records.RETENTION, sent_calls.MEMORY]),
    ],
)
def test_the_security_page_says_how_long_things_are_kept(place: str, kept: list[timedelta]) -> None:
    """The page has the days that the code has."""
    (row,) = re.findall(rf"^\| `{place}` \|.*$", (DOCS / "security.md").read_text(), re.MULTILINE)

    assert [each.days for each in kept if f"{each.days} days" not in row] == []


def test_every_place_that_keeps_something_is_on_the_security_page() -> None:
    """A table or a queue that is not listed would not be erased."""
    page = (DOCS / "security.md").read_text()
    places = {*TEMPLATE.of_type("AWS::DynamoDB::Table"), *TEMPLATE.of_type("AWS::SQS::Queue")}

    assert [place for place in sorted(places) if f"`{place}`" not in page] == []


def rows_of(section: str) -> list[list[str]]:
    """Return the cells of the first table in a section of the cost page, without its head."""
    text = (DOCS / "costs.md").read_text()
    lines = text[text.index(f"## {section}\n") :].splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("| ---"))
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip(" *") for cell in line.strip("|").split("|")])
    return rows


@pytest.mark.parametrize(
    ("section", "units", "dollars"),
    [
        ("A million responses", 3, 5),
        ("A million responses", 4, 6),
        ("Fixed costs a month", 3, 4),
    ],
    ids=["rush", "drops", "standing"],
)
def test_costs_add_up(section: str, units: int, dollars: int) -> None:
    """Each line is units times price, and the total is the sum of the lines."""
    *lines, total = rows_of(section)

    for line in lines:
        assert float(line[dollars]) == pytest.approx(
            float(line[units]) * float(line[2]), abs=0.0051
        )
    assert float(total[dollars]) == pytest.approx(sum(float(line[dollars]) for line in lines))


def test_costs_count_what_the_template_has() -> None:
    """Each alarm and each secret is billed, and so is each of the metrics that are named."""
    counted = {line[0]: float(line[3]) for line in rows_of("Fixed costs a month")[:-1]}

    assert counted["Alarms"] == len(TEMPLATE.of_type("AWS::CloudWatch::Alarm"))
    assert counted["Secrets"] == len(TEMPLATE.of_type("AWS::SecretsManager::Secret"))
    text = (DOCS / "costs.md").read_text().partition("| Service | Metrics | Number |\n")[2]
    numbers = [line.split("|")[3] for line in text.partition("\n\n")[0].splitlines()[1:]]
    assert counted["Our own metrics"] == sum(map(int, numbers))


DROP_SECONDS: Final = 0.3
"""Of a delivery invocation with one job, as docs/costs.md estimates it."""


def test_costs_keep_their_promises() -> None:
    """12 USD a million drop by drop with 1,024 MB, 15 a month standing without optional parts."""
    *lines, drops = rows_of("A million responses")
    *_, standing = rows_of("Fixed costs a month")
    [default] = [line for line in lines if "1.73 GB" in line[7]]
    small = round(1_000 * DROP_SECONDS * float(default[2]), 2)  # 1,000 s x 1 GB a unit
    together = float(drops[6]) - float(default[6]) + small

    assert f"| ${small:.2f} | **${together:.2f}** |" in (DOCS / "costs.md").read_text()
    assert together <= 12.001
    assert float(standing[4]) <= 15


def commands_of(page: Path) -> set[tuple[str, ...]]:
    """Return the ``bridge`` commands in a page's code: their words before any value."""
    code = "\n".join(CODE.findall(page.read_text()))
    return {
        tuple(word for word in match.split() if COMMAND_WORD.fullmatch(word))
        for match in re.findall(r"\bbridge((?: [a-z][a-z-]*)+)", code)
    }


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_every_command_that_a_guide_names_exists(page: Path) -> None:
    """A reader can type each one."""
    missing = [words for words in commands_of(page) if not is_command(words)]

    assert missing == []


def is_command(words: tuple[str, ...]) -> bool:
    """Whether the first words name a command; the words after it are values."""
    command = typer.main.get_command(app)
    for word in words:
        if not isinstance(command, TyperGroup):
            return True
        found = command.commands.get(word)
        if found is None:
            return False
        command = found
    return True


def test_a_missing_command_is_found() -> None:
    """Negative control."""
    assert is_command(("rejected", "list"))
    assert is_command(("verify", "outgrow"))
    assert not is_command(("rejected", "lost"))
    assert not is_command(("doktor",))


def test_the_guides_name_commands() -> None:
    """Without commands the test above would check nothing."""
    assert len(set().union(*(commands_of(page) for page in GUIDES))) > 20


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_every_make_target_that_a_guide_names_exists(page: Path) -> None:
    """A reader can type each one."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = "\n".join(CODE.findall(page.read_text()))
    named = {word for words in MAKE.findall(code) for word in words.split()}

    assert sorted(named - targets) == []


def where_to_change_what() -> list[list[str]]:
    """Return the table of CONTRIBUTING.md: for each change the rooms, and the tests."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("| I want to change … | This room | This test |\n")[2]
    lines = table.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_contributing_names_rooms_and_tests_that_exist() -> None:
    """Every change has a room and a test, and every path is in the repository."""
    layer = "layers/braze_bridge/python/"
    missing = []
    for change, *cells in where_to_change_what():
        for cell in cells:
            paths = re.findall(r"`([^`]+)`", cell)
            assert paths, change
            missing += [
                path
                for path in paths
                if not (ROOT / re.sub("^(?=braze_bridge/)", layer, path)).exists()
            ]

    assert missing == []


def test_contributing_covers_the_twenty_most_likely_changes() -> None:
    """Without rows the test above would check nothing."""
    changes = [change for change, *_ in where_to_change_what()]

    assert len(set(changes)) == len(changes) >= 20


@pytest.mark.parametrize("folder", ["functions", "layers"])
def test_the_readme_lists_every_folder_of(folder: str) -> None:
    """A new function or layer is in the table of folders."""
    named = set(spans(ROOT / "README.md"))
    packages = {path.name for path in (ROOT / folder).iterdir() if path.is_dir()}

    assert {
        name for name in packages - {"__pycache__"} if not {name, f"{folder}/{name}/"} & named
    } == set()
