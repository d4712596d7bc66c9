"""Quikly's activation events: ``POST /quikly/events``."""

from __future__ import annotations

from typing import Final

from braze_bridge.cold_start import collector_off

with collector_off():
    from braze_bridge.partner_config.compiled import load_compiled
    from braze_bridge.partner_config.quikly import QuiklyConfig
    from braze_bridge.web.door import Route
    from braze_bridge.web.edge import lambda_handler_of
    from braze_bridge.web.ingest import Ingest
    from quikly_events.mapping import SOURCE, map_event

ROUTES: Final = (Route("POST", "/quikly/events"),)

INGEST: Final = Ingest(
    source=SOURCE,
    routes=ROUTES,
    load_config=lambda folder: load_compiled(folder, "quikly", QuiklyConfig),
    map_call=lambda call, config, _: map_event(
        call.body,
        config=config,
        received_at=call.received_at,
        correlation_id=call.correlation_id,
    ),
)

lambda_handler = lambda_handler_of(INGEST.compose)
