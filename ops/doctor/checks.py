"""The checks of ``bridge doctor`` that ask Braze and AWS; :mod:`ops.doctor.findings` judges."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from braze_bridge.braze.instances import INSTANCES
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.braze.transport import PooledTransport
from braze_bridge.clock import SystemClock
from braze_bridge.gate.dynamo import dynamo_gate
from braze_bridge.gate.shared import GateStoreUnavailableError
from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.partner_config.quikly_activations import Mode
from braze_bridge.partner_config.toml_files import load_quikly
from ops.doctor.braze_probes import NEEDS, Verdict, client_for, probe, probe_all
from ops.doctor.findings import (
    ACQUISITIONS,
    DELIVERY,
    FORWARDS,
    RIGHTS,
    Finding,
    Level,
    alarm_findings,
    concurrency_finding,
    endpoint_of,
    gate_findings,
    key_findings,
    permission_findings,
    problem,
    queue_findings,
    quikly_key_finding,
    rejected_finding,
    secret_finding,
    trust_finding,
    warning,
)
from ops.rejected.rows import DynamoRejectedRows, Filter, RowsUnavailableError, UnreadableRowError
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.errors import aws_errors
from ops.stack.partners import PARTNERS
from ops.stack.queue_counts import QueueUncountableError, count_messages
from ops.stack_secrets.stored_secrets import SecretAccessError, current, secret_id, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from typing import Any

    from braze_bridge.braze.transport import Transport
    from ops.stack.access import BrazeTarget, SecretsAccess, Site, StackAccess

QUEUE_PAUSE: Final = 3.0
"""Seconds between the two counts of a queue that is not empty."""

ROWS_READ: Final = 100
METRIC_PERIOD: Final = timedelta(minutes=15)


class CloudWatchError(Exception):
    """CloudWatch did not answer. The text is AWS's error code."""


class LambdaLimitsError(Exception):
    """Lambda did not answer. The text is AWS's error code."""


def braze_findings(
    target: BrazeTarget,
    secrets: SecretsAccess,
    integrations: Sequence[str],
    *,
    find_instance: bool,
    transport: Callable[[str], Transport] = lambda endpoint: PooledTransport(endpoint, 1),
) -> Iterator[Finding]:
    """Check endpoint, key and permissions.

    Args:
        target: The Braze to ask.
        secrets: They hold its key.
        integrations: They need the permissions.
        find_instance: Whether to try a refused key at other instances.
        transport: Makes the transport to an endpoint.
    """
    endpoint, finding = endpoint_of(target)
    yield finding
    if endpoint is None:
        return
    try:
        key = current(secrets, "braze")
    except SecretAccessError as error:
        what = f"{secret_id(secrets.stack, 'braze')} cannot be read: {error}"
        yield problem("key", what, RIGHTS)
        return
    if not key:
        yield problem("key", "no Braze key is set", "`bridge secrets set braze`")
        return
    permissions = [
        permission
        for permission, need in NEEDS.items()
        if set(integrations) & {*need.integrations, *need.optional}
    ]
    clock = SystemClock()
    probed = probe_all(client_for(key, transport(endpoint), clock, "Doctor"), permissions)
    elsewhere: list[str] | None = None
    if find_instance and all(each.verdict is Verdict.KEY_REFUSED for each in probed):
        elsewhere = [
            name
            for name, url in INSTANCES.items()
            if url != endpoint
            and probe(client_for(key, transport(url), clock, "Doctor"), permissions[0]).verdict
            in {Verdict.GRANTED, Verdict.MISSING, Verdict.LIMITED}
        ]
    yield from key_findings(probed, endpoint, target.instance, elsewhere)
    yield from permission_findings(probed, integrations)


def token_findings(secrets: SecretsAccess, now: datetime, overlap: timedelta) -> Iterator[Finding]:
    """Check every partner's token; ``overlap`` is how long a rotation may take."""
    for name, partner in PARTNERS.items():
        try:
            found = stored(secrets, partner.secret)
        except SecretAccessError as error:
            yield secret_finding(name, partner.title, None, trouble=str(error))
        else:
            age = now - found.since
            yield secret_finding(name, partner.title, found.values, age=age, overlap=overlap)


def trust_findings() -> Iterator[Finding]:
    """Check whether the respondents of this working copy's files are believed."""
    for name in ("outgrow", "iterate"):
        with suppress(ConfigError):  # the check of the configuration reports it
            yield trust_finding(name, PARTNERS[name].person_rules(CONFIG_DIRECTORY))


