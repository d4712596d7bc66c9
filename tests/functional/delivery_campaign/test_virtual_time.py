"""The campaign's clock: what waits for futures waits for virtual seconds."""

from __future__ import annotations

from random import Random

from braze_bridge.aws.side_by_side import side_by_side
from tests.campaign.virtual_time import Process, Timeline, VirtualExecutor


def test_calls_side_by_side_are_given_up_at_their_virtual_deadline() -> None:
    """Also after some have ended: the real clock has not moved meanwhile."""
    timeline = Timeline(Random(1), 0.0)
    process = Process("lambda")
    ended: list[tuple[float, list[float | None]]] = []

    def call(seconds: float) -> float:
        timeline.sleep(seconds)
        return seconds

    def run() -> None:
        executor = VirtualExecutor(timeline, process, 3)
        results = side_by_side(call, [1.0, 10.0, 2.0], executor, lambda: 4.0 - timeline.now)
        ended.append((timeline.now, results))

    timeline.spawn(process, run)
    timeline.run(60.0)

    assert ended == [(4.0, [1.0, None, 2.0])]
