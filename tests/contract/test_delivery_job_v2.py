"""DeliveryJob v2, as shipped: jobs already queued or parked must stay readable for ever.

The samples are never changed. A new version gets samples of its own beside them.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from braze_bridge.jobs.envelope import DeliveryJob, LaterJobError, UnreadableJobError, parse_job
from tests.fakes.event_files import EventCase, event_cases
from tests.fakes.outgrow import OutgrowBench

SAMPLES = sorted((pathlib.Path(__file__).parent / "samples").glob("delivery_job_v2_*.json"))

SCHEMA_KEYS = {
    "schema_version",
    "job_id",
    "source",
    "sender",
    "occurred_at",
    "received_at",
    "correlation_id",
    "user",
    "attributes",
    "events",
    "objects",
}

ONCE_IDS = {
    "attributes": (),
    "events": (
        "iterate:5edfaeb2c591330001a1b2c3:sr-1:survey-question-response:a1",
        "iterate:5edfaeb2c591330001a1b2c3:sr-1:survey-question-response:responses[1]",
    ),
    "objects": (
        "outgrow:65f0aa17:r-1:9c1d0a3b7e2f!0",
        "outgrow:65f0aa17:r-1:9c1d0a3b7e2f!1",
        "order-17",
    ),
    "part_of_a_split": (
        "outgrow:65f0aa17:r-1:outgrow_completed:0",
        "outgrow:65f0aa17:r-1:9c1d0a3b7e2f!0",
    ),
    "replayed": ("outgrow:65f0aa17:r-1:outgrow_completed:0~r1",),
    "upgraded_from_v1": ("outgrow:65f0aa17:r-1#0",),
}


def sample(name: str) -> dict[str, Any]:
    [path] = [path for path in SAMPLES if path.stem == f"delivery_job_v2_{name}"]
    parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return parsed


def test_there_are_samples() -> None:
    """The samples are found: a wrong folder would make every test below true."""
    assert {path.stem.removeprefix("delivery_job_v2_") for path in SAMPLES} == set(ONCE_IDS)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_stored_job_is_read_whole(path: pathlib.Path) -> None:
    """A stored v2 job parses, and nothing of it is lost or retyped on the way."""
    stored = json.loads(path.read_text(encoding="utf-8"))

    job = parse_job(path.read_bytes())

    written = json.loads(job.to_json())
    for key in ("job_id", "source", "sender", "correlation_id", "schema_version"):
        assert written[key] == stored[key]
    assert {k: v for k, v in written["user"].items() if v is not None} == {
        "may_create": True,
        **{k: v for k, v in stored["user"].items() if v is not None},
    }
    assert json.dumps(written["attributes"]) == json.dumps(stored.get("attributes", {}))
    for key, members in (("properties", "events"), ("object", "objects")):
        assert json.dumps([each[key] for each in written[members]]) == json.dumps(
            [each[key] for each in stored.get(members, [])]
        )
    assert [each["array"] for each in written["objects"]] == [
        each["array"] for each in stored.get("objects", [])
    ]
    assert parse_job(job.to_json()) == job


@pytest.mark.parametrize("name", sorted(ONCE_IDS))
def test_what_counts_once_has_the_same_id_for_ever(name: str) -> None:
    """The ledger remembers these ids for 30 days, so no version may make others."""
    assert parse_job(json.dumps(sample(name))).once_ids == ONCE_IDS[name]


def test_keys_are_the_contract() -> None:
    """A job has v2's keys and no others: a new key needs a new version."""
    job = parse_job(json.dumps(sample("attributes")))

    assert set(json.loads(job.to_json())) == SCHEMA_KEYS == set(DeliveryJob.model_fields)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 1},
        {"sender": None},
        {"sender": "Outgrow Ingest"},
        {"occurred_at": "2026-11-28T12:00:01Z"},
        {"received_at": "9999-12-31T23:59:59-14:00"},
        {"objects": [{"array": "attributes", "object": {"external_id": "x"}}]},
        {"objects": [{"array": "attributes", "object": {"email": "other@example.com"}}]},
        {"objects": [{"array": "attributes", "object": {"_update_existing_only": False}}]},
        {"objects": [{"array": "users", "object": {"a": 1}}]},
        {"events": [{"name": "asked", "time": "2026-11-20T08:15:30Z", "properties": {}}]},
        {"events": [{"id": "", "name": "asked", "time": "2026-11-20T08:15:30Z"}]},
        {"attributes": {"a": {"inc": 1}}},
        {"source": "Out Grow"},
    ],
    ids=json.dumps,
)
def test_what_breaks_the_contract_is_unreadable(change: dict[str, Any]) -> None:
    """An event without an id, no sender, an object that chooses its person: refused, unquoted."""
    with pytest.raises(UnreadableJobError) as raised:
        parse_job(json.dumps({**sample("attributes"), **change}))

    assert not isinstance(raised.value, LaterJobError)
    assert "example.com" not in str(raised.value.reasons)


@pytest.mark.parametrize("change", [{"schema_version": 3}, {"unknown": 1}], ids=json.dumps)
def test_what_newer_code_wrote_waits(change: dict[str, Any]) -> None:
    """During a canary or after a rollback."""
    with pytest.raises(LaterJobError):
        parse_job(json.dumps({**sample("objects"), **change}))


@pytest.mark.parametrize(
    "case", [c for c in event_cases("outgrow") if c.is_good], ids=lambda case: case.name
)
def test_produced_job_is_what_delivery_reads(case: EventCase) -> None:
    """The job made of every good event is read back by the consumer's own parser, unchanged."""
    bench = OutgrowBench()

    bench.handler(case.event(), None)

    [job] = bench.queue.jobs
    assert parse_job(job.to_json()) == job
    assert (job.schema_version, job.sender) == (2, "outgrow_ingest")
