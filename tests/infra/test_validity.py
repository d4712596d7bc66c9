"""cfn-lint on the template, and the form of its files."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml
from cfnlint.api import lint_file

from tests.infra.template import ROOT, whole_template

if TYPE_CHECKING:
    from pathlib import Path


def test_cfn_lint_has_no_complaint() -> None:
    """As `sam validate --lint` checks it, without the included files."""
    assert lint_file(ROOT / "template.yaml") == []


def test_cfn_lint_has_no_complaint_about_the_whole(tmp_path: Path) -> None:
    """With the included files, and so with every check."""
    whole = whole_template()
    del whole["Metadata"]["cfn-lint"]
    file = tmp_path / "template.json"
    file.write_text(json.dumps(whole))

    assert lint_file(file) == []


@pytest.mark.parametrize("path", sorted((ROOT / "templates").iterdir()), ids=lambda path: path.name)
def test_an_included_file_is_plain_yaml(path: Path) -> None:
    """CloudFormation reads it as it is, and refuses tags (!Ref), aliases and merged keys."""
    tokens = list(yaml.scan(path.read_text()))
    refused = (yaml.AliasToken, yaml.AnchorToken, yaml.TagToken)

    assert [token.start_mark.line for token in tokens if isinstance(token, refused)] == []


def test_the_layer_s_lock_has_no_environment_markers() -> None:
    """Markers are weighed for the machine that builds, not for the one that the layer is for."""
    lock = (ROOT / "layers" / "braze_bridge" / "requirements.txt").read_text()

    assert re.findall(r"^[^#\n]*;.*$", lock, re.MULTILINE) == []


def test_the_layer_does_not_bring_boto3() -> None:
    """The runtime has it; a second one would double the start."""
    lock = (ROOT / "layers" / "braze_bridge" / "requirements.txt").read_text()

    assert re.findall(r"^(boto3|botocore)==", lock, re.MULTILINE) == []


def test_sections_stand_in_the_order_the_template_announces() -> None:
    """Banner comments, so that people find their way."""
    text = (ROOT / "template.yaml").read_text()
    banners = re.findall(r"^# =+ (.+)$", text, re.MULTILINE)

    assert banners == [
        "parameters",
        "API",
        "custom domain",
        "outgrow ingest",
        "iterate responses",
        "quikly acquisition",
        "quikly webhook",
        "quikly webhook sweep",
        "quikly forward",
        "quikly events",
        "braze delivery",
        "layers",
        "queues",
        "rejected table",
        "ledger",
        "acquisition table",
        "claims",
        "secrets",
        "log groups",
        "monitoring",
        "outputs",
    ]
