"""Iterate's webhook: ``POST /iterate``."""

from __future__ import annotations

from typing import Final

from braze_bridge.cold_start import collector_off

with collector_off():
    from braze_bridge.aws import clients
    from braze_bridge.aws.secrets import SecretsManagerSource
    from braze_bridge.clock import SystemClock
    from braze_bridge.jobs.queue import SqsJobQueue
    from braze_bridge.jobs.rejected import DynamoRejectedStore
    from braze_bridge.observability import EmfMeter, logger, metrics
    from braze_bridge.partner_config.compiled import load_compiled
    from braze_bridge.partner_config.iterate import IterateConfig
    from braze_bridge.settings import IngestSettings, load_settings
    from braze_bridge.web.door import Door, ProxyResponse, Route
    from braze_bridge.web.edge import lambda_handler_of
    from braze_bridge.web.intake import Intake
    from iterate_responses.mapping import SOURCE, map_response

ROUTES: Final = (Route("POST", "/iterate"),)


class IterateResponses:
    """Answers one call: admit, map, settle."""

    def __init__(self, door: Door, config: IterateConfig, intake: Intake) -> None:
        self._door = door
        self._config = config
        self._intake = intake

    def __call__(self, event: object) -> ProxyResponse:
        """Answer an API Gateway proxy event."""
        admitted = self._door.admit(event)
        outcome = map_response(
            admitted.body,
            config=self._config,
            received_at=admitted.received_at,
            correlation_id=admitted.correlation_id,
        )
        return self._intake.settle(admitted, outcome)


def compose() -> IterateResponses:
    """Wire the function as it runs in Lambda."""
    settings = load_settings(IngestSettings)
    config = load_compiled(settings.partner_config_dir, "iterate", IterateConfig)
    meter = EmfMeter(metrics())
    return IterateResponses(
        door=Door(
            routes=ROUTES,
            secret=SecretsManagerSource(settings.partner_secret),
            meter=meter,
            clock=SystemClock(),
            allow_query_token=config.door.allow_query_token,
        ),
        config=config,
        intake=Intake(
            source=SOURCE,
            queue=SqsJobQueue(clients.sqs(), settings.delivery_queue_url),
            rejected=lambda: DynamoRejectedStore(clients.dynamodb(), settings.rejected_table),
            meter=meter,
            log=logger(),
        ),
    )


lambda_handler = lambda_handler_of(compose)
