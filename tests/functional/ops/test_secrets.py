"""`bridge secrets` against Secrets Manager, in process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from ops.bridge import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_secretsmanager import SecretsManagerClient

REGION = "eu-west-1"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretsManagerClient]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("secretsmanager", region_name=REGION)
        for name in ("bridge/braze", "bridge/quikly-api"):
            client.create_secret(Name=name, SecretString='{"current":"","previous":""}')
        client.create_secret(
            Name="bridge/partner/outgrow", SecretString='{"current":"token-1","previous":""}'
        )
        yield client


@pytest.mark.parametrize("name", ["braze", "quikly-api"])
def test_a_key_is_asked_for_and_never_printed(secrets: SecretsManagerClient, name: str) -> None:
    """From the prompt into the secret, without the blanks a paste brings along."""
    result = CliRunner().invoke(
        app,
        ["secrets", "set", name, "--stack", "bridge", "--region", REGION],
        input="  a-key-of-theirs \n",
    )

    assert result.exit_code == 0
    assert "a-key-of-theirs" not in result.output
    stored = json.loads(secrets.get_secret_value(SecretId=f"bridge/{name}")["SecretString"])
    assert stored == {"current": "a-key-of-theirs", "previous": ""}


@pytest.mark.usefixtures("secrets")
def test_a_key_on_the_command_line_is_refused() -> None:
    """Other users of the machine, and the shell's history, would see it."""
    result = CliRunner().invoke(app, ["secrets", "set", "braze", "a-key", "--stack", "bridge"])

    assert result.exit_code == 2


def test_a_blank_key_is_not_stored(secrets: SecretsManagerClient) -> None:
    """Leaving the prompt empty changes nothing."""
    result = CliRunner().invoke(
        app, ["secrets", "set", "outgrow", "--stack", "bridge", "--region", REGION], input=" \n"
    )

    assert result.exit_code == 1
    stored = secrets.get_secret_value(SecretId="bridge/partner/outgrow")["SecretString"]
    assert json.loads(stored)["current"] == "token-1"


@pytest.mark.usefixtures("secrets")
def test_a_partners_token_can_be_shown_to_paste_it() -> None:
    """The token alone, ready for a pipe."""
    result = CliRunner().invoke(
        app, ["secrets", "show", "outgrow", "--stack", "bridge", "--region", REGION]
    )

    assert (result.exit_code, result.stdout) == (0, "token-1\n")


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("command", ["set", "show"])
def test_a_stack_that_does_not_exist_is_said_so(command: str) -> None:
    """AWS's own word for it, and exit status 1."""
    result = CliRunner().invoke(
        app, ["secrets", command, "braze", "--stack", "nowhere", "--region", REGION], input="key\n"
    )

    assert result.exit_code == 1
    assert "ResourceNotFoundException" in result.stderr
