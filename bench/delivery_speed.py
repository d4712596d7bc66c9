"""What delivery costs and how fast it is, as deployed: CPU a job, throughput, requests, memory.

The whole handler runs with the dependencies that it builds itself, from environment variables:
batch of SQS messages in, ledger, gate, `/users/track`, log and metrics lines. DynamoDB and Braze
are servers on loopback, in processes of their own, that answer after a given delay. There is no
TLS. The parsing of Lambda's event is not in the figures, but measured beside them.

- CPU is the process's own, all threads, garbage collection included. It is also given as a multiple
  of `json.loads` of the same job bodies in the same run, since machines differ. The budgets are for
  a machine on which `json.loads` takes 4 µs: the multiple decides.
- The ratio is the throughput of the handler to that of posting the same ready-made bodies, with the
  same transport, pool and server. There is a backlog: the handler takes batch after batch, raw
  posting never pauses. Both run alternately.
- CPU against latency depends on the machine. So if `json.loads` takes 10 µs here and not 4, Braze's
  and DynamoDB's latencies are 2.5 times as long, too: the whole run is in slow motion.
- The ratios are judged with 20 connections. That is a Lambda's share of Braze's limit: 100 requests
  a second of 0.2 s are 20 in flight. With more, raw posting alone passes the limit.
- A second line for each scenario has the ledger in memory. It shows what DynamoDB costs.

Rounds of several batches are repeated, and the fastest counts: other work on the machine only adds.
Budgets: design, part 7.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import json
import os
import platform
import pstats
import re
import resource
import sys
import threading
import time
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from bench.delivery_jobs import MIX, NEW, SECRET, Scenario, known_memory, make_jobs
from bench.instant_http import running
from braze_bridge.braze.transport import HttpRequest, PooledTransport
from braze_bridge.clock import SystemClock
from tests.fakes.ledger import InMemoryLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.delivery_jobs import Jobs
    from braze_delivery.app import Dependencies

TEMPLATE: Final = Path(__file__).parents[1] / "template.yaml"

BATCHES: Final = 3
"""A round has so many different batches."""

ROUNDS: Final = 5
QUICK_ROUNDS: Final = 2
RATIO_ROUNDS: Final = 3
LATENCIES: Final = (0, 50, 200)
DYNAMODB_MS: Final = 5
JUDGED_CONNECTIONS: Final = 20
"""Braze takes 1,000 requests a second from ten Lambdas, and an answer takes 0.2 s."""

CPU_BUDGETS: Final = {NEW.name: 55.0, MIX.name: 80.0}
QUIET_LOADS: Final = {NEW.name: 4.0, MIX.name: 4.3}
"""µs of `json.loads` a job on the machine that the budgets are for."""

RATIO_BUDGETS: Final = {50: 0.55, 200: 0.80}
REQUESTS_BUDGET: Final = 1.02
MEMORY_BUDGET: Final = 256
PROFILE_LINES: Final = 40


def deployed(parameter: str) -> int:
    """Read a parameter's default from the template."""
    found = re.search(
        rf"^  {parameter}:\n(?:    .*\n)*?    Default: '?(\d+)", TEMPLATE.read_text(), re.MULTILINE
    )
    if found is None:
        raise LookupError(parameter)
    return int(found[1])


class Context:
    """Lambda's context of an invocation that has just begun."""

    function_name = "braze-delivery"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:braze-delivery"
    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    def get_remaining_time_in_millis(self) -> int:
        """Return the default of ``DeliveryTimeout``."""
        return 60_000


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one scenario with one ledger.

    Attributes:
        cpu: Microseconds a job.
        json_loads: Microseconds a job.
        ratios: Of throughput, by connections and Braze's latency in ms.
        requests: Divided by the minimum.
    """

    scenario: str
    ledger: str
    cpu: float
    json_loads: float
    ratios: dict[int, dict[int, float]]
    requests: float

    @property
    def quiet_cpu(self) -> float:
        """Microseconds a job on the machine that the budgets are for."""
        return self.cpu / self.json_loads * QUIET_LOADS[self.scenario]


def environment(aws_url: str) -> dict[str, str]:
    """Give the function's variables, besides those of a scenario."""
    return {
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_SESSION_TOKEN": "t" * 900,  # as long as a Lambda's
        "POWERTOOLS_SERVICE_NAME": "braze-delivery",
        "POWERTOOLS_METRICS_NAMESPACE": "Bench",
        "BRAZE_INSTANCE": "EU-01",
        "ALLOW_LOOPBACK_BRAZE": "true",
        "BRAZE_SECRET": "braze",
        "DELIVERY_QUEUE_URL": f"{aws_url}/queue",
        "REJECTED_TABLE": "rejected",
        "QUEUE_RETENTION_SECONDS": "1209600",
        "QUEUE_VISIBILITY_SECONDS": "360",
        "FUNCTION_TIMEOUT_SECONDS": "60",
        "JOB_SENDERS": "{}",
        "LEDGER_SECRET": "ledger",
    }


