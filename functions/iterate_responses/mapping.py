"""From a body to an Iterate response to a DeliveryJob: pure, given the time and the rules."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.braze.limits import MAX_STRING_CHARS
from braze_bridge.jobs.envelope import (
    CONTROL_NAMES,
    IDENTIFIER_NAMES,
    DeliveryJob,
    JobEvent,
    canonical_hash,
    earliest,
)
from braze_bridge.mapping.attributes import (
    KEPT_AS_TEXT,
    NO_NAME,
    NOT_FOUND,
    SAME_NAME,
    Skip,
    drop_overflow,
    without_conflicts,
)
from braze_bridge.mapping.identities import HASH_CHARS, first_text, id_text, loggable
from braze_bridge.mapping.instants import first_instant, read_instant
from braze_bridge.mapping.outcomes import Ignored, Mapped, Outcome, Unmappable
from braze_bridge.mapping.paths import hits, is_blank
from braze_bridge.mapping.people import find_person
from braze_bridge.mapping.profile_fields import OBJECT_FIELDS, STANDARD_FIELDS
from braze_bridge.mapping.values import Misfit, ValueType, as_text, compact_json, looks_like_date
from braze_bridge.reasons import Reason
from iterate_responses.models import Answer, SurveyResponse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from braze_bridge.mapping.paths import Path
    from braze_bridge.mapping.values import Fitted
    from braze_bridge.partner_config.iterate import IterateConfig, QuestionRule, SurveyRule

SOURCE: Final = "iterate"
EVENT_TYPE: Final = "survey_response"

PREFIX: Final = "iterate_"
TEXT_MARK: Final = " (text)"
CUT_MARK: Final = "…"

_NAME_HASH_CHARS: Final = 8
MOST_RESPONSES: Final = 5_000
"""More entries with as little as a prompt, an answer and an id do not fit into a body of 256 KB; a
body of 80,000 that hold nothing would outlast the function's timeout."""

_MOST_REASONS: Final = 20
"""A parked body and its reasons share one row of the rejected table (400 KB)."""

_TOO_MANY: Final = Reason(
    code="too_many",
    field="survey_response.responses",
    detail=f"more than {MOST_RESPONSES} entries",
)
_NO_ANSWER_FIELD: Final = Reason(
    code="no_answer_field",
    field="survey_response.responses",
    detail="no entry has the field that holds the answer",
)

_TYPED_PROPERTIES: Final = {
    ValueType.INTEGER: "response_int",
    ValueType.NUMBER: "response_number",
    ValueType.BOOLEAN: "response_boolean",
    ValueType.DATE: "response_date",
    ValueType.ARRAY: "response_array",
}
"""Beside the text, of an answer that the configuration types. Two of the names are those that
Iterate gives its own events elsewhere."""

_OWN_NAMES: Final = IDENTIFIER_NAMES | CONTROL_NAMES | OBJECT_FIELDS | STANDARD_FIELDS.keys()
"""Names that mean something to Braze: a prompt that happens to be one must not."""


def map_response(
    body: object, *, config: IterateConfig, received_at: datetime, correlation_id: str
) -> Outcome:
    """Decide what becomes of a body.

    Args:
        body: A parsed JSON value of any type.
        config: Of ``iterate.toml``.
        received_at: When it came in.
        correlation_id: For the job.

    Returns:
        ``Ignored`` for another kind of event, for a response without any answer, and for one of
        which the configuration wants nothing;
        ``Unmappable`` with the reasons; else a job whose id is the same for every resend.
    """
    fields = body if isinstance(body, dict) else {}
    kind = fields.get("event_type")
    if not isinstance(kind, str) or not kind.strip():
        reason = Reason(code="no_event_type", field="event_type", detail="says what was posted")
        return Unmappable((reason,))
    if kind.strip() != EVENT_TYPE:
        return Ignored("other_event_type")
    response = fields.get(EVENT_TYPE)
    if not isinstance(response, dict) or "responses" not in response:
        return Unmappable((_no_responses("is missing"),))
    responses = response["responses"]
    if responses is None or responses == []:
        return Ignored("no_answers")
    if not isinstance(responses, list) or len(responses) > MOST_RESPONSES:
        return Unmappable(
            (_TOO_MANY if isinstance(responses, list) else _no_responses("is no list"),)
        )
    return decide(
        read_response(fields, responses, config),
        received_at=received_at,
        correlation_id=correlation_id,
    )


