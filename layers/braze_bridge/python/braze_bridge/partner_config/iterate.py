"""``iterate.toml``: how an Iterate response becomes a job, for each survey and for all others.

In the layer, not in the function: checking a configuration before it is deployed needs it as well.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.braze.limits import MAX_STRING_CHARS
from braze_bridge.mapping.attributes import ValueRule
from braze_bridge.mapping.profile_fields import STANDARD_FIELDS, attribute_name_problem
from braze_bridge.mapping.values import Shape, ValueType
from braze_bridge.partner_config.rules import (
    DoorConfig,
    PersonPatch,
    check_person,
    read_door,
    read_person,
    read_value,
)
from braze_bridge.partner_config.toml_table import Table, load_table

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

    from braze_bridge.mapping.paths import Path
    from braze_bridge.mapping.people import PersonRule

FILE_NAME: Final = "iterate.toml"
EVENT_NAME: Final = "survey-question-response"
"""What Iterate's own integration calls the event (https://www.braze.com/docs/partners/iterate)."""

SEPARATOR: Final = ","
"""Between the choices of a formatted answer, unless the configuration says otherwise."""


class QuestionRule(NamedTuple):
    """What becomes of the answers to one question.

    Attributes:
        value: Its name is the attribute's, blank for the prompt; without paths the survey's
            ``answer`` holds.
        has_attribute: Whether there is one; the event goes out in any case.
        is_strict: Whether the configuration says what to do with a text that Braze does not take as
            it is. Otherwise it is cut or marked so that Braze does.
    """

    value: ValueRule
    has_attribute: bool = True
    is_strict: bool = False


PLAIN: Final = QuestionRule(ValueRule("", (), Shape(ValueType.STRING, separator=SEPARATOR)))
"""Of a question that no rule names: the answer as a text, under the prompt."""

QuestionPatch = QuestionRule | Literal[False] | None
"""``False`` takes an inherited rule away; ``None`` is a faulty one, its problems noted."""


class SurveyRule(NamedTuple):
    """How the responses to one survey are read.

    Attributes:
        survey_name: Where the survey's name stands.
        response_id: Where the response's own id stands.
        occurred_at: Where the time of the response stands.
        answer: Where the answer stands, in one of the ``responses``.
        person: Whom it is about.
        event_name: Of the event for each answer; ``None``: there is none.
        questions: By prompt or question id; the survey's own before everybody's.
    """

    survey_name: tuple[Path, ...]
    response_id: tuple[Path, ...]
    occurred_at: tuple[Path, ...]
    answer: tuple[Path, ...]
    person: PersonRule
    event_name: str | None
    questions: tuple[Mapping[str, QuestionPatch], ...]

    def question(self, question_id: str | None, prompt: str | None) -> QuestionRule:
        """The rule of a question: by its id before its prompt, the survey's before everybody's.

        Args:
            question_id: As Iterate has it.
            prompt: Without surrounding spaces.
        """
        for rules in self.questions:
            for key in (question_id, prompt):
                if key is not None and key in rules:
                    return rules[key] or PLAIN
        return PLAIN


class IterateConfig(NamedTuple):
    """The whole file.

    Attributes:
        survey_id: Where the survey's id stands.
        default: For every survey that has no rule of its own.
        surveys: By survey id, inheritance already applied.
    """

    door: DoorConfig
    survey_id: tuple[Path, ...]
    default: SurveyRule
    surveys: Mapping[str, SurveyRule]

    def rule_for(self, survey_id: str | None) -> SurveyRule:
        """The rule of a survey; the default for one that has none, or for no survey."""
        return self.default if survey_id is None else self.surveys.get(survey_id, self.default)


def load_iterate(directory: pathlib.Path) -> IterateConfig:
    """Read ``iterate.toml``.

    Args:
        directory: The folder that holds it.

    Raises:
        ConfigError: With every problem and its dotted key.
    """
    return load_table(directory / FILE_NAME, _read)


class _Patch(NamedTuple):
    """What ``[default]`` or a ``[survey."…"]`` says; ``None`` is inherited."""

    survey_name: tuple[Path, ...] | None = None
    response_id: tuple[Path, ...] | None = None
    occurred_at: tuple[Path, ...] | None = None
    answer: tuple[Path, ...] | None = None
    create_profiles: bool | None = None
    event_name: str | Literal[False] | None = None
    person: PersonPatch | None = None
    questions: Mapping[str, QuestionPatch] = MappingProxyType({})

    def over(self, base: _Patch) -> _Patch:
        """This one's word where it has one, else the base's; questions are the survey's own."""
        given = {
            name: value for name in _Patch._fields[:6] if (value := getattr(self, name)) is not None
        }
        return base._replace(
            **given,
            person=(self.person or PersonPatch()).over(base.person or PersonPatch()),
            questions=self.questions,
        )

    def rule(self, *questions: Mapping[str, QuestionPatch]) -> SurveyRule:
        """The rule, of a patch that is complete.

        Args:
            questions: What this one's questions come before.
        """
        return SurveyRule(
            survey_name=self.survey_name or (),
            response_id=self.response_id or (),
            occurred_at=self.occurred_at or (),
            answer=self.answer or (),
            person=(self.person or PersonPatch()).rule(
                may_create=self.create_profiles is not False
            ),
            event_name=EVENT_NAME if self.event_name is None else self.event_name or None,
            questions=(self.questions, *questions),
        )


