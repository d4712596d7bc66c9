"""An answer from the partner's post to the Braze profile, in the stack's own workspace."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests

from braze_bridge.braze.instances import rest_endpoint

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud

TEST_PERSON: Final = "bridge-verify"
"""Always the same, so that a workspace gets one test profile."""

SECONDS: Final = 120
"""For a batch to fill, a cold start, and Braze's reads, which lag."""


@pytest.fixture
def braze_key(cloud: Cloud) -> str:
    key = cloud.secret("braze")
    if not key:
        pytest.skip("the stack has no Braze key yet: bridge secrets set braze")
    return key


def exported(cloud: Cloud, key: str) -> dict[str, Any]:
    """The test person's profile; it takes the permission `users.export.ids`."""
    endpoint = rest_endpoint(
        cloud.parameters["BrazeInstance"],
        cloud.parameters["BrazeEndpoint"] or None,
        cloud.parameters["AllowLoopbackBraze"] == "true",
    )
    answer = requests.post(
        f"{endpoint}/users/export/ids",
        json={"external_ids": [TEST_PERSON], "fields_to_export": ["custom_attributes"]},
        headers={"Authorization": f"Bearer {key}"},
        timeout=30,
        allow_redirects=False,
    )
    if answer.status_code in {401, 403}:
        pytest.skip("the Braze key lacks users.export.ids, so the profile cannot be read back")
    answer.raise_for_status()
    users: list[dict[str, Any]] = answer.json()["users"]
    found: dict[str, Any] = users[0].get("custom_attributes", {}) if users else {}
    return found


def test_an_answer_arrives_as_a_number_and_counts_once(cloud: Cloud, braze_key: str) -> None:
    """Posted twice, as partners do; the score is one that the profile did not have."""
    before = exported(cloud, braze_key).get("outgrow_quiz_score")
    score = secrets.randbelow(99) + 1
    if score == before:
        score += 1
    body = json.dumps(
        {
            "id": f"bridge-cloud-{secrets.token_hex(8)}",
            "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "external_id": TEST_PERSON,
            "score": str(score),
        }
    ).encode()

    answers = [cloud.post("/outgrow", body, partner="outgrow") for _ in range(2)]
    end = time.monotonic() + SECONDS
    while (found := exported(cloud, braze_key).get("outgrow_quiz_score")) != score:
        if time.monotonic() > end:
            break
        time.sleep(3)

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert found == score
    assert isinstance(found, int)
