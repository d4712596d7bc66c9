"""An ingest function on fakes."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from braze_bridge.ledger.new_names import NewNames
from braze_bridge.mapping.link_signatures import check_with
from braze_bridge.mapping.names import none_over_cap
from braze_bridge.web.door import Door
from braze_bridge.web.edge import lambda_handler_of
from braze_bridge.web.ingest import Checks
from braze_bridge.web.intake import Intake
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.clock import FixedClock
from tests.fakes.compiled_config import compiled_config
from tests.fakes.jobs import InMemoryJobQueue, InMemoryRejectedStore
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.fakes.new_names import InMemoryNames
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from braze_bridge.mapping.names import NamesOverCap
    from braze_bridge.web.door import ProxyResponse
    from braze_bridge.web.edge import Answering
    from braze_bridge.web.ingest import Ingest, PartnerConfig

PARTNER_CONFIG: Final = pathlib.Path(__file__).parents[2] / "layers" / "partner_config"

ConfigT = TypeVar("ConfigT", bound="PartnerConfig")


class IngestBench(Generic[ConfigT]):
    """The handler as Lambda would call it, and everything it touches.

    Attributes:
        handler: What the function's ``lambda_handler`` is, wired to the fakes below.
        flushes: How often figures were written out.
    """

    def __init__(self, ingest: Ingest[ConfigT], config: ConfigT | None = None) -> None:
        self._ingest = ingest
        self.config = ingest.load_config(compiled_config()) if config is None else config
        self.queue = InMemoryJobQueue()
        self.rejected = InMemoryRejectedStore()
        self.meter = RecordingMeter()
        self.clock = FixedClock()
        self.secret = FixedSecret(TOKEN)
        self.link_key = FixedSecret("a key of tests")
        self.names = InMemoryNames()
        self.log = RecordingLog()
        self.flushes = 0
        self.handler = lambda_handler_of(
            self._compose, log=lambda: self.log.logger, flush=self._flush
        )

    def _flush(self) -> None:
        self.flushes += 1

    def _compose(self) -> Answering:
        door = Door(
            routes=self._ingest.routes,
            secret=self.secret,
            meter=self.meter,
            clock=self.clock,
            allow_query_token=self.config.door.allow_query_token,
        )
        intake = Intake(
            source=self._ingest.source,
            queue=self.queue,
            rejected=lambda: self.rejected,
            meter=self.meter,
            log=self.log.logger,
        )
        checks = Checks(check_with(self.link_key), self._new_names())
        return self._ingest.answering(self.config, door, intake, checks)

    def _new_names(self) -> NamesOverCap:
        if self._ingest.new_names_a_day is None:
            return none_over_cap
        most = self._ingest.new_names_a_day(self.config)
        return NewNames(lambda: self.names, most, meter=self.meter, log=self.log.logger)

    def post(self, body: object, path: str | None = None) -> ProxyResponse:
        """Post a JSON value with the right token, to the function's first route by default."""
        path = path or self._ingest.routes[0].resource
        return self.handler(proxy_event(json.dumps(body), path=path), None)


def answered(response: ProxyResponse) -> tuple[int, Any]:
    """Status and parsed body of an answer."""
    return response["statusCode"], json.loads(response["body"])
