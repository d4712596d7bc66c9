"""Iterate's bodies, and the Iterate function on fakes."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any, Final

from braze_bridge.partner_config.compiled import load_compiled
from braze_bridge.partner_config.iterate import IterateConfig
from braze_bridge.web.door import Door
from braze_bridge.web.edge import lambda_handler_of
from braze_bridge.web.intake import Intake
from iterate_responses.app import ROUTES, IterateResponses
from iterate_responses.mapping import SOURCE
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
SURVEY: Final = "5edfaeb2c591330001a1b2c3"


def answer(number: int, prompt: Any, formatted: Any = "Yes", **fields: Any) -> dict[str, Any]:
    """One of the ``responses``: ids ``a<number>`` and ``q<number>``, a minute after the other."""
    return {
        "id": f"a{number}",
        "question_id": f"q{number}",
        "created_at": f"2026-11-20T08:{number % 60:02d}:00Z",
        "question_prompt": prompt,
        "formatted_response": formatted,
    } | fields


def body(*responses: Any, user: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A webhook's body.

    Args:
        responses: The answers.
        user: Whom it is about; left out: somebody with a ``braze_id``.
        fields: More of, or other, fields of ``survey_response``.
    """
    response = {
        "id": "sr-1",
        "completed_at": "2026-11-20T09:00:00Z",
        "survey": {"id": SURVEY, "name": "How was it?", "questions": []},
        "user": {"braze_id": "5f1a0000c0ffee0000000001"} if user is None else user,
        "responses": list(responses),
    }
    return {"event_type": "survey_response", "survey_response": response | fields}


class IterateBench:
    """The handler as Lambda would call it, and everything it touches."""

    def __init__(self, config: IterateConfig | None = None) -> None:
        self.config = config or load_compiled(compiled_config(), "iterate", IterateConfig)
        self.queue = InMemoryJobQueue()
        self.rejected = InMemoryRejectedStore()
        self.meter = RecordingMeter()
        self.clock = FixedClock()
        self.log = RecordingLog()
        self.handler = lambda_handler_of(
            self._compose, log=lambda: self.log.logger, flush=lambda: None
        )

    def _compose(self) -> IterateResponses:
        return IterateResponses(
            door=Door(
                routes=ROUTES,
                secret=FixedSecret(TOKEN),
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

    def post(self, posted: object) -> ProxyResponse:
        """Post a JSON value with the right token."""
        return self.handler(proxy_event(json.dumps(posted), path="/iterate"), None)
