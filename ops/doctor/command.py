"""``bridge doctor``: looks at everything that people get wrong, and says what to do."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer
from botocore.exceptions import BotoCoreError, ClientError

from braze_bridge.braze.instances import INSTANCES
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.braze.transport import RequestsTransport
from braze_bridge.clock import SystemClock
from braze_bridge.gate.dynamo import dynamo_gate
from braze_bridge.gate.shared import GateStoreUnavailableError
from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.partner_config.quikly_activations import Mode
from braze_bridge.partner_config.toml_files import check_partner_config, load_quikly
from ops.doctor.braze_probes import (
    GROUPS,
    INTEGRATIONS,
    NEEDS,
    Verdict,
    client_for,
    probe,
    probe_all,
)
from ops.doctor.findings import (
    ACQUISITIONS,
    DELIVERY,
    FORWARDS,
    Finding,
    Level,
    WrongEndpointError,
    alarm_findings,
    config_findings,
    endpoint_of,
    gate_findings,
    key_findings,
    permission_findings,
    queue_findings,
    quikly_key_finding,
    rejected_finding,
    secret_finding,
)
from ops.rejected.rows import DynamoRejectedRows, Filter, RowsUnavailableError, UnreadableRowError
from ops.stack.aws_errors import cause_of
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.options import (
    LOCAL_FOLDER,
    NOT_DONE,
    Folder,
    Json,
    Region,
    Stack,
    access,
    echo,
    secrets_access,
    site,
)
from ops.stack.partners import PARTNERS
from ops.stack.queue_looks import look
from ops.stack.screen import as_json, columns
from ops.stack_secrets.rotation import SecretAccessError, current, pair, secret_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from typing import Any

    from braze_bridge.braze.transport import Transport
    from ops.stack.access import BrazeTarget, SecretsAccess, Site, StackAccess

QUEUE_PAUSE: Final = 3.0
"""Seconds between two looks at a queue that is not empty."""

ROWS_LOOKED_AT: Final = 100
FIGURE_AGE: Final = timedelta(minutes=15)

_MARKS: Final = {Level.OK: "ok", Level.WARNING: "WARNING", Level.PROBLEM: "PROBLEM"}


def doctor(
    ctx: typer.Context,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    for_: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help="Ask Braze only for the permissions of this integration: "
            f"{', '.join([*INTEGRATIONS, *GROUPS])} (all of its). Repeatable.",
        ),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(help="Ask this instance (US-01, …) or endpoint instead of the stack's own."),
    ] = None,
    find_instance: Annotated[
        bool,
        typer.Option(help="Where the key is refused: ask every other instance of Braze's, too."),
    ] = False,
    as_json_: Json = False,
) -> None:
    """Look for what is wrong and say what to do. Changes nothing; exit 1 for a problem."""
    wanted = [each for name in for_ or INTEGRATIONS for each in GROUPS.get(name, (name,))]
    if unknown := sorted(set(wanted) - set(INTEGRATIONS)):
        known = ", ".join([*INTEGRATIONS, *GROUPS])
        raise typer.BadParameter(f"{unknown[0]} is none of: {known}")
    place = site(ctx, stack, region, folder)
    secrets = secrets_access(ctx, stack, region, folder)
    opened = access(ctx, stack, region, folder)
    target = place.braze if instance is None else _asked_for(instance, place.braze)
    found = [
        *braze_findings(target, secrets, wanted, find_instance=find_instance),
        *token_findings(secrets),
        *quikly_key(secrets),
        *flow_findings(opened, place, SystemClock().now(), time.sleep),
        *alarms_on(place),
        *parked(opened, SystemClock().now()),
        *config_findings(check_partner_config(CONFIG_DIRECTORY)),
    ]
    problems = sum(each.level is Level.PROBLEM for each in found)
    if as_json_:
        findings = [each._asdict() for each in found]
        typer.echo(as_json({"stack": place.name, "problems": problems, "findings": findings}))
    else:
        _print(found)
    if problems:
        raise typer.Exit(NOT_DONE)


def braze_findings(
    target: BrazeTarget,
    secrets: SecretsAccess,
    integrations: Sequence[str],
    *,
    find_instance: bool,
    transport: Callable[[str], Transport] = lambda endpoint: RequestsTransport(endpoint, 1),
) -> Iterator[Finding]:
    """Endpoint, key, permissions.

    Args:
        target: Which Braze.
        secrets: Where its key is.
        integrations: What the permissions are for.
        find_instance: Whether a refused key is shown to other instances.
        transport: The way to an endpoint.
    """
    try:
        endpoint, finding = endpoint_of(target)
    except WrongEndpointError as wrong:
        yield wrong.finding
        return
    yield finding
    try:
        key = current(secrets.client, secrets.stack, "braze")
    except SecretAccessError as error:
        what = f"{secret_id(secrets.stack, 'braze')} cannot be read: {error}"
        yield Finding(Level.PROBLEM, "key", what, "is it this stack, and your right?")
        return
    if not key:
        yield Finding(Level.PROBLEM, "key", "no Braze key is set", "`bridge secrets set braze`")
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


def token_findings(secrets: SecretsAccess) -> Iterator[Finding]:
    """Every partner's token."""
    for name, partner in PARTNERS.items():
        try:
            both = pair(secrets.client, secret_id(secrets.stack, partner.secret))
        except SecretAccessError as error:
            yield secret_finding(
                name, partner.title, is_set=False, has_previous=False, trouble=str(error)
            )
        else:
            yield secret_finding(
                name,
                partner.title,
                is_set=bool(both.current),
                has_previous=bool(both.previous),
            )


