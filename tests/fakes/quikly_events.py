"""The function for Quikly's activation events, on fakes."""

from __future__ import annotations

from braze_bridge.partner_config.quikly import QuiklyConfig
from quikly_events.app import INGEST
from tests.fakes.ingest import IngestBench


class QuiklyEventsBench(IngestBench[QuiklyConfig]):
    """The function for activation events."""

    def __init__(self, config: QuiklyConfig | None = None) -> None:
        super().__init__(INGEST, config)
