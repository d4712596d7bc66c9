"""Which of our metrics each function can emit, by a look at the code that its handler reaches."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING, Final

import grimp

from braze_bridge.observability import Metric
from tests.infra.template import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES: Final = {
    "outgrow-ingest": "outgrow_ingest",
    "iterate-responses": "iterate_responses",
    "braze-delivery": "braze_delivery",
}
"""Each service's package."""

SHIPPED: Final = (ROOT / "functions", ROOT / "layers" / "braze_bridge" / "python")


@cache
def emitted_metrics() -> dict[str, set[str]]:
    """By service, the metrics that the code reachable from its handler names."""
    graph = grimp.build_graph("braze_bridge", *PACKAGES.values(), cache_dir=None)
    return {
        service: {
            metric
            for module in {f"{package}.app", *graph.find_upstream_modules(f"{package}.app")}
            for metric in _metrics_named_in(_path_of(module))
        }
        for service, package in PACKAGES.items()
    }


def _path_of(module: str) -> Path:
    for root in SHIPPED:
        stem = root.joinpath(*module.split("."))
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path
    raise AssertionError(f"no file for {module}")


def _metrics_named_in(path: Path) -> Iterator[str]:
    if path.name == "observability.py":  # where they are defined, and nothing is emitted
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Metric":
            yield Metric[node.attr].value
