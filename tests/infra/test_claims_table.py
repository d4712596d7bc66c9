"""Who won what: the keys that the code uses, and the sweep that mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quikly_webhook.claim_records import DUE_INDEX

if TYPE_CHECKING:
    from tests.infra.template import Template


def test_the_table_has_the_keys_that_the_code_uses(template: Template) -> None:
    """By id, and what is due by shard and time."""
    table = template.properties("ClaimsTable")
    [index] = table["GlobalSecondaryIndexes"]

    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert index["IndexName"] == DUE_INDEX
    assert index["KeySchema"] == [
        {"AttributeName": "due_shard", "KeyType": "HASH"},
        {"AttributeName": "due_at", "KeyType": "RANGE"},
    ]


def test_the_table_is_encrypted_and_can_be_restored(template: Template) -> None:
    """It holds the winners, and a lost claim could be claimed again."""
    table = template.properties("ClaimsTable")

    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
