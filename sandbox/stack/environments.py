"""Python environments, made once from the hashed locks and again only when a lock changes.

Run by path, under any Python from 3.11 on and with nothing installed (so: standard library only)::

    python3 sandbox/stack/environments.py dev sam ministack

uv installs (2 s an environment instead of 40); it is itself installed by pip from a hashed
lock, and where it cannot do its work (a registry that only pip is set up for) pip does.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
VENVS: Final = ROOT / ".local" / "venvs"
INSTALLERS: Final = "installers"
INSTALL_SECONDS: Final = 900
"""A slow line and a cold cache: some 100 MB an environment."""

_RECIPE: Final = "1"
"""Part of every stamp: raise it when environments must be made anew for another reason."""

_LOCKS: Final = {
    "dev": "requirements/dev.txt",
    "sam": "requirements/sam.txt",
    "ministack": "requirements/ministack.txt",
    INSTALLERS: "requirements/installers.txt",
}


class EnvironmentUnavailableError(Exception):
    """An environment could not be made; the text says why and where the log is."""


def python_of(name: str) -> Path:
    """The interpreter of an environment: `dev`, `sam`, `ministack` or `installers`."""
    return folder_of(name) / "bin" / "python"


def folder_of(name: str) -> Path:
    """Where an environment lives."""
    return ROOT / ".venv" if name == "dev" else VENVS / name


def ensure(names: Sequence[str]) -> None:
    """Make the environments that are absent or older than their lock.

    Args:
        names: Of `dev`, `sam`, `ministack`.

    Raises:
        EnvironmentUnavailableError: One could not be made.
    """
    wanted = (INSTALLERS, *names)
    if all(_is_fresh(name) for name in wanted):
        return
    VENVS.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time():
        for name in wanted:
            if not _is_fresh(name):
                _make(name)


def layer_installer() -> dict[str, str]:
    """Variables for the layers' Makefiles: an interpreter, and what installs for it."""
    python = str(python_of(INSTALLERS))
    if not _uv_is_usable():
        return {"LAYER_PIP": f'"{python}" -m pip', "LAYER_PYTHON": f'"{python}"'}
    return {
        "LAYER_PIP": f'"{_uv()}" pip',
        "LAYER_PYTHON": f'"{python}"',
        "UV_PYTHON": python,
        **_registry_for_uv(),
    }


def _is_fresh(name: str) -> bool:
    stamp = folder_of(name) / ".made-from"
    return stamp.is_file() and stamp.read_text() == _fingerprint(name)


def _fingerprint(name: str) -> str:
    lock = hashlib.sha256((ROOT / _LOCKS[name]).read_bytes()).hexdigest()
    return f"{_RECIPE} {sys.version.split()[0]} {sys.platform} {os.uname().machine} {lock}\n"


def _make(name: str) -> None:
    began = time.monotonic()
    _say(f"  environment {name:<10} ... ")
    log = VENVS / f"{name}.log"
    with log.open("w") as output:
        try:
            if name == INSTALLERS:
                _make_installer(output.fileno())
            else:
                _install(name, output.fileno())
        except (OSError, subprocess.SubprocessError) as error:
            _say("failed\n")
            raise EnvironmentUnavailableError(
                f"environment {name} could not be made ({type(error).__name__}); the log is {log}"
            ) from error
    if name == "dev":
        _make_ours_known(folder_of(name))
    (folder_of(name) / ".made-from").write_text(_fingerprint(name))
    _say(f"{time.monotonic() - began:.1f} s\n")


def _make_installer(output: int) -> None:
    """An environment with pip and uv. Debian splits pip off: then the system's own pip helps."""
    folder = folder_of(INSTALLERS)
    shutil.rmtree(folder, ignore_errors=True)
    requirements = ["--require-hashes", "--no-deps", "-r", str(ROOT / _LOCKS[INSTALLERS])]
    try:
        _run([sys.executable, "-m", "venv", str(folder)], output)
        pip = [str(python_of(INSTALLERS)), "-m", "pip"]
    except subprocess.CalledProcessError:
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], output)
        pip = [sys.executable, "-m", "pip", "--python", str(python_of(INSTALLERS))]
        if subprocess.run(  # noqa: S603 - fixed arguments
            [*pip, "--version"], capture_output=True, timeout=60, check=False
        ).returncode:
            raise EnvironmentUnavailableError(
                f"{sys.executable} has neither ensurepip nor pip;"
                " on Debian and Ubuntu: apt install python3-venv"
            ) from None
    _run([*pip, "install", "--disable-pip-version-check", *requirements], output)


