"""A :class:`braze_bridge.observability.PartnerMeter` that keeps what it was given."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.observability import Metric


class RecordingMeter:
    """Sums by metric, and every figure in order.

    Attributes:
        totals: Metric to the sum of its figures; a metric never given is 0.
        figures: Each call, as it came.
        by_partner: Partner and metric to the sum of its figures.
    """

    def __init__(self) -> None:
        self.totals: Counter[Metric] = Counter()
        self.figures: list[tuple[Metric, float]] = []
        self.by_partner: Counter[tuple[str, Metric]] = Counter()

    def add(self, metric: Metric, value: float = 1) -> None:
        """See :meth:`braze_bridge.observability.Meter.add`."""
        self.totals[metric] += value  # type: ignore[assignment]  # a Counter counts floats, too
        self.figures.append((metric, value))

    def add_for(self, partner: str, figures: Mapping[Metric, float]) -> None:
        """See :meth:`braze_bridge.observability.PartnerMeter.add_for`."""
        for metric, value in figures.items():
            self.by_partner[partner, metric] += value  # type: ignore[assignment]  # as above
