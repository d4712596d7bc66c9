"""``iterate.toml``: its tables, and the configuration made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from braze_bridge.mapping.profile_fields import STANDARD_FIELDS, attribute_name_problem
from braze_bridge.mapping.values import ValueType
from braze_bridge.partner_config.iterate import (
    EVENT_NAME,
    PLAIN,
    IterateConfig,
    QuestionRule,
    SurveyRule,
)
from braze_bridge.partner_config.tables import mapped, toml

if TYPE_CHECKING:
    from braze_bridge.mapping.values import Shape

    QuestionRules = dict[str, QuestionRule | Literal[False]]


class QuestionTable(mapped.ValueTable):
    """What the answers to one question become."""

    base: ClassVar = PLAIN.value
    name: toml.Name | None = None
    attribute: bool | None = None

    def _problems(self) -> toml.Problems:
        yield from super()._problems()
        name = self.name or ""
        if name and (problem := attribute_name_problem(name)):
            yield problem, "name"
        if name and self.attribute is False:
            yield "names an attribute, but attribute = false says there is none", "name"
        yield from self.problems_as(name, STANDARD_FIELDS.get(name))

    def question(self) -> QuestionRule | None:
        """Return the rule, or ``None`` if the table is faulty."""
        name = self.name or ""
        value = self.rule(name, STANDARD_FIELDS.get(name))
        if value is None or (self.has("name") and not name):
            return None
        is_strict = self.has("on_mismatch") or self.has("default")
        return QuestionRule(value, self.attribute is not False, is_strict)


class SurveyTable(toml.Table):
    """A ``[survey."…"]``, which inherits from ``[default]``."""

    survey_name: toml.Paths | None = None
    response_id: toml.Paths | None = None
    occurred_at: toml.Paths | None = None
    answer: toml.Paths | None = None
    create_profiles: bool | None = None
    event_name: Annotated[toml.Name | Literal[False] | None, toml.OrFalse] = None
    person: mapped.PersonTable | None = None
    questions: dict[str, Annotated[QuestionTable | Literal[False] | None, toml.OrFalse]] | None = (
        None
    )

    def _problems(self) -> toml.Problems:
        seen = set()
        for written in self.questions or {}:
            # The spaces around a prompt are no part of the attribute's name.
            key = written.strip()
            if not key:
                yield "must be a prompt or a question id", "questions", written
            elif key in seen:
                words = "is the same question twice: spaces around it do not count"
                yield words, "questions", written
            seen.add(key)
        if self.answer == ():
            yield "must name at least one path", "answer"

    def problems_over(self, base: SurveyTable) -> toml.Problems:
        """Yield what is wrong after inheritance, if this table causes it."""
        if self.person is not None:
            yield from mapped.person_problems(self.over(base).person)
        yield from toml.at(mapped.taken_away_problems(self.questions, base.questions), "questions")

    def type_problems(self, types: dict[str, str]) -> toml.Problems:
        """Yield each attribute whose type differs elsewhere in the file: Braze keeps the first.

        Args:
            types: By attribute, so far; added to.
        """
        for written, table in (self.questions or {}).items():
            rule = table.question() if table else PLAIN if table is False else None
            if rule is None or not rule.has_attribute:
                continue
            name, kind = rule.value.name or written.strip(), _type_at_braze(rule.value.shape)
            known = types.setdefault(name, kind)
            if known != kind:
                name = json.dumps(name, ensure_ascii=False)
                words = "an attribute has one type for ever; give one of them another name"
                yield f"makes {name} a {kind}, elsewhere a {known}: {words}", "questions", written

    def question_rules(self) -> QuestionRules:
        """Return the rules of this table's own questions."""
        named = {key.strip(): table for key, table in (self.questions or {}).items()}
        return {key: (table and table.question()) or False for key, table in named.items()}

    def rule(self, *questions: QuestionRules) -> SurveyRule:
        """Return the rule of a table that is complete, with its questions, the nearest first."""
        return SurveyRule(
            survey_name=self.survey_name or (),
            response_id=self.response_id or (),
            occurred_at=self.occurred_at or (),
            answer=self.answer or (),
            person=(self.person or mapped.PersonTable()).rule(create_profiles=self.create_profiles),
            event_name=EVENT_NAME if self.event_name is None else self.event_name or None,
            questions=questions,
        )


class DefaultTable(SurveyTable):
    """``[default]``."""

    needed: ClassVar = dict.fromkeys(("survey_id", "answer"), "must name at least one path")
    survey_id: toml.Paths | None = None

    def _problems(self) -> toml.Problems:
        yield from super()._problems()
        yield from mapped.person_problems(self.person)
        if self.survey_id == ():
            yield self.needed["survey_id"], "survey_id"


class IterateFile(mapped.File):
    """The whole file."""

    partner: ClassVar = "iterate"
    needed: ClassVar = {**mapped.File.needed, "default": "is missing"}
    default: DefaultTable | None = None
    survey: dict[str, SurveyTable | None] | None = None

    def _problems(self) -> toml.Problems:
        types: dict[str, str] = {}
        base = self.default or DefaultTable()
        yield from toml.at(base.type_problems(types), "default")
        for survey_id, table in (self.survey or {}).items():
            if table is not None:
                yield from toml.at(table.problems_over(base), "survey", survey_id)
                yield from toml.at(table.type_problems(types), "survey", survey_id)

    def config(self) -> IterateConfig:
        """Return the configuration of a file without problems."""
        base = self.default or DefaultTable()
        shared = base.question_rules()
        surveys = {key: table for key, table in (self.survey or {}).items() if table is not None}
        return IterateConfig(
            self.door_config(),
            base.survey_id or (),
            base.rule(shared),
            {
                key: own.over(base).rule(own.question_rules(), shared)
                for key, own in surveys.items()
            },
        )


def _type_at_braze(shape: Shape) -> str:
    """Return Braze's type: integers are numbers there."""
    word = shape.items if shape.type is ValueType.ARRAY else shape.type
    word = ValueType.NUMBER if word is ValueType.INTEGER else word
    return f"list of {word}s" if shape.type is ValueType.ARRAY else str(word)
