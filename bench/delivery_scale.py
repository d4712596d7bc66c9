"""Do ten delivery Lambdas use all of Braze's limit? A simulation on a virtual clock.

``python -m bench.delivery_scale --cpu-us 55 --memory 1024``. Without ``--cpu-us`` it
takes the figure of :mod:`bench.delivery_speed`. The budget is at least 97 % of the limit, and at
most 0.1 % answers 429.

The gate is the real one: :mod:`braze_bridge.gate.shared` and its rules. The rest is this model:

- Braze takes 3,000 requests in each window of 3 s, counted when half of the latency is over. Its
  answer tells what remains. A further request gets a 429.
- There is always a full batch in the queue. Between two invocations pass 30 ms (assumed), and
  Lambda's `json.loads` of the event costs 5 µs of CPU a job (measured).
- A Lambda has ``memory / 1769`` of a core, at most one, since Python uses no more
  (docs.aws.amazon.com/lambda, developer guide, configuration-memory). One thing runs at a time. The
  CPU a job is spent half before its request, a tenth with it, four tenths after it (the profile).
- Chunks are parsed and leased, some at the same time: reads of 100 people, writes of 25, eight at a
  time, 5 ms each. The requests of a chunk start as soon as the gate and ``concurrency`` allow. When
  all are answered, it is recorded: writes of 25. A chunk of the whole batch is no overlap.
- If the gate closes, what has not started goes back to the queue: ten messages a call, eight calls
  at a time, 5 ms each and 0.5 ms of CPU. A batch that finds the gate closed goes back whole.
- A read of the gate's items, each half second, blocks the Lambda for 5 ms.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Final

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.braze.rate_limits import RateLimit
from braze_bridge.gate.rules import RATE_LIMITED
from tests.fakes.gate import InMemoryGate, InMemoryGateStore

if TYPE_CHECKING:
    from collections.abc import Generator

    Process = Generator[float, None, None]
    """Yields the seconds until it goes on."""

LIMIT: Final = 3_000
WINDOW: Final = 3.0
OBJECTS: Final = 75
BEGINNING: Final = 1_800_000_000.0
"""Epoch seconds at which a window begins."""

SLACK: Final = 1e-6

WARM_UP: Final = 2 * WINDOW
BEFORE, WITH, AFTER = 0.5, 0.1, 0.4
"""Shares of the CPU a job."""

PARSING: Final = 0.1
"""Share of the CPU a job that a batch in front of a closed gate needs."""

CALL: Final = 0.005
GLANCE: Final = 0.002
"""A batch looks so often whether all is done."""

CALLS_AT_ONCE: Final = 8
READ, WRITE, HIDE = 100, 25, 10
HIDE_CPU: Final = 0.5e-3
FULL_CORE: Final = 1_769
ENOUGH: Final = 0.97
MOST_REFUSED: Final = 0.001
FAMILY: Final = EndpointFamily.TRACK


@dataclass(frozen=True)
class Setup:
    """What is simulated; by default what is deployed.

    Attributes:
        cpu_us: A job, on a whole core.
        batch: Jobs.
        chunk: Jobs that are leased and recorded together.
        leasing: Chunks that are leased at the same time.
        concurrency: Requests of one Lambda at the same time.
        memory: In MB.
        latency: Of Braze, seconds.
        objects: A job's, on average.
        seconds: Simulated.
        invoke: Seconds between two invocations.
        event_cpu: Seconds a job, to parse Lambda's event.
    """

    cpu_us: float
    batch: int = 4_500
    chunk: int = 225
    leasing: int = 3
    concurrency: int = 80
    memory: int = 1_769
    lambdas: int = 10
    latency: float = 0.2
    objects: float = 1.0
    seconds: float = 30.0
    invoke: float = 0.030
    event_cpu: float = 5e-6


@dataclass(slots=True)
class Usage:
    """What was counted after the warm-up.

    Attributes:
        cpu: Busy seconds of all Lambdas.
        full: Seconds in which a Lambda had as many requests in flight as allowed.
        closed: Batches that met or reached a closed gate.
        received: Jobs.
    """

    accepted: int = 0
    refused: int = 0
    cpu: float = 0.0
    full: float = 0.0
    closed: int = 0
    received: int = 0
    delivered: float = 0.0


class Timeline:
    """The virtual clock, and what happens when."""

    def __init__(self, end: float) -> None:
        self.seconds = 0.0
        self.end = end
        self._waiting: list[tuple[float, int, Process]] = []
        self._numbers = count()

    def now(self) -> datetime:
        """See :class:`braze_bridge.clock.Clock`."""
        return datetime.fromtimestamp(BEGINNING, UTC) + timedelta(seconds=self.seconds)

    @property
    def is_warm(self) -> bool:
        """Whether counting has begun."""
        return self.seconds >= WARM_UP

    def start(self, process: Process, after: float = 0.0) -> None:
        """Begin a process."""
        heapq.heappush(
            self._waiting, (self.seconds + max(after, 0.0), next(self._numbers), process)
        )

    def run(self) -> None:
        """Let everything happen, until the end."""
        while self._waiting and self.seconds < self.end:
            self.seconds, _, process = heapq.heappop(self._waiting)
            for wait in process:
                self.start(process, wait)
                break


class Braze:
    """A limit in fixed windows."""

    def __init__(self, time: Timeline, usage: Usage) -> None:
        self._time = time
        self._usage = usage
        self._counts: dict[int, int] = {}

    def take(self) -> tuple[bool, RateLimit]:
        """Count a request; return whether it is accepted, and the headers."""
        window = int(self._time.seconds // WINDOW)
        used = self._counts.get(window, 0)
        is_taken = used < LIMIT
        if is_taken:
            used = self._counts[window] = used + 1
        if self._time.is_warm:
            self._usage.accepted += is_taken
            self._usage.refused += not is_taken
        return is_taken, RateLimit(LIMIT, LIMIT - used, BEGINNING + (window + 1) * WINDOW)


@dataclass(slots=True)
class Chunk:
    """Jobs that are leased and recorded together.

    Attributes:
        open: Requests without an answer, and one while it is leased.
    """

    jobs: int
    open: int = 1


class Lambda:
    """One execution environment, which takes batch after batch."""

    def __init__(
        self, setup: Setup, time: Timeline, braze: Braze, gate: InMemoryGate, usage: Usage
    ) -> None:
        self._setup = setup
        self._time = time
        self._braze = braze
        self._gate = gate
        self._usage = usage
        self._core = min(setup.memory / FULL_CORE, 1.0)
        self._free_at = 0.0
        self._in_flight = 0
        self._full_since = 0.0
        self._ready: deque[tuple[Chunk, float]] = deque()
        self._loose = 0.0
        self._leased = 0
        self._busy = 0
        self._unprepared = 0
        self._away = False

    def batches(self) -> Process:
        """Take batches for ever."""
        setup = self._setup
        while True:
            self._count(received=setup.batch)
            yield setup.invoke + self._cpu(setup.event_cpu * setup.batch)
            yield CALL
            if self._gate.admit(FAMILY).closed_until is not None:
                self._count(closed=1)
                yield self._cpu(self._job_cpu(setup.batch, PARSING))
                yield from self._hide(setup.batch)
                continue
            self._away = False
            self._ready.clear()
            self._loose, self._leased = 0.0, 0
            self._unprepared = setup.batch
            self._busy = setup.leasing
            for _ in range(setup.leasing):
                self._time.start(self._prepare())
            while self._busy:
                yield GLANCE
            back = self._unprepared + self._loose + sum(jobs for _, jobs in self._ready)
            if back > SLACK:
                self._count(closed=1)
                yield from self._hide(round(back))

    @property
    def _jobs_a_request(self) -> float:
        return OBJECTS / self._setup.objects

    def _prepare(self) -> Process:
        """Parse, lease and encode chunk after chunk."""
        while self._unprepared and not self._away:
            jobs = min(self._setup.chunk, self._unprepared)
            self._unprepared -= jobs
            yield self._cpu(self._job_cpu(jobs, BEFORE))
            yield _calls(jobs, READ) + _calls(jobs, WRITE)
            chunk = Chunk(jobs)
            self._busy += 1
            self._fill(chunk)
            self._answered(chunk)
            self._pump()
        self._busy -= 1

    def _fill(self, chunk: Chunk) -> None:
        """Make full requests; the objects that are left wait for the next chunk."""
        self._loose += chunk.jobs
        self._leased += chunk.jobs
        is_last = self._leased == self._setup.batch
        while self._loose >= self._jobs_a_request or (is_last and self._loose > SLACK):
            jobs = min(self._jobs_a_request, self._loose)
            self._loose -= jobs
            chunk.open += 1
            self._ready.append((chunk, jobs))

    def _pump(self) -> None:
        """Start what may start; give up if the gate is closed and nothing is in flight."""
        while self._ready and not self._away and self._in_flight < self._setup.concurrency:
            reads = self._gate.store.reads
            may_start = self._gate.may_start(FAMILY, self._in_flight)
            if self._gate.store.reads > reads:
                self._free_at = max(self._free_at, self._time.seconds) + CALL
            if not may_start:
                if not self._in_flight:
                    self._stay_away()
                return
            self._in_flight += 1
            if self._in_flight == self._setup.concurrency:
                self._full_since = self._time.seconds
            self._time.start(self._request(*self._ready.popleft()))

    def _stay_away(self) -> None:
        self._away = True
        for chunk, _ in self._ready:
            self._answered(chunk)

    def _request(self, chunk: Chunk, jobs: float) -> Process:
        yield self._cpu(self._job_cpu(jobs, WITH))
        yield self._setup.latency / 2
        is_taken, limit = self._braze.take()
        yield self._setup.latency / 2
        if self._in_flight == self._setup.concurrency:
            self._count(full=self._time.seconds - max(self._full_since, WARM_UP))
        self._in_flight -= 1
        if is_taken:
            self._count(delivered=jobs)
            self._gate.record_success(FAMILY, limit)
        else:
            until = datetime.fromtimestamp(limit.reset_at or 0.0, UTC)
            self._gate.close(FAMILY, until, RATE_LIMITED)
            self._stay_away()
        self._answered(chunk)
        self._pump()

    def _answered(self, chunk: Chunk) -> None:
        chunk.open -= 1
        if not chunk.open:
            self._time.start(self._record(chunk.jobs))

    def _record(self, jobs: int) -> Process:
        yield self._cpu(self._job_cpu(jobs, AFTER))
        yield _calls(jobs, WRITE)
        self._busy -= 1

    def _hide(self, jobs: int) -> Process:
        yield self._cpu(ceil(jobs / HIDE) * HIDE_CPU)
        yield _calls(jobs, HIDE)

    def _job_cpu(self, jobs: float, share: float) -> float:
        return jobs * share * self._setup.cpu_us / 1e6

    def _cpu(self, seconds: float) -> float:
        """Reserve the CPU; return after how many seconds the work is done."""
        begin = max(self._free_at, self._time.seconds)
        self._free_at = begin + seconds / self._core
        self._count(cpu=seconds / self._core)
        return self._free_at - self._time.seconds

    def _count(self, **figures: float) -> None:
        if self._time.is_warm:
            for name, figure in figures.items():
                setattr(self._usage, name, getattr(self._usage, name) + figure)


def _calls(items: float, each: int) -> float:
    """Compute the seconds of calls side by side."""
    return ceil(ceil(items / each) / CALLS_AT_ONCE) * CALL


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome.

    Attributes:
        used: Share of Braze's limit, by objects: a request that is not full counts less.
        refused: Share of answers that are 429.
        cpu: Share of the Lambdas' CPU that is busy.
        receives: A job's, on average.
        binds: What limits the throughput.
    """

    used: float
    refused: float
    cpu: float
    receives: float
    binds: str

    @property
    def is_enough(self) -> bool:
        """Whether the budget is kept."""
        return self.used >= ENOUGH and self.refused <= MOST_REFUSED