def read_response(
    body: dict[str, object], responses: list[object], config: IterateConfig
) -> SurveyResponse:
    """Read a body by its survey's rule.

    Args:
        body: A JSON object.
        responses: Its answers.
        config: Of ``iterate.toml``.
    """
    survey_id = first_text(config.survey_id, body)
    rule = config.rule_for(survey_id)
    answers = tuple(
        _read_answer(f"responses[{index}]", entry)
        for index, entry in enumerate(responses)
        if isinstance(entry, dict)
    )
    return SurveyResponse(
        survey_id=survey_id,
        survey_name=first_text(rule.survey_name, body),
        identity=_identity(body, rule, answers),
        completed_at=first_instant(rule.occurred_at, body),
        person=find_person(rule.person, body),
        rule=rule,
        answers=answers,
        unreadable=tuple(
            f"responses[{index}]"
            for index, entry in enumerate(responses)
            if not isinstance(entry, dict)
        ),
    )


def decide(response: SurveyResponse, *, received_at: datetime, correlation_id: str) -> Outcome:
    """Make a job of a response, or say why it can be none.

    Args:
        response: As read.
        received_at: When it came in.
        correlation_id: For the job.
    """
    taken = [_take(answer, response) for answer in response.answers]
    given = [each for each in taken if each is not None]
    if not given and not response.unreadable:
        if any(_holds_its_answer_elsewhere(each, response.rule) for each in response.answers):
            return Unmappable((_NO_ANSWER_FIELD,))
        return Ignored("no_answers")
    user = response.person.user
    attributes, replaced = _newest_by_name(given)
    attributes, conflicts = without_conflicts(attributes, user)
    misshapen = [Skip(place, Misfit.WRONG_TYPE.value) for place in response.unreadable]
    skips = (*misshapen, *(skip for each in given for skip in each.skips), *replaced, *conflicts)
    rejects = [each.reject for each in given if each.reject is not None]
    events = tuple(
        JobEvent(
            name=response.rule.event_name,
            time=earliest(each.answer.created_at or response.completed_at, received_at),
            properties=each.properties,
        )
        for each in given
        if response.rule.event_name is not None
    )
    reasons: list[Reason] = []
    if user is None:
        reasons.append(
            Reason(code="no_identity", field="person", detail="no usable identifier was found")
        )
        reasons.extend(response.person.reasons)
    reasons.extend(reject.reason() for reject in rejects)
    if not attributes and not events and not rejects:
        if not skips:
            return Ignored("nothing_to_send")
        reasons.append(Reason(code="nothing_to_send", detail="no answer could be taken over"))
        reasons.extend(skip.reason() for skip in skips)
    if reasons or user is None:
        return Unmappable(tuple(reasons[:_MOST_REASONS]), skips)
    times = [answer.created_at for answer in response.answers if answer.created_at is not None]
    job = DeliveryJob(
        job_id=f"{SOURCE}:{loggable(response.survey_id or 'default')}:{response.identity}",
        source=SOURCE,
        occurred_at=earliest(response.completed_at or max(times, default=None), received_at),
        received_at=received_at,
        correlation_id=correlation_id,
        user=user,
        attributes=attributes,
        events=events,
    )
    return Mapped(job, skips, response.person.reasons, unanswered=taken.count(None))


