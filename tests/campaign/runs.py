"""Runs a campaign in a process of its own, so that a seed gives the same run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent


def run_campaign(
    seed: int, jobs: int, policy: str, variant: str = "", *, seconds: float = 600
) -> tuple[int, str]:
    """Run ``python -m tests.campaign``.

    Returns:
        Its exit status, 1 if a promise was broken; and what it printed.
    """
    done = subprocess.run(  # noqa: S603 - literal arguments
        [
            sys.executable,
            "-m",
            "tests.campaign",
            f"--seed={seed}",
            f"--jobs={jobs}",
            f"--policy={policy}",
            f"--variant={variant}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
