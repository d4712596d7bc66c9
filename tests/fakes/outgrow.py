"""The Outgrow function on fakes."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any, Final

from braze_bridge.partner_config.compiled import load_compiled
from braze_bridge.partner_config.outgrow import OutgrowConfig
from braze_bridge.web.door import Door
from braze_bridge.web.edge import lambda_handler_of
from braze_bridge.web.intake import Intake
from outgrow_ingest.app import ROUTES, OutgrowIngest
from outgrow_ingest.mapping import SOURCE
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


class OutgrowBench:
    """The handler as Lambda would call it, and everything it touches.

    Attributes:
        handler: What ``outgrow_ingest.app.lambda_handler`` is, wired to the fakes below.
        flushes: How often figures were written out.
    """

    def __init__(self, config: OutgrowConfig | None = None) -> None:
        self.config = config or load_compiled(compiled_config(), "outgrow", OutgrowConfig)
        self.queue = InMemoryJobQueue()
        self.rejected = InMemoryRejectedStore()
        self.meter = RecordingMeter()
        self.clock = FixedClock()
        self.secret = FixedSecret(TOKEN)
        self.log = RecordingLog()
        self.flushes = 0
        self.handler = lambda_handler_of(
            self._compose, log=lambda: self.log.logger, flush=self._flush
        )

    def _flush(self) -> None:
        self.flushes += 1

    def _compose(self) -> OutgrowIngest:
        return OutgrowIngest(
            door=Door(
                routes=ROUTES,
                secret=self.secret,
                meter=self.meter,
                clock=self.clock,
                allow_query_token=self.config.door.allow_query_token,
            ),
            config=self.config,
            intake=Intake(
                source=SOURCE,
                queue=self.queue,
                rejected=lambda: self.rejected,
                meter=self.meter,
                log=self.log.logger,
            ),
        )

    def post(self, body: object, path: str = "/outgrow") -> ProxyResponse:
        """Post a JSON value with the right token."""
        return self.handler(proxy_event(json.dumps(body), path=path), None)


def answered(response: ProxyResponse) -> tuple[int, Any]:
    """Status and parsed body of an answer."""
    return response["statusCode"], json.loads(response["body"])
