"""Every kind of mistake, and what people read of it: never less than before the pydantic models.

``messages_before.json`` holds what the reader without pydantic said of each file.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from braze_bridge.partner_config.toml_files import check_partner_config

BEFORE: list[dict[str, Any]] = json.loads(
    (pathlib.Path(__file__).parent / "messages_before.json").read_text(encoding="utf-8")
)

REWORDED = {
    "must be a whole number from 1 to 30": "must be a whole number, at least 1 and at most 30",
}
"""What was said before, and what is said now."""

SAID_ONCE = {
    ("default.event", "needs a name"),
    ("acquisition.s.opt_in_event", 'is missing: double_opt_in = "event" sends it'),
}
"""A key that has a problem of its own is not called missing as well."""


@pytest.mark.parametrize("case", BEFORE, ids=lambda case: str(case["problems"][0])[:80])
def test_no_message_says_less_than_before(case: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """The same keys, in the same words or in those of ``REWORDED``."""
    (tmp_path / case["file"]).write_text(case["text"], encoding="utf-8")
    found = {
        (problem.key, problem.message)
        for problem in check_partner_config(tmp_path)
        if problem.file == case["file"]
    }

    for key, before in case["problems"]:
        now = REWORDED.get(before, before)
        assert any(at == key and message.startswith(now) for at, message in found) or (
            (key, before) in SAID_ONCE and any(at.startswith(key) for at, _ in found)
        ), f"{key}: {before}"
    assert {key for key, _ in found} <= {key for key, _ in case["problems"]}


def test_mistakes_of_every_kind_are_listed_at_once(tmp_path: pathlib.Path) -> None:
    """A wrong type hides neither an unknown key nor a contradiction in the same table."""
    (tmp_path / "quikly.toml").write_text(
        """
schema_version = 1
[activation.launch]
mode = "rank"
events = ["act"]
opens_at = 2026-11-27T09:00:00Z
closes_at = 2026-11-26T09:00:00Z
totl = 5
total = "5"
[activation.launch.tiers.a]
value = 5
[activation.launch.tiers.b]
quantity = "many"
[acquisition.s]
channels = ["sms"]
opt_in_days = 99
lookup = "none"
replace_phone = true
[events.on.won]
evnt = false
""",
        encoding="utf-8",
    )

    found = {p.key for p in check_partner_config(tmp_path) if p.file == "quikly.toml"}

    assert found == {
        "activation.launch.closes_at",
        "activation.launch.totl",
        "activation.launch.total",
        "activation.launch.tiers.a.currency",
        "activation.launch.tiers.b",
        "activation.launch.tiers.b.quantity",
        "acquisition.s.subscription_group_id",
        "acquisition.s.opt_in_days",
        "acquisition.s.replace_phone",
        "events.person",
        "events.on.won",
        "events.on.won.evnt",
    }


def test_a_faulty_key_is_not_called_missing_as_well(tmp_path: pathlib.Path) -> None:
    """One mistake is one problem, also if the key is needed."""
    (tmp_path / "quikly.toml").write_text(
        """
schema_version = 1
[activation.launch]
mode = "draw"
events = ["act"]
opens_at = "stack"
[activation.launch.tiers.a]
quantity = "many"
[activation.other]
mode = "first"
events = ["act"]
opens_at = "stack"
tiers.reward = 1
""",
        encoding="utf-8",
    )

    found = [
        (problem.key, problem.message)
        for problem in check_partner_config(tmp_path)
        if problem.file == "quikly.toml"
    ]

    assert found == [
        ("activation.launch.tiers.a.quantity", "must be a whole number, at least 0"),
        ("activation.other.tiers.reward", "must be a table"),
    ]
