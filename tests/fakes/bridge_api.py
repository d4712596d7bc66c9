"""Every function behind the API on fakes, called as API Gateway would call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from braze_bridge.partner_config.toml_files import load_quikly
from braze_bridge.web.door import Door
from braze_bridge.web.edge import lambda_handler_of
from quikly_acquisition import api as acquisition
from tests.fakes.acquisitions import InMemoryRecords, InMemoryStepQueue
from tests.fakes.api_event import TOKEN
from tests.fakes.claims import Webhook
from tests.fakes.clock import FixedClock
from tests.fakes.iterate import IterateBench
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.fakes.outgrow import PARTNER_CONFIG, OutgrowBench
from tests.fakes.quikly_events import QuiklyEventsBench
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.web.door import ProxyResponse
    from braze_bridge.web.edge import LambdaHandler


class BridgeApi:
    """The whole API, by the shipped partner configuration.

    Attributes:
        parked: Where bodies are kept, by function.
    """

    def __init__(self) -> None:
        self._log = RecordingLog()
        config = load_quikly(PARTNER_CONFIG)
        outgrow, iterate, events = OutgrowBench(), IterateBench(), QuiklyEventsBench()
        webhook = Webhook(*config.activations.values())
        claiming = webhook.lambda_()
        clock = FixedClock()
        acquisitions = acquisition.AcquisitionApi(
            door=Door(
                routes=acquisition.ROUTES,
                secret=FixedSecret(TOKEN),
                meter=RecordingMeter(),
                clock=clock,
            ),
            acquisitions=config.acquisitions,
            records=InMemoryRecords(clock),
            queue=InMemoryStepQueue(clock),
            meter=RecordingMeter(),
            log=self._log.logger,
            new_id=acquisition.new_acquisition_id,
        )
        self.parked = (outgrow.rejected, iterate.rejected, events.rejected)
        self._handlers = {
            "/outgrow": outgrow.handler,
            "/outgrow/{content_id}": outgrow.handler,
            "/iterate": iterate.handler,
            "/quikly/acquisitions": self._answering(lambda: acquisitions),
            "/quikly/events": events.handler,
            "/quikly/webhook": self._answering(lambda: claiming),
        }
        self._handlers["/quikly/acquisitions/{id}"] = self._handlers["/quikly/acquisitions"]

    def _answering(self, compose: Callable[[], Callable[[object], ProxyResponse]]) -> LambdaHandler:
        return lambda_handler_of(compose, log=lambda: self._log.logger, flush=lambda: None)

    def call(self, event: dict[str, Any]) -> ProxyResponse:
        """Answer a proxy event by the function that its resource belongs to."""
        return self._handlers[event["resource"]](event, None)
