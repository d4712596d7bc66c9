"""``bridge gate``: is Braze being called, and if not, until when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.clock import SystemClock, iso_millis
from braze_bridge.gate.dynamo import dynamo_gate
from braze_bridge.gate.shared import ALL, GateStoreUnavailableError
from ops.stack.options import (
    LOCAL_FOLDER,
    Folder,
    Json,
    Region,
    Stack,
    access,
    echo,
    unavailable,
)
from ops.stack.screen import as_json, columns

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.gate.rules import GateState
    from braze_bridge.gate.shared import SharedGate
    from ops.stack.access import StackAccess

app = typer.Typer(no_args_is_help=True, help="Whether Braze may be called now.")


@app.command("show")
def show(
    ctx: typer.Context,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    as_json_: Json = False,
) -> None:
    """Show each gate: open, closed until when, and why."""
    opened = access(ctx, stack, region, folder)
    try:
        states = _gate(opened).show(list(EndpointFamily))
    except GateStoreUnavailableError:
        unavailable(f"{opened.name}: the gate cannot be read")
    now = SystemClock().now()
    if as_json_:
        typer.echo(as_json({name: _json(state, now) for name, state in states.items()}))
        return
    names = [ALL, *(family.value for family in EndpointFamily)]
    headings = ("GATE", "STATE", "UNTIL", "WHY", "SINCE")
    echo(columns(headings, [(name, *_cells(states.get(name), now)) for name in names]))


@app.command("open")
def open_(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A gate, as `show` names them; `all` for the key's.")],
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    as_json_: Json = False,
) -> None:
    """Open a gate now, rather than when its time is over. Waiting jobs keep their own times."""
    families = {family.value: family for family in EndpointFamily}
    if name != ALL and name not in families:
        known = ", ".join([ALL, *families])
        raise typer.BadParameter(f"is none of: {known}", param_hint="NAME")
    opened = access(ctx, stack, region, folder)
    try:
        _gate(opened).open(families.get(name))
    except GateStoreUnavailableError:
        unavailable(f"{opened.name}: the gate may still be closed")
    typer.echo(as_json({"opened": name}) if as_json_ else f"{name} is open")


def _gate(opened: StackAccess) -> SharedGate:
    return dynamo_gate(opened.dynamodb, opened.ledger_table, clock=SystemClock(), lambdas=1)


def _cells(state: GateState | None, now: datetime) -> tuple[str, str, str, str]:
    if state is None or state.closed_until is None or not state.is_closed(now):
        waits = state is not None and state.needs_probe(now)
        return ("probed next" if waits else "open", "", state.reason if state and waits else "", "")
    since = "" if state.since is None else iso_millis(state.since)
    return (
        "probing" if state.is_probing else "closed",
        iso_millis(state.closed_until),
        state.reason,
        since,
    )


def _json(state: GateState, now: datetime) -> dict[str, object]:
    shown, until, reason, since = _cells(state, now)
    return {
        "state": shown,
        "until": until or None,
        "reason": reason or None,
        "since": since or None,
    }
