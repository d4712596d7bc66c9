"""npm packages for the tests, installed from their hashed lock when it changed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ROOT / "requirements" / "node"
INSTALLED: Final = ROOT / ".local" / "node"
INSTALL_SECONDS: Final = 120


@pytest.fixture(scope="module")
def node_packages() -> Path:
    """A folder with the packages of `requirements/node`; Node finds them from there.

    Without npm the test is skipped, or fails if `BRIDGE_NODE_REQUIRED` is set.
    """
    if shutil.which("npm") is None:
        reason = "Node with npm is not on this machine"
    elif problem := _install():
        reason = f"npm could not install the packages: {problem}"
    else:
        return INSTALLED
    if os.environ.get("BRIDGE_NODE_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


def _install() -> str:
    INSTALLED.parent.mkdir(exist_ok=True)
    with INSTALLED.with_suffix(".lock").open("w") as lock:  # another worker may install them now
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _install_if_changed()


def _install_if_changed() -> str:
    lock = (PACKAGES / "package-lock.json").read_bytes()
    stamp = INSTALLED / "made-from.json"
    if stamp.is_file() and stamp.read_bytes() == lock:
        return ""
    shutil.rmtree(INSTALLED, ignore_errors=True)
    shutil.copytree(PACKAGES, INSTALLED)
    try:
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],  # noqa: S607 - its own path
            cwd=INSTALLED,
            capture_output=True,
            timeout=INSTALL_SECONDS,
            check=True,
        )
    except subprocess.SubprocessError as error:
        return str(error)
    stamp.write_bytes(lock)
    return ""
