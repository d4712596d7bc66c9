"""The bridge's own gates, read from and opened in its ledger's table (design §4, step 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.clock import Clock, SystemClock
from braze_bridge.gate.dynamo import dynamo_gate
from braze_bridge.gate.shared import ALL, SharedGate
from sandbox.stack.stack_file import AccessKey, client_options

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import JsonValue

    from braze_bridge.gate.rules import GateState
    from sandbox.page.links import LedgerLink


class Gates:
    """The gates of a stack; both methods raise `GateStoreUnavailableError` without the table."""

    def __init__(self, gate: SharedGate, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock

    def show(self) -> list[dict[str, JsonValue]]:
        """Return each gate: `name`, `state`, `until` (epoch seconds or null) and `reason`."""
        now = self._clock.now()
        states = self._gate.show(list(EndpointFamily))
        names = [ALL, *(family.value for family in EndpointFamily)]
        return [_shown(name, states.get(name), now) for name in names]

    def open(self, name: str) -> None:
        """Open one now, as `bridge gate open` does; KeyError if there is none of that name."""
        families = {ALL: None, **{family.value: family for family in EndpointFamily}}
        self._gate.open(families[name])


def ledger_gates(link: LedgerLink) -> Gates:
    """Read the gates of a local stack from its ledger's table."""
    session = AccessKey(link.access_key_id, link.secret_access_key).session(link.region)
    client = session.client("dynamodb", **client_options(link.endpoint_url))
    clock = SystemClock()
    return Gates(dynamo_gate(client, link.table, clock=clock, lambdas=1), clock)


def _shown(name: str, state: GateState | None, now: datetime) -> dict[str, JsonValue]:
    if state is None or state.closed_until is None or not state.is_closed(now):
        waits = state is not None and state.needs_probe(now)
        word = "probed next" if waits else "open"
        return {
            "name": name,
            "state": word,
            "until": None,
            "reason": state.reason if state is not None and waits else None,
        }
    return {
        "name": name,
        "state": "closed",
        "until": state.closed_until.timestamp(),
        "reason": state.reason,
    }