def build(scenario: Scenario, braze_url: str, connections: int) -> Dependencies:
    """Build the handler's own dependencies for one scenario and one Braze."""
    from braze_delivery.app import dependencies  # noqa: PLC0415 - reads the environment

    os.environ.update(
        LEDGER_TABLE=scenario.table,
        BRAZE_ENDPOINT=braze_url,
        SEND_CONCURRENCY=str(connections),
    )
    return dependencies.__wrapped__()


def deliver(dependencies: Dependencies, batches: Sequence[Jobs]) -> None:
    """Run an invocation for each batch."""
    from braze_bridge.handlers import answer_batch, background_handler  # noqa: PLC0415 - so do they
    from braze_delivery.app import handle  # noqa: PLC0415

    handler = background_handler(
        lambda event, seconds_left: answer_batch(event, seconds_left, handle, dependencies)
    )
    for jobs in batches:
        answer = handler(jobs.event, Context())  # type: ignore[arg-type]  # all that is used of it
        if answer["batchItemFailures"]:
            raise AssertionError("the benchmark does not measure what it should: it sent some back")


class Raw:
    """Posts ready-made bodies."""

    def __init__(self, url: str, connections: int) -> None:
        self._transport = PooledTransport(url, pool_size=connections)
        self._executor = ThreadPoolExecutor(connections)

    def post(self, batches: Sequence[Jobs]) -> None:
        """Post a backlog."""
        bodies = [body for jobs in batches for body in jobs.requests]
        for _ in self._executor.map(self._post, bodies):
            pass

    def _post(self, body: bytes) -> None:
        headers = {"Authorization": "Bearer key", "Content-Type": "application/json"}
        self._transport.send(HttpRequest("POST", "/users/track", headers, body))


def counts(url: str) -> dict[str, int]:
    """Ask the server how much came."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
        found: dict[str, int] = json.load(answer)
        return found


def seconds(work: Callable[[Sequence[Jobs]], None], batches: Sequence[Jobs]) -> tuple[float, float]:
    """Measure the elapsed and the CPU seconds of a round."""
    elapsed, cpu = time.perf_counter(), time.process_time()
    work(batches)
    return time.perf_counter() - elapsed, time.process_time() - cpu


def load_all(batches: Sequence[Jobs]) -> None:
    """Parse the bodies with the standard library."""
    for jobs in batches:
        for body in jobs.bodies:
            json.loads(body)


def slowness(tries: int = 5) -> float:
    """Measure how many times slower this machine is than the one that the budgets are for."""
    size = 2_000
    batches = [make_jobs(NEW, size, 0)]
    fastest = min(seconds(load_all, batches)[1] for _ in range(tries))
    return fastest / size * 1e6 / QUIET_LOADS[NEW.name]


class Speed:
    """Measures one scenario.

    Args:
        braze_urls: By latency in ms.
    """

    def __init__(
        self, scenario: Scenario, braze_urls: dict[int, str], batch: int, connections: int
    ) -> None:
        self._scenario = scenario
        self._urls = braze_urls
        self._connections = connections
        self._batches = [make_jobs(scenario, batch, n * batch) for n in range(BATCHES)]
        self._jobs = batch * BATCHES
        self._objects = sum(each.objects for each in self._batches)
        self._minimum = sum(len(each.requests) for each in self._batches)

    def measure(self, rounds: int, *, in_memory: bool = False) -> Figures:
        """Measure CPU and requests, without any latency of Braze."""
        url = self._urls[0]
        dependencies = build(self._scenario, url, self._connections)
        cpu: list[float] = []
        loads: list[float] = []
        requests = 0
        for number in range(rounds + 1):
            if in_memory:
                dependencies = _in_memory(dependencies)  # or all are duplicates
            before = counts(url)
            _, used = seconds(partial(deliver, dependencies), self._batches)
            after = counts(url)
            _, parsing = seconds(load_all, self._batches)
            if after["objects"] - before["objects"] != self._objects:
                raise AssertionError("the benchmark does not measure what it should")
            if number == 0:
                continue  # the connections and caches of a warm Lambda
            requests = after["requests"] - before["requests"]
            cpu.append(used)
            loads.append(parsing)
        return Figures(
            self._scenario.name,
            "memory" if in_memory else "DynamoDB",
            min(cpu) / self._jobs * 1e6,
            min(loads) / self._jobs * 1e6,
            {},
            requests / self._minimum,
        )

    def compare(self, figures: Figures, rounds: int) -> Figures:
        """Add the ratios to raw posting: handler and raw posting run alternately."""
        ratios: dict[int, dict[int, float]] = {}
        for connections in sorted({JUDGED_CONNECTIONS, self._connections}):
            ratios[connections] = {}
            for latency in RATIO_BUDGETS:
                url = self._urls[latency]
                raw = Raw(url, connections)
                work = partial(deliver, build(self._scenario, url, connections))
                posting, delivering = [], []
                for number in range(rounds + 1):
                    posted, _ = seconds(raw.post, self._batches)
                    delivered, _ = seconds(work, self._batches)
                    if number:
                        posting.append(posted)
                        delivering.append(delivered)
                ratios[connections][latency] = min(posting) / min(delivering)
        return replace(figures, ratios=ratios)

    def event_loads(self) -> float:
        """Measure `json.loads` of the whole events, µs a job, as Lambda's runtime does it."""
        texts = [json.dumps(each.event) for each in self._batches]
        started = time.process_time()
        for text in texts:
            json.loads(text)
        return (time.process_time() - started) / self._jobs * 1e6

    def profile(self, rounds: int, out: TextIO) -> None:
        """Print where the CPU time of all threads goes, without latencies of Braze."""
        dependencies = build(self._scenario, self._urls[0], self._connections)
        seconds(partial(deliver, dependencies), self._batches)
        with profiled_threads() as profiles:
            for _ in range(rounds):
                seconds(partial(deliver, dependencies), self._batches)
        found = pstats.Stats(*profiles, stream=out)
        print(f"\n{self._scenario.name}: {rounds * self._jobs} jobs, all threads", file=out)
        found.sort_stats("tottime").print_stats(PROFILE_LINES)


