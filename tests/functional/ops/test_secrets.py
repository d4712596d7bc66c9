"""`bridge secrets` against Secrets Manager, in process."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from ops.bridge import app
from ops.stack.access import SecretsAccess
from ops.stack_secrets.stored_secrets import rotate
from ops.stack_secrets.stored_secrets import stored as rotated

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
    """From the prompt into the secret, without the blanks of a paste."""
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
    """The token and nothing else, ready for a pipe."""
    result = CliRunner().invoke(
        app, ["secrets", "show", "outgrow", "--stack", "bridge", "--region", REGION]
    )

    assert (result.exit_code, result.stdout) == (0, "token-1\n")


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("command", ["set", "show"])
def test_a_missing_stack_is_reported(command: str) -> None:
    """AWS's error code, and exit code 1."""
    result = CliRunner().invoke(
        app, ["secrets", command, "braze", "--stack", "nowhere", "--region", REGION], input="key\n"
    )

    assert result.exit_code == 1
    assert "ResourceNotFoundException" in result.stderr


BRIDGE = ["--stack", "bridge", "--region", REGION]


def stored(secrets: SecretsManagerClient) -> dict[str, str]:
    text = secrets.get_secret_value(SecretId="bridge/partner/outgrow")["SecretString"]
    found: dict[str, str] = json.loads(text)
    return found


def test_rotating_keeps_the_old_token_and_prints_none(secrets: SecretsManagerClient) -> None:
    """What was current is previous; stderr shows the next steps."""
    result = CliRunner().invoke(app, ["secrets", "rotate", "outgrow", *BRIDGE])

    assert result.exit_code == 0, result.output
    now = stored(secrets)
    assert now["previous"] == "token-1"
    assert len(now["current"]) == 48
    assert now["current"].isalnum()
    assert now["current"] not in result.output
    assert "secrets retire outgrow --stack bridge" in result.stderr
    assert result.stdout == ""


def test_a_second_rotation_asks_before_it_ends_a_token(secrets: SecretsManagerClient) -> None:
    """Refused: nothing changes. Agreed to: the one in between is previous."""
    rotate = ["secrets", "rotate", "outgrow", *BRIDGE]
    CliRunner().invoke(app, rotate)
    first = stored(secrets)

    refused = CliRunner().invoke(app, rotate, input="n\n")
    assert refused.exit_code == 1
    assert stored(secrets) == first
    agreed = CliRunner().invoke(app, rotate, input="y\n")
    assert agreed.exit_code == 0
    assert stored(secrets)["previous"] == first["current"]


def test_retiring_ends_only_the_previous_token(secrets: SecretsManagerClient) -> None:
    """The current one stays; a second time there is nothing to end."""
    CliRunner().invoke(app, ["secrets", "rotate", "outgrow", *BRIDGE])
    current = stored(secrets)["current"]
    retire = ["secrets", "retire", "outgrow", "--json", *BRIDGE]

    said = [json.loads(CliRunner().invoke(app, retire).stdout)["retired"] for _ in range(2)]

    assert said == [True, False]
    assert stored(secrets) == {"current": current, "previous": ""}


def test_revoking_keeps_no_token_that_may_have_leaked(secrets: SecretsManagerClient) -> None:
    """Neither the current one nor the previous; the partner's calls are refused, so it asks."""
    CliRunner().invoke(app, ["secrets", "rotate", "outgrow", *BRIDGE])
    before = stored(secrets)
    revoke = ["secrets", "revoke", "outgrow", *BRIDGE]

    refused = CliRunner().invoke(app, revoke, input="n\n")
    assert refused.exit_code == 1
    assert stored(secrets) == before
    agreed = CliRunner().invoke(app, [*revoke, "--yes"])
    now = stored(secrets)

    assert agreed.exit_code == 0, agreed.output
    assert now["previous"] == ""
    assert len(now["current"]) == 48
    assert now["current"] not in before.values()
    assert now["current"] not in agreed.output
    assert "bridge verify outgrow --stack bridge" in agreed.stderr


def test_the_time_of_the_last_rotation_is_known(secrets: SecretsManagerClient) -> None:
    """Secrets Manager's own: `doctor` judges by it."""
    access = SecretsAccess("bridge", secrets)
    before = datetime.now(UTC) - timedelta(seconds=1)

    rotate(access, "outgrow", "token-2")

    assert before <= rotated(access, "outgrow").since <= datetime.now(UTC)


def test_the_braze_key_cannot_be_rotated() -> None:
    """Braze makes it; it is set."""
    result = CliRunner().invoke(app, ["secrets", "rotate", "braze", *BRIDGE])

    assert result.exit_code == 2


def test_a_secret_of_another_form_is_reported(secrets: SecretsManagerClient) -> None:
    """Without quoting it."""
    secrets.put_secret_value(SecretId="bridge/partner/outgrow", SecretString="just-a-token")

    result = CliRunner().invoke(app, ["secrets", "retire", "outgrow", *BRIDGE])

    assert result.exit_code == 1
    assert "just-a-token" not in result.output