def attribute_name(prompt: str) -> str:
    """The attribute that a prompt names where no rule does.

    The prompt itself; ``iterate_`` before it where Braze would take it for a field of its own, or
    refuse it; cut and with a hash of the whole where it is longer than Braze takes. Always the same
    for the same prompt.

    Args:
        prompt: Without surrounding spaces; not empty.
    """
    name = f"{PREFIX}{prompt}" if prompt in _OWN_NAMES or prompt.startswith("$") else prompt
    if len(name) <= MAX_STRING_CHARS:
        return name
    ending = f"{CUT_MARK} {hashlib.sha256(prompt.encode()).hexdigest()[:_NAME_HASH_CHARS]}"
    return name[: MAX_STRING_CHARS - len(ending)] + ending


def braze_text(text: str) -> tuple[str, str | None]:
    """A text as Braze keeps it: as a text, and whole.

    Args:
        text: Not blank.

    Returns:
        The text; over 255 characters cut to 255, the last of them ``…``; ending in `` (text)``
        where Braze would have turned it into a date. And by which code it is told, if changed.
    """
    if len(text) > MAX_STRING_CHARS:
        return text[: MAX_STRING_CHARS - len(CUT_MARK)] + CUT_MARK, Misfit.TOO_LONG.value
    if looks_like_date(text):
        # Braze knows no spelling of a date that is anywhere near that long.
        return f"{text[: MAX_STRING_CHARS - len(TEXT_MARK)]}{TEXT_MARK}", KEPT_AS_TEXT
    return text, None


class _Taken(NamedTuple):
    """What becomes of one answered question.

    Attributes:
        name: Of the attribute; ``None``: there is none.
        value: Of the attribute; ``None``: it is left out.
        properties: Of the event.
        skips: What of it was left out or changed.
        reject: Why the configuration refuses the whole response for it, if it does.
    """

    answer: Answer
    name: str | None
    value: Fitted | None
    properties: dict[str, Fitted]
    skips: list[Skip]
    reject: Skip | None


def _take(answer: Answer, response: SurveyResponse) -> _Taken | None:
    """An answer's attribute and event, or ``None`` where the question was not answered."""
    rule = response.rule.question(answer.question_id, answer.prompt)
    formatted = _first_answer(response.rule.answer, answer.fields)
    found = _first_answer(rule.value.paths, answer.fields) if rule.value.paths else formatted
    shown = found if formatted is None else formatted
    if shown is None:
        return None
    text = _text_of(shown)
    value: Fitted | None = None
    skip: Skip | None = Skip(answer.place, NOT_FOUND)
    if found is not None:
        value, skip = _value(rule, found, answer.place)
    skips = [] if skip is None else [skip]
    properties = _properties(response, answer, rule, text, value)
    left_out = drop_overflow(properties)
    if left_out:
        skips.append(Skip(answer.place, Misfit.TOO_LONG.value))
    name = None
    if rule.has_attribute and value is not None:
        name = rule.value.name or (attribute_name(answer.prompt) if answer.prompt else None)
        if name is None:
            skips.append(Skip(answer.place, NO_NAME))
    refused = value is None and skip is not None and rule.value.on_misfit == "reject"
    return _Taken(answer, name, value, properties, skips, skip if refused else None)


def _value(rule: QuestionRule, found: object, place: str) -> tuple[Fitted | None, Skip | None]:
    """The answer as the rule types it, and what there is to say about it."""
    shape = rule.value.shape
    if shape.type is ValueType.STRING:
        found = _text_of(found)
        if rule.value.standard is None and not rule.is_strict:
            text, code = braze_text(found.strip() if shape.trim else found)
            return text, None if code is None else Skip(place, code, default_used=True)
    value = rule.value.convert(found)
    if not isinstance(value, Misfit):
        return value, None
    if rule.value.default is not None:
        return rule.value.default, Skip(place, value.value, default_used=True)
    return None, Skip(place, value.value)


def _first_answer(paths: Iterable[Path], fields: Mapping[str, object]) -> object | None:
    """The first value that answers something, without the choices that are blank."""
    found = (_without_blanks(hit.value) for hit in hits(paths, fields))
    return next((value for value in found if not is_blank(value)), None)