def _in_memory(dependencies: Dependencies) -> Dependencies:
    ledger = InMemoryLedger(SystemClock())
    return replace(dependencies, ports=replace(dependencies.ports, ledger=ledger))


@contextlib.contextmanager
def profiled_threads() -> Iterator[list[cProfile.Profile]]:
    """Profile this thread and all that executors run meanwhile, by CPU time."""
    profiles: list[cProfile.Profile] = []
    own = threading.local()
    submit = ThreadPoolExecutor.submit

    def profile() -> cProfile.Profile:
        if not hasattr(own, "profile"):
            own.profile = cProfile.Profile(time.thread_time)
            profiles.append(own.profile)
        found: cProfile.Profile = own.profile
        return found

    def profiled(
        self: ThreadPoolExecutor,
        work: Callable[..., Any],
        *args: Any,  # noqa: ANN401 - as the executor's
        **options: Any,  # noqa: ANN401
    ) -> Future[Any]:
        return submit(self, lambda: profile().runcall(work, *args, **options))

    ThreadPoolExecutor.submit = profiled  # type: ignore[method-assign,assignment]
    mine = profile()
    mine.enable()
    try:
        yield profiles
    finally:
        mine.disable()
        ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]


def judge(figures: Sequence[Figures], memory: float) -> list[tuple[str, str, str, bool]]:
    """Compare with the budgets.

    Returns:
        What, the figure, the budget, and whether it is kept.
    """
    rows = []
    for each in figures:
        if each.ledger == "memory":
            continue
        most = CPU_BUDGETS[each.scenario]
        name = f"{each.scenario}: "
        quiet = each.quiet_cpu
        rows.append(
            (f"{name}CPU a job, at 4 us", f"{quiet:.0f} us", f"<= {most:.0f}", quiet <= most)
        )
        for latency, ratio in each.ratios.get(JUDGED_CONNECTIONS, {}).items():
            least = RATIO_BUDGETS[latency]
            what = f"{name}to raw posting, {latency} ms"
            rows.append((what, f"{ratio:.2f}", f">= {least:.2f}", ratio >= least))
        requests = f"{each.requests:.3f}"
        kept = each.requests <= REQUESTS_BUDGET
        rows.append((f"{name}requests to minimum", requests, f"<= {REQUESTS_BUDGET}", kept))
    kept = memory <= MEMORY_BUDGET
    rows.append(("peak memory", f"{memory:.0f} MB", f"<= {MEMORY_BUDGET}", kept))
    return rows


