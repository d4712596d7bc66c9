"""Servers end with everything that they started; other processes go on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from sandbox.stack import processes
from sandbox.stack.processes import ProcessRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", {marker!r}])
print("started", flush=True)
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("started", flush=True)
time.sleep(60)
"""
PATIENCE = 15


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], ProcessRecord]]:
    """Start a Python script as a server, and wait until it says so."""
    started: list[ProcessRecord] = []

    def run(script: str) -> ProcessRecord:
        log = tmp_path / f"{len(started)}.log"
        record = processes.start(
            "test",
            [sys.executable, "-c", script.format(marker=str(tmp_path)), str(tmp_path)],
            environment={"PATH": os.environ["PATH"]},
            folder=tmp_path,
            log=log,
        )
        started.append(record)
        wait_until(lambda: "started" in log.read_text())
        return record

    yield run
    for record in started:
        processes.stop(record, str(tmp_path), seconds=0)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pids(record: ProcessRecord, marker: object) -> set[int]:
    return {process.pid for process in processes.members(record, str(marker))}


def test_a_server_ends_with_its_children(
    start: Callable[[str], ProcessRecord], tmp_path: Path
) -> None:
    """Nothing of its group is left."""
    record = start(PARENT)
    before = pids(record, tmp_path)

    processes.stop(record, str(tmp_path))

    assert record.pid in before
    assert len(before) == 2
    assert pids(record, tmp_path) == set()
    assert not processes.is_running(record)


def test_a_child_that_outlives_its_server_is_found_by_the_folder_it_names(
    start: Callable[[str], ProcessRecord], tmp_path: Path
) -> None:
    """A server that was killed leaves children: they are ours when they name our folder."""
    record = start(PARENT)
    [child] = pids(record, tmp_path) - {record.pid}
    os.kill(record.pid, signal.SIGKILL)
    wait_until(lambda: not processes.is_running(record))

    others = pids(record, "/somewhere/else")
    ours = pids(record, tmp_path)
    processes.stop(record, str(tmp_path))

    assert others == set()
    assert ours == {child}
    assert pids(record, tmp_path) == set()


def test_a_server_that_ignores_sigterm_is_killed(
    start: Callable[[str], ProcessRecord], tmp_path: Path
) -> None:
    """Down is down."""
    record = start(STUBBORN)

    processes.stop(record, str(tmp_path), seconds=0.2)

    assert not processes.is_running(record)


def test_a_process_that_got_an_old_pid_is_not_stopped(
    start: Callable[[str], ProcessRecord], tmp_path: Path
) -> None:
    """The same pid with another time of birth is another process."""
    other = start(PARENT)
    record = ProcessRecord(name="test", pid=other.pid, born="long ago")

    processes.stop(record, "/our/folder")

    assert not processes.is_running(record)
    assert processes.is_running(other)


def test_stopping_what_has_ended_does_nothing(
    start: Callable[[str], ProcessRecord], tmp_path: Path
) -> None:
    """It may be done again."""
    record = start(PARENT)

    processes.stop(record, str(tmp_path))
    processes.stop(record, str(tmp_path))

    assert not processes.is_running(record)


def test_a_zombie_does_not_run() -> None:
    """It has ended; only its parent has not asked yet, and may never do."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, not yet waited for
        running = {process.pid for process in processes.running()}

    assert child.pid not in running


@pytest.mark.skipif(not shutil.which("ps"), reason="this machine has no ps")
def test_ps_tells_what_proc_tells() -> None:
    """MacOS has no /proc: the other way must see the same."""
    by_ps = {process.pid: process for process in processes.table_of_ps()}
    here = {process.pid: process for process in processes.running()}[os.getpid()]

    assert by_ps[here.pid].group == here.group
    assert by_ps[here.pid].command.split()[0] == here.command.split()[0]
    assert len(by_ps[here.pid].born.split()) == 5