def quikly_key(secrets: SecretsAccess) -> Iterator[Finding]:
    """The key of Quikly's API, where this working copy's ``quikly.toml`` needs one."""
    try:
        config = load_quikly(CONFIG_DIRECTORY)
    except ConfigError:
        return  # told of the configuration
    needed_by = [
        *(scope for scope, rule in config.acquisitions.items() if rule.credit_event is not None),
        *(scope for scope, rule in config.activations.items() if rule.mode is Mode.FORWARD),
    ]
    try:
        key = current(secrets.client, secrets.stack, "quikly-api")
    except SecretAccessError as error:
        yield quikly_key_finding(is_set=False, needed_by=needed_by, trouble=str(error))
    else:
        yield quikly_key_finding(is_set=bool(key), needed_by=needed_by)


def flow_findings(
    opened: StackAccess, place: Site, now: datetime, sleep: Callable[[float], None]
) -> Iterator[Finding]:
    """The gate, then the queues: of jobs, of acquisitions, of calls to Quikly."""
    gated = False
    try:
        gate = dynamo_gate(opened.dynamodb, opened.ledger_table, clock=SystemClock(), lambdas=1)
        gates = list(gate_findings(gate.show(list(EndpointFamily)), now))
        gated = any(each.level is not Level.OK for each in gates)
        yield from gates
    except GateStoreUnavailableError:
        yield Finding(Level.PROBLEM, "gate", "cannot be read", "may you read the ledger's table?")
    queues = (
        (DELIVERY, opened.delivery_queue, opened.dead_letter_queue, "braze-delivery"),
        (
            ACQUISITIONS,
            opened.acquisition_queue,
            opened.acquisition_dead_letter_queue,
            "quikly-acquisition-worker",
        ),
        (FORWARDS, opened.forward_queue, opened.forward_dead_letter_queue, None),
    )
    try:
        first = [look(opened.sqs, url) for _, url, _, _ in queues]
        if any(each.waiting for each in first):
            sleep(QUEUE_PAUSE)
        later = [
            look(opened.sqs, url) if before.waiting else before
            for before, (_, url, _, _) in zip(first, queues, strict=True)
        ]
        dead = [look(opened.sqs, url) for _, _, url, _ in queues]
    except (BotoCoreError, ClientError) as error:
        what = f"cannot be looked at: {cause_of(error)}"
        yield Finding(Level.PROBLEM, "queue", what, "may you read the queues' attributes?")
        return
    for number, (kind, _, _, service) in enumerate(queues):
        wait = None if service is None else _oldest_wait(place, service, now)
        yield from queue_findings(
            first[number], later[number], dead[number], wait, gated=gated, kind=kind
        )


def alarms_on(place: Site) -> Iterator[Finding]:
    """The stack's alarms that ring."""
    names: list[str] = []
    arguments: dict[str, Any] = {
        "AlarmNamePrefix": f"{place.stack}-",
        "StateValue": "ALARM",
    }
    try:
        while True:
            page = place.cloudwatch.describe_alarms(**arguments)
            names += [str(each["AlarmName"]) for each in page.get("MetricAlarms", [])]
            if "NextToken" not in page:
                break
            arguments["NextToken"] = page["NextToken"]
    except (BotoCoreError, ClientError) as error:
        what = f"cannot be looked at: {cause_of(error)}"
        yield Finding(Level.WARNING, "alarms", what, "look into CloudWatch")
        return
    yield from alarm_findings(names, place.stack)


def parked(opened: StackAccess, now: datetime) -> Iterator[Finding]:
    """Some of the rejected table."""
    try:
        page = DynamoRejectedRows(opened.dynamodb, opened.rejected_table, now).page(
            Filter(), limit=ROWS_LOOKED_AT
        )
    except (RowsUnavailableError, UnreadableRowError) as error:
        what = f"cannot be read: {error}"
        yield Finding(Level.WARNING, "rejected", what, "may you read the rejected table?")
        return
    yield rejected_finding([row.reasons[0].code for row in page.rows], more=page.cursor is not None)


def _asked_for(instance: str, own: BrazeTarget) -> BrazeTarget:
    if instance.upper() in INSTANCES:
        return own._replace(instance=instance.upper(), endpoint="")
    return own._replace(endpoint=instance)


def _oldest_wait(place: Site, service: str, now: datetime) -> float | None:
    """Our own metric: SQS's age overlooks messages that were received often."""
    try:
        answer = place.cloudwatch.get_metric_statistics(
            Namespace=f"BrazeBridge/{place.stack}",
            MetricName="OldestWait",
            Dimensions=[{"Name": "service", "Value": service}],
            StartTime=now - FIGURE_AGE,
            EndTime=now,
            Period=int(FIGURE_AGE.total_seconds()),
            Statistics=["Maximum"],
        )
    except (BotoCoreError, ClientError):
        return None
    figures = [float(point["Maximum"]) for point in answer.get("Datapoints", [])]
    return max(figures, default=None)


def _print(found: Sequence[Finding]) -> None:
    rows = [(_MARKS[each.level], each.check, each.what) for each in found]
    for finding, line in zip(found, columns(("", "", ""), rows)[1:], strict=True):
        typer.echo(line)
        if finding.do:
            typer.echo(f"{'':9}-> {finding.do}")
    wrong = sum(each.level is Level.PROBLEM for each in found)
    warned = sum(each.level is Level.WARNING for each in found)
    echo(["", f"{wrong} problem(s), {warned} warning(s)"])
