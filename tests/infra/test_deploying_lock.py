"""What `make deploy` installs is enough for it and for the `bridge` command, and no more."""

from __future__ import annotations

import re
import sys
from importlib.metadata import packages_distributions
from typing import Final

import grimp

from tests.infra.template import ROOT

REQUIREMENTS: Final = ROOT / "requirements"
PROGRAMS: Final = ("ops.bridge", "ops.deployment.deploy")
OURS: Final = (
    *("ops", "sandbox", "braze_bridge", "quikly_acquisition", "quikly_webhook", "quikly_forward"),
    *("quikly_events", "braze_delivery", "outgrow_ingest", "iterate_responses"),
)
DEVELOPMENT: Final = {"pytest", "mypy", "ruff", "hypothesis", "moto", "cfn-lint", "ministack"}


def pinned(lock: str) -> dict[str, str]:
    text = (REQUIREMENTS / f"{lock}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*])?==(\S+)", text, re.MULTILINE))


def imported() -> set[str]:
    """Return the other packages that the programs import, wherever in a function it is."""
    graph = grimp.build_graph(
        *OURS, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    reached = {each for name in PROGRAMS for each in graph.find_upstream_modules(name)}
    tops = {each.partition(".")[0] for each in reached}
    return tops - set(OURS) - sys.stdlib_module_names


def test_every_package_that_the_programs_import_is_installed() -> None:
    """`make deploy` in a clone without the development environment."""
    distributions = packages_distributions()
    lock = pinned("deploying")
    found = imported()

    missing = [
        name
        for name in sorted(found)
        if not {each.lower().replace("_", "-") for each in distributions[name]} & lock.keys()
    ]

    assert missing == []
    assert {"boto3", "typer", "pydantic"} <= found


def test_no_development_tool_is_installed() -> None:
    """They are most of what `make environments` downloads."""
    assert pinned("deploying").keys() & DEVELOPMENT == set()
    assert pinned("dev").keys() & DEVELOPMENT


def test_both_environments_have_the_same_releases() -> None:
    """What was tested is what deploys."""
    dev = pinned("dev")

    assert {name: dev.get(name) for name in pinned("deploying")} == pinned("deploying")
