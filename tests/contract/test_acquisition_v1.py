"""Step messages and acquisition records v1, as shipped: both outlive the code that wrote them.

A record lives for 90 days, a message for days; the samples are never changed. A new version gets
samples of its own beside them.
"""

from __future__ import annotations

import json
import pathlib
from datetime import UTC, datetime
from typing import Any

import pytest

from quikly_acquisition.models import (
    Profile,
    State,
    Step,
    UnreadableStepError,
    full_document,
    parse_record,
    parse_step,
    status_document,
)

SAMPLES = pathlib.Path(__file__).parent / "samples"
RECORDS = ("new", "awaiting_opt_in", "failed")


def text(name: str) -> str:
    return (SAMPLES / f"{name}.json").read_text()


def record_text(name: str) -> str:
    return text(f"acquisition_record_v1_{name}")


def test_a_step_message_is_read_and_still_written() -> None:
    """Two facts, and the version of the contract."""
    message = parse_step(text("step_message_v1"))

    assert (message.acquisition_id, message.version) == ("Zt3kq8Vw1xY_aB-9cD0eF2gH", 4)
    assert json.loads(message.to_json()) == json.loads(text("step_message_v1"))


def test_a_new_record_is_read_whole() -> None:
    """Person, evidence and attributes, with their types."""
    record = parse_record(record_text("new"))

    assert (record.q_scope, record.channel) == ("demo-email", "email")
    assert (record.email, record.phone) == ("ada@example.com", None)
    assert record.consent.given_at == datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
    assert (record.consent.method, record.consent.text) == ("checkbox", "terms-2026-11")
    assert record.attributes == {
        "first_name": "Ada",
        "shades": ["coral", "rose"],
        "age": 36,
        "vip": True,
    }
    assert (record.state, record.step, record.version) == (State.PENDING, Step.LOOK_UP, 1)
    assert record.expires_at == datetime(2027, 2, 20, 12, tzinfo=UTC)


def test_a_record_on_its_way_is_read_whole() -> None:
    """What was made at Braze, how often it was looked at, and until when it waits."""
    record = parse_record(record_text("awaiting_opt_in"))

    assert (record.state, record.step) == (State.AWAITING_OPT_IN, Step.AWAIT_OPT_IN)
    assert record.profile == Profile(
        kind="user_alias", value="ada@example.com", label="email", is_new=True
    )
    assert (record.attempts, record.polls, record.version) == (1, 5, 9)
    assert record.opt_in_until == datetime(2026, 12, 22, 12, 2, 3, tzinfo=UTC)
    assert record.profile_written_at == datetime(2026, 11, 22, 12, 0, 1, tzinfo=UTC)


def test_a_record_that_is_over_is_told() -> None:
    """To an operator the whole story, to a partner its states; to both nothing personal."""
    record = parse_record(record_text("failed"))
    told = status_document(record)

    assert full_document(record) == {
        "acquisition_id": "Zt3kq8Vw1xY_aB-9cD0eF2gH",
        "channel": "sms",
        "state": "failed",
        "reason": "unknown_group",
        "history": [
            {"at": "2026-11-22T12:00:00.000Z", "step": "accepted"},
            {"at": "2026-11-22T12:00:01.000Z", "step": "failed", "detail": "unknown_group"},
        ],
    }
    assert (told["state"], told["reason"]) == ("failed", "unknown_group")
    assert told["history"] == [
        {"at": "2026-11-22T12:00:00.000Z", "step": "accepted"},
        {"at": "2026-11-22T12:00:01.000Z", "step": "failed"},
    ]


@pytest.mark.parametrize("name", RECORDS)
def test_reading_and_writing_changes_nothing(name: str) -> None:
    """What a worker writes back is what it read."""
    record = parse_record(record_text(name))

    assert parse_record(record.model_dump_json()) == record


@pytest.mark.parametrize("name", RECORDS)
def test_no_repr_shows_the_person(name: str) -> None:
    """It ends up in tracebacks and logs."""
    shown = repr(parse_record(record_text(name)))

    assert "ada" not in shown.lower()
    assert "5550143" not in shown


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"version": 0}, {"more": 1}])
def test_what_is_no_version_one_is_refused_without_a_word_of_it(change: dict[str, Any]) -> None:
    """A version to come must not be guessed at."""
    for parse, sample in (
        (parse_step, "step_message_v1"),
        (parse_record, "acquisition_record_v1_new"),
    ):
        body = json.dumps(json.loads(text(sample)) | change)
        with pytest.raises(UnreadableStepError) as raised:
            parse(body)
        assert "ada" not in str(raised.value)
