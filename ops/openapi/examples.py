"""The good cases of ``events/``, as examples of the document."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Example(NamedTuple):
    """A body that is accepted, with the name of its file and the template's name of its route."""

    name: str
    resource: str
    description: str
    body: Any


def read_examples(folder: Path) -> list[Example]:
    """Read every good case whose body is plain JSON, by path; ignored bodies are no example.

    Args:
        folder: ``events/`` (its format: ``events/outgrow/README.md``).
    """
    found = []
    for path in sorted(folder.glob("*/*.json")):
        # The document does not depend on the time of its making.
        case = json.loads(path.read_text(encoding="utf-8").replace("{now}", "2026-11-22T12:00:00Z"))
        is_good = case["expect"].get("status") in {HTTPStatus.OK, HTTPStatus.ACCEPTED}
        if is_good and "body" in case and not path.stem.startswith("ignored_"):
            is_content = case["path"].startswith("/outgrow/")
            resource = "/outgrow/{content_id}" if is_content else case["path"]
            found.append(Example(path.stem, resource, case["description"], case["body"]))
    return found
