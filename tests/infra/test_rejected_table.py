"""The table of what was refused: found by reason, forgotten in time, kept from accidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.infra.template import Template


def test_the_table_has_the_keys_that_the_code_uses(template: Template) -> None:
    """By id, and by reason in order of when it was last seen."""
    table = template.properties("RejectedTable")
    [index] = table["GlobalSecondaryIndexes"]

    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert index["IndexName"] == "by_reason"
    assert index["KeySchema"] == [
        {"AttributeName": "reason", "KeyType": "HASH"},
        {"AttributeName": "last_seen", "KeyType": "RANGE"},
    ]


def test_the_table_forgets_is_encrypted_and_can_be_restored(template: Template) -> None:
    """It holds what people answered."""
    table = template.properties("RejectedTable")

    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
