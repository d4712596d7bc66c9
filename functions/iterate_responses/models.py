"""An Iterate response as its webhook tells it: Iterate's side of the mapping.

The names of the fields are those of https://help.iteratehq.com/en/articles/2835022-webhooks; what
that page leaves open (the person, the survey's name) is found by the paths of ``iterate.toml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from braze_bridge.mapping.people import Person
    from braze_bridge.partner_config.iterate import SurveyRule


class Answer(NamedTuple):
    """One entry of ``responses``.

    Attributes:
        place: Where in the body, such as ``responses[3]``: safe to log, unlike prompt and ids.
        response_id: The answer's own.
        prompt: The question's text without the spaces around it.
        created_at: When it was given, where Iterate says so readably.
        fields: The entry as it came.
    """

    place: str
    response_id: str | None
    question_id: str | None
    prompt: str | None
    created_at: datetime | None
    fields: Mapping[str, object]

    def __repr__(self) -> str:
        # A repr ends up in tracebacks and logs, where no answer belongs.
        return f"Answer({self.place})"


class SurveyResponse(NamedTuple):
    """One person's answers to one survey.

    Attributes:
        identity: The response's own, plain or hashed, so that it may be logged.
        completed_at: Iterate's time, where it gave a readable one.
        person: Whom it is about, if anyone usable is named.
        rule: The survey's.
        answers: Every entry that is one, answered or not.
        unreadable: The places of entries that are none.
    """

    survey_id: str | None
    survey_name: str | None
    identity: str
    completed_at: datetime | None
    person: Person
    rule: SurveyRule
    answers: tuple[Answer, ...]
    unreadable: tuple[str, ...]

    def __repr__(self) -> str:
        # As above.
        return f"SurveyResponse({self.identity!r}, {len(self.answers)} answers)"
