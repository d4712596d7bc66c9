"""A sign-up and a claim with DynamoDB's transactions, under roles that are held to their own rows.

IAM checks `dynamodb:LeadingKeys` for each row of a transaction; the local engine does not. Each run
uses one of the ten rewards of `demo-first`, and leaves a test person at example.com.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


@pytest.fixture
def address() -> str:
    return f"bridge-cloud-{secrets.token_hex(8)}@example.com"


def test_a_sign_up_is_stored_once_and_can_be_read(cloud: Cloud, address: str) -> None:
    """Posted twice: the second answer names the same acquisition."""
    given_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    body = json.dumps(
        {
            "q_scope": "demo-email",
            "channel": "email",
            "email": address,
            "idempotency_key": secrets.token_hex(8),
            "consent": {"given_at": given_at, "method": "checkbox", "text": "bridge cloud test"},
        }
    ).encode()

    first, again = (cloud.post("/quikly/acquisitions", body, partner="quikly") for _ in range(2))
    id_ = first.json()["acquisition_id"]
    shown = requests.get(
        f"{cloud.api_url}/quikly/acquisitions/{id_}",
        headers={"Authorization": f"Bearer {cloud.secret('quikly')}"},
        timeout=30,
        allow_redirects=False,
    )

    assert (first.status_code, again.json()["acquisition_id"]) == (202, id_)
    assert shown.status_code == 200


def test_a_claim_is_decided_once(cloud: Cloud, address: str) -> None:
    """Posted twice: one decision, whether a reward is left or not."""
    body = json.dumps({"q_scope": "demo-first", "event": "demo-action", "email": address}).encode()

    answers = [cloud.post("/quikly/webhook", body, partner="braze-webhook") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["status"] in {"awarded", "no_award"}
    assert answers[0].json() == answers[1].json()