def _install(name: str, output: int) -> None:
    folder, lock = folder_of(name), str(ROOT / _LOCKS[name])
    if not _same_interpreter(folder):
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], output)
    target = ["--python", str(python_of(name))]
    if _uv_is_usable():
        # Sync and not install: what an older lock had and this one has not goes, too.
        sync = [str(_uv()), "pip", "sync", "--require-hashes", *target, lock]
        if _run(sync, output, check=False, **_registry_for_uv()) == 0:
            return
        _say("uv could not; pip ... ")
        _uv_is_unusable_mark().touch()
    pip = [str(python_of(INSTALLERS)), "-m", "pip", *target, "install"]
    _run([*pip, "--disable-pip-version-check", "--require-hashes", "--no-deps", "-r", lock], output)


def _make_ours_known(folder: Path) -> None:
    """Let the environment import this repository, and give it the `bridge` command."""
    places = [ROOT / "functions", ROOT / "layers" / "braze_bridge" / "python", ROOT]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    path_file = folder / "lib" / version / "site-packages" / "bridge.pth"
    path_file.write_text("".join(f"{place}\n" for place in places))
    command = folder / "bin" / "bridge"
    command.write_text("""#!/bin/sh\nexec "$(dirname "$0")/python" -m ops.bridge "$@"\n""")
    command.chmod(0o755)


def _same_interpreter(folder: Path) -> bool:
    """Whether an environment was made for this very Python: then it can be brought up to date."""
    stamp = folder / ".made-from"
    if not stamp.is_file():
        return False
    return stamp.read_text().split()[:-1] == _fingerprint("dev").split()[:-1]


def _uv() -> Path:
    return folder_of(INSTALLERS) / "bin" / "uv"


def _uv_is_unusable_mark() -> Path:
    return folder_of(INSTALLERS) / ".uv-is-unusable"


def _uv_is_usable() -> bool:
    """Whether uv runs on this machine and has not failed before at what pip then could."""
    if _uv_is_unusable_mark().exists():
        return False
    try:
        done = subprocess.run(  # noqa: S603 - our own tool
            [str(_uv()), "--version"], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _registry_for_uv() -> dict[str, str]:
    """The registry that pip is set up for: uv reads none of pip's files or variables."""
    if {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & os.environ.keys():
        return {}
    index = os.environ.get("PIP_INDEX_URL", "")
    if not index:
        asked = subprocess.run(  # noqa: S603 - fixed arguments
            [str(python_of(INSTALLERS)), "-m", "pip", "config", "get", "global.index-url"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        index = asked.stdout.strip() if asked.returncode == 0 else ""
    return {"UV_DEFAULT_INDEX": index} if index else {}


def _run(arguments: Sequence[str], output: int, *, check: bool = True, **extra: str) -> int:
    done = subprocess.run(  # noqa: S603 - fixed arguments
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        timeout=INSTALL_SECONDS,
        check=check,
        env=_environment() | extra,
    )
    return done.returncode


def _environment() -> dict[str, str]:
    """Ours, less what would make an installer look into another environment."""
    strange = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PYTHON", "PIP_TARGET", "PIP_USER"}
    kept = {name: value for name, value in os.environ.items() if name not in strange}
    return {"UV_NO_PROGRESS": "1", **kept}


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (VENVS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> int:
    """Make the environments named on the command line."""
    names = sys.argv[1:]
    unknown = sorted(set(names) - (_LOCKS.keys() - {INSTALLERS}))
    if unknown or not names:
        _say(f"usage: {sys.argv[0]} [dev] [sam] [ministack]\n")
        return 2
    try:
        ensure(names)
    except EnvironmentUnavailableError as error:
        _say(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