def show(
    figures: Sequence[Figures],
    rows: Sequence[tuple[str, str, str, bool]],
    event: float,
    options: argparse.Namespace,
) -> list[str]:
    """Write the tables, 80 columns wide."""
    lines = [
        f"batches of {options.batch} jobs, Python {platform.python_version()}",
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: other work slows the handler",
        *(f"{each.name}: {each.says}" for each in (NEW, MIX)),
        "",
        "                CPU us/job  json.loads  CPU to loads  requests to minimum",
    ]
    lines += [
        f"{each.scenario:4} {each.ledger:9} {each.cpu:12.1f} {each.json_loads:11.2f} "
        f"{each.cpu / each.json_loads:12.1f}x {each.requests:20.3f}"
        for each in figures
    ]
    lines += [
        f"Lambda's json.loads of the event: {event:.1f} us a job, not counted above",
        "",
        f"in slow motion: {options.slower:.2f} times the latencies (DynamoDB {DYNAMODB_MS} ms)",
    ]
    if not options.quick:
        lines.append("                connections    latency  to raw posting")
    lines += [
        f"{each.scenario:4} {connections:22} {latency:7} ms {ratio:15.2f}"
        for each in figures
        for connections, ratios in each.ratios.items()
        for latency, ratio in ratios.items()
    ]
    lines += [
        "",
        *(
            f"{what:32} {figure:>10} {budget:>10}  {'ok' if kept else 'missed'}"
            for what, figure, budget, kept in rows
        ),
    ]
    return lines


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    options = argparse.ArgumentParser(description="The speed of delivery, as deployed.")
    options.add_argument("--scenario", choices=[NEW.name, MIX.name], help="only this one")
    options.add_argument("--quick", action="store_true", help="the mix, CPU only: 15 seconds")
    options.add_argument("--slower", type=float, help="this machine's slowness; else measured")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("--profile", action="store_true", help="print where the time goes")
    options.add_argument("--batch", type=int, default=deployed("DeliveryBatchSize"))
    options.add_argument("--connections", type=int, default=deployed("SendConcurrency"))
    chosen = options.parse_args()
    chosen.slower = chosen.slower or slowness()
    return chosen


def report(options: argparse.Namespace, out: TextIO) -> bool:
    """Run what was asked for, and print it.

    Returns:
        Whether every budget is kept.
    """
    wanted = options.scenario or (MIX.name if options.quick else "")
    scenarios = [each for each in (NEW, MIX) if wanted in {"", each.name}]
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    with contextlib.ExitStack() as stack:
        aws = (str(DYNAMODB_MS * options.slower), SECRET, known_memory())
        os.environ.update(environment(stack.enter_context(running("bench.instant_aws", *aws))))
        urls = {
            latency: stack.enter_context(
                running("bench.instant_braze", str(latency * options.slower))
            )
            for latency in LATENCIES
        }
        speeds = [Speed(each, urls, options.batch, options.connections) for each in scenarios]
        if options.profile:
            for each in speeds:
                each.profile(rounds, out)
            return True
        figures = [each.measure(rounds) for each in speeds]
        if not options.quick:
            figures = [
                each.compare(found, RATIO_ROUNDS)
                for each, found in zip(speeds, figures, strict=True)
            ]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        event = speeds[0].event_loads()
        if not options.quick:
            figures += [each.measure(QUICK_ROUNDS, in_memory=True) for each in speeds]
    rows = judge(figures, memory)
    if options.json:
        document = {
            "batch": options.batch,
            "connections": options.connections,
            "slower": options.slower,
            "figures": [asdict(each) for each in figures],
            "quiet_cpu": {
                each.scenario: each.quiet_cpu for each in figures if each.ledger != "memory"
            },
            "event_loads": event,
            "memory": memory,
            "missed": [what for what, _, _, kept in rows if not kept],
        }
        print(json.dumps(document, indent=1), file=out)
    else:
        figures.sort(key=lambda each: each.scenario, reverse=True)
        print("\n".join(show(figures, rows, event, options)), file=out)
    return all(kept for _, _, _, kept in rows)


if __name__ == "__main__":
    chosen = parse_options()
    # The handler writes its log and metrics lines to standard output.
    with os.fdopen(os.dup(1), "w") as terminal, Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        kept = report(chosen, terminal)
    sys.exit(0 if kept or chosen.json else 1)
