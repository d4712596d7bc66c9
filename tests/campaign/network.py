"""The network between delivery and Braze, with its faults."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from braze_bridge.braze.errors import ConnectFailedError, UnknownOutcomeError
from sandbox.braze.api import TRACK
from tests.campaign.braze_model import Sent, objects_of, person_of, says_something

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.transport import HttpRequest, HttpResponse
    from tests.campaign.braze_model import BrazeModel
    from tests.campaign.invocations import Invocation
    from tests.campaign.virtual_time import Timeline
    from tests.campaign.weather import Weather


class CampaignTransport:
    """The network of one execution environment: a :class:`braze_bridge.braze.transport.Transport`.

    Args:
        invocation: Gives the invocation that runs now.
        keeps_deadlines: False lets late requests leave, as a broken transport would.
    """

    def __init__(
        self,
        timeline: Timeline,
        weather: Weather,
        braze: BrazeModel,
        invocation: Callable[[], Invocation],
        *,
        keeps_deadlines: bool = True,
    ) -> None:
        self._timeline = timeline
        self._weather = weather
        self._braze = braze
        self._invocation = invocation
        self._keeps_deadlines = keeps_deadlines

    def send(self, request: HttpRequest) -> HttpResponse:
        """See :class:`braze_bridge.braze.transport.Transport`."""
        timeline = self._timeline
        objects = []
        if request.path == TRACK:
            body = json.loads(request.body or b"{}")
            objects = [(person_of(item), array, item) for array, _, item in objects_of(body)]
        fault = self._weather.draw("request", timeline.now)
        if fault == "too_large" and sum(says_something(item) for _, _, item in objects) < 2:
            fault = ""
        number = len(self._braze.sent) + 1
        invocation = self._invocation()
        sent = Sent(number, invocation, request.path, timeline.now, fault, objects=objects)
        self._braze.sent.append(sent)
        invocation.requests += request.path == TRACK
        deadline = float("inf")
        if request.deadline is not None:
            deadline = timeline.virtual(request.deadline)
        timeline.call(self._weather.between(0.001, 0.05))
        if fault == "stalled_dns":
            timeline.sleep(self._weather.between(5, 120))
        if self._keeps_deadlines and timeline.now >= deadline:
            raise ConnectFailedError("the deadline has passed")
        if fault == "refused":
            raise ConnectFailedError("refused")
        return self._exchange(sent, request, deadline)

    def _exchange(self, sent: Sent, request: HttpRequest, deadline: float) -> HttpResponse:
        """Send the request and await the answer. Braze has it even if this process dies."""
        timeline = self._timeline
        answers: list[HttpResponse] = []
        if sent.fault != "reset_before":
            arrives = timeline.now + self._weather.between(0.005, 0.1)
            timeline.call_at(arrives, partial(self._braze.process, sent, request, answers.append))
        waits = {
            "slow": request.timeout[1] + 1,
            "dripping": self._weather.between(5, 60),
            "reset_before": 0.1,
        }.get(sent.fault, self._weather.between(0.1, 0.6))
        patience = deadline - timeline.now
        if sent.fault != "dripping":
            patience = min(patience, request.timeout[1])
        timeline.sleep(min(waits, max(patience, 0.0)))
        if not answers or waits >= patience or sent.fault in {"reset_before", "reset_after"}:
            raise UnknownOutcomeError("no answer")
        sent.answered, sent.answered_at = True, timeline.now
        sent.invocation.answered(sent)
        return answers[0]
