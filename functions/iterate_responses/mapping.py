"""From an Iterate response to a DeliveryJob: pure, given the time and the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.mapping.attributes import SAME_NAME, TOO_MANY_NAMES, Skip
from braze_bridge.mapping.identities import first_id, first_name, loggable
from braze_bridge.mapping.instants import FoundTime, find_instant
from braze_bridge.mapping.job_building import (
    Content,
    Event,
    Origin,
    event_id,
    hashed,
    make_job,
)
from braze_bridge.mapping.link_signatures import no_signature_fits
from braze_bridge.mapping.names import none_over_cap
from braze_bridge.mapping.outcomes import Ignored, Mapped, Outcome, Unmappable
from braze_bridge.mapping.people import find_person
from braze_bridge.mapping.values import Misfit
from braze_bridge.reasons import Reason
from iterate_responses.answers import Survey, convert_answer, holds_answer_elsewhere, read_answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from braze_bridge.mapping.link_signatures import SignatureCheck
    from braze_bridge.mapping.names import NamesOverCap
    from braze_bridge.mapping.values import Fitted
    from braze_bridge.partner_config.iterate import IterateConfig, SurveyRule
    from iterate_responses.answers import Answer, AnsweredQuestion

SOURCE: Final = "iterate"
SENDER: Final = "iterate_responses"
EVENT_TYPE: Final = "survey_response"

MOST_RESPONSES: Final = 5_000
"""A body of 256 KB has no room for more entries with a prompt, an answer and an id. It has room for
80,000 empty ones, which would outlast the function's timeout."""

_MOST_REASONS: Final = 20
"""A parked body and its reasons share one row of the rejected table (400 KB)."""


def map_response(
    body: object,
    *,
    config: IterateConfig,
    received_at: datetime,
    correlation_id: str,
    signature_fits: SignatureCheck = no_signature_fits,
    names_over_cap: NamesOverCap = none_over_cap,
) -> Outcome:
    """Map a body.

    Args:
        body: A parsed JSON value of any type.
        config: Of ``iterate.toml``.

    Returns:
        ``Ignored`` for another kind of event, and for a response without any answer or without one
        that the configuration wants. ``Unmappable`` with the reasons. Otherwise a job whose id is
        the same for every resend of the same answers.
    """
    responses = _find_responses(body if isinstance(body, dict) else {})
    if not isinstance(responses, list):
        return responses
    survey_id = first_id(config.survey_id, body)
    rule = config.rule_for(survey_id)
    survey = Survey(survey_id, first_name(rule.survey_name, body), rule, config.names)
    places = {f"responses[{index}]": entry for index, entry in enumerate(responses)}
    answers = [
        read_answer(at, entry, rule.formats)
        for at, entry in places.items()
        if isinstance(entry, dict)
    ]
    converted = [convert_answer(answer, survey) for answer in answers]
    answered = [each for each in converted if each is not None]
    if not answered and len(answers) == len(responses):
        elsewhere = any(holds_answer_elsewhere(answer, rule) for answer in answers)
        return _NO_ANSWER_FIELD if elsewhere else Ignored("no_answers")
    if len(answered) > config.names.most_answers:
        return _unmappable("too_many", f"more than {config.names.most_answers} answers")
    completed = find_instant(rule.occurred_at, body, rule.formats)
    person = find_person(rule.person, body, signature_fits)
    unreadable = [at for at, entry in places.items() if not isinstance(entry, dict)]
    ids = _Ids.of(body, survey, answers)
    content = _content(answered, unreadable, rule, completed.instant, ids).for_user(person.user)
    if person.user is not None and not content.rejects:
        content = _without_names_over_cap(content, answered, received_at, names_over_cap)
    if not any(content):
        return Ignored("nothing_to_send")
    times = [answer.created_at for answer in answers if answer.created_at is not None]
    outcome = make_job(
        content,
        person,
        origin=Origin(SOURCE, SENDER, ids.response),
        occurred_at=FoundTime(completed.instant or max(times, default=None), completed.unreadable),
        received_at=received_at,
        correlation_id=correlation_id,
        if_empty="no answer could be taken over",
        untimed_is_newest=config.door.untimed_is_newest,
    )
    if isinstance(outcome, Mapped):
        return outcome._replace(unanswered=converted.count(None))
    return outcome._replace(reasons=outcome.reasons[:_MOST_REASONS])


