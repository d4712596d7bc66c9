"""Long reviews of the template, for `make test-all`: cfn-lint with every rule, SAM, and checkov.

What is accepted is listed with its reason: here for cfn-lint, in `.checkov.yaml` for checkov.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from cfnlint import ManualArgs
from cfnlint.api import lint_file

from sandbox.stack.environments import python_of
from tests.infra.template import ROOT, template_with_every_part, whole_template

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.campaign

SECONDS: Final = 280
REGIONS: Final = ["us-east-1", "eu-central-1"]
ENDS_WITH_THE_STACK: Final = {
    "AWS::Logs::LogGroup",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
}
"""I3011 asks each stateful resource to say what happens at its deletion.

Logs, queues and tokens end with the stack, which is CloudFormation's default. Tables and the keys
that outlive the stack do say it (tests/infra/test_secrets.py).
"""

ACCEPTED: Final = ROOT / ".checkov.yaml"


def test_cfn_lint_has_nothing_to_tell_about_the_whole_in_two_regions(tmp_path: Path) -> None:
    """Informational rules included."""
    whole = whole_template()
    del whole["Metadata"]["cfn-lint"]
    file = tmp_path / "template.json"
    file.write_text(json.dumps(whole))

    found = lint_file(file, ManualArgs(regions=REGIONS, include_checks=["I"]))

    assert [str(each) for each in found if not is_accepted(each, whole)] == []


def is_accepted(match: Any, whole: dict[str, Any]) -> bool:
    _, name, *_ = match.path
    return match.rule.id == "I3011" and whole["Resources"][name]["Type"] in ENDS_WITH_THE_STACK


def test_sam_accepts_the_template() -> None:
    """`sam validate --lint`, offline."""
    command = [str(python_of("sam")), "-m", "samcli", "validate", "--lint", "--region", REGIONS[0]]
    done = subprocess.run(  # noqa: S603 - our own tool
        [*command, "--template-file", str(ROOT / "template.yaml")],
        env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


def checkov(template: dict[str, Any], folder: Path) -> set[str]:
    """Return the ids of the checks that fail, without looking at what is accepted."""
    file = folder / "template.json"
    file.write_text(json.dumps(template))
    python = python_of("checkov")
    options = ["--framework", "cloudformation", "--skip-download", "--output", "json"]
    done = subprocess.run(  # noqa: S603 - our own tool
        [str(python), str(python.parent / "checkov"), "--file", str(file), *options],
        env={**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert answer["summary"]["parsing_errors"] == 0, done.stderr
    assert answer["summary"]["passed"] > 0
    return {each["check_id"] for each in answer["results"]["failed_checks"]}


def test_checkov_finds_only_what_was_accepted(tmp_path: Path) -> None:
    """Every optional part included. A line that has no finding any more must go."""
    assert checkov(template_with_every_part().plain, tmp_path) == set(
        yaml.safe_load(ACCEPTED.read_text())["skip-check"]
    )


def test_each_accepted_finding_has_a_reason() -> None:
    """In the comment behind it."""
    lines = re.findall(r"^  - (CKV\w+) *(.*)$", ACCEPTED.read_text(), re.MULTILINE)

    assert [name for name, reason in lines if not re.fullmatch(r"# \w.{20,}\.", reason)] == []
    assert len(lines) == len(yaml.safe_load(ACCEPTED.read_text())["skip-check"])
