"""`make audit`: does the package index know of vulnerabilities in what ships?

A Python index lists them for each release (https://docs.pypi.org/api/json/, `vulnerabilities`). A
mirror may answer for the newest release only. Then the audit names the others, and fails some day.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
LOCKS: Final = (ROOT / "layers" / "braze_bridge" / "requirements.txt",)
UNANSWERED_UNTIL: Final = date(2027, 5, 28)
"""After this day, a release without an answer fails the audit, so that none ages unseen."""

ANSWER_SECONDS: Final = 10
ASKED_AT_ONCE: Final = 8

_INDEX: Final = "from pip._internal.models.index import PyPI; print(PyPI.pypi_url)"
_PIN: Final = re.compile(r"([a-z0-9-]+)==([^\s;\\]+)")


def pinned(lock: str) -> dict[str, str]:
    """Read the releases of a lock, by package."""
    pins = (_PIN.match(line) for line in lock.splitlines())
    return {found[1]: found[2] for found in pins if found}


def problems(known: Mapping[str, Sequence[str] | None], today: date) -> Iterator[str]:
    """Judge what ships, one line a problem.

    Args:
        known: Ids of vulnerabilities by release; ``None`` if the index did not answer.
        today: In UTC.
    """
    for release, ids in known.items():
        if ids:
            yield f"{release} has known vulnerabilities: {', '.join(ids)}"
    unanswered = [release for release, ids in known.items() if ids is None]
    if unanswered and today > UNANSWERED_UNTIL:
        yield (
            f"look up {', '.join(unanswered)} at https://osv.dev or upgrade them, "
            "then move UNANSWERED_UNTIL by half a year"
        )


def vulnerabilities(index: str, package: str, version: str) -> list[str] | None:
    """Ask the index; ``None`` if it does not answer for this release."""
    for path in (f"{package}/{version}", package):
        try:
            with urllib.request.urlopen(f"{index}/{path}/json", timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - pip's own index, https
                found: dict[str, Any] = json.load(answer)
        except (OSError, ValueError):
            continue
        if found["info"]["version"] == version:
            listed = found.get("vulnerabilities", ())
            return [each["id"] for each in listed if not each.get("withdrawn")]
    return None


def main() -> int:
    """Audit; 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pip-python", required=True, help="an interpreter that has pip")
    python = parser.parse_args().pip_python
    index = subprocess.check_output([python, "-c", _INDEX], text=True).strip()  # noqa: S603 - ours
    shipped: dict[str, str] = {}
    for lock in LOCKS:
        shipped |= pinned(lock.read_text())
    releases = [f"{name}=={version}" for name, version in shipped.items()]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        answers = pool.map(partial(vulnerabilities, index), shipped, shipped.values())
        known = dict(zip(releases, answers, strict=True))
    for release, ids in known.items():
        said = "NOT AUDITED, no answer" if ids is None else ", ".join(ids) or "nothing known"
        sys.stdout.write(f"{release}: {said}\n")
    found = list(problems(known, datetime.now(UTC).date()))
    sys.stdout.writelines(f"{each}\n" for each in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