def _find_responses(body: dict[str, object]) -> list[object] | Unmappable | Ignored:
    """Find the answers of a body, or why it has none."""
    kind = body.get("event_type")
    if not isinstance(kind, str) or not kind.strip():
        reason = Reason(code="no_event_type", field="event_type", detail="says what was posted")
        return Unmappable((reason,))
    if kind.strip() != EVENT_TYPE:
        return Ignored("other_event_type")
    response = body.get(EVENT_TYPE)
    if not isinstance(response, dict) or "responses" not in response:
        return _unmappable("no_responses", "is missing")
    responses = [] if response["responses"] is None else response["responses"]
    if not isinstance(responses, list):
        return _unmappable("no_responses", "is no list")
    if len(responses) > MOST_RESPONSES:
        return _unmappable("too_many", f"more than {MOST_RESPONSES} entries")
    return responses


def _unmappable(code: str, detail: str) -> Unmappable:
    return Unmappable((Reason(code=code, field="survey_response.responses", detail=detail),))


_NO_ANSWER_FIELD: Final = _unmappable(
    "no_answer_field", "no entry has the field that holds the answer"
)


def _content(
    answered: Sequence[AnsweredQuestion],
    unreadable: Sequence[str],
    rule: SurveyRule,
    completed_at: datetime | None,
    ids: _Ids,
) -> Content:
    """Build a job's content from the answers and the places of unreadable entries."""
    attributes, replaced = _newest_by_name(answered)
    name = rule.event_name
    return Content(
        attributes,
        events=tuple(
            Event(
                ids.event(each.answer, name),
                name,
                each.answer.created_at or completed_at,
                each.properties,
            )
            for each in answered
            if name is not None
        ),
        skips=(
            *(Skip(place, Misfit.WRONG_TYPE.value) for place in unreadable),
            *(skip for each in answered for skip in each.skips),
            *replaced,
        ),
        rejects=tuple(each.reject for each in answered if each.reject is not None),
    )


def _without_names_over_cap(
    content: Content,
    answered: Sequence[AnsweredQuestion],
    received_at: datetime,
    names_over_cap: NamesOverCap,
) -> Content:
    """Leave out attributes whose names are new on a day with too many; their events stay."""
    places = {
        each.attribute[0]: each.answer.place
        for each in answered
        if each.attribute is not None and each.names_itself
    }
    over = names_over_cap([name for name in content.attributes if name in places], received_at)
    return content._replace(
        attributes={name: each for name, each in content.attributes.items() if name not in over},
        skips=(
            *content.skips,
            *(Skip(places[name], TOO_MANY_NAMES) for name in content.attributes if name in over),
        ),
    )


def _newest_by_name(
    answered: Sequence[AnsweredQuestion],
) -> tuple[dict[str, Fitted], list[Skip]]:
    """Keep one value a name: the answer given last or, without times, the last in the body."""
    kept: dict[str, AnsweredQuestion] = {}
    replaced = []
    for each in answered:
        if each.attribute is None:
            continue
        name, _ = each.attribute
        other = kept.setdefault(name, each)
        if other is each:
            continue
        first, second = other.answer.created_at, each.answer.created_at
        is_older = first is not None and second is not None and second < first
        if not is_older:
            kept[name] = each
        replaced.append(Skip((each if is_older else other).answer.place, SAME_NAME))
    return dict(each.attribute for each in kept.values() if each.attribute is not None), replaced


class _Ids(NamedTuple):
    """What every resend repeats; safe to log.

    Attributes:
        response: The identity of the response: its id, its answers' ids, or the whole body. Iterate
            may add to a body whatever it likes; only in the last case that makes another response.
        own: An answer's own id to its place in the body. Of answers with one id, the first has it.
        own_of: What these ids belong to. Without an id of the response that is the survey: a resend
            may have more answers than before.
    """

    response: str
    own: Mapping[str, str]
    own_of: str

    @staticmethod
    def of(body: object, survey: Survey, answers: Sequence[Answer]) -> _Ids:
        own = {
            answer.response_id: answer.place
            for answer in reversed(answers)
            if answer.response_id is not None
        }
        start = f"{SOURCE}:{loggable(survey.id or 'default')}"
        plain = first_id(survey.rule.response_id, body)
        if plain is not None:
            return _Ids(f"{start}:{loggable(plain)}", own, f"{start}:{loggable(plain)}")
        all_own = answers and all(answer.response_id is not None for answer in answers)
        identity = hashed("r", sorted(own)) if all_own else hashed("b", body)
        return _Ids(f"{start}:{identity}", own, start)

    def event(self, answer: Answer, name: str) -> str:
        """Name the event of an answer by the answer's own id, or else by its place."""
        if answer.response_id is not None and self.own[answer.response_id] == answer.place:
            return event_id(self.own_of, name, loggable(answer.response_id))
        return event_id(self.response, name, answer.place)
