"""One answer of an Iterate response as an attribute and the properties of an event.

The names of the fields are those of https://help.iteratehq.com/en/articles/2835022-webhooks. The
paths of ``iterate.toml`` find what that page leaves open: the person, the survey's name.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.braze.limits import MAX_STRING_CHARS
from braze_bridge.jobs.envelope import CONTROL_NAMES, IDENTIFIER_NAMES
from braze_bridge.mapping.attributes import (
    KEPT_AS_TEXT,
    NO_NAME,
    NOT_FOUND,
    UNREADABLE_TIME,
    Skip,
    drop_overflow,
)
from braze_bridge.mapping.identities import id_text, name_text
from braze_bridge.mapping.instants import read_instant
from braze_bridge.mapping.paths import hits, is_blank
from braze_bridge.mapping.profile_fields import OBJECT_FIELDS, STANDARD_FIELDS
from braze_bridge.mapping.texts import bare_name, plain_name, trimmed
from braze_bridge.mapping.values import Misfit, ValueType, as_text, compact_json, looks_like_date
from braze_bridge.partner_config.iterate import BY_PROMPT, PLAIN, NameRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from braze_bridge.mapping.paths import Path
    from braze_bridge.mapping.values import Fitted
    from braze_bridge.partner_config.iterate import QuestionRule, SurveyRule

PREFIX: Final = "iterate_"
TEXT_MARK: Final = " (text)"
CUT_MARK: Final = "…"

_NAME_HASH_CHARS: Final = 8

_TYPED_PROPERTIES: Final = {
    ValueType.INTEGER: "response_int",
    ValueType.NUMBER: "response_number",
    ValueType.BOOLEAN: "response_boolean",
    ValueType.DATE: "response_date",
    ValueType.ARRAY: "response_array",
}
"""The property beside the text, for an answer that the configuration types. Iterate itself uses two
of these names in other events."""

_BRAZE_NAMES: Final = IDENTIFIER_NAMES | CONTROL_NAMES | OBJECT_FIELDS | STANDARD_FIELDS.keys()
"""Names that mean something to Braze; a prompt that equals one must not become an attribute."""


class Survey(NamedTuple):
    """The survey of a response.

    Attributes:
        id: ``None`` if the body names none.
        names: Of attributes whose questions have no rule.
    """

    id: str | None
    name: str | None
    rule: SurveyRule
    names: NameRule = BY_PROMPT


class Answer(NamedTuple):
    """One entry of ``responses``.

    Attributes:
        place: Where in the body, such as ``responses[3]``: safe to log, unlike prompt and ids.
        response_id: The answer's own.
        prompt: The question's text in its one form.
        created_at: When it was given, if Iterate says so readably.
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


class AnsweredQuestion(NamedTuple):
    """An answer as it goes to Braze.

    Attributes:
        attribute: Its name and value, if there is one.
        names_itself: Whether the name is the prompt's, and not the configuration's.
        properties: The event's.
        skips: What is left out or changed.
        reject: Why the configuration refuses the whole response, if it does.
    """

    answer: Answer
    attribute: tuple[str, Fitted] | None
    properties: dict[str, Fitted]
    skips: list[Skip]
    reject: Skip | None
    names_itself: bool


def read_answer(place: str, fields: Mapping[str, object], formats: Iterable[str] = ()) -> Answer:
    """Read one entry of ``responses``; ``formats`` are those of its times."""
    return Answer(
        place=place,
        response_id=id_text(fields.get("id")),
        question_id=id_text(fields.get("question_id")),
        prompt=name_text(fields.get("question_prompt")),
        created_at=read_instant(fields.get("created_at"), formats),
        fields=fields,
    )


def convert_answer(answer: Answer, survey: Survey) -> AnsweredQuestion | None:
    """Convert an answer by its question's rule; ``None`` if the question is not answered."""
    rule = survey.rule.question(answer.question_id, answer.prompt)
    formatted = _first_answer(survey.rule.answer, answer.fields)
    found = _first_answer(rule.value.paths, answer.fields) if rule.value.paths else formatted
    shown = found if formatted is None else formatted
    if shown is None:
        return None
    value: Fitted | None = None
    skip: Skip | None = Skip(answer.place, NOT_FOUND)
    if found is not None:
        value, skip = _value(rule, found, answer.place)
    skips = [] if skip is None else [skip]
    if answer.created_at is None and not is_blank(answer.fields.get("created_at")):
        skips.append(Skip(f"{answer.place}.created_at", UNREADABLE_TIME, default_used=True))
    properties = _properties(survey, answer, rule, _text_of(shown), value)
    if drop_overflow(properties):
        skips.append(Skip(answer.place, Misfit.TOO_LONG.value))
    attribute = None
    if rule.has_attribute and value is not None:
        name: str | None = rule.value.name
        if not name and answer.prompt and not (survey.names.only_listed and rule is PLAIN):
            name = attribute_name(answer.prompt, survey.names)
        if not name and survey.names.only_listed:
            pass  # as configured
        elif not name:
            skips.append(Skip(answer.place, NO_NAME))
        else:
            attribute = (name, value)
    is_refused = value is None and rule.value.on_misfit == "reject"
    return AnsweredQuestion(
        answer,
        attribute,
        properties,
        skips,
        skip if is_refused else None,
        names_itself=not rule.value.name,
    )


