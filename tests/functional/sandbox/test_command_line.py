"""`python -m sandbox`."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[3]
TIMEOUT = (2, 10)


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(  # noqa: S603 -- our own module and literal arguments
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_on_a_free_port_until_told_to_stop(number: signal.Signals) -> None:
    """Port 0 prints a loopback URL that answers at once; a signal ends it with 0, quietly."""
    with started("--port", "0", "--key", "k", "--quikly-key", "q") as (process, url):
        health = requests.get(f"{url}/_sandbox/health", timeout=TIMEOUT)
        tracked = requests.post(
            f"{url}/users/track",
            json={"attributes": [{"external_id": "u"}]},
            headers={"Authorization": "Bearer k"},
            timeout=TIMEOUT,
        )
        quikly = requests.get(f"{url}/_sandbox/quikly", timeout=TIMEOUT).json()
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)

    assert url.startswith("http://127.0.0.1:")
    assert health.json()["status"] == "ok"
    assert (tracked.status_code, quikly["key"]) == (201, "q")
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])  # noqa: S104 -- refused
def test_binds_loopback_only(host: str) -> None:
    """Any other address than loopback is refused."""
    with started("--port", "0", "--host", host) as (process, url):
        _, errors = process.communicate(timeout=10)

    assert (process.returncode, url) == (2, "")
    assert "not a loopback address" in errors


def test_taken_port_is_told() -> None:
    """A port in use ends with 2 and a reason."""
    with started("--port", "0") as (_, url):
        port = url.rsplit(":", 1)[1]
        with started("--port", port) as (process, printed):
            _, errors = process.communicate(timeout=10)

    assert (process.returncode, printed) == (2, "")
    assert errors.startswith("cannot serve: ")


def documented_lines() -> list[str]:
    page = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
    found = re.search(r"```\n(.+?)\n```", page, re.DOTALL)
    assert found is not None
    return found[1].splitlines()


def test_the_first_lines_of_the_page_work() -> None:
    """`make braze` starts the stand-in; the client in the second line reaches the profile."""
    start, call, look = documented_lines()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    # Under `make test` this is a make within make, which would print its folder first.
    quiet = ("make", "--no-print-directory")
    made = [*quiet, f"BRAZE_PORT={port}", f"PYTHON={sys.executable}", *start.split()[1:2]]
    with subprocess.Popen(  # noqa: S603 -- the line of our own page
        made, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            printed = process.stdout.readline()
            url = process.stdout.readline().strip()
            answer = subprocess.check_output(  # noqa: S602 -- the line of our own page
                call.replace(":8100", f":{port}"), shell=True, cwd=ROOT, text=True, timeout=60
            )
            address = look.removeprefix("curl ").replace(":8100", f":{port}")
            (profile,) = requests.get(address, timeout=TIMEOUT).json()
        finally:
            os.killpg(process.pid, signal.SIGTERM)

    assert "sandbox-braze-key" in printed
    assert url == f"http://127.0.0.1:{port}"
    assert answer == "{'attributes_processed': 1, 'message': 'success'}\n"
    assert (profile["external_id"], profile["custom_attributes"]) == ("ana", {"score": 80})