def quikly_key(secrets: SecretsAccess) -> Iterator[Finding]:
    """Check the key of Quikly's API, if this working copy's ``quikly.toml`` needs one."""
    try:
        config = load_quikly(CONFIG_DIRECTORY)
    except ConfigError:
        return  # the check of the configuration reports it
    needed_by = [
        *(scope for scope, rule in config.acquisitions.items() if rule.credit_event is not None),
        *(scope for scope, rule in config.activations.items() if rule.mode is Mode.FORWARD),
    ]
    try:
        key = current(secrets, "quikly-api")
    except SecretAccessError as error:
        yield quikly_key_finding(is_set=False, needed_by=needed_by, trouble=str(error))
    else:
        yield quikly_key_finding(is_set=bool(key), needed_by=needed_by)


def flow_findings(
    opened: StackAccess, site: Site, now: datetime, sleep: Callable[[float], None]
) -> Iterator[Finding]:
    """Check the gate, then the queues: of jobs, of acquisitions, of calls to Quikly."""
    gated = False
    try:
        gate = dynamo_gate(opened.dynamodb, opened.ledger_table, clock=SystemClock(), lambdas=1)
        gates = list(gate_findings(gate.show(list(EndpointFamily)), now))
        gated = any(each.level is not Level.OK for each in gates)
        yield from gates
    except GateStoreUnavailableError:
        yield problem("gate", "cannot be read", "may you read the ledger's table?")
    queues = (
        (DELIVERY, opened.delivery_queue, opened.delivery_dead_letter_queue, "braze-delivery"),
        (
            ACQUISITIONS,
            opened.acquisition_queue,
            opened.acquisition_dead_letter_queue,
            "quikly-acquisition-worker",
        ),
        (FORWARDS, opened.forward_queue, opened.forward_dead_letter_queue, None),
    )
    try:
        first = [count_messages(opened.sqs, url) for _, url, _, _ in queues]
        if any(each.waiting for each in first):
            sleep(QUEUE_PAUSE)
        later = [
            count_messages(opened.sqs, url) if before.waiting else before
            for before, (_, url, _, _) in zip(first, queues, strict=True)
        ]
        dead = [count_messages(opened.sqs, url) for _, _, url, _ in queues]
    except QueueUncountableError as error:
        what = f"cannot be looked at: {error}"
        yield problem("queue", what, "may you read the queues' attributes?")
        return
    for number, (kind, _, _, service) in enumerate(queues):
        wait = None if service is None else _oldest_wait(site, service, now)
        yield from queue_findings(
            first[number], later[number], dead[number], wait, gated=gated, kind=kind
        )


def alarms_on(site: Site) -> Iterator[Finding]:
    """Check the stack's alarms."""
    names: list[str] = []
    arguments: dict[str, Any] = {"AlarmNamePrefix": f"{site.stack}-", "StateValue": "ALARM"}
    try:
        with aws_errors(CloudWatchError):
            while True:
                page = site.cloudwatch.describe_alarms(**arguments)
                names += [str(each["AlarmName"]) for each in page.get("MetricAlarms", [])]
                if "NextToken" not in page:
                    break
                arguments["NextToken"] = page["NextToken"]
    except CloudWatchError as error:
        yield warning("alarms", f"cannot be looked at: {error}", "look into CloudWatch")
        return
    yield from alarm_findings(names, site.stack)


def concurrency(site: Site) -> Iterator[Finding]:
    """Check the account's quota of concurrent executions."""
    if site.lambda_limits is None:
        return
    try:
        with aws_errors(LambdaLimitsError):
            limits = site.lambda_limits.get_account_settings()["AccountLimit"]
    except LambdaLimitsError as error:
        do = "look into Service Quotas, AWS Lambda, Concurrent executions"
        yield warning("concurrency", f"cannot be looked at: {error}", do)
        return
    yield concurrency_finding(limits["UnreservedConcurrentExecutions"], site.queue_executions)


def parked(opened: StackAccess, now: datetime) -> Iterator[Finding]:
    """Check the first rows of the rejected table."""
    rows = DynamoRejectedRows(opened.dynamodb, opened.rejected_table, now)
    try:
        page = rows.page(Filter(), limit=ROWS_READ)
    except (RowsUnavailableError, UnreadableRowError) as error:
        yield warning("rejected", f"cannot be read: {error}", "may you read the rejected table?")
        return
    yield rejected_finding([row.reasons[0].code for row in page.rows], more=page.cursor is not None)


def _oldest_wait(site: Site, service: str, now: datetime) -> float | None:
    """Read the longest wait from our metric: SQS's age ignores messages that came often."""
    with suppress(CloudWatchError), aws_errors(CloudWatchError):
        answer = site.cloudwatch.get_metric_statistics(
            Namespace=f"BrazeBridge/{site.stack}",
            MetricName="OldestWait",
            Dimensions=[{"Name": "service", "Value": service}],
            StartTime=now - METRIC_PERIOD,
            EndTime=now,
            Period=int(METRIC_PERIOD.total_seconds()),
            Statistics=["Maximum"],
        )
        return max(
            (float(point["Maximum"]) for point in answer.get("Datapoints", [])), default=None
        )
    return None
