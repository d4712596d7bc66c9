"""What people paste into Braze for the webhook, and what Braze would send of it for one person."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Final

from tests.fakes.braze_liquid import render

FOLDER: Final = pathlib.Path(__file__).parents[2] / "docs" / "quikly"


def key_value_pairs() -> dict[str, str]:
    """The body's pairs, as in the file."""
    pairs: dict[str, str] = json.loads((FOLDER / "key_value_pairs.json").read_text())
    return pairs


def headers(token: str) -> dict[str, str]:
    """The headers, with the token in its place."""
    given: dict[str, str] = json.loads((FOLDER / "headers.json").read_text())
    return {name: value.replace("YOUR-WEBHOOK-TOKEN", token) for name, value in given.items()}


def rendered(profile: dict[str, str], *, q_scope: str, event: str, dispatch_id: str) -> Any:
    """The JSON that Braze makes of the pairs: each value rendered, then written as a JSON text.

    Args:
        profile: The person's fields, by the names that Liquid uses.
        q_scope: What the marketer put in place of the file's own.
        event: The same.
        dispatch_id: Of the sending.
    """
    pairs = key_value_pairs() | {"q_scope": q_scope, "event": event}
    return {
        name: render(value, profile, campaign={"dispatch_id": dispatch_id})
        for name, value in pairs.items()
    }
