"""DeliveryJob v1, as shipped: jobs already queued or parked must stay readable for ever.

The samples are never changed. A new version gets samples of its own beside them.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from braze_bridge.jobs.envelope import UnreadableJobError, parse_job

SAMPLES = sorted((pathlib.Path(__file__).parent / "samples").glob("delivery_job_v1_*.json"))

SCHEMA_KEYS = {
    "schema_version",
    "job_id",
    "source",
    "occurred_at",
    "received_at",
    "correlation_id",
    "user",
    "attributes",
    "events",
}


def sample(name: str) -> dict[str, Any]:
    [path] = [path for path in SAMPLES if path.stem == f"delivery_job_v1_{name}"]
    parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return parsed


def test_there_are_samples() -> None:
    """The samples are found: a wrong folder would make every test below true."""
    assert len(SAMPLES) >= 5


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_stored_job_is_read_whole(path: pathlib.Path) -> None:
    """A stored v1 job parses, and nothing of it is lost or retyped on the way."""
    stored = json.loads(path.read_text(encoding="utf-8"))

    job = parse_job(path.read_bytes())

    written = json.loads(job.to_json())
    assert json.dumps(written["attributes"]) == json.dumps(stored["attributes"])
    for key in ("job_id", "source", "correlation_id", "schema_version"):
        assert written[key] == stored[key]
    assert {k: v for k, v in written["user"].items() if v is not None} == {
        "may_create": True,
        **{k: v for k, v in stored["user"].items() if v is not None},
    }
    assert [event["properties"] for event in written["events"]] == [
        event["properties"] for event in stored.get("events", [])
    ]
    assert parse_job(job.to_json()) == job


def test_times_are_read_as_instants() -> None:
    """Zones are honoured: the alias sample was written with one."""
    job = parse_job(json.dumps(sample("alias")))

    assert job.occurred_at == job.events[0].time


def test_keys_are_the_contract() -> None:
    """A job has v1's keys and no others: a new key needs a new version."""
    job = parse_job(json.dumps(sample("attributes")))

    assert set(json.loads(job.to_json())) == SCHEMA_KEYS


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"unknown": 1},
        {"occurred_at": "2026-11-22T12:00:01Z"},
        {"occurred_at": "2026-11-20T08:15:30"},
        {"attributes": {}},
        {"attributes": {"a": {"inc": 1}}},
        {"attributes": {"external_id": "x"}},
        {"attributes": {"email": "other@example.com"}},
        {"user": {}},
        {"user": {"email": "a@example.com", "phone": "+4930123456"}},
        {"user": {"email": " "}},
        {"job_id": ""},
        {"source": "Out Grow"},
    ],
    ids=json.dumps,
)
def test_what_breaks_the_contract_is_unreadable(change: dict[str, Any]) -> None:
    """Another version, an operator, two persons, a time ahead of its arrival: refused, unquoted."""
    with pytest.raises(UnreadableJobError) as raised:
        parse_job(json.dumps({**sample("attributes"), **change}))

    assert "example.com" not in str(raised.value.reasons)
