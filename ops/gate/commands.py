"""``bridge gate``: is Braze being called, and if not, until when and why."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.clock import SystemClock, iso_millis
from braze_bridge.gate.dynamo import dynamo_gate
from braze_bridge.gate.rules import OPEN, wait_behind_gate
from braze_bridge.gate.shared import ALL, GateStoreUnavailableError
from ops.stack.command import OpenStack, on_stack, unavailable
from ops.stack.screen import columns

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.gate.rules import GateState
    from braze_bridge.gate.shared import SharedGate

SPREAD: Final = timedelta(seconds=5)
"""Delivery spreads its retries over this time."""

app = typer.Typer(no_args_is_help=True, help="Whether Braze may be called now.")


@app.command("show")
@on_stack
def show(stack: OpenStack) -> None:
    """Show each gate: open, closed until when, and why."""
    gate = _gate(stack)
    try:
        states = gate.show(list(EndpointFamily))
    except GateStoreUnavailableError:
        unavailable(f"{stack.name}: the gate cannot be read")
    now = SystemClock().now()
    names = [ALL, *(family.value for family in EndpointFamily)]
    stack.show(
        {name: _json(state, now) for name, state in states.items()},
        columns(
            ("GATE", "STATE", "UNTIL", "WHY", "SINCE"),
            [(name, *_cells(states.get(name), now)) for name in names],
        ),
    )


@app.command("open")
@on_stack
def open_(
    stack: OpenStack,
    name: Annotated[str, typer.Argument(help="A gate, as `show` names them; `all` for the key's.")],
) -> None:
    """Open a gate now, before its time is over, and say when what waits comes back."""
    families = {family.value: family for family in EndpointFamily}
    if name != ALL and name not in families:
        known = ", ".join([ALL, *families])
        raise typer.BadParameter(f"is none of: {known}", param_hint="NAME")
    gate = _gate(stack)
    try:
        states = gate.show(list(EndpointFamily))
        gate.open(families.get(name))
    except GateStoreUnavailableError:
        unavailable(f"{stack.name}: the gate may still be closed")
    now = SystemClock().now()
    closed = {other: state for other, state in states.items() if state.is_closed(now)}
    opened = closed.pop(name, OPEN)
    # A family is called only if its own gate and `all` are open.
    still = {other: _json(closed[other], now) for other in closed if ALL in {name, other}}
    next_try = None if ALL in still else _next_try(opened, now)
    lines = [f"{name} is open"]
    lines += [
        f"{other} is still closed until {shown['until']} ({shown['reason']}): "
        f"`bridge gate open {other}` opens it, too."
        for other, shown in still.items()
    ]
    if next_try is not None:
        lines.append(f"Waiting jobs come back by {next_try}, acquisitions up to 10 minutes later.")
    stack.show({"opened": name, "still_closed": still, "next_try_by": next_try}, lines)


def _gate(stack: OpenStack) -> SharedGate:
    opened = stack.access
    return dynamo_gate(opened.dynamodb, opened.ledger_table, clock=SystemClock(), lambdas=1)


def _next_try(state: GateState, now: datetime) -> str | None:
    """Compute until when the jobs behind a closed gate come back; ``None`` if it is open."""
    if state.closed_until is None or not state.is_closed(now):
        return None
    seconds = wait_behind_gate(state.since or now, state.closed_until, now)
    return iso_millis(now + timedelta(seconds=seconds) + SPREAD)


def _cells(state: GateState | None, now: datetime) -> tuple[str, str, str, str]:
    if state is None or state.closed_until is None or not state.is_closed(now):
        waits = state is not None and state.needs_probe(now)
        return ("probed next" if waits else "open", "", state.reason if state and waits else "", "")
    return (
        "closed",
        iso_millis(state.closed_until),
        state.reason,
        "" if state.since is None else iso_millis(state.since),
    )


def _json(state: GateState, now: datetime) -> dict[str, str | None]:
    shown, *more = _cells(state, now)
    return {
        "state": shown,
        **{
            name: cell or None
            for name, cell in zip(("until", "reason", "since"), more, strict=True)
        },
    }
