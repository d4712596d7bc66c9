"""The good cases of ``events/``, as examples of the document."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_NO_EXAMPLE: Final = "ignored_"
"""A case that is answered 200 and forgotten shows nobody how it is done."""

_NOW: Final = "{now}"
_SHOWN_NOW: Final = "2026-11-22T12:00:00Z"
"""The document is the same whenever it is made."""


class Example(NamedTuple):
    """A body that is taken.

    Attributes:
        name: The file's, without its ending.
        resource: The route, as ``template.yaml`` names it.
        description: What it shows.
        body: A JSON value.
    """

    name: str
    resource: str
    description: str
    body: Any


def read_examples(folder: Path) -> list[Example]:
    """Every good case whose body is plain JSON, by path.

    Args:
        folder: ``events/`` (its format: ``events/outgrow/README.md``).
    """
    cases = [(path.stem, _read(path)) for path in sorted(folder.glob("*/*.json"))]
    return [
        Example(name, _resource(case["path"]), case["description"], case["body"])
        for name, case in cases
        if "body" in case
        and case["expect"].get("status") in {HTTPStatus.OK, HTTPStatus.ACCEPTED}
        and not name.startswith(_NO_EXAMPLE)
    ]


def _read(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(path.read_text(encoding="utf-8").replace(_NOW, _SHOWN_NOW))
    return case


def _resource(path: str) -> str:
    return "/outgrow/{content_id}" if path.startswith("/outgrow/") else path
