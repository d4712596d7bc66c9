"""The Braze client can be used elsewhere: it depends only on `urllib3`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import braze_bridge.braze

MODULES = sorted(Path(braze_bridge.braze.__path__[0]).glob("*.py"))
NETWORK = {"certifi", "urllib3"}


def imported(nodes: list[ast.stmt] | ast.AST) -> set[str]:
    """The modules that these statements import, by full name."""
    trees = nodes if isinstance(nodes, list) else list(ast.walk(nodes))
    names: set[str] = set()
    for node in trees:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_imports(module: Path) -> None:
    """Each module imports the standard library (not `os`), this package, and `urllib3` at most."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    names = imported(tree)
    roots = {name.partition(".")[0] for name in names}

    assert roots <= sys.stdlib_module_names | NETWORK | {"braze_bridge"}
    assert "os" not in roots
    assert all(
        name.startswith("braze_bridge.braze") for name in names if name.startswith("braze_bridge")
    )


def test_only_sending_loads_the_network() -> None:
    """At import time `urllib3` is loaded by one module, which no other one imports then."""
    loading = {}
    for module in MODULES:
        names = imported(ast.parse(module.read_text(encoding="utf-8")).body)
        loading[module.stem] = {
            name
            for name in names
            if name.partition(".")[0] in NETWORK or name.endswith(".connection_pool")
        }

    assert [name for name, loads in loading.items() if loads] == ["connection_pool"]
