"""The table of acquisitions: what is due is found, consent is kept, addresses stay in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.infra.template import Template


def test_the_table_has_the_keys_that_the_code_uses(template: Template) -> None:
    """By id, and what is due in order of its time."""
    table = template.properties("AcquisitionTable")
    [index] = table["GlobalSecondaryIndexes"]

    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert index["IndexName"] == "by_due"
    assert index["KeySchema"] == [
        {"AttributeName": "due_partition", "KeyType": "HASH"},
        {"AttributeName": "due_at", "KeyType": "RANGE"},
    ]


def test_the_index_holds_no_address(template: Template) -> None:
    """The sweep may read it, and needs no more than ids, versions and times."""
    [index] = template.properties("AcquisitionTable")["GlobalSecondaryIndexes"]

    assert index["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["version"]}


def test_the_table_forgets_is_encrypted_and_can_be_restored(template: Template) -> None:
    """It holds addresses and what people consented to."""
    table = template.properties("AcquisitionTable")

    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
