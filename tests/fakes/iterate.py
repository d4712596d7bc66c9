"""Iterate's bodies, and the Iterate function on fakes."""

from __future__ import annotations

from typing import Any, Final

from braze_bridge.partner_config.iterate import IterateConfig
from iterate_responses.app import INGEST
from tests.fakes.ingest import PARTNER_CONFIG, IngestBench

__all__ = ["PARTNER_CONFIG", "SURVEY", "IterateBench", "answer", "body"]

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
        user: The person; by default a person with a ``braze_id``.
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


class IterateBench(IngestBench[IterateConfig]):
    """The Iterate function."""

    def __init__(self, config: IterateConfig | None = None) -> None:
        super().__init__(INGEST, config)
