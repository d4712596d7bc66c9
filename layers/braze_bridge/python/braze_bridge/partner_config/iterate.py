"""How an Iterate response becomes a job, for each survey and for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.mapping.attributes import ValueRule
from braze_bridge.mapping.names import ANY_NAME, NameGuard
from braze_bridge.mapping.values import Shape, ValueType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.mapping.paths import Path
    from braze_bridge.mapping.people import PersonRule
    from braze_bridge.partner_config.rules import DoorConfig

EVENT_NAME: Final = "survey-question-response"
"""What Iterate's own integration calls the event (https://www.braze.com/docs/partners/iterate)."""


class QuestionRule(NamedTuple):
    """What the answers to one question become.

    Attributes:
        value: A blank name means the prompt; without paths the survey's ``answer`` holds.
        has_attribute: Whether the answer becomes an attribute. The event goes out in any case.
        is_strict: Whether the configuration says what to do with a text that Braze does not take as
            it is. Otherwise it is cut or marked so that Braze does.
    """

    value: ValueRule
    has_attribute: bool = True
    is_strict: bool = False


PLAIN: Final = QuestionRule(ValueRule("", (), Shape(ValueType.STRING, separator=",")))
"""For a question without a rule: the answer as a text, under the prompt."""


MOST_ANSWERS: Final = 250
"""Of one response. Braze's page on custom attributes advises few of them; a survey of 250 questions
is longer than any that people finish."""


class NameRule(NamedTuple):
    """How attributes are named after prompts that have no rule.

    Attributes:
        prefix: Put before each of them.
        only_listed: Whether such a prompt becomes no attribute, only an event.
        most_answers: A response with more of them is parked.
        guard: Names that no prompt may have: it gets a prefix. And the cap on new ones.
    """

    prefix: str = ""
    only_listed: bool = False
    most_answers: int = MOST_ANSWERS
    guard: NameGuard = ANY_NAME


BY_PROMPT: Final = NameRule()


class SurveyRule(NamedTuple):
    """How the responses to one survey are read.

    Attributes:
        survey_name: Paths to the survey's name.
        response_id: Paths to the response's own id.
        occurred_at: Paths to the time of the response.
        formats: How times are written that are not certain otherwise.
        answer: Paths to the answer, in one of the ``responses``.
        event_name: Of the event for each answer; ``None``: there is none.
        questions: By prompt or question id, ``False`` for a plain one; the survey's own before the
            default ones.
    """

    survey_name: tuple[Path, ...]
    response_id: tuple[Path, ...]
    occurred_at: tuple[Path, ...]
    formats: tuple[str, ...]
    answer: tuple[Path, ...]
    person: PersonRule
    event_name: str | None
    questions: tuple[Mapping[str, QuestionRule | Literal[False]], ...]

    def question(self, question_id: str | None, prompt: str | None) -> QuestionRule:
        """Return the rule of a question: the survey's before the default, its id before its prompt.

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
        survey_id: Paths to the survey's id.
        default: For every survey that has no rule of its own.
        surveys: By survey id, inheritance already applied.
        names: Of attributes without a rule.
    """

    door: DoorConfig
    survey_id: tuple[Path, ...]
    default: SurveyRule
    surveys: Mapping[str, SurveyRule]
    names: NameRule = BY_PROMPT

    def attribute_names(self) -> set[str]:
        """Return the names that the file gives to answers."""
        rules = (
            rule
            for survey in (self.default, *self.surveys.values())
            for questions in survey.questions
            for rule in questions.values()
        )
        return {
            rule.value.name for rule in rules if rule and rule.has_attribute and rule.value.name
        }

    def rule_for(self, survey_id: str | None) -> SurveyRule:
        """Return the rule of a survey, or the default if it has none or there is no id."""
        return self.default if survey_id is None else self.surveys.get(survey_id, self.default)
