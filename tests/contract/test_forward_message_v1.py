"""The call that goes on to Quikly: every version ever shipped stays readable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from braze_bridge.jobs.forward import UnreadableForwardError, parse_forward
from tests.fakes.forwarding import forward_message

SAMPLES = Path(__file__).parent / "samples"


def sample() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((SAMPLES / "forward_message_v1.json").read_text())
    return read


def test_a_message_as_shipped_is_read() -> None:
    """And written again it says the same."""
    message = parse_forward(json.dumps(sample()))

    assert (message.q_scope, message.event, message.email) == (
        "spring",
        "joined",
        "ada@example.com",
    )
    assert json.loads(message.to_json()) == sample()


def test_what_is_written_now_is_of_that_version() -> None:
    """A field that is added, or means something else, needs a new version."""
    written = json.loads(forward_message().to_json())

    assert written.keys() == sample().keys()
    assert written["schema_version"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"schema_version": None},
        {"email": " "},
        {"received_at": "2026-11-22T12:00:00"},
        {"forward_id": ""},
        {"more": 1},
    ],
    ids=json.dumps,
)
def test_what_breaks_the_contract_is_unreadable(change: dict[str, Any]) -> None:
    """Another version, a blank address, a time without a zone: refused, unquoted."""
    with pytest.raises(UnreadableForwardError) as raised:
        parse_forward(json.dumps(sample() | change))

    assert raised.value.reasons
    assert "example.com" not in str(raised.value.reasons)


def test_a_message_does_not_show_its_address() -> None:
    """A repr ends up in tracebacks and logs."""
    assert "example.com" not in repr(forward_message())
