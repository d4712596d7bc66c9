"""The webhook's files to paste into Braze, and the call that Braze makes of them for one person."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Final

from tests.fakes.braze_liquid import render

FOLDER: Final = pathlib.Path(__file__).parents[2] / "docs" / "quikly"


def key_value_pairs() -> dict[str, str]:
    """Return the body's pairs, as in the file."""
    pairs: dict[str, str] = json.loads((FOLDER / "key_value_pairs.json").read_text())
    return pairs


def headers(token: str) -> dict[str, str]:
    """Return the headers, with the token in its place."""
    given: dict[str, str] = json.loads((FOLDER / "headers.json").read_text())
    return {name: value.replace("YOUR-WEBHOOK-TOKEN", token) for name, value in given.items()}


def rendered(profile: dict[str, str], *, q_scope: str, event: str, dispatch_id: str) -> Any:
    """Return the JSON that Braze makes of the pairs: each value is rendered, then made a JSON text.

    Args:
        profile: The person's fields, by the names that Liquid uses.
        q_scope: Replaces the file's own.
        event: Replaces the file's own.
    """
    pairs = key_value_pairs() | {"q_scope": q_scope, "event": event}
    return {
        name: render(value, profile, campaign={"dispatch_id": dispatch_id})
        for name, value in pairs.items()
    }