def _without_blanks(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [each for each in map(_without_blanks, value) if not is_blank(each)]


def _holds_its_answer_elsewhere(answer: Answer, rule: SurveyRule) -> bool:
    """Whether an entry has something in it, but not even a blank where the answer should stand.

    A skipped question has the field; one without it has a shape that we do not know.
    """
    roots = (re.match(r"\w+", path.text) for path in rule.answer)
    return bool(answer.fields) and not any(
        root is not None and root.group() in answer.fields for root in roots
    )


def _text_of(found: object) -> str:
    """An answer as one text: choices with commas between them, anything nested as JSON."""
    if isinstance(found, list):
        parts = [as_text(each) for each in found]
        texts = [part for part in parts if not isinstance(part, Misfit)]
        if len(texts) == len(parts):
            return ", ".join(texts)
    text = as_text(found)
    return compact_json(found).decode() if isinstance(text, Misfit) else text


def _properties(
    response: SurveyResponse, answer: Answer, rule: QuestionRule, text: str, value: Fitted | None
) -> dict[str, Fitted]:
    """The event's properties: flat, none of them reserved, the texts as texts.

    An answer that is too long for one property stands whole in ``response_part_1`` and following.
    """
    texts = {
        "survey_id": response.survey_id,
        "survey_name": response.survey_name,
        "question_id": answer.question_id,
        "question": answer.prompt,
        "response": text,
        "response_id": answer.response_id,
        "label": rule.value.name if rule.has_attribute else None,
    }
    properties: dict[str, Fitted] = {
        name: braze_text(each)[0] for name, each in texts.items() if each
    }
    typed = _TYPED_PROPERTIES.get(rule.value.shape.type)
    if typed is not None and value is not None:
        properties[typed] = value
    if len(text) > MAX_STRING_CHARS:
        for number, part in enumerate(_pieces(text), start=1):
            properties[f"response_part_{number}"] = part
    return properties


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), MAX_STRING_CHARS):
        yield braze_text(text[start : start + MAX_STRING_CHARS])[0]


def _newest_by_name(given: list[_Taken]) -> tuple[dict[str, Fitted], list[Skip]]:
    """One value a name: of several answers that which was given last, or stands last."""
    kept: dict[str, _Taken] = {}
    replaced = []
    for each in given:
        if each.name is None:
            continue
        other = kept.get(each.name)
        if other is None:
            kept[each.name] = each
            continue
        first, second = other.answer.created_at, each.answer.created_at
        older = each if first is not None and second is not None and second < first else other
        if older is other:
            kept[each.name] = each
        replaced.append(Skip(older.answer.place, SAME_NAME))
    return {name: each.value for name, each in kept.items() if each.value is not None}, replaced


def _read_answer(place: str, fields: dict[str, object]) -> Answer:
    return Answer(
        place=place,
        response_id=id_text(fields.get("id")),
        question_id=id_text(fields.get("question_id")),
        prompt=id_text(fields.get("question_prompt")),
        created_at=read_instant(fields.get("created_at")),
        fields=fields,
    )


def _identity(body: object, rule: SurveyRule, answers: tuple[Answer, ...]) -> str:
    """What a resend surely repeats: the response's id, else its answers' ids, else the whole body.

    Iterate may add to a body whatever it likes; only in the last case that makes another job.
    """
    plain = first_text(rule.response_id, body)
    if plain is not None:
        return loggable(plain)
    ids = sorted({answer.response_id for answer in answers if answer.response_id is not None})
    if ids and all(answer.response_id is not None for answer in answers):
        return f"r-{canonical_hash(ids)[:HASH_CHARS]}"
    return f"b-{canonical_hash(body)[:HASH_CHARS]}"


def _no_responses(detail: str) -> Reason:
    return Reason(code="no_responses", field="survey_response.responses", detail=detail)
