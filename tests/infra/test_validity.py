"""cfn-lint on the template, and the variants of it that a deployment may choose."""

from __future__ import annotations

import re

from cfnlint.api import lint_file

from tests.infra.template import ROOT


def test_cfn_lint_has_no_complaint() -> None:
    """The schemas of every resource type, offline."""
    assert lint_file(ROOT / "template.yaml") == []


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
        "the door",
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
        "alarms",
        "dashboard",
        "saved queries",
        "outputs",
    ]
