"""What a folder remembers of its stack, and that down leaves nothing of it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sandbox.stack import lifecycle, processes
from sandbox.stack.stack_file import FILE_NAME, StackFile

if TYPE_CHECKING:
    from pathlib import Path

STACK = StackFile(
    api_url="http://127.0.0.1:1/live",
    braze_url="http://127.0.0.1:2",
    braze_api_key="the-key",
    console_url="http://127.0.0.1:2/",
    tokens={"outgrow": "the-token", "iterate": "its-token"},
    queues={},
    tables={},
    secrets={},
    functions={},
    log_groups={},
    aws_endpoint_url="http://127.0.0.1:1",
    access_key_id="the-id",
    secret_access_key="the-secret",
    region="us-east-1",
    stack_name="bridge",
    logs="logs",
)


def started(folder: Path) -> processes.ProcessRecord:
    record = processes.start(
        "engine",
        [sys.executable, "-c", "import time; time.sleep(60)"],
        environment={"PATH": os.environ["PATH"]},
        folder=folder,
        log=folder / "engine.log",
    )
    (folder / "processes.json").write_bytes(lifecycle._RECORDS.dump_json([record]))
    return record


def test_down_ends_what_another_command_started(tmp_path: Path) -> None:
    """The records are all that it needs; the file and the scratch folder go, the logs stay."""
    record = started(tmp_path)
    STACK.write(tmp_path)
    (tmp_path / "tmp").mkdir()

    was_up = lifecycle.status(tmp_path)
    stopped = lifecycle.down(tmp_path)

    assert was_up == [("engine", record.pid, True)]
    assert stopped
    assert not processes.is_running(record)
    assert lifecycle.status(tmp_path) == []
    assert not (tmp_path / FILE_NAME).exists()
    assert not (tmp_path / "tmp").exists()
    assert (tmp_path / "engine.log").exists()


def test_down_without_a_stack_says_so(tmp_path: Path) -> None:
    """Twice is no mistake."""
    assert not lifecycle.down(tmp_path)


def test_a_stack_that_runs_is_not_started_again(tmp_path: Path) -> None:
    """Up finds it by its records and its file."""
    started(tmp_path)
    STACK.write(tmp_path)
    try:
        found, is_new = lifecycle.up(tmp_path, lambda _: None)
    finally:
        lifecycle.down(tmp_path)

    assert found == STACK
    assert not is_new


def test_a_stack_in_use_is_left_as_it_was(tmp_path: Path) -> None:
    """A `with` stops only what it started."""
    record = started(tmp_path)
    STACK.write(tmp_path)
    try:
        with lifecycle.local_stack(tmp_path) as found:
            assert found == STACK
        runs = processes.is_running(record)
    finally:
        lifecycle.down(tmp_path)

    assert runs


def test_the_stack_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """It holds tokens, which also stay out of a repr."""
    STACK.write(tmp_path)

    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0
    assert StackFile.read(tmp_path) == STACK
    assert "the-token" not in repr(STACK)
    assert "the-key" not in repr(STACK)
