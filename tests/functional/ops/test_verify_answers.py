"""``bridge verify braze-webhook`` against an API that gives wrong answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
import pytest
from typer.testing import CliRunner

from ops.bridge import app
from ops.stack.access import BrazeTarget, SecretsAccess, Site, Stacks
from tests.fakes.loopback_server import LoopbackServer
from tests.functional.ops.conftest import REGION

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from typer.testing import Result

STACK = "bridge-test"


class OneApi(Stacks):
    """A stack whose API is at an address."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url
        self._keeper = boto3.client("secretsmanager", region_name=REGION)
        self._keeper.create_secret(
            Name=f"{STACK}/partner/braze-webhook",
            SecretString='{"current":"the-token","previous":""}',
        )

    def open_secrets(self, stack: str | None, region: str | None, folder: Path) -> SecretsAccess:
        return SecretsAccess(STACK, self._keeper)

    def open_site(self, stack: str | None, region: str | None, folder: Path) -> Site:
        braze = BrazeTarget("US-01", "", allow_loopback=False)
        watch: Any = None  # no alarm is read
        return Site(STACK, STACK, self._api_url, braze, watch)

    def verify(self) -> Result:
        words = ["verify", "braze-webhook", "--stack", STACK]
        return CliRunner().invoke(app, words, obj=self)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("status", "body", "exit_code"),
    [
        (422, {"reasons": [{"code": "unknown", "field": "q_scope"}]}, 0),
        (422, {"reasons": [{"code": "missing", "field": "q_scope"}]}, 1),
        (422, {"reasons": []}, 1),
        (401, {}, 1),
        (200, {"status": "awarded"}, 1),
        (503, "no JSON of ours", 1),
    ],
)
def test_only_the_expected_answer_passes(status: int, body: object, exit_code: int) -> None:
    """Exactly this status and reason; any other answer is reported."""
    answer = json.dumps(body).encode()
    with LoopbackServer(lambda connection: connection.answer(status, answer)) as server:
        result = OneApi(server.url).verify()

    assert result.exit_code == exit_code, result.output
    if exit_code:
        assert f"answered {status}" in result.stderr
    (seen,) = server.seen
    assert "Authorization: Bearer the-token" in seen.head
    assert "the-token" not in result.output


@pytest.mark.usefixtures("aws")
def test_an_api_that_does_not_answer_is_exit_3() -> None:
    """Nothing answers."""
    with LoopbackServer() as server:
        gone = server.url

    assert OneApi(gone).verify().exit_code == 3
