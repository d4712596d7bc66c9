"""A :class:`braze_bridge.observability.Meter` that keeps what it was given."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from braze_bridge.observability import Metric


class RecordingMeter:
    """Sums by metric, and every figure in order.

    Attributes:
        totals: Metric to the sum of its figures; a metric never given is 0.
        figures: Each call, as it came.
    """

    def __init__(self) -> None:
        self.totals: Counter[Metric] = Counter()
        self.figures: list[tuple[Metric, float]] = []

    def add(self, metric: Metric, value: float = 1) -> None:
        """See :meth:`braze_bridge.observability.Meter.add`."""
        self.totals[metric] += value  # type: ignore[assignment]  # a Counter counts floats, too
        self.figures.append((metric, value))
