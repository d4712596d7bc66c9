"""Outgrow's webhook: ``POST /outgrow`` and ``POST /outgrow/{content_id}``."""

from __future__ import annotations

from typing import Final

from braze_bridge.cold_start import collector_off

with collector_off():
    from braze_bridge.partner_config.compiled import load_compiled
    from braze_bridge.partner_config.outgrow import OutgrowConfig
    from braze_bridge.web.door import Route
    from braze_bridge.web.edge import lambda_handler_of
    from braze_bridge.web.ingest import Ingest
    from outgrow_ingest.mapping import SOURCE, map_response

ROUTES: Final = (Route("POST", "/outgrow"), Route("POST", "/outgrow/{content_id}"))

INGEST: Final = Ingest(
    source=SOURCE,
    routes=ROUTES,
    load_config=lambda folder: load_compiled(folder, "outgrow", OutgrowConfig),
    map_call=lambda call, config, checks: map_response(
        call.body,
        content_id=call.path_parameters.get("content_id"),
        rule=config.rule_for(call.path_parameters.get("content_id")),
        received_at=call.received_at,
        correlation_id=call.correlation_id,
        signature_fits=checks.signature_fits,
        untimed_is_newest=config.door.untimed_is_newest,
    ),
)

lambda_handler = lambda_handler_of(INGEST.compose)