def simulate(setup: Setup) -> Result:
    """Run the Lambdas."""
    usage = Usage()
    time = Timeline(WARM_UP + setup.seconds)
    braze = Braze(time, usage)
    store = InMemoryGateStore()
    chance = random.Random(1)
    for _ in range(setup.lambdas):
        gate = InMemoryGate(time, store, setup.lambdas)
        time.start(Lambda(setup, time, braze, gate, usage).batches(), chance.random())
    time.run()
    used = usage.delivered * setup.objects / (setup.seconds / WINDOW * LIMIT * OBJECTS)
    cpu = usage.cpu / setup.lambdas / setup.seconds
    full = usage.full / setup.lambdas / setup.seconds
    binds = "waiting: more overlap or larger batches"
    if used >= ENOUGH - 0.01:
        binds = "Braze's limit"
    elif cpu >= 0.9:
        binds = "CPU"
    elif full >= 0.5:
        binds = "SendConcurrency"
    answers = max(usage.accepted + usage.refused, 1)
    receives = usage.received / max(usage.delivered, 1.0)
    return Result(used, usage.refused / answers, cpu, receives, binds)


def measured_cpu(scenario: str) -> float:
    """Take the CPU a job from the speed benchmark, in µs, on the machine of the budgets."""
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "bench.delivery_speed", "--json", "--quick", "--scenario", scenario],
        stdout=subprocess.PIPE,
        timeout=600,
        check=True,
    )
    return float(json.loads(done.stdout)["quiet_cpu"][scenario])


