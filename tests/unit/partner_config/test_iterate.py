"""``iterate.toml``: what is taken, what is refused, and by which name."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from braze_bridge.mapping.identifiers import IdentifierKind
from braze_bridge.mapping.values import ValueType
from braze_bridge.partner_config.iterate import EVENT_NAME, PLAIN, IterateConfig
from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.partner_config.toml_files import check_partner_config, load_iterate

SHIPPED = pathlib.Path(__file__).parents[3] / "layers" / "partner_config"

BASE = """
schema_version = 1
[default]
survey_id = "survey_response.survey.id"
answer = "formatted_response"
person = { order = ["email"], email = "survey_response.user.email" }
"""


def load(folder: pathlib.Path, text: str) -> IterateConfig:
    (folder / "iterate.toml").write_text(text, encoding="utf-8")
    return load_iterate(folder)


def problems(folder: pathlib.Path, text: str) -> list[tuple[str, str]]:
    (folder / "iterate.toml").write_text(text, encoding="utf-8")
    return [
        (problem.key, problem.message)
        for problem in check_partner_config(folder)
        if problem.file == "iterate.toml"
    ]


def test_shipped_default_has_the_documented_paths() -> None:
    """Out of the box the person is looked for where the design says, in its order."""
    rule = load_iterate(SHIPPED).default

    def texts(paths: Any) -> list[str]:
        return [path.text for path in paths]

    assert rule.person.order == (
        IdentifierKind.EXTERNAL_ID,
        IdentifierKind.EMAIL,
        IdentifierKind.BRAZE_ID,
        IdentifierKind.USER_ALIAS,
    )
    for kind, names in (
        (IdentifierKind.BRAZE_ID, ("braze_id", "user_braze_id")),
        (IdentifierKind.EXTERNAL_ID, ("external_id", "user_external_id")),
        (IdentifierKind.EMAIL, ("email", "user_email")),
    ):
        assert texts(rule.person.paths[kind]) == [
            f"{place}.{name}"
            for place in ("survey_response.user", "survey_response", "user")
            for name in names
        ]
    assert texts(rule.person.paths[IdentifierKind.USER_ALIAS]) == [
        "survey_response.user.id",
        "user.id",
    ]
    assert rule.person.alias_label == "iterate_id"
    assert rule.person.may_create
    assert rule.event_name == EVENT_NAME == "survey-question-response"


def test_a_survey_inherits_what_it_does_not_say(tmp_path: pathlib.Path) -> None:
    """Person and paths are everybody's until a survey says otherwise."""
    loaded = load(
        tmp_path,
        BASE
        + """
event_name = "answered"
[default.questions]
"Why?" = { name = "why" }
[survey."s".person]
email = "user.mail"
[survey."s"]
create_profiles = false
[survey."s".questions]
"  q1 " = { type = "integer" }
""",
    )

    rule = loaded.rule_for("s")
    assert [path.text for path in rule.person.paths[IdentifierKind.EMAIL]] == ["user.mail"]
    assert (rule.person.may_create, rule.event_name) == (False, "answered")
    assert rule.answer == loaded.default.answer
    assert rule.question("q1", "Why?").value.shape.type is ValueType.INTEGER
    assert rule.question("q2", "Why?").value.name == "why"
    assert rule.question(None, None) is rule.question("q3", "How?") is PLAIN
    assert loaded.rule_for("other") is loaded.rule_for(None) is loaded.default


