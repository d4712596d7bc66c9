"""What a claim costs: claims a second through the handler, and DynamoDB operations per claim.

Speed: the handler as deployed (door, model, decision, job, log and metrics lines), everything but
AWS. Its store and its queue are in memory. It never waits, so its CPU time is its time on a machine
of its own. The door is measured beside it: their ratio does not depend on the machine.

Operations: the real store against moto, counted where botocore sends.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from moto import mock_aws

from braze_bridge.aws.clients import claims_client
from braze_bridge.observability import EmfMeter, ScrubbingFormatter, metrics
from braze_bridge.partner_config.quikly_activations import Mode, Odds, Tier
from braze_bridge.web.door import Door
from braze_bridge.web.edge import lambda_handler_of
from quikly_webhook.app import ROUTES, QuiklyWebhook
from quikly_webhook.claims import Claims
from quikly_webhook.dynamo_claims import DynamoClaimStore
from tests.fakes.api_event import TOKEN
from tests.fakes.claims import SECRET, InMemoryClaims, Webhook, activation, webhook_event
from tests.fakes.clock import FixedClock
from tests.fakes.meter import RecordingMeter
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from braze_bridge.partner_config.quikly_activations import ActivationRule
    from quikly_webhook.claim_store import ClaimStore

CLAIMS = 1_000
ROUNDS = 5
COUNTED = 40
BUDGET_MS = 3.0
"""The design's, of a warm ingest besides its AWS calls."""

TABLE = "claims"

RULES = {
    "first": activation(Mode.FIRST, Tier("reward", quantity=CLAIMS // 2)),
    "rank": activation(Mode.RANK, Tier("reward", quantity=CLAIMS // 2)),
    "random": activation(Mode.RANDOM, Tier("prize", quantity=CLAIMS, odds=Odds(1, 2))),
    "draw": activation(Mode.DRAW, Tier("main", quantity=1)),
    "forward": activation(Mode.FORWARD),
}


def handler_on(store: ClaimStore, rule: ActivationRule) -> Callable[[object], Any]:
    """Make the function's handler; its log and metrics stay in memory."""
    webhook = Webhook(rule)
    log = Logger(
        service="bench", logger_formatter=ScrubbingFormatter(), stream=io.StringIO(), level="INFO"
    )
    answering = QuiklyWebhook(
        door=door(),
        activations=webhook.rules,
        claims=Claims(
            store,
            lambda: SECRET,
            clock=webhook.clock,
            sleep=lambda _seconds: None,
            random=lambda: 1.0,
        ),
        outbox=webhook.outbox,
        meter=EmfMeter(metrics()),
        log=log,
    )
    handle = lambda_handler_of(lambda: answering, log=lambda: log)
    return lambda event: handle(event, None)


def door() -> Door:
    """Make the webhook's door."""
    return Door(
        routes=ROUTES, secret=FixedSecret(TOKEN), meter=RecordingMeter(), clock=FixedClock()
    )


def each_ms(call: Callable[[object], Any], events: Sequence[object]) -> list[float]:
    """Measure the CPU milliseconds of every call."""
    spent = []
    for event in events:
        started = time.process_time()
        call(event)
        spent.append((time.process_time() - started) * 1000)
    return spent


def speed(rule: ActivationRule) -> dict[str, float]:
    """Measure new claims and their repeats, and the door without them.

    Returns:
        Medians over rounds; ``p99`` in milliseconds, of new claims.
    """
    events = [webhook_event(f"person{number}@example.com") for number in range(CLAIMS)]
    figures: dict[str, list[float]] = {"claims": [], "repeats": [], "p99": [], "ratio": []}
    for _ in range(ROUNDS):
        handle = handler_on(InMemoryClaims(), rule)
        with contextlib.redirect_stdout(io.StringIO()):
            admitted = each_ms(door().admit, events)
            new = each_ms(handle, events)
            again = each_ms(handle, events)
        figures["claims"].append(CLAIMS / sum(new) * 1000)
        figures["repeats"].append(CLAIMS / sum(again) * 1000)
        figures["p99"].append(statistics.quantiles(new, n=100)[98])
        figures["ratio"].append(sum(new) / sum(admitted))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    return {
        "claims/s": round(medians["claims"]),
        "repeats/s": round(medians["repeats"]),
        "p99 ms": round(medians["p99"], 2),
        "to the door alone": round(medians["ratio"], 1),
    }


def operations(rule: ActivationRule) -> dict[str, float]:
    """Count the real store's DynamoDB operations per new claim, and per repeat.

    Half of the claims find everything gone.
    """
    gone = tuple(tier._replace(quantity=COUNTED // 2) for tier in rule.tiers)
    rule = rule._replace(tiers=gone)
    with mock_aws():
        client = claims_client()
        client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        counts: Counter[str] = Counter()

        def count(model: Any, **_: Any) -> None:  # noqa: ANN401 - botocore's
            counts[model.name] += 1

        client.meta.events.register("provide-client-params.dynamodb", count)
        handle = handler_on(DynamoClaimStore(client, TABLE), rule)
        events = [webhook_event(f"person{number}@example.com") for number in range(COUNTED)]
        with contextlib.redirect_stdout(io.StringIO()):
            for event in events:
                handle(event)
            new = Counter(counts)
            for event in events:
                handle(event)
    repeats = counts - new
    return {"operations a claim": new.total() / COUNTED} | {
        f"{name} {whose}": round(number / COUNTED, 2)
        for whose, counted in (("a claim", new), ("a repeat", repeats))
        for name, number in counted.items()
    }


def report() -> bool:
    """Print two lines for each mode.

    Returns:
        Whether everything is within its budget.
    """
    os.environ.update(
        AWS_DEFAULT_REGION="eu-central-1",
        AWS_ACCESS_KEY_ID="nobody",
        AWS_SECRET_ACCESS_KEY="nothing",  # noqa: S106 - no request leaves this process
        POWERTOOLS_SERVICE_NAME="bench",
    )
    within = True
    for name, rule in RULES.items():
        figures = speed(rule)
        print(f"claims, {name}:", json.dumps(figures), flush=True)
        calls = operations(rule)
        print(f"claims, {name}:", json.dumps(calls), flush=True)
        # Once in a process's life, a claim tries each exhausted tier, reads and publishes the
        # commitment, or finds every position given.
        beside = {Mode.RANDOM: 2, Mode.DRAW: 2, Mode.RANK: 1}
        once = len(rule.tiers) + beside.get(rule.mode, 0)
        most = (2.0 if rule.mode is Mode.RANK else 1.0) + once / COUNTED
        within = within and figures["p99 ms"] <= BUDGET_MS and calls["operations a claim"] <= most
    return within


if __name__ == "__main__":
    sys.exit(0 if report() else 1)
