"""The import rules in ``pyproject.toml`` name every module, and the client's promise holds."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "braze_bridge" / "python" / "braze_bridge"
FOREIGN = {"boto3", "botocore", "aws_lambda_powertools", "os"}


def contracts() -> dict[str, dict[str, list[str]]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {each["name"]: each for each in config["tool"]["importlinter"]["contracts"]}


def test_the_client_is_kept_from_every_other_module_of_the_layer() -> None:
    """A new module has to be put on the list."""
    others = {
        f"braze_bridge.{path.stem}"
        for path in LAYER.iterdir()
        if path.stem not in {"__init__", "__pycache__", "braze"}
    }

    assert set(contracts()["The Braze client stands alone"]["forbidden_modules"]) == others


def test_the_client_knows_neither_aws_nor_lambda_nor_the_environment() -> None:
    """Whoever lifts it out needs no boto3, no Powertools and no variables."""
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


def test_every_function_is_under_the_rules() -> None:
    """A new function has to be named in each contract."""
    functions = {path.parent.name for path in (ROOT / "functions").glob("*/__init__.py")}

    rules = contracts()
    assert set(rules["No function imports another function, ops or the sandbox"]["modules"]) == (
        functions
    )
    assert set(rules["Functions know neither ops nor the sandbox"]["source_modules"]) == functions
