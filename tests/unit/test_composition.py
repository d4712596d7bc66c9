"""The real dependencies can be composed without a call to anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from braze_bridge import aws_clients
from braze_delivery.app import dependencies

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
        "QUEUE_VISIBILITY_SECONDS": "420",
        "FUNCTION_TIMEOUT_SECONDS": "60",
        "LEDGER_TABLE": "ledger",
        "LEDGER_SECRET": "stack/ledger",
    }.items():
        monkeypatch.setenv(name, value)
    for cached in (dependencies, aws_clients.sqs, aws_clients.dynamodb):
        cached.cache_clear()

    needs = dependencies()

    assert (needs.ports.concurrency, needs.ports.on_unknown_outcome) == (7, "park")
    assert needs.ports.retention.days == 4
    needs.ports.executor.shutdown()
    for cached in (dependencies, aws_clients.sqs, aws_clients.dynamodb):
        cached.cache_clear()
