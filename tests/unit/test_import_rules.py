"""There is no import circle, and few modules may touch AWS or the environment."""

from __future__ import annotations

import ast
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

from ops.deployment.audit import LOCKS, pinned

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "braze_bridge" / "python" / "braze_bridge"
IMPORT_RULES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]
LONGEST_FILE = 500
FOREIGN = {"boto3", "botocore", "aws_lambda_powertools", "os"}


def graph() -> grimp.ImportGraph:
    """Every import of the repository's packages, those under ``TYPE_CHECKING`` included."""
    return grimp.build_graph(*IMPORT_RULES["root_packages"], cache_dir=None)


def test_there_is_no_import_circle() -> None:
    """Every module can be read after the modules that it imports."""
    imports = graph()
    order = {
        module: imports.find_modules_directly_imported_by(module) for module in imports.modules
    }

    TopologicalSorter(order).prepare()  # raises CycleError, naming the circle


def test_a_circle_would_be_found() -> None:
    """The negative control: one import back up."""
    imports = graph()
    imports.add_import(importer="braze_bridge.braze.limits", imported="braze_bridge.braze.client")
    order = {
        module: imports.find_modules_directly_imported_by(module) for module in imports.modules
    }

    with pytest.raises(CycleError):
        TopologicalSorter(order).prepare()


def test_the_rules_cover_every_package() -> None:
    """A new function must be put among the packages."""
    folders = ("functions", "layers/braze_bridge/python", ".")
    packages = {
        path.parent.name for folder in folders for path in (ROOT / folder).glob("*/__init__.py")
    }

    assert set(IMPORT_RULES["root_packages"]) == packages


def test_what_ships_imports_only_what_is_installed_there() -> None:
    """The layer's packages, and botocore, which the Lambda runtime brings."""
    tools = {"ops", "sandbox", "tests", "bench"}
    shipped = set(IMPORT_RULES["root_packages"]) - tools
    imports = grimp.build_graph(
        *shipped,
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    foreign = {module for module in imports.modules if imports.is_module_squashed(module)}
    installed = {*pinned("".join(lock.read_text() for lock in LOCKS)), "botocore"}
    distributions = packages_distributions()

    assert {"botocore", "pydantic", "urllib3"} <= foreign
    assert {
        module
        for module in foreign - sys.stdlib_module_names
        if installed.isdisjoint(name.replace("_", "-") for name in distributions.get(module, ()))
    } == set()


def test_the_client_knows_neither_aws_nor_lambda_nor_the_environment() -> None:
    """It can be used elsewhere without boto3, Powertools and variables."""
    found = {
        (path.name, name.split(".")[0])
        for path in (LAYER / "braze").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }

    assert {each for each in found if each[1] in FOREIGN} == set()


def test_only_settings_read_the_environment() -> None:
    """Of what ships, one module touches ``os.environ``."""
    readers = {
        str(path.relative_to(ROOT))
        for folder in (LAYER, ROOT / "functions")
        for path in folder.rglob("*.py")
        if "environ" in path.read_text(encoding="utf-8")
        and any(
            isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }

    assert readers == {"layers/braze_bridge/python/braze_bridge/settings.py"}


def test_a_long_file_says_why() -> None:
    """What ships, the commands, the sandbox and the benchmarks: over 500 lines need a reason."""
    unexplained = [
        str(path.relative_to(ROOT))
        for folder in ("functions", "layers", "ops", "sandbox", "bench")
        for path in (ROOT / folder).rglob("*.py")
        if len(lines := path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE
        and "lines" not in " ".join(lines[:12])
    ]

    assert unexplained == []
