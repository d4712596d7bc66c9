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

HANDLERS: Final = {
    "outgrow-ingest": "outgrow_ingest.app",
    "iterate-responses": "iterate_responses.app",
    "quikly-acquisition-api": "quikly_acquisition.api",
    "quikly-acquisition-worker": "quikly_acquisition.worker",
    "quikly-acquisition-sweep": "quikly_acquisition.sweep",
    "quikly-webhook": "quikly_webhook.app",
    "quikly-webhook-sweep": "quikly_webhook.sweep",
    "quikly-forward": "quikly_forward.app",
    "quikly-events": "quikly_events.app",
    "braze-delivery": "braze_delivery.app",
}
"""The module of each service's handler."""

SHIPPED: Final = (ROOT / "functions", ROOT / "layers" / "braze_bridge" / "python")


@cache
def emitted_metrics() -> dict[str, set[str]]:
    """By service, the metrics that the code reachable from its handler names."""
    packages = {handler.partition(".")[0] for handler in HANDLERS.values()}
    graph = grimp.build_graph("braze_bridge", *sorted(packages), cache_dir=None)
    return {
        service: {
            metric
            for module in {handler, *graph.find_upstream_modules(handler)}
            for metric in _metrics_named_in(_path_of(module))
        }
        for service, handler in HANDLERS.items()
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
