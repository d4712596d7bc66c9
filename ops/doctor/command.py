"""``bridge doctor``: check everything that often goes wrong, and say what to do."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from braze_bridge.braze.instances import INSTANCES
from braze_bridge.clock import SystemClock
from braze_bridge.partner_config.toml_files import check_partner_config
from ops.doctor.braze_probes import GROUPS, INTEGRATIONS
from ops.doctor.checks import (
    alarms_on,
    braze_findings,
    concurrency,
    flow_findings,
    parked,
    quikly_key,
    token_findings,
    trust_findings,
)
from ops.doctor.findings import Finding, Level, config_findings, quikly_address_findings
from ops.stack.command import OpenStack, not_done, on_stack
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.screen import columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ops.stack.access import BrazeTarget

_MARKS: Final = {Level.OK: "ok", Level.WARNING: "WARNING", Level.PROBLEM: "PROBLEM"}


@on_stack
def doctor(
    stack: OpenStack,
    for_: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help="Check only this integration's permissions at Braze: "
            f"{', '.join([*INTEGRATIONS, *GROUPS])} (all of its). Repeatable.",
        ),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(help="Ask this instance (US-01, …) or endpoint instead of the stack's own."),
    ] = None,
    find_instance: Annotated[
        bool,
        typer.Option(help="If the key is refused: ask every other instance of Braze, too."),
    ] = False,
    overlap_days: Annotated[
        int,
        typer.Option(min=0, help="Warn of a rotation whose old token is valid for longer."),
    ] = 7,
) -> None:
    """Look for what is wrong and say what to do. Changes nothing; exit 1 for a problem."""
    wanted = [each for name in for_ or INTEGRATIONS for each in GROUPS.get(name, (name,))]
    if unknown := sorted(set(wanted) - set(INTEGRATIONS)):
        known = ", ".join([*INTEGRATIONS, *GROUPS])
        raise typer.BadParameter(f"{unknown[0]} is none of: {known}")
    site, secrets, opened = stack.site, stack.secrets, stack.access
    target = site.braze if instance is None else _asked_for(instance, site.braze)
    found = [
        *braze_findings(target, secrets, wanted, find_instance=find_instance),
        *token_findings(secrets, SystemClock().now(), timedelta(days=overlap_days)),
        *trust_findings(),
        *quikly_key(secrets),
        *quikly_address_findings(site.quikly_api_url),
        *flow_findings(opened, site, SystemClock().now(), time.sleep),
        *alarms_on(site),
        *concurrency(site),
        *parked(opened, SystemClock().now()),
        *config_findings(check_partner_config(CONFIG_DIRECTORY)),
    ]
    problems = sum(each.level is Level.PROBLEM for each in found)
    findings = [each._asdict() for each in found]
    stack.show({"stack": site.name, "problems": problems, "findings": findings}, _lines(found))
    if problems:
        not_done()


def _asked_for(instance: str, own: BrazeTarget) -> BrazeTarget:
    if instance.upper() in INSTANCES:
        return own._replace(instance=instance.upper(), endpoint="")
    return own._replace(endpoint=instance)


def _lines(found: Sequence[Finding]) -> Iterator[str]:
    rows = [(_MARKS[each.level], each.check, each.what) for each in found]
    for finding, line in zip(found, columns(("", "", ""), rows)[1:], strict=True):
        yield line
        if finding.do:
            yield f"{'':9}-> {finding.do}"
    wrong = sum(each.level is Level.PROBLEM for each in found)
    warned = sum(each.level is Level.WARNING for each in found)
    yield from ("", f"{wrong} problem(s), {warned} warning(s)")