def test_an_id_comes_before_a_prompt_and_a_survey_before_everybody(tmp_path: pathlib.Path) -> None:
    """The nearer rule wins; a survey's ``false`` makes the question a plain one again."""
    loaded = load(
        tmp_path,
        BASE
        + """
[default.questions]
"q1" = { name = "by_id" }
"Why?" = { name = "by_prompt" }
[survey."s".questions]
"Why?" = { name = "own" }
[survey."t".questions]
"Why?" = false
""",
    )

    assert loaded.default.question("q1", "Why?").value.name == "by_id"
    assert loaded.rule_for("s").question("q1", "Why?").value.name == "own"
    assert loaded.rule_for("t").question("q1", "Why?") is PLAIN
    assert loaded.rule_for("t").question("q1", "How?").value.name == "by_id"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("x = 1", "default.x", "not a known key"),
        ("answer_ = 1", "default.answer_", "did you mean answer"),
        ("event_name = true", "default.event_name", "must be a text"),
        ("event_name = 'x'\nevent_name_ = 1", "default.event_name_", "not a known key"),
        (f"event_name = '{'x' * 256}'", "default.event_name", "longer than 255"),
        ("questions = 1", "default.questions", "must be a table"),
        ("questions.a = 1", "default.questions.a", "must be a table"),
        ("questions.' ' = { name = 'x' }", 'default.questions." "', "prompt or a question id"),
        (
            "questions.a = { name = 'x' }\nquestions.' a' = { name = 'y' }",
            'default.questions." a"',
            "twice",
        ),
        ("questions.a = { nam = 'x' }", "default.questions.a.nam", "did you mean name"),
        ("questions.a = { name = '' }", "default.questions.a.name", "not empty"),
        ("questions.a = { name = 'external_id' }", "default.questions.a.name", "identifier"),
        ("questions.a = { name = '$x' }", "default.questions.a.name", "must not begin with $"),
        ("questions.a = { type = 'int' }", "default.questions.a.type", "one of"),
        (
            "questions.a = { name = 'dob' }",
            "default.questions.a.type",
            'must be "date": dob is a field',
        ),
        ("questions.a = { from = [] }", "default.questions.a.from", "at least one path"),
        ("questions.a = { from = 'a b' }", "default.questions.a.from", "not a JMESPath"),
        ("questions.a = { separator = ';' }", "default.questions.a.separator", "array"),
        (
            "questions.a = { formats = ['%Y'] }",
            "default.questions.a.formats",
            'for type = "date" only',
        ),
        (
            "questions.a = { type = 'date', formats = ['%Y'] }",
            "default.questions.a.formats",
            "is no date",
        ),
        (
            "questions.a = { type = 'date', formats = [] }",
            "default.questions.a.formats",
            "list of texts",
        ),
        (
            "questions.a = { type = 'date', formats = [' '] }",
            "default.questions.a.formats",
            "list of texts",
        ),
        (
            "questions.a = { attribute = false, name = 'x' }",
            "default.questions.a.name",
            "attribute = false",
        ),
        (
            "questions.a = { type = 'integer', default = 'x' }",
            "default.questions.a.default",
            "does not itself fit",
        ),
        (
            "questions.a = { on_mismatch = 'skip', default = 'x' }",
            "default.questions.a.on_mismatch",
            "exclude",
        ),
        ("[survey.s]\nsurvey_id = 'x'", "survey.s.survey_id", "not a known key"),
        ("[survey.s]\nanswer = []", "survey.s.answer", "at least one path"),
        ("[survey.s]\nquestions.a = false", "survey.s.questions.a", "takes nothing away"),
        (
            "questions.a = { name = 'x' }\nquestions.b = { name = 'x', type = 'integer' }",
            "default.questions.b",
            '"x" a number, elsewhere a string',
        ),
        (
            "questions.a = { type = 'number' }\n[survey.s]\nquestions.a = false",
            "survey.s.questions.a",
            '"a" a string, elsewhere a number',
        ),
        (
            (
                "questions.a = { type = 'array' }\n"
                "questions.b = { name = 'a', type = 'array', items = 'number' }"
            ),
            "default.questions.b",
            "a list of numbers, elsewhere a list of strings",
        ),
        ("[survey.s.person]\norder = ['phone']", "survey.s.person", "no phone"),
        ("[surveys.s]", "surveys", "did you mean survey"),
    ],
)
def test_mistakes_are_named_by_their_keys(
    tmp_path: pathlib.Path, text: str, key: str, words: str
) -> None:
    """Each mistake is refused under the key it stands at, in words that help."""
    found = problems(tmp_path, BASE + text)

    assert [message for at, message in found if at == key and words in message], found


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("schema_version = 1", "default", "is missing"),
        ("schema_version = 1\n[default]", "default.survey_id", "at least one path"),
        ("schema_version = 1\n[default]", "default.answer", "at least one path"),
        ("schema_version = 1\n[default]", "default.person", "needs order"),
        (BASE.replace("= 1", "= 2"), "schema_version", "must be 1"),
    ],
)
def test_an_incomplete_file_is_refused(
    tmp_path: pathlib.Path, text: str, key: str, words: str
) -> None:
    """What every survey needs has to be said once."""
    found = problems(tmp_path, text)

    assert [message for at, message in found if at == key and words in message], found


