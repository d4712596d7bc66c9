"""One invocation of delivery in a campaign, and what is true of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.braze.api import TRACK
from tests.campaign.aws_models import Link
from tests.fakes.meter import RecordingMeter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braze_bridge.handlers import SqsMessage
    from braze_delivery.reporting import BatchResult
    from tests.campaign.braze_model import Sent


@dataclass
class Invocation:
    """One invocation, and what is true of it.

    Attributes:
        requests: Requests that began in it.
        limited: Answers with a 429 that it got.
        link: To the table.
        ended_at: ``None`` while it runs. A killed one has no result.
        frozen: It stood still for a while, so its time may not suffice to record.
    """

    number: int
    environment: str
    messages: Sequence[SqsMessage]
    began_at: float
    ended_at: float | None = None
    result: BatchResult | None = None
    failure: str = ""
    killed: bool = False
    frozen: bool = False
    unhidden: int = 0
    requests: int = 0
    limited: int = 0
    link: Link = field(default_factory=Link)
    meter: RecordingMeter = field(default_factory=RecordingMeter)

    @property
    def is_interrupted(self) -> bool:
        """Check that it may have recorded nothing."""
        return self.killed or self.frozen or bool(self.failure)

    def answered(self, sent: Sent) -> None:
        """Note an answer."""
        self.limited += sent.status == 429 and sent.path == TRACK
