"""``iterate.toml``: its tables, and the configuration made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from braze_bridge.mapping.profile_fields import STANDARD_FIELDS, attribute_name_problem
from braze_bridge.mapping.texts import one_form
from braze_bridge.mapping.values import Shape, ValueType
from braze_bridge.partner_config import iterate as rules
from braze_bridge.partner_config.tables import mapped, toml

if TYPE_CHECKING:
    from braze_bridge.mapping.people import Placeholders

MOST_PREFIX_CHARS: Final = 32

QuestionRules = dict[str, rules.QuestionRule | Literal[False]]


class QuestionTable(mapped.ValueTable):
    """What the answers to one question become; what it leaves out is as in ``PLAIN``."""

    needed: ClassVar = {}
    plain: ClassVar = rules.PLAIN.value.shape.type
    paths: toml.SomePaths | None = Field(rules.PLAIN.value.paths, alias="from")
    separator: mapped.Separator = rules.PLAIN.value.shape.separator
    name: toml.Name = ""
    attribute: bool = True

    def _problems(self) -> toml.Problems:
        yield from super()._problems()
        if self.name and (problem := attribute_name_problem(self.name)):
            yield problem, "name"
        if self.name and not self.attribute:
            yield "names an attribute, but attribute = false says there is none", "name"
        yield from self.problems_as(self.name, STANDARD_FIELDS.get(self.name))

    def question(self) -> rules.QuestionRule | None:
        """Return the rule, or ``None`` if the table is faulty."""
        value = self.rule(self.name, STANDARD_FIELDS.get(self.name))
        if value is None or (self.has("name") and not self.name):
            return None
        is_strict = self.has("on_mismatch") or self.has("default")
        return rules.QuestionRule(value, self.attribute, is_strict)


class SurveyTable(toml.Table):
    """A ``[survey."…"]``, which inherits from ``[default]``."""

    survey_name: toml.Paths = ()
    response_id: toml.Paths = ()
    occurred_at: toml.Paths = ()
    formats: mapped.Formats = Field((), alias="occurred_at_formats")
    answer: toml.SomePaths = ()
    create_profiles: bool = True
    event_name: toml.OrFalse[toml.Name] = rules.EVENT_NAME
    person: mapped.RespondentTable = mapped.RespondentTable()
    questions: dict[str, toml.OrFalse[QuestionTable]] = Field(default_factory=dict)

    def _problems(self) -> toml.Problems:
        for written in self.questions:
            if not one_form(written):
                yield "must be a prompt or a question id", "questions", written
        words = "is the same question twice: spaces around it do not count"
        yield from toml.at(toml.same_twice(self.questions, words), "questions")

    def problems_over(self, base: SurveyTable) -> toml.Problems:
        """Yield what is wrong after inheritance, if this table causes it."""
        if self.has("person"):
            yield from toml.at(self.over(base).person.problems_whole(), "person")
        yield from self.taken_away_problems(base)

    def type_problems(self, types: dict[str, str]) -> toml.Problems:
        """Yield each attribute whose type differs elsewhere: Braze keeps the first.

        The types so far are by attribute; this table's are added to them.
        """
        for written, table in self.questions.items():
            rule = table.question() if table else rules.PLAIN if table is False else None
            if rule is None or not rule.has_attribute:
                continue
            name, kind = rule.value.name or one_form(written), _type_at_braze(rule.value.shape)
            known = types.setdefault(name, kind)
            if known != kind:
                name = json.dumps(name, ensure_ascii=False)
                words = "an attribute has one type for ever; give one of them another name"
                yield f"makes {name} a {kind}, elsewhere a {known}: {words}", "questions", written

    def attribute_names(self) -> set[str]:
        """Return the names that the rules give to attributes."""
        return {table.name.strip() for table in self.questions.values() if table}

    def question_rules(self) -> QuestionRules:
        """Return the rules of this table's own questions."""
        named = {one_form(key): table for key, table in self.questions.items()}
        return {key: (table and table.question()) or False for key, table in named.items()}

    def rule(self, placeholders: Placeholders, *questions: QuestionRules) -> rules.SurveyRule:
        """Return the rule of a table that is complete, with its questions, the nearest first."""
        person = self.person.rule(create_profiles=self.create_profiles, placeholders=placeholders)
        paths = (self.survey_name, self.response_id, self.occurred_at, self.formats, self.answer)
        return rules.SurveyRule(*paths, person, self.event_name or None, questions)


class NamesTable(toml.NamesTable):
    """``[names]``: of questions that have no rule."""

    prefix: str = ""
    only_listed: bool = False
    most_answers: Annotated[int, Field(ge=1, le=5_000)] = rules.MOST_ANSWERS

    def _problems(self) -> toml.Problems:
        if self.prefix and (problem := attribute_name_problem(self.prefix)):
            yield problem, "prefix"
        elif len(self.prefix) > MOST_PREFIX_CHARS:
            yield f"is longer than {MOST_PREFIX_CHARS} characters", "prefix"


class DefaultTable(SurveyTable):
    """``[default]``."""

    needed: ClassVar = dict.fromkeys(("survey_id", "answer"), toml.NO_PATH)
    survey_id: toml.SomePaths = ()

    def _problems(self) -> toml.Problems:
        yield from super()._problems()
        yield from toml.at(self.person.problems_whole(), "person")


class IterateFile(toml.PartnerFile):
    """The whole file."""

    partner: ClassVar = "iterate"
    needed: ClassVar = {**toml.PartnerFile.needed, "default": "is missing"}
    default: DefaultTable | None = None
    survey: toml.Section[SurveyTable] = Field(default_factory=dict)
    names: NamesTable = NamesTable()

    def _problems(self) -> toml.Problems:
        types: dict[str, str] = {}
        base = self.default or DefaultTable()
        yield from toml.at(base.type_problems(types), "default")
        for survey_id, table in self.survey.items():
            yield from toml.at(table.problems_over(base), "survey", survey_id)
            yield from toml.at(table.type_problems(types), "survey", survey_id)
        shared = base.attribute_names()
        yield from toml.at(base.person.address_problems(shared), "default", "questions")
        for survey_id, table in self.survey.items():
            own_person = table.person.has("order") or table.person.has("trust")
            written = table.attribute_names() | (shared if own_person else set())
            found = table.over(base).person.address_problems(written)
            yield from toml.at(found, "survey", survey_id, "questions")

    def config(self) -> rules.IterateConfig:
        """Return the configuration of a file without problems."""
        base = self.default or DefaultTable()
        shared = base.question_rules()
        words = self.placeholder_words()
        surveys = {
            survey_id: own.over(base).rule(words, own.question_rules(), shared)
            for survey_id, own in self.survey.items()
        }
        door = self.door_config()
        own = self.names
        names = rules.NameRule(own.prefix, own.only_listed, own.most_answers, own.guard())
        return rules.IterateConfig(door, base.survey_id, base.rule(words, shared), surveys, names)


def _type_at_braze(shape: Shape) -> str:
    """Return Braze's type: integers are numbers there."""
    word = shape.items if shape.type is ValueType.ARRAY else shape.type
    word = ValueType.NUMBER if word is ValueType.INTEGER else word
    return f"list of {word}s" if shape.type is ValueType.ARRAY else str(word)
