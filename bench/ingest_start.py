"""What a cold start and a warm call of the Outgrow function cost.

Cold: CPU seconds of a fresh interpreter. It imports the handler, loads its compiled configuration
and makes its first client. It is compared with one that only does ``boto3.client("sqs")``. The two
run in pairs, one right after the other, so that a slow moment of the machine slows both. Bytecode
is compiled beforehand for both alike.

Warm: CPU milliseconds of one accepted response through the handler as deployed (door, mapping, log
and metrics lines). Its queue only encodes, so this is everything but the SQS call. The handler
waits for nothing else, so CPU time is its time on a machine of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

from braze_bridge.jobs.envelope import split_job
from braze_bridge.mapping.link_signatures import no_signature_fits
from braze_bridge.mapping.names import none_over_cap
from braze_bridge.observability import EmfMeter, ScrubbingFormatter, flush_metrics, metrics
from braze_bridge.partner_config.compiled import load_compiled
from braze_bridge.partner_config.outgrow import OutgrowConfig
from braze_bridge.partner_config.toml_files import compile_partner_config
from braze_bridge.web.door import Door
from braze_bridge.web.edge import lambda_handler_of
from braze_bridge.web.ingest import Checks
from braze_bridge.web.intake import Intake
from outgrow_ingest.app import INGEST
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.clock import FixedClock
from tests.fakes.jobs import InMemoryRejectedStore
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from braze_bridge.jobs.envelope import DeliveryJob

ROOT = pathlib.Path(__file__).resolve().parents[1]
PATHS = (ROOT / "functions", ROOT / "layers" / "braze_bridge" / "python")

COLD_BUDGET = 1.5
WARM_BUDGET_MS = 3.0

BARE = "import boto3; boto3.client('sqs')"
HANDLER = """
import os, pathlib
from outgrow_ingest.app import INGEST
from braze_bridge.aws import clients
INGEST.load_config(pathlib.Path(os.environ["PARTNER_CONFIG_DIR"]))
clients.sqs()
"""
REPORT = "\nimport time; print(time.process_time())"


class EncodingQueue:
    """A ``JobQueue`` that does what precedes the SQS call and keeps nothing."""

    def send(self, job: DeliveryJob) -> None:
        """Encode the job's parts."""
        for part in split_job(job):
            part.to_json()


def cold_seconds(code: str, cache: str, config: pathlib.Path) -> float:
    """Measure the CPU seconds of a fresh interpreter that runs the code."""
    environ = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(str(path) for path in PATHS),
        "PYTHONPYCACHEPREFIX": cache,
        "PARTNER_CONFIG_DIR": str(config),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }
    finished = subprocess.run(  # noqa: S603 - this interpreter, on the code above
        [sys.executable, "-c", code + REPORT],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return float(finished.stdout)


def cold_ratios(pairs: int, config: pathlib.Path) -> tuple[list[float], list[float], list[float]]:
    """Measure the handler's cost and the bare client's.

    Returns:
        The first over the second, pair by pair; then the bare client's and the handler's seconds.
    """
    bare: list[float] = []
    handler: list[float] = []
    with tempfile.TemporaryDirectory() as cache:
        for code in (BARE, HANDLER):
            cold_seconds(code, cache, config)
        for number in range(pairs):
            order = ((BARE, bare), (HANDLER, handler))
            # The second finds warmer caches: take turns.
            for code, seconds in order if number % 2 else reversed(order):
                seconds.append(cold_seconds(code, cache, config))
    return [ours / base for ours, base in zip(handler, bare, strict=True)], bare, handler


def warm_milliseconds(calls: int, directory: pathlib.Path) -> list[float]:
    """Measure the CPU milliseconds of each call."""
    config = load_compiled(directory, "outgrow", OutgrowConfig)
    log = Logger(service="bench", logger_formatter=ScrubbingFormatter(), stream=io.StringIO())
    meter = EmfMeter(metrics())
    door = Door(routes=INGEST.routes, secret=FixedSecret(TOKEN), meter=meter, clock=FixedClock())
    intake = Intake(
        source=INGEST.source,
        queue=EncodingQueue(),
        rejected=InMemoryRejectedStore,
        meter=meter,
        log=log,
    )
    checks = Checks(no_signature_fits, none_over_cap)
    handler = lambda_handler_of(
        lambda: INGEST.answering(config, door, intake, checks), log=lambda: log, flush=flush_metrics
    )
    taken = []
    with contextlib.redirect_stdout(io.StringIO()):
        for number in range(calls):
            body = {
                "response_id": f"r-{number}",
                "created_at": "2026-11-20T08:15:30Z",
                "lead": {"email": f"person-{number}@example.com", "name": "Ada"},
                "answers": [{"key": f"q{index}", "value": "an answer"} for index in range(20)],
                "result": {"score": 87.5, "segment": "Early adopter"},
            }
            event = proxy_event(json.dumps(body), path="/outgrow/6512bd43d9caa6e02c990b0a")
            started = time.process_time()
            response = handler(event, None)
            taken.append((time.process_time() - started) * 1000)
            if response["statusCode"] != 200:
                raise SystemExit(f"the handler answered {response['statusCode']}")
    return taken


def main() -> None:
    """Print both figures; exit 1 if one is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--calls", type=int, default=3000)
    arguments = parser.parse_args()
    os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "BrazeBridge/bench"  # as the template gives it

    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder)
        compile_partner_config(ROOT / "layers" / "partner_config", config)
        ratios, bare, handler = cold_ratios(arguments.pairs, config)
        warm = warm_milliseconds(arguments.calls, config)
    ratio = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4)
    print(
        f"cold start: {ratio:.2f} x a bare SQS client (budget {COLD_BUDGET}; quartiles "
        f"{low:.2f} to {high:.2f}; CPU {statistics.median(handler) * 1000:.0f} ms against "
        f"{statistics.median(bare) * 1000:.0f} ms; {arguments.pairs} pairs)"
    )
    p99 = statistics.quantiles(warm, n=100)[98]
    print(
        f"warm call besides SQS: {p99:.2f} ms at p99 (budget {WARM_BUDGET_MS}; median "
        f"{statistics.median(warm):.2f} ms; {arguments.calls} calls)"
    )
    if ratio > COLD_BUDGET or p99 > WARM_BUDGET_MS:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
