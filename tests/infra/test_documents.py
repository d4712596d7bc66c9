"""What the pages say: links lead somewhere, and what they name is there."""

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
PAGES: Final = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
GUIDES: Final = [
    page for page in PAGES if page.name not in {"CHANGELOG.md", "decisions.md", "sandbox.md"}
]
"""Pages that people follow. (The others tell of code and of what was.)"""

COMMAND_WORD: Final = re.compile(r"[a-z][a-z-]*")
CODE: Final = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
FENCED: Final = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
CAMEL: Final = re.compile(r"[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]*)+")
FOREIGN: Final = {
    "BatchGetItem",  # DynamoDB's calls
    "BatchExecuteStatement",
    "BrazeBridge",  # the metrics' namespace
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCED.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """What stands as code in the running text."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def slugs(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading that it has."""
    dead = []
    for link in LINK.findall(CODE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in slugs(target)):
            dead.append(link)

    assert dead == []


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_what_a_guide_names_is_in_the_template(page: Path) -> None:
    """Parameters, alarms, tables, queues, outputs, metrics: nobody finds a misspelt one."""
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
    """Whether a word is the whole of what stands as code, but for a value given to it."""
    return bool(re.fullmatch(rf"['\"]?{word}(=.*)?", span))


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_parameters_in_examples_are_the_template_s(page: Path) -> None:
    """What somebody copies into samconfig.toml, SAM must know."""
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
def test_files_that_are_named_are_there(page: Path) -> None:
    """From the repository's root, as people type them."""
    rooms = ("layers/", "tests/", "docs/", "ops/", "events/", "functions/")
    named = [span for span in spans(page) if span.startswith(rooms) and "…" not in span]

    assert [span for span in named if not list(ROOT.glob(span.rstrip("/")))] == []


def test_every_url_to_paste_is_explained() -> None:
    """Each output that is a partner's URL stands in the table of what goes where."""
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
    """As the code has it."""
    (row,) = re.findall(rf"^\| `{place}` \|.*$", (DOCS / "security.md").read_text(), re.MULTILINE)

    assert [each.days for each in kept if f"{each.days} days" not in row] == []


def test_every_place_that_keeps_something_is_on_the_security_page() -> None:
    """A table or a queue that nobody mentions is one that nobody erases."""
    page = (DOCS / "security.md").read_text()
    places = {*TEMPLATE.of_type("AWS::DynamoDB::Table"), *TEMPLATE.of_type("AWS::SQS::Queue")}

    assert [place for place in sorted(places) if f"`{place}`" not in page] == []


def rows_of(section: str) -> list[list[str]]:
    """The cells of a section's first table, without its head."""
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
        ("What stands still, a month", 3, 4),
    ],
    ids=["rush", "drops", "standing"],
)
def test_costs_add_up(section: str, units: int, dollars: int) -> None:
    """Units times price is each line, and the lines are the sum."""
    *lines, total = rows_of(section)

    for line in lines:
        assert float(line[dollars]) == pytest.approx(
            float(line[units]) * float(line[2]), abs=0.0051
        )
    assert float(total[dollars]) == pytest.approx(sum(float(line[dollars]) for line in lines))


def test_costs_count_what_the_template_has() -> None:
    """Alarms and secrets are billed one by one."""
    counted = {line[0]: float(line[3]) for line in rows_of("What stands still, a month")[:-1]}

    assert counted["Alarms"] == len(TEMPLATE.of_type("AWS::CloudWatch::Alarm"))
    assert counted["Secrets"] == len(TEMPLATE.of_type("AWS::SecretsManager::Secret"))


def commands_of(page: Path) -> set[tuple[str, ...]]:
    """The ``bridge`` commands that stand as code on a page: their words before any value."""
    code = "\n".join(CODE.findall(page.read_text()))
    return {
        tuple(word for word in match.split() if COMMAND_WORD.fullmatch(word))
        for match in re.findall(r"\bbridge((?: [a-z][a-z-]*)+)", code)
    }


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_commands_that_a_guide_names_are_there(page: Path) -> None:
    """A reader who types one is not told that it does not exist."""
    missing = [words for words in commands_of(page) if not is_command(words)]

    assert missing == []


def is_command(words: tuple[str, ...]) -> bool:
    """Whether the first words name a command; those behind it are values."""
    command = typer.main.get_command(app)
    for word in words:
        if not isinstance(command, TyperGroup):
            return True
        found = command.commands.get(word)
        if found is None:
            return False
        command = found
    return True


def test_a_command_that_is_not_there_is_noticed() -> None:
    """The negative control."""
    assert is_command(("rejected", "list"))
    assert is_command(("verify", "outgrow"))
    assert not is_command(("rejected", "lost"))
    assert not is_command(("doktor",))


def test_the_guides_name_commands() -> None:
    """Otherwise the test above holds nothing."""
    assert len(set().union(*(commands_of(page) for page in GUIDES))) > 20
