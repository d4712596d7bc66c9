"""The stand-in's OpenAPI document, and what a fuzzer finds with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.sandbox.caller import KEY, TIMEOUT, Caller
from tests.functional.sandbox.test_checks_before_the_body import ENDPOINTS

TIME_FOR_FUZZING = 300
"""A drawn case takes 0.14 s of CPU time, so 150 an endpoint took 345 s: 25 is the bound."""


def test_document_has_every_endpoint(braze: Caller) -> None:
    """The served document holds exactly the endpoints, each with its method."""
    document = braze.control("openapi.json")

    assert document["openapi"].startswith("3.")
    assert {path: next(iter(item)).upper() for path, item in document["paths"].items()} == {
        path: method for path, (method, _) in ENDPOINTS.items()
    }


def fuzz(braze: Caller, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    document = folder / "openapi.json"
    document.write_bytes(
        braze.session.get(f"{braze.url}/_sandbox/openapi.json", timeout=TIMEOUT).content,
    )
    return subprocess.run(  # noqa: S603 -- literal arguments
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            str(document),
            f"--url={braze.url}",
            f"--header=Authorization: Bearer {KEY}",
            "--checks=not_a_server_error",
            "--mode=all",
            "--seed=1",
            "--no-color",
            *more,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIME_FOR_FUZZING,
        check=False,
    )


@pytest.mark.timeout(TIME_FOR_FUZZING)
@pytest.mark.parametrize(
    "examples",
    [1, pytest.param(25, marks=pytest.mark.campaign)],
)
def test_fuzzer_finds_no_5xx(braze: Caller, tmp_path: Path, examples: int) -> None:
    """Whatever the document allows, and what it forbids, is never answered with a 5xx."""
    done = fuzz(
        braze,
        tmp_path,
        "--phases=coverage,fuzzing",
        f"--max-examples={examples}",
    )

    assert done.returncode == 0, done.stdout[-5_000:]
    assert len(braze.logged()) > examples * len(ENDPOINTS)
    assert {row["path"] for row in braze.logged()} >= ENDPOINTS.keys()


def test_fuzzer_sees_a_5xx(braze: Caller, tmp_path: Path) -> None:
    """A negative control: a single 500 among the answers makes the fuzzer fail."""
    braze.fault(path="/users/delete", status=500)

    done = fuzz(
        braze,
        tmp_path,
        "--include-path=/users/delete",
        "--phases=fuzzing",
        "--max-examples=5",
    )

    assert done.returncode == 1
    assert "500" in done.stdout
