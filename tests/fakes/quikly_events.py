"""The function for Quikly's activation events, on fakes."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Final

from braze_bridge.partner_config.compiled import load_compiled
from braze_bridge.partner_config.quikly import QuiklyConfig
from braze_bridge.web.door import Door
from braze_bridge.web.edge import lambda_handler_of
from braze_bridge.web.intake import Intake
from quikly_events.app import ROUTES, QuiklyEvents
from quikly_events.mapping import SOURCE
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.clock import FixedClock
from tests.fakes.compiled_config import compiled_config
from tests.fakes.jobs import InMemoryJobQueue, InMemoryRejectedStore
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from braze_bridge.web.door import ProxyResponse

PARTNER_CONFIG: Final = pathlib.Path(__file__).parents[2] / "layers" / "partner_config"


class QuiklyEventsBench:
    """The handler as Lambda would call it, and everything it touches.

    Attributes:
        handler: What ``quikly_events.app.lambda_handler`` is, wired to the fakes below.
    """

    def __init__(self, config: QuiklyConfig | None = None) -> None:
        self.config = config or load_compiled(compiled_config(), "quikly", QuiklyConfig)
        self.queue = InMemoryJobQueue()
        self.rejected = InMemoryRejectedStore()
        self.meter = RecordingMeter()
        self.clock = FixedClock()
        self.secret = FixedSecret(TOKEN)
        self.log = RecordingLog()
        self.handler = lambda_handler_of(
            self._compose, log=lambda: self.log.logger, flush=lambda: None
        )

    def _compose(self) -> QuiklyEvents:
        return QuiklyEvents(
            door=Door(routes=ROUTES, secret=self.secret, meter=self.meter, clock=self.clock),
            config=self.config,
            intake=Intake(
                source=SOURCE,
                queue=self.queue,
                rejected=lambda: self.rejected,
                meter=self.meter,
                log=self.log.logger,
            ),
        )

    def post(self, body: object) -> ProxyResponse:
        """Post a JSON value with the right token."""
        return self.handler(proxy_event(json.dumps(body), path="/quikly/events"), None)