def attribute_name(prompt: str, names: NameRule = BY_PROMPT) -> str | None:
    """Name the attribute of a prompt that no rule names: always the same for the same prompt.

    Args:
        prompt: Without surrounding spaces; not empty.
        names: The configured prefix, and the names that no prompt may have.

    Returns:
        The prompt without characters that nobody sees: with one of them it would look like another
        attribute. It begins with ``iterate_`` if Braze would take it for a field of its own or
        refuse it, or if it is another partner's or means consent. It is cut and ends in a hash of
        the whole if it is longer than Braze takes. ``None`` if nothing is left of it.
    """
    visible = plain_name(prompt)
    if not bare_name(visible):
        return None
    name = f"{names.prefix}{visible}"
    bare = bare_name(name)
    if bare in _BRAZE_NAMES or names.guard.objection(name) or name.startswith("$"):
        name = f"{PREFIX}{name}"
    if len(name) <= MAX_STRING_CHARS:
        return name
    ending = f"{CUT_MARK} {hashlib.sha256(prompt.encode()).hexdigest()[:_NAME_HASH_CHARS]}"
    return name[: MAX_STRING_CHARS - len(ending)] + ending


def braze_text(text: str) -> tuple[str, str | None]:
    """Change a text so that Braze keeps it as a text, and whole.

    Args:
        text: Not blank.

    Returns:
        The text, and the code of the change if there is one. A text over 255 characters is cut to
        255, the last of them ``…``. A text that Braze would turn into a date ends in `` (text)``.
    """
    if len(text) > MAX_STRING_CHARS:
        return text[: MAX_STRING_CHARS - len(CUT_MARK)] + CUT_MARK, Misfit.TOO_LONG.value
    if looks_like_date(text):
        # No date that Braze knows is anywhere near that long.
        return f"{text[: MAX_STRING_CHARS - len(TEXT_MARK)]}{TEXT_MARK}", KEPT_AS_TEXT
    return text, None


def holds_answer_elsewhere(answer: Answer, rule: SurveyRule) -> bool:
    """Check whether an entry has fields, but not the one in which the rule looks for the answer.

    A skipped question has that field, if only blank; an entry without it has an unknown shape.
    """
    roots = (re.match(r"\w+", path.text) for path in rule.answer)
    return bool(answer.fields) and not any(
        root is not None and root.group() in answer.fields for root in roots
    )


def _value(rule: QuestionRule, found: object, place: str) -> tuple[Fitted | None, Skip | None]:
    """Return the answer as the rule types it, and what is left out or changed."""
    shape = rule.value.shape
    if shape.type is ValueType.STRING:
        found = _text_of(found)
        if rule.value.standard is None and not rule.is_strict:
            text, code = braze_text(trimmed(found) if shape.trim else found)
            return text, None if code is None else Skip(place, code, default_used=True)
    value = rule.value.convert(found)
    if not isinstance(value, Misfit):
        return value, None
    default = rule.value.default
    return default, Skip(place, value.value, default_used=default is not None)


def _first_answer(paths: Iterable[Path], fields: Mapping[str, object]) -> object | None:
    """Find the first value that answers something, and remove its blank choices."""
    found = (_without_blanks(hit.value) for hit in hits(paths, fields))
    return next((value for value in found if not is_blank(value)), None)


def _without_blanks(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [each for each in map(_without_blanks, value) if not is_blank(each)]


def _text_of(found: object) -> str:
    """Write an answer as one text: choices with commas between them, nested values as JSON."""
    if isinstance(found, list):
        parts = [as_text(each) for each in found]
        texts = [part for part in parts if not isinstance(part, Misfit)]
        if len(texts) == len(parts):
            return ", ".join(texts)
    text = as_text(found)
    return compact_json(found).decode() if isinstance(text, Misfit) else text


def _properties(
    survey: Survey, answer: Answer, rule: QuestionRule, text: str, value: Fitted | None
) -> dict[str, Fitted]:
    """Build the event's properties: flat, none of them reserved, the texts as texts.

    An answer that is too long for one property is whole in ``response_part_1`` and following.
    """
    texts = {
        "survey_id": survey.id,
        "survey_name": survey.name,
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
        for number, start in enumerate(range(0, len(text), MAX_STRING_CHARS), start=1):
            part, _ = braze_text(text[start : start + MAX_STRING_CHARS])
            properties[f"response_part_{number}"] = part
    return properties