def _read(root: Table) -> IterateConfig:
    door = read_door(root)
    base = _Patch()
    survey_id: tuple[Path, ...] = ()
    types: dict[str, str] = {}
    table = root.table("default")
    if table is not None:
        survey_id = table.paths("survey_id") or ()
        base = _read_patch(table)
        for key, found in (("survey_id", survey_id), ("answer", base.answer)):
            if not found:
                table.problem(key, "must name at least one path")
        check_person(base.person or PersonPatch(), table)
        _check_types(base.questions, types, table)
    elif not root.has("default"):
        root.problem("default", "is missing")
    surveys: dict[str, SurveyRule] = {}
    tables = root.table("survey") or Table({}, FILE_NAME, [])
    for key in tables.names():
        inner = tables.table(key)
        if inner is not None:
            patch = _read_patch(inner)
            whole = patch.over(base)
            _check(patch, whole, base, inner)
            _check_types(patch.questions, types, inner)
            surveys[key] = whole.rule(base.questions)
    return IterateConfig(door, survey_id, base.rule(), surveys)


def _check(patch: _Patch, whole: _Patch, base: _Patch, table: Table) -> None:
    """Note what contradicts itself after inheritance, where this survey's table is to blame."""
    if patch.answer == ():
        table.problem("answer", "must name at least one path")
    if patch.person is not None:
        check_person(whole.person or PersonPatch(), table)
    inner = table.table("questions")
    for key, rule in patch.questions.items():
        if rule is False and key not in base.questions and inner is not None:
            inner.problem(key, "= false takes nothing away")


def _check_types(
    questions: Mapping[str, QuestionPatch], types: dict[str, str], table: Table
) -> None:
    """Note each attribute that has another type elsewhere in the file: Braze keeps the first.

    Args:
        questions: Of one table. (What an id's question is called is not known here.)
        types: Name to type so far; added to.
        table: The one to name.
    """
    inner = table.table("questions")
    for key, patch in questions.items():
        rule = patch or PLAIN
        if patch is None or inner is None or not rule.has_attribute:
            continue
        name, kind = rule.value.name or key, _type_at_braze(rule.value.shape)
        known = types.setdefault(name, kind)
        if known != kind:
            inner.problem(
                key,
                f"makes {json.dumps(name, ensure_ascii=False)} a {kind}, elsewhere a {known}: "
                "an attribute has one type for ever; give one of them another name",
            )


def _type_at_braze(shape: Shape) -> str:
    """Braze knows no integers: both are numbers, and may follow each other."""
    word = shape.items if shape.type is ValueType.ARRAY else shape.type
    word = ValueType.NUMBER if word is ValueType.INTEGER else word
    return f"list of {word}s" if shape.type is ValueType.ARRAY else str(word)


def _read_patch(table: Table) -> _Patch:
    patch = _Patch(
        survey_name=table.paths("survey_name"),
        response_id=table.paths("response_id"),
        occurred_at=table.paths("occurred_at"),
        answer=table.paths("answer"),
        create_profiles=table.flag("create_profiles"),
        event_name=_read_event_name(table),
        person=read_person(table),
        questions=_read_questions(table),
    )
    table.finish()
    return patch


def _read_event_name(table: Table) -> str | Literal[False] | None:
    if table.value("event_name") is False:
        return False
    name = table.text("event_name")
    if name is None:
        return None
    if len(name.strip()) > MAX_STRING_CHARS:
        table.problem("event_name", f"is longer than {MAX_STRING_CHARS} characters")
    return name.strip()


def _read_questions(parent: Table) -> Mapping[str, QuestionPatch]:
    table = parent.table("questions")
    rules: dict[str, QuestionPatch] = {}
    if table is None:
        return rules
    for written in table.names():
        # The spaces around a prompt are no part of the attribute's name, so they name no question.
        key = written.strip()
        if not key:
            table.problem(written, "must be a prompt or a question id")
        elif key in rules:
            table.problem(written, "is the same question twice: spaces around it do not count")
        if table.value(written) is False:
            rules[key] = False
        elif (entry := table.table(written)) is not None:
            rules[key] = _read_question(entry)
    return rules


def _read_question(table: Table) -> QuestionRule | None:
    name = (table.text("name") or "").strip()
    if name and (wrong := attribute_name_problem(name)) is not None:
        table.problem("name", wrong)
    has_attribute = table.flag("attribute") is not False
    if name and not has_attribute:
        table.problem("name", "names an attribute, but attribute = false says there is none")
    is_strict = table.has("on_mismatch") or table.has("default")
    value = read_value(name, table, STANDARD_FIELDS.get(name), base=PLAIN.value)
    return None if value is None else QuestionRule(value, has_attribute, is_strict)
