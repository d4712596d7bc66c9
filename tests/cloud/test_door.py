"""The door behind the real API Gateway, which answers some calls by itself."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests

from tests.infra.test_door import ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cloud.conftest import Cloud

POSTED: Final = sorted(
    route.resource.replace("{content_id}", "bridge-cloud-test")
    for route in ROUTES
    if route.method == "POST"
)
LOGS_SECONDS: Final = 180
"""CloudWatch shows access logs late, minutes at times."""


def wait_for(check: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < end:
        time.sleep(2)
    return found


@pytest.mark.parametrize("route", POSTED)
@pytest.mark.parametrize("body", [b"{}", b"\xff\xfe", b"[" * 10_000])
def test_without_the_token_every_body_gets_401(cloud: Cloud, route: str, body: bytes) -> None:
    """No detail, whatever was sent."""
    answer = cloud.post(route, body)

    assert answer.status_code == 401
    assert "reasons" not in answer.text


def test_an_unknown_route_is_404_in_our_shape(cloud: Cloud) -> None:
    """API Gateway would say "Missing Authentication Token", and 403."""
    answer = cloud.post("/nothing-here", b"{}")

    assert answer.status_code == 404
    assert answer.json() == {"status": "error", "reasons": [{"code": "not_found"}]}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"a": 1', "application/json", 400),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b'{"pad": "' + b"x" * 300_000 + b'"}', "application/json", 413),
        (b'{"pad": "' + b"x" * 10_600_000 + b'"}', "application/json", 413),
    ],
    ids=["no JSON", "a form", "over 256 KB", "over API Gateway's 10 MB"],
)
def test_a_bad_body_is_refused(cloud: Cloud, body: bytes, content_type: str, status: int) -> None:
    """With the right token: by us, or by API Gateway in the same words."""
    answer = cloud.post("/outgrow", body, partner="outgrow", content_type=content_type)

    assert answer.status_code == status
    assert answer.json()["status"] == "error"


def test_another_partner_s_token_opens_nothing(cloud: Cloud) -> None:
    """Each group of routes has its own."""
    assert cloud.post("/outgrow", b"{}", partner="iterate").status_code == 401
    assert cloud.post("/quikly/webhook", b"{}", partner="quikly").status_code == 401


def test_a_token_in_the_address_is_neither_taken_nor_logged(cloud: Cloud) -> None:
    """The access log has the call, without its query."""
    marker = secrets.token_hex(16)
    answer = requests.post(
        f"{cloud.api_url}/outgrow?token={marker}", json={}, timeout=35, allow_redirects=False
    )
    request_id = answer.headers["x-amzn-RequestId"]

    def lines() -> list[str]:
        found = cloud.client("logs").filter_log_events(
            logGroupName=f"/{cloud.name}/door", filterPattern=f'"{request_id}"'
        )
        return [event["message"] for event in found["events"]]

    assert answer.status_code == 401
    (line,) = wait_for(lines, LOGS_SECONDS)
    assert json.loads(line)["status"] == "401"
    assert marker not in line


def test_what_cannot_be_mapped_is_kept_and_can_be_dropped(cloud: Cloud) -> None:
    """422 with a reason; the body lies in the rejected table, and goes from it again."""
    marker = secrets.token_hex(16)
    body = json.dumps({"id": marker, "score": 5}).encode()
    table = cloud.outputs["RejectedTableName"]
    client = cloud.client("dynamodb")

    answer = cloud.post("/outgrow", body, partner="outgrow")
    pages = client.get_paginator("query").paginate(
        TableName=table,
        IndexName="by_reason",
        KeyConditionExpression="reason = :reason",
        ExpressionAttributeValues={
            ":reason": {"S": answer.json()["reasons"][0]["code"]},
        },
        ScanIndexForward=False,
    )
    rows = [row for page in pages for row in page["Items"] if marker in row["payload"]["S"]]
    for row in rows:
        client.delete_item(TableName=table, Key={"id": row["id"]})

    assert answer.status_code == 422
    assert [row["payload"]["S"].encode() for row in rows] == [body]
