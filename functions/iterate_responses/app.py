"""Iterate's webhook: ``POST /iterate``."""

from __future__ import annotations

from typing import Final

from braze_bridge.cold_start import collector_off

with collector_off():
    from braze_bridge.partner_config.compiled import load_compiled
    from braze_bridge.partner_config.iterate import IterateConfig
    from braze_bridge.web.door import Route
    from braze_bridge.web.edge import lambda_handler_of
    from braze_bridge.web.ingest import Ingest
    from iterate_responses.mapping import SOURCE, map_response

ROUTES: Final = (Route("POST", "/iterate"),)

INGEST: Final = Ingest(
    source=SOURCE,
    routes=ROUTES,
    load_config=lambda folder: load_compiled(folder, "iterate", IterateConfig),
    map_call=lambda call, config, checks: map_response(
        call.body,
        config=config,
        received_at=call.received_at,
        correlation_id=call.correlation_id,
        signature_fits=checks.signature_fits,
        names_over_cap=checks.names_over_cap,
    ),
    new_names_a_day=lambda config: config.names.guard.new_a_day,
)

lambda_handler = lambda_handler_of(INGEST.compose)
