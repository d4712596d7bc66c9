"""The partner whose TOML file writes an attribute or an event, by name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

CONFIGURATION: Final = Path(__file__).parents[2] / "layers" / "partner_config"


def partners_by_name(folder: Path = CONFIGURATION) -> dict[str, str]:
    """Gather every attribute and event that a partner's file maps to.

    Args:
        folder: With one `<partner>.toml` each.

    Returns:
        The partner by name in Braze; names that several partners write are left out.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.toml")):
        for name in _names(tomllib.loads(path.read_text(encoding="utf-8"))):
            found.setdefault(name, set()).add(path.stem)
    return {name: next(iter(who)) for name, who in found.items() if len(who) == 1}


def _names(table: Mapping[str, object]) -> Iterator[str]:
    for key, value in table.items():
        if not isinstance(value, Mapping):
            continue
        if key == "attributes":
            yield from value
        elif key == "event" and isinstance(value.get("name"), str):
            yield str(value["name"])
        yield from _names(value)
