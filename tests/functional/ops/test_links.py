"""``bridge link`` against Secrets Manager, in process."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import boto3
import pytest
from typer.testing import CliRunner

from braze_bridge.aws.secrets import SecretsManagerSource
from braze_bridge.mapping.link_signatures import check_with, sign
from braze_bridge.mapping.people import find_person
from ops.bridge import app
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.partners import PARTNERS
from tests.functional.ops.conftest import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typer.testing import Result
    from types_boto3_secretsmanager import SecretsManagerClient

    from braze_bridge.mapping.link_signatures import SignatureCheck

ID = "bridge/partner/outgrow-link"


@pytest.fixture
def secrets(aws: None) -> SecretsManagerClient:
    return boto3.client("secretsmanager", region_name=REGION)


def link(*words: str) -> Result:
    return CliRunner().invoke(app, ["link", *words, "--stack", "bridge", "--region", REGION])


def function_s_check(secrets: SecretsManagerClient) -> SignatureCheck:
    """As the ingest function makes it."""
    return check_with(SecretsManagerSource(ID, lambda: secrets))


def signature(*words: str) -> str:
    done = link("sign", "outgrow", *words, "--json")
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["signature"])


def test_a_key_is_made_when_it_is_wanted_and_its_links_are_taken(
    secrets: SecretsManagerClient,
) -> None:
    """It is not printed."""
    assert link("sign", "outgrow", "c-1").exit_code == 1
    made = link("new-key", "outgrow")
    key = json.loads(secrets.get_secret_value(SecretId=ID)["SecretString"])["current"]

    assert (made.exit_code, key in made.output) == (0, False)
    assert function_s_check(secrets)("external_id", "c 1", signature("c 1"))
    shown = link("sign", "outgrow", " Ada@Example.com ", "--kind", "email")
    mark = sign(key, "email", "ada@example.com")
    assert shown.stdout.strip() == f"user_email=ada%40example.com&user_signature={mark}"


def test_older_links_stay_valid_until_the_key_is_revoked(secrets: SecretsManagerClient) -> None:
    """One new key keeps them, the next one or ``--revoke`` ends them."""
    link("new-key", "outgrow")
    first = signature("c-1")
    link("new-key", "outgrow")
    second = signature("c-1")

    assert function_s_check(secrets)("external_id", "c-1", first)
    assert link("new-key", "outgrow", "--revoke").exit_code == 0
    fits = function_s_check(secrets)
    assert not any(fits("external_id", "c-1", each) for each in (first, second))
    assert fits("external_id", "c-1", signature("c-1"))


@pytest.mark.parametrize("kind", ["external_id", "braze_id", "email"])
def test_the_liquid_signs_what_the_bridge_checks(secrets: SecretsManagerClient, kind: str) -> None:
    """The kind, a colon and the identifier, by Braze's filter, with the current key."""
    link("new-key", "iterate")
    text = link("liquid", "iterate", "--kind", kind).stdout
    id_ = "bridge/partner/iterate-link"
    key = json.loads(secrets.get_secret_value(SecretId=id_)["SecretString"])["current"]

    assert f"{{% capture signed %}}{kind}:{{{{who}}}}{{% endcapture %}}" in text
    assert f"signed | hmac_sha256_hex: '{key}'" in text
    assert re.search(rf"user_{kind}=.*&user_signature=", text)


def signed_file(partner: str, directory: Path) -> None:
    """Write the shipped file with its lines of trust uncommented."""
    text = (CONFIG_DIRECTORY / f"{partner}.toml").read_text(encoding="utf-8")
    lines = '# trust = "signed"\n# signature'
    assert lines in text
    text = text.replace(lines, lines.replace("# ", ""))
    (directory / f"{partner}.toml").write_text(text, encoding="utf-8")


def places(partner: str, names: Mapping[str, str]) -> list[object]:
    """Put the names of a link into each place of a partner's bodies."""
    if partner == "outgrow":
        return [names, {"lead": names}, {"user": names}]
    return [{"survey_response": {"user": names}}, {"survey_response": names}, {"user": names}]


@pytest.mark.parametrize("kept", ["user_", ""], ids=["whole names", "names without user_"])
@pytest.mark.parametrize(
    ("partner", "kind", "value"),
    [
        ("outgrow", "external_id", "c-1"),
        ("outgrow", "email", "ada@example.com"),
        ("iterate", "external_id", "c-1"),
        ("iterate", "email", "ada@example.com"),
        ("iterate", "braze_id", "0123456789abcdef01234567"),
    ],
)
def test_the_shipped_paths_find_what_a_signed_link_says(
    secrets: SecretsManagerClient,
    tmp_path: Path,
    partner: str,
    kind: str,
    value: str,
    kept: str,
) -> None:
    """Under the names of the link, and without the ``user_`` that Iterate removes."""
    link("new-key", partner)
    query = link("sign", partner, value, "--kind", kind).stdout.strip()
    names = {f"{kept}{name.removeprefix('user_')}": each for name, each in parse_qsl(query)}
    signed_file(partner, tmp_path)
    (rule, *_) = PARTNERS[partner].person_rules(tmp_path)
    fits = check_with(SecretsManagerSource(f"bridge/partner/{partner}-link", lambda: secrets))

    for body in places(partner, names):
        user = find_person(rule, body, fits).user
        assert user is not None
        assert getattr(user, kind) == value


@pytest.mark.parametrize(
    "words",
    [
        ("sign", "outgrow", "undefined"),
        ("sign", "outgrow", "nobody", "--kind", "email"),
        ("sign", "outgrow", "0123456789abcdef01234567", "--kind", "braze_id"),
        ("liquid", "outgrow", "--kind", "braze_id"),
    ],
)
def test_a_link_that_the_door_would_not_take_is_not_made(
    secrets: SecretsManagerClient, words: tuple[str, ...]
) -> None:
    """A placeholder, a wrong value, and a kind that the partner's file does not look for."""
    link("new-key", "outgrow")

    assert link(*words).exit_code == 2
