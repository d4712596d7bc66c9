"""How many acquisitions a minute a workspace with Braze's 250 look-ups a minute sustains.

Run with `python -m bench.acquisition_lookups`. A simulation on a virtual clock runs the real
worker, workflow, gate and sweep. Its fakes answer as Braze does: the limit per clock minute, 200 ms
a call, 20 at a time. People sign up for e-mail at an even rate for some minutes; a rate is
sustained if the last of them is credited within two minutes of signing up. Without look-ups, many
people sign up at once instead, and what counts is how fast they are credited.

Exits with 1 if less is sustained than 90 % of the arithmetic: a minute's look-ups, less the gate's
reserve of 2.5 %, over the share of people who must be looked up; or, without look-ups, less than
ten times the limit.
"""

from __future__ import annotations

import math
import random
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from braze_bridge.gate.rules import reserve
from quikly_acquisition.models import PersonKey, State
from quikly_acquisition.records import Known
from tests.fakes.acquisitions import RULES, Simulation, record
from tests.fakes.gate import InMemoryGate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from braze_bridge.handlers import SqsMessage
    from quikly_acquisition.models import AcquisitionRecord

LIMIT = 250
SHARES_KNOWN = (0.0, 0.5, 0.9)
MINUTES = 5
RUSH = 3_000
CROWD = 1_000
MOST_OVER = 1.35
"""Acquisitions wait for a gate for random times, so the last minutes of a rush are not full."""
LATENCY = 0.2
AT_ONCE = 20
RATIOS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
"""Of what the arithmetic allows, tried from the top."""
ENOUGH = 0.9
MOST_SECONDS = 120.0
WORKERS = 2
"""As many as the template allows; one runs at a time here, which is the harder case."""


class Rush(Simulation):
    """A simulation whose batches take the time that their calls would take."""

    def __init__(self, *, lookup: str, seed: int) -> None:
        rule = RULES["news"]._replace(lookup="none" if lookup == "none" else "export")
        chance = random.Random(seed)
        super().__init__(
            rules={"news": rule},
            gate=lambda clock: InMemoryGate(clock, lambdas=WORKERS),
            jitter=chance.random,
        )
        self.braze.export_limit = LIMIT

    def work(self, messages: Sequence[SqsMessage]) -> None:
        """Work one batch, and add the time of its calls: each kind together, 20 at a time."""
        calls, credits_ = len(self.braze.calls), self.quikly.asked
        super().work(messages)
        kinds: dict[str, int] = {"credit": self.quikly.asked - credits_}
        for _, name, _ in self.braze.calls[calls:]:
            kinds[name] = kinds.get(name, 0) + 1
        rounds = sum(math.ceil(count / AT_ONCE) for count in kinds.values())
        self.clock.advance(rounds * LATENCY)

    def know(self, new: AcquisitionRecord) -> None:
        """Remember a person as found recently."""
        known = Known(kind="external_id", value=f"id-{new.acquisition_id}", seen_at=new.created_at)
        self.records.remember({PersonKey("email", str(new.email)): known})

    def wait_of(self, id_: str) -> float:
        """Return the seconds from sign-up to credit."""
        kept = self.stored(id_)
        if kept.state is not State.CREDITED:
            raise AssertionError(kept.reason)
        return (kept.history[-1].at - kept.created_at).total_seconds()


def person(number: int, at: datetime) -> AcquisitionRecord:
    """Return a sign-up of another person."""
    return record(number=number, email=f"p{number}@example.com", at=at)


def waits(rate: float, share_known: float) -> list[float]:
    """Let people sign up at so many a minute, and see how long each waits, sorted."""
    sim = Rush(lookup="export", seed=1)
    chance = random.Random(2)
    ids = []
    start = sim.clock.now()
    for number in range(int(rate * MINUTES)):
        at = start + timedelta(minutes=number / rate)
        if at > sim.clock.now():
            sim.run_for((at - sim.clock.now()).total_seconds())
        new = person(number, at)
        if chance.random() < share_known:
            sim.know(new)
        ids.append(sim.begin(new))
    sim.run()
    return sorted(sim.wait_of(id_) for id_ in ids)


def sustained(share_known: float) -> bool:
    """Find and print the highest rate that is sustained.

    Returns:
        Whether it is enough.
    """
    possible = (LIMIT - reserve(LIMIT)) / (1 - share_known)
    for ratio in RATIOS:
        found = waits(possible * ratio, share_known)
        if found[-1] <= MOST_SECONDS:
            middle, late = found[len(found) // 2], found[int(len(found) * 0.95)]
            print(
                f"{share_known:4.0%} known: {possible * ratio:6.0f} acquisitions/min "
                f"({ratio:.0%} of the arithmetic), sign-up to credit "
                f"{middle:.1f} s median, {late:.1f} s p95, {found[-1]:.1f} s at most",
                flush=True,
            )
            return ratio >= ENOUGH
    print(f"{share_known:4.0%} known: nothing sustained", flush=True)
    return False


def rush() -> bool:
    """Print how fast a rush of unknown people is credited.

    Returns:
        Whether it is enough.
    """
    sim = Rush(lookup="export", seed=1)
    start = sim.clock.now()
    for number in range(CROWD):
        sim.begin(person(number, start))
    sim.run()
    minutes = (sim.clock.now() - start).total_seconds() / 60
    least = CROWD / (LIMIT - reserve(LIMIT))
    refused = sum(result.figures.rate_limited for result in sim.results)
    print(
        f"  {CROWD} unknown people at once: {minutes:.1f} min, {least:.1f} by the arithmetic; "
        f"{refused} answers 429",
        flush=True,
    )
    return minutes <= least * MOST_OVER and refused == 0


def drained() -> bool:
    """Print how fast a rush is credited without look-ups.

    Returns:
        Whether it is enough.
    """
    sim = Rush(lookup="none", seed=1)
    start = sim.clock.now()
    for number in range(RUSH):
        sim.begin(person(number, start))
    sim.run()
    seconds = (sim.clock.now() - start).total_seconds()
    rate = RUSH / seconds * 60
    asked = sim.braze.named().count("track")
    print(
        f'lookup = "none": {rate:6.0f} acquisitions/min a worker ({WORKERS} run), '
        f"{asked} requests to /users/track for {RUSH} people; not limited by look-ups"
    )
    return rate >= 10 * LIMIT


def run() -> int:
    """Run every measurement.

    Returns:
        0, or 1 if something is under its bound.
    """
    began = time.monotonic()
    enough = [sustained(share) for share in SHARES_KNOWN]
    enough += [rush(), drained()]
    print(f"({time.monotonic() - began:.0f} s)")
    return 0 if all(enough) else 1


if __name__ == "__main__":
    sys.exit(run())
