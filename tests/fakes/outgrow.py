"""The Outgrow function on fakes."""

from __future__ import annotations

from braze_bridge.partner_config.outgrow import OutgrowConfig
from outgrow_ingest.app import INGEST
from tests.fakes.ingest import PARTNER_CONFIG, IngestBench, answered

__all__ = ["PARTNER_CONFIG", "OutgrowBench", "answered"]


class OutgrowBench(IngestBench[OutgrowConfig]):
    """The Outgrow function."""

    def __init__(self, config: OutgrowConfig | None = None) -> None:
        super().__init__(INGEST, config)
