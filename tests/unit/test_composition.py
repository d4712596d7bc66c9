"""The real dependencies can be composed without a call to anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from braze_bridge.aws import clients
from braze_delivery.app import dependencies
from quikly_acquisition import sweep, worker
from quikly_acquisition.dynamo_records import DynamoDueSteps
from tests.fakes.compiled_config import compiled_config

if TYPE_CHECKING:
    import pytest


def test_deliverys_dependencies_are_built_from_the_environment_without_a_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What Lambda does at the first call, with the variables that the template gives it."""
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "BRAZE_INSTANCE": "EU-01",
        "BRAZE_ENDPOINT": "",
        "ALLOW_LOOPBACK_BRAZE": "false",
        "BRAZE_SECRET": "stack/braze",
        "DELIVERY_QUEUE_URL": "https://sqs.example/queue",
        "REJECTED_TABLE": "rejected",
        "SEND_CONCURRENCY": "7",
        "ON_UNKNOWN_OUTCOME": "park",
        "QUEUE_RETENTION_SECONDS": "345600",
        "JOB_SENDERS": '{"AROAIN": ["outgrow"]}',
        "QUEUE_VISIBILITY_SECONDS": "420",
        "FUNCTION_TIMEOUT_SECONDS": "60",
        "LEDGER_TABLE": "ledger",
        "LEDGER_SECRET": "stack/ledger",
    }.items():
        monkeypatch.setenv(name, value)
    for cached in (dependencies, clients.sqs, clients.dynamodb):
        cached.cache_clear()

    needs = dependencies()

    assert (needs.ports.concurrency, needs.ports.on_unknown_outcome) == (7, "park")
    assert needs.ports.retention.days == 4
    needs.ports.executor.shutdown()
    for cached in (dependencies, clients.sqs, clients.dynamodb):
        cached.cache_clear()


def test_the_acquisition_workers_dependencies_are_built_without_a_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A configured address makes a way to Quikly; without one, its absence is in the settings."""
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "BRAZE_INSTANCE": "EU-01",
        "BRAZE_SECRET": "stack/braze",
        "PARTNER_CONFIG_DIR": str(compiled_config()),
        "ACQUISITION_TABLE": "acquisitions",
        "ACQUISITION_QUEUE_URL": "https://sqs.example/steps",
        "DELIVERY_QUEUE_URL": "https://sqs.example/jobs",
        "SEND_CONCURRENCY": "7",
        "FUNCTION_TIMEOUT_SECONDS": "60",
        "LEDGER_TABLE": "ledger",
        "LEDGER_SECRET": "stack/ledger",
        "QUIKLY_API_SECRET": "stack/quikly-api",
        "PROFILE_WAIT_SECONDS": "90",
        "ON_UNKNOWN_OUTCOME": "park",
    }.items():
        monkeypatch.setenv(name, value)
    caches = (worker.dependencies, sweep.dependencies, clients.sqs, clients.dynamodb)
    for url, tells in (("", False), ("https://api.quikly.example/webhook/braze", True)):
        monkeypatch.setenv("QUIKLY_API_URL", url)
        for cached in caches:
            cached.cache_clear()

        deps = worker.dependencies()

        assert (deps.quikly is not None, deps.settings.tells_quikly) == (tells, tells)
        assert deps.concurrency == 7
        assert deps.settings.profile_wait.total_seconds() == 90
        assert deps.settings.credit_lease.total_seconds() > 60
        assert deps.settings.on_unknown_outcome == "park"
        assert "demo-sms" in deps.rules
        deps.executor.shutdown()
    assert isinstance(sweep.dependencies().due, DynamoDueSteps)
    for cached in caches:
        cached.cache_clear()
