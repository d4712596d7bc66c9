"""Servers, each in its own process group: start them, find them later, stop them.

A group and not a process, since the local engine forks a process for every function. The system
reuses pids, so a record also holds the time of birth.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

STOP_SECONDS: Final = 5
"""How long a group has to end by itself before it is killed."""

_KILL_SECONDS: Final = 5
_TABLE_SECONDS: Final = 30

_children: Final[dict[int, subprocess.Popen[bytes]]] = {}
"""Children of this process: it must wait for them, or they stay as zombies."""


class ProcessRecord(BaseModel):
    """A server that was started.

    Attributes:
        name: For messages.
        pid: Of the server, and the id of its group.
        born: Its start in the system's own form; only for comparisons.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    pid: int
    born: str


class RunningProcess(NamedTuple):
    """A line of the system's process table."""

    pid: int
    group: int
    born: str
    command: str


class StillRunningError(Exception):
    """A server could not be ended; the text has its name and the pids that are left."""


def start(
    name: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
) -> ProcessRecord:
    """Start a server that outlives this process, its output going to a file.

    Raises:
        OSError: It cannot be started.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the stack's own servers
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    _children[process.pid] = process
    return ProcessRecord(name=name, pid=process.pid, born=_birth_of(process.pid))


def is_running(record: ProcessRecord) -> bool:
    """Check whether the server itself, and no later process of the same pid, runs."""
    _reap(record.pid)
    return any(process.pid == record.pid and process.born == record.born for process in running())


def members(record: ProcessRecord, marker: str) -> list[RunningProcess]:
    """Return what runs of a server's group.

    Args:
        marker: Text that the command lines of its children hold. It identifies them after the
            server has ended, when another process may have its pid.
    """
    _reap(record.pid)
    group = [process for process in running() if process.group == record.pid]
    if any(process.pid == record.pid and process.born == record.born for process in group):
        return group
    return [process for process in group if marker in process.command]


def stop(record: ProcessRecord, marker: str, seconds: float = STOP_SECONDS) -> None:
    """End a server and everything that it started, if anything runs.

    Raises:
        StillRunningError: Something runs even after a kill.
    """
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, _KILL_SECONDS)):
        left = members(record, marker)
        for process in left:
            # One by one: the pids were checked, the group's number was not.
            _send(process.pid, number)
        if _ends_within(record, marker, patience):
            _reap(record.pid)
            return
    pids = ", ".join(str(process.pid) for process in members(record, marker))
    raise StillRunningError(f"{record.name} does not end (pids {pids})")


def running() -> list[RunningProcess]:
    """Return the system's process table without zombies."""
    if sys.platform == "linux":
        return list(_table_of_proc())
    return list(table_of_ps())


def table_of_ps() -> Iterator[RunningProcess]:
    """Read the process table from POSIX's `ps`; on Linux `/proc` serves instead."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,pgid=,stat=,lstart=,command="],  # noqa: S607 - from PATH
        capture_output=True,
        text=True,
        timeout=_TABLE_SECONDS,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    for line in listing.stdout.splitlines():
        # The time of birth has five words: Sun Nov 22 11:58:03 2026.
        words = line.split(maxsplit=8)
        if words[2].startswith("Z"):
            continue
        command = words[8] if len(words) > 8 else ""
        yield RunningProcess(int(words[0]), int(words[1]), " ".join(words[3:8]), command)


def _table_of_proc() -> Iterator[RunningProcess]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            status = (folder / "stat").read_text()
            command = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except OSError:  # it has ended meanwhile
            continue
        # Fields from the third on: the second, the name in parentheses, may hold anything.
        fields = status.rpartition(")")[2].split()
        state, group, born = fields[0], fields[2], fields[19]
        if state not in {"Z", "X"}:
            yield RunningProcess(int(folder.name), int(group), born, command)


def _birth_of(pid: int) -> str:
    for process in running():
        if process.pid == pid:
            return process.born
    return "ended at once"


def _ends_within(record: ProcessRecord, marker: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while members(record, marker):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
