"""The local stack as a command: it is interrupted, it fails, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests

from sandbox.stack import processes
from sandbox.stack.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox.stack.stack_file import StackFile

SECONDS = 120


def up(folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "sandbox.stack", "up", "--dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read what the command says, up to some words of it."""
    assert process.stdout is not None
    said = ""
    while words not in said:
        piece = process.stdout.read(1)
        assert piece, said
        said += piece
    return said


def left_of(folder: Path) -> list[str]:
    return [process.command for process in processes.running() if str(folder) in process.command]


@pytest.mark.parametrize("step", ["build", pytest.param("deploy", marks=pytest.mark.campaign)])
def test_ctrl_c_leaves_nothing_and_disturbs_no_other_stack(
    stack: StackFile, tmp_path: Path, step: str
) -> None:
    """Whatever was started by then has ended; the session's own stack answers as before."""
    with up(tmp_path) as process:
        read_until(process, f"  {step}")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=SECONDS)

    assert process.returncode == 1
    assert "nothing is left running" in said
    assert left_of(tmp_path) == []
    assert not (tmp_path / "processes.json").exists()
    assert not (tmp_path / "stack.json").exists()
    answer = requests.post(f"{stack.api_url}/outgrow", timeout=30)
    assert answer.status_code == 401


def test_a_failure_names_the_step_and_the_log_and_leaves_nothing(tmp_path: Path) -> None:
    """Here SAM finds no `make`."""
    with up(tmp_path, {"PATH": "/nonexistent"}) as process:
        said, _ = process.communicate(timeout=SECONDS)

    assert process.returncode == 1
    assert "step build failed" in said
    assert str(tmp_path / "logs" / "build.log") in said
    assert left_of(tmp_path) == []