def test_a_format_that_nobody_can_write_is_no_crash(tmp_path: pathlib.Path) -> None:
    """A NUL: Python's older versions cannot write it, newer ones can, and read it back."""
    text = 'questions.a = { type = "date", formats = ["%m/%d/%Y\\u0000"] }'

    assert len(problems(tmp_path, BASE + text)) in {0, 1}


def test_one_type_of_an_attribute_may_be_said_often(tmp_path: pathlib.Path) -> None:
    """Braze's numbers are one type; a question without an attribute has none."""
    text = """
[default.questions]
a = { name = "x", type = "integer" }
b = { name = "x", type = "number" }
c = { type = "integer" }
d = { type = "array", items = "integer" }
[survey.s.questions]
a = { name = "x", type = "integer" }
c = { attribute = false }
d = { type = "array", items = "number" }
"""

    assert problems(tmp_path, BASE + text) == []


def test_a_broken_file_cannot_be_loaded(tmp_path: pathlib.Path) -> None:
    """It is never used, not even in part."""
    with pytest.raises(ConfigError):
        load(tmp_path, BASE + "x = 1")


def test_a_list_is_split_at_commas_unless_the_file_says_otherwise(tmp_path: pathlib.Path) -> None:
    """Iterate writes several choices with commas between them."""
    questions = load(
        tmp_path,
        BASE
        + """
[default.questions]
list = { type = "array" }
other = { type = "array", separator = ";" }
""",
    ).default

    found = [questions.question(key, None).value.shape.separator for key in ("list", "other")]
    assert found == [",", ";"]


def test_names_can_have_a_prefix_and_be_limited(tmp_path: pathlib.Path) -> None:
    """Without the table the prompt is the name, and what the other files own is known."""
    names = load(
        tmp_path, BASE + '[names]\nprefix = "iterate: "\nonly_listed = true\nmost_answers = 9\n'
    ).names
    shipped = load_iterate(SHIPPED).names

    assert (names.prefix, names.only_listed, names.most_answers) == ("iterate: ", True, 9)
    assert (shipped.prefix, shipped.only_listed, shipped.most_answers) == ("", False, 250)
    assert {"outgrow_quiz_score", "quikly_tier"} <= shipped.guard.taken
    assert not names.guard.taken  # the folder has no other file


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('prefix = "$"', "names.prefix"),
        (f'prefix = "{"x" * 33}"', "names.prefix"),
        ('prefix = "a\\u200b"', "names.prefix"),
        ("most_answers = 0", "names.most_answers"),
        ("most_answers = 5001", "names.most_answers"),
        ('only_listed = "yes"', "names.only_listed"),
        ("new = true", "names.new"),
    ],
)
def test_a_faulty_rule_for_names_is_refused(tmp_path: pathlib.Path, line: str, key: str) -> None:
    """With the key that is wrong."""
    assert [found for found, _ in problems(tmp_path, f"{BASE}[names]\n{line}\n")] == [key]
