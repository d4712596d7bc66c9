"""Make one Python environment from its hashed lock; the Makefile calls it, by path.

Under any Python from 3.11 on, with the standard library only. pip installs uv, once. uv installs
everything else: 2 s an environment, where pip takes 40 s.
"""

from __future__ import annotations

import ast
import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
VENVS: Final = ROOT / ".local" / "venvs"
UV: Final = VENVS / "installers" / "bin" / "uv"
IMPORTED: Final = (ROOT / "functions", ROOT / "layers" / "braze_bridge" / "python", ROOT)

OURS: Final = ("dev", "deploying")
"""They import this repository. Both are `.venv`: a clone that only deploys has the smaller one."""

_MISLEADING: Final = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_USER"}
"""Variables that lead an installer into another environment."""


def python_of(name: str) -> Path:
    """Return the interpreter of an environment, which is named as its lock."""
    return (ROOT / ".venv" if name in OURS else VENVS / name) / "bin" / "python"


def uv_variables() -> dict[str, str]:
    """Give uv the registry that pip is set up for: uv does not read pip's settings."""
    python = str(python_of("installers"))
    settings = subprocess.check_output([python, "-m", "pip", "config", "list"], text=True)  # noqa: S603 - ours
    pip = dict(line.split("=", 1) for line in settings.splitlines())
    found = {"UV_PYTHON": python}
    for section in ("global", "install", ":env:"):  # in pip, a later one wins
        for option, variable in (("index-url", "UV_DEFAULT_INDEX"), ("cert", "SSL_CERT_FILE")):
            if f"{section}.{option}" in pip and variable not in os.environ:
                found[variable] = ast.literal_eval(pip[f"{section}.{option}"])
    return found


def _make(name: str, stamp: Path) -> None:
    folder, lock = stamp.parent, ROOT / "requirements" / f"{name}.txt"
    if not stamp.exists():  # unfinished, or made by another Python
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", "--without-pip", folder)
    if name == "installers":
        _run(*_pip(folder), "install", "--quiet", "--require-hashes", "--no-deps", "-r", lock)
    else:  # what an older lock had and this one lacks is removed
        sync = (UV, "pip", "sync", "--quiet", "--require-hashes", "--python", python_of(name))
        _run(*sync, lock, **uv_variables())
    if name in OURS:
        [packages] = folder.glob("lib/python3.*/site-packages")
        (packages / "bridge.pth").write_text("".join(f"{place}\n" for place in IMPORTED))
        command = folder / "bin" / "bridge"
        command.write_text('#!/bin/sh\nexec "$(dirname "$0")/python" -m ops.bridge "$@"\n')
        command.chmod(0o755)
    stamp.touch()


def _pip(folder: Path) -> list[str]:
    """Return the command of a pip that installs into `folder`: Debian packs ensurepip apart."""
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "ensurepip"], capture_output=True, check=False)  # noqa: S603 - ours
    for pip in ([python, "-m", "pip"], [sys.executable, "-m", "pip", "--python", python]):
        if not subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:  # noqa: S603 - ours
            return pip
    sys.exit(f"{sys.executable} has no pip; on Debian and Ubuntu: apt install python3-venv")


def _run(*command: str | Path, **extra: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, env=kept | extra)  # noqa: S603 - ours


if __name__ == "__main__":
    began = time.monotonic()
    VENVS.mkdir(parents=True, exist_ok=True)
    with (VENVS / ".lock").open("w") as lock_file:  # a second make waits, and finds it done
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        try:
            _make(sys.argv[1], ROOT / sys.argv[2])
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(f"environment {sys.argv[1]} could not be made: {error}")
    sys.stdout.write(f"  environment {sys.argv[1]:<10} ... {time.monotonic() - began:.1f} s\n")
