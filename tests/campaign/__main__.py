"""Run one campaign: ``python -m tests.campaign --seed 1``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Final

ENVIRONMENT: Final = {
    # Sets of texts have another order in each process; a seed must give the same run.
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": os.pathsep.join(("functions", "layers/braze_bridge/python", ".")),
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "unused",
    "AWS_SECRET_ACCESS_KEY": "unused",
    "AWS_DEFAULT_REGION": "eu-central-1",
}


def main() -> int:
    """Run it, print the verdict, and end with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument(
        "--policy", choices=("verify", "verify_or_park", "resend", "park"), default="verify"
    )
    parser.add_argument("--variant", default="", help="what is broken on purpose")
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ |= ENVIRONMENT
        os.execv(sys.executable, [sys.executable, "-m", "tests.campaign", *sys.argv[1:]])  # noqa: S606 - itself
    # They need the environment's path.
    from tests.campaign.campaign import Campaign  # noqa: PLC0415
    from tests.campaign.judge import Judge  # noqa: PLC0415
    from tests.campaign.lambdas import Slot  # noqa: PLC0415

    began = time.monotonic()
    campaign = Campaign(given.seed, given.jobs, given.policy, given.variant)
    judge = Judge(campaign)
    slots = [Slot(campaign, number).run for number in range(1, campaign.lambdas + 1)]
    campaign.run(slots, judge.check_batch)
    verdict = judge.verdict()
    print(f"seed {given.seed}, {time.monotonic() - began:.0f} s: {verdict}")  # noqa: T201 - a program
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
