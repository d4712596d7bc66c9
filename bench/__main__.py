"""``make bench``: every benchmark, one after the other; each compares ratios with its budget."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

BENCHMARKS: Final = (
    "ingest_start",
    "delivery_speed",
    "delivery_scale",
    "claims",
    "acquisition_lookups",
    "sandbox_speed",
)
SECONDS: Final = 900


def run_all() -> int:
    """Run each in its own process, so that none warms another up.

    Returns:
        0, or 1 if a benchmark is over its budget.
    """
    over = False
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        try:
            done = subprocess.run(  # noqa: S603 - our own modules
                [sys.executable, "-m", f"bench.{name}"], timeout=SECONDS, check=False
            )
            over |= done.returncode != 0
        except subprocess.TimeoutExpired:
            print(f"{name} took over {SECONDS} s", flush=True)
            over = True
    return int(over)


if __name__ == "__main__":
    sys.exit(run_all())