def show(setup: Setup) -> Result:
    """Simulate, and print one line."""
    result = simulate(setup)
    print(
        f"{setup.cpu_us:6.0f} {setup.batch:6} {setup.chunk:6} {setup.concurrency:5} "
        f"{setup.memory:6} {result.used:7.1%} {result.refused:7.2%} {result.cpu:5.0%} "
        f"{result.receives:5.2f}  {result.binds}",
        flush=True,
    )
    return result


def to_raw_posting(cpu_us: float, connections: int, latency: float) -> float:
    """Simulate what the speed benchmark measures, on a machine without other work."""
    alone = Setup(cpu_us, concurrency=connections, latency=latency, lambdas=1, seconds=15.0)
    used = simulate(replace(alone, invoke=0.0, event_cpu=0.0)).used
    return used * LIMIT / WINDOW / (connections / latency)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    options = argparse.ArgumentParser(description="Ten delivery Lambdas against Braze's limit.")
    options.add_argument("--cpu-us", type=float, help="a job; measured if it is not given")
    options.add_argument("--scenario", choices=["new", "mix"], default="new", help="to measure")
    options.add_argument("--batch", type=int, default=Setup.batch)
    options.add_argument("--chunk", type=int, default=Setup.chunk, help="jobs leased together")
    options.add_argument("--leasing", type=int, default=Setup.leasing, help="chunks at a time")
    options.add_argument("--concurrency", type=int, default=Setup.concurrency)
    options.add_argument("--memory", type=int, default=Setup.memory, help="MB")
    options.add_argument("--lambdas", type=int, default=Setup.lambdas)
    options.add_argument("--latency-ms", type=float, default=200.0)
    options.add_argument("--objects", type=float, default=1.0, help="a job, on average")
    return options.parse_args()


def run() -> bool:
    """Simulate what was asked for, and judge it."""
    options = parse_options()
    setup = Setup(
        options.cpu_us or measured_cpu(options.scenario),
        options.batch,
        options.chunk,
        options.leasing,
        options.concurrency,
        options.memory,
        options.lambdas,
        options.latency_ms / 1000,
        options.objects,
    )
    print("CPU us  batch  chunk  conc memory   used     429   CPU  recv. what binds")
    kept = show(setup).is_enough
    for connections in (20, 80):
        ratios = (to_raw_posting(setup.cpu_us, connections, latency) for latency in (0.05, 0.2))
        print(
            f"one Lambda to raw posting, {connections} connections:",
            " and ".join(f"{ratio:.2f}" for ratio in ratios),
            "at 50 and 200 ms",
        )
    print(f"used >= {ENOUGH:.0%}, 429 <= {MOST_REFUSED:.1%}: {'ok' if kept else 'missed'}")
    return kept


if __name__ == "__main__":
    sys.exit(0 if run() else 1)
