"""Start, stop and show a local stack; whatever happens, nothing is left running."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import shutil
import time
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter

from sandbox.stack import deployment, interrupts, processes, servers
from sandbox.stack.environments import ROOT
from sandbox.stack.stack_file import FILE_NAME, AccessKey, StackFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.stack.processes import ProcessRecord

DEFAULT_FOLDER: Final = ROOT / ".local"

_RECORDS: Final = TypeAdapter(list[processes.ProcessRecord])

_STARTS: Final = 3
"""Another program may take a free port before our server binds it: then we choose another."""


class StackError(Exception):
    """A step failed; the text names the step, and the log, if any."""


def up(folder: Path, say: Callable[[str], None]) -> tuple[StackFile, bool]:
    """Start a stack, unless it runs already.

    Args:
        folder: Holds everything that belongs to this stack; two stacks have two folders.
        say: Takes the progress, in pieces of a line.

    Returns:
        The stack, and whether it was started now.

    Raises:
        StackError: A step failed. Nothing runs then.
    """
    folder = folder.resolve()
    with _locked(folder):
        if _is_up(folder):
            return StackFile.read(folder), False
        _stop_all(folder)
        try:
            return _start(folder, say), True
        except BaseException:
            with interrupts.postponed():
                _stop_all(folder)
            raise


def down(folder: Path) -> bool:
    """Stop a stack.

    Returns:
        Whether anything ran.

    Raises:
        StackError: Something could not be ended.
    """
    folder = folder.resolve()
    with _locked(folder), interrupts.postponed():
        return _stop_all(folder)


def status(folder: Path) -> list[tuple[str, int, bool]]:
    """Return name, pid and whether it runs of every server in the folder's records."""
    return [(record.name, record.pid, processes.is_running(record)) for record in _records(folder)]


@contextlib.contextmanager
def local_stack(folder: Path, say: Callable[[str], None] | None = None) -> Iterator[StackFile]:
    """Run a stack for the time of a `with`.

    SIGTERM and SIGHUP act as Ctrl-C does, so that the servers end then, too.

    Args:
        folder: As for :func:`up`. A stack that runs there already is used, and left as it is.

    Raises:
        StackError: A step failed.
    """
    with interrupts.terminated_like_interrupted():
        stack, is_ours = up(folder, say or _silently)
        try:
            yield stack
        finally:
            if is_ours:
                down(folder)


def _start(folder: Path, say: Callable[[str], None]) -> StackFile:
    logs = folder / "logs"
    scratch = folder / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    for needed in (logs, scratch):
        needed.mkdir(parents=True, exist_ok=True)

    braze_key, quikly_key = secrets.token_hex(16), secrets.token_hex(16)
    key = AccessKey.random()
    engine = servers.Engine(key, scratch=scratch, log=logs / "engine.log")
    braze = servers.StandInBraze(key=braze_key, quikly_key=quikly_key, log=logs / "braze.log")
    # Both start in the background while the build, which needs neither, takes its time.
    for server in (engine, braze):
        _launch(server, folder)
    with _step("build", say, logs / "build.log"):
        deployment.build(folder / "build", logs / "build.log")
    for server in (engine, braze):
        with _step(server.name, say, server.log):
            _wait_until_it_answers(server, folder)
    with _step("deploy", say, logs / "deploy.log"):
        deployment.deploy(
            folder / "build",
            logs / "deploy.log",
            key,
            endpoint_url=engine.url,
            braze_url=braze.url,
        )
    with _step("secrets", say, logs / "deploy.log"):
        stack = deployment.describe(
            key,
            endpoint_url=engine.url,
            braze_url=braze.url,
            braze_api_key=braze_key,
            quikly_api_key=quikly_key,
            logs=logs,
        )
    with _step("functions", say, engine.log):
        deployment.probe(stack)
    with _step("page", say, braze.log):
        deployment.introduce(stack)
    stack.write(folder)
    return stack


def _launch(server: servers.Server, folder: Path) -> None:
    with interrupts.postponed():
        record = processes.start(
            server.name,
            server.command(),
            environment=server.environment(),
            folder=ROOT,
            log=server.log,
        )
        others = [known for known in _records(folder) if known.name != server.name]
        (folder / "processes.json").write_bytes(_RECORDS.dump_json([*others, record], indent=2))


def _wait_until_it_answers(server: servers.Server, folder: Path) -> None:
    for _ in range(_STARTS):
        record = next(known for known in _records(folder) if known.name == server.name)
        deadline = time.monotonic() + servers.START_SECONDS
        while processes.is_running(record):
            if server.answers():
                return
            if time.monotonic() > deadline:
                raise StackError(f"no answer within {servers.START_SECONDS} s")
            time.sleep(0.1)
        if "address already in use" not in server.log.read_text(errors="replace").lower():
            break
        server.take_another_port()
        _launch(server, folder)
    raise StackError("it ended at once")


@contextlib.contextmanager
def _step(name: str, say: Callable[[str], None], log: Path | None) -> Iterator[None]:
    """Print one line of progress; a failure names the step and its log."""
    began = time.monotonic()
    say(f"  {name:<12} ... ")
    try:
        yield
    except (
        StackError,
        OSError,
        BotoCoreError,
        ClientError,
        deployment.DeploymentError,
    ) as error:
        say("failed\n")
        where = f"\nlog: {log}{_tail(log)}" if log else ""
        raise StackError(f"step {name} failed: {error}{where}") from error
    say(f"{time.monotonic() - began:.1f} s\n")


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
    return "".join(f"\n  | {line}" for line in lines)


def _is_up(folder: Path) -> bool:
    if not (folder / FILE_NAME).exists():
        return False
    known = status(folder)
    return bool(known) and all(runs for _, _, runs in known)


def _stop_all(folder: Path) -> bool:
    (folder / FILE_NAME).unlink(missing_ok=True)
    ran, stuck = False, []
    for record in _records(folder):
        ran = ran or bool(processes.members(record, str(folder)))
        try:
            processes.stop(record, str(folder))
        except processes.StillRunningError as error:
            stuck.append(str(error))
    if stuck:
        raise StackError("; ".join(stuck))
    (folder / "processes.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    return ran


def _records(folder: Path) -> list[ProcessRecord]:
    file = folder / "processes.json"
    return _RECORDS.validate_json(file.read_bytes()) if file.exists() else []


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Allow one command at a time for a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _silently(_piece: str) -> None:
    """Take progress and say nothing."""
