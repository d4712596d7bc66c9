"""``outgrow.toml``: what is taken, what is refused, and by which name."""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.mapping.identifiers import IdentifierKind
from braze_bridge.mapping.values import ValueType
from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.partner_config.toml_files import check_partner_config, load_outgrow

if TYPE_CHECKING:
    from braze_bridge.partner_config.outgrow import OutgrowConfig

SHIPPED = pathlib.Path(__file__).parents[3] / "layers" / "partner_config"

BASE = """
schema_version = 1
[default]
response_id = "response_id"
occurred_at = ["created_at"]
[default.person]
order = ["email"]
email = ["email", "lead.email"]
[default.attributes]
score = { from = ["score"], type = "number" }
segment = { from = "segment", type = "string" }
"""


def load(folder: pathlib.Path, text: str) -> OutgrowConfig:
    (folder / "outgrow.toml").write_text(text, encoding="utf-8")
    return load_outgrow(folder)


def problems(folder: pathlib.Path, text: str) -> list[tuple[str, str]]:
    (folder / "outgrow.toml").write_text(text, encoding="utf-8")
    return [
        (problem.key, problem.message)
        for problem in check_partner_config(folder)
        if problem.file == "outgrow.toml"
    ]


def test_shipped_file_is_right() -> None:
    """The file in the repository has no problem."""
    assert check_partner_config(SHIPPED) == []


def test_shipped_default_has_the_documented_spellings() -> None:
    """Out of the box every spelling of the design is tried, in its order."""
    rule = load_outgrow(SHIPPED).default

    def texts(paths: Any) -> list[str]:
        return [path.text for path in paths]

    assert texts(rule.response_id) == ["response_id", "id", "submission_id"]
    assert texts(rule.response_id_with_time) == ["lead_id", "lead.id"]
    assert texts(rule.occurred_at) == [
        "created_at",
        "createdAt",
        "submitted_at",
        "lead.created_at",
    ]
    assert [kind.value for kind in rule.person.order] == ["external_id", "email", "phone"]
    assert set(texts(rule.person.paths[IdentifierKind.EXTERNAL_ID])) == {
        f"{prefix}{name}"
        for prefix in ("", "lead.", "user.")
        for name in ("external_id", "user_id", "user_external_id")
    }
    for kind in (IdentifierKind.EMAIL, IdentifierKind.PHONE):
        assert texts(rule.person.paths[kind]) == [
            f"{place}{name}" for name in (kind, f"user_{kind}") for place in ("", "lead.", "user.")
        ]
    assert [(r.name, r.shape.type.value, texts(r.paths)) for r in rule.attributes] == [
        ("outgrow_quiz_score", "number", ["score", "quiz_score", "result.score"]),
        ("outgrow_custom_segment", "string", ["segment", "custom_segment", "result.segment"]),
    ]
    assert (rule.event, rule.consent, rule.person.may_create) == (None, (), True)


def test_shipped_examples_are_true(tmp_path: pathlib.Path) -> None:
    """Every example that the shipped file gives in a comment works once it is uncommented."""
    text = (SHIPPED / "outgrow.toml").read_text(encoding="utf-8")
    uncommented = re.sub(r"^# (?=\[|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    # The person's order must name the alias kind that its example gives paths to.
    uncommented = uncommented.replace('"email", "phone"]', '"email", "phone", "user_alias"]')

    config = load(tmp_path, uncommented)

    assert config.default.event is not None
    assert [rule.name for rule in config.default.attributes] == [
        "outgrow_quiz_score",
        "outgrow_custom_segment",
        "first_name",
        "outgrow_budget",
        "outgrow_topics",
    ]
    assert set(config.content) == {"demo", "6512bd43d9caa6e02c990b0a"}
    assert config.content["6512bd43d9caa6e02c990b0a"].attributes[-1].default == 0


def test_content_inherits_key_by_key(tmp_path: pathlib.Path) -> None:
    """A content says only what differs; attributes and event merge by name, false takes away."""
    config = load(
        tmp_path,
        BASE
        + """
[default.event]
name = "done"
properties.score = { from = "score", type = "number" }
properties.kind = { from = "kind", type = "string" }
[content.quiz]
create_profiles = false
consent = ["ok"]
response_id = ["rid"]
person.phone = ["phone"]
person.order = ["phone", "email"]
attributes.segment = false
attributes.extra = { from = "extra", type = "boolean" }
attributes.score = { from = "points", type = "integer" }
event.name = "quiz_done"
event.properties.kind = false
[content.silent]
event = false
consent = false
""",
    )

    quiz, silent = config.rule_for("quiz"), config.rule_for("silent")

    assert [path.text for path in quiz.response_id] == ["rid"]
    assert [path.text for path in quiz.occurred_at] == ["created_at"]
    assert quiz.person.order == (IdentifierKind.PHONE, IdentifierKind.EMAIL)
    assert [path.text for path in quiz.person.paths[IdentifierKind.EMAIL]] == [
        "email",
        "lead.email",
    ]
    assert not quiz.person.may_create
    assert [path.text for path in quiz.consent] == ["ok"]
    assert [(rule.name, rule.shape.type) for rule in quiz.attributes] == [
        ("score", ValueType.INTEGER),
        ("extra", ValueType.BOOLEAN),
    ]
    assert quiz.event is not None
    assert (quiz.event.name, [rule.name for rule in quiz.event.properties]) == (
        "quiz_done",
        ["score"],
    )
    assert (silent.event, silent.consent) == (None, ())
    assert silent.person.may_create


def test_unknown_content_has_the_default_rule(tmp_path: pathlib.Path) -> None:
    """A content without a rule, and no content at all, are read by [default]."""
    config = load(tmp_path, BASE + "[content.quiz]\ncreate_profiles = false\n")

    assert config.rule_for("other") is config.default
    assert config.rule_for(None) is config.default
    assert config.rule_for("quiz") is not config.default


def test_name_is_trimmed_and_default_converted(tmp_path: pathlib.Path) -> None:
    """Braze strips spaces around names, so we do; a default is of the attribute's type."""
    config = load(
        tmp_path,
        BASE + '" spaced " = { from = "x", type = "integer", default = "7" }\n',
    )

    rule = config.default.attributes[-1]

    assert (rule.name, rule.default) == ("spaced", 7)


ATTRIBUTE = "default.attributes"


@pytest.mark.parametrize(
    ("addition", "key", "words"),
    [
        ("scor = { from = 'x', tipe = 'string' }", f"{ATTRIBUTE}.scor.tipe", "did you mean type?"),
        ("x = { from = 'x' }", f"{ATTRIBUTE}.x.type", "is missing"),
        ("x = { type = 'string' }", f"{ATTRIBUTE}.x.from", "at least one path"),
        ("x = { from = [], type = 'string' }", f"{ATTRIBUTE}.x.from", "at least one path"),
        ("x = { from = [1], type = 'string' }", f"{ATTRIBUTE}.x.from", "list of paths"),
        ("x = { from = 'a[', type = 'string' }", f"{ATTRIBUTE}.x.from", "not a JMESPath"),
        ("x = { from = 'Your age?', type = 'string' }", f"{ATTRIBUTE}.x.from", "double quotes"),
        ("x = { from = 'lenght(a)', type = 'string' }", f"{ATTRIBUTE}.x.from", "length()"),
        ("x = { from = 'x', type = 'strng' }", f"{ATTRIBUTE}.x.type", "did you mean string?"),
        ("x = { from = 'x', type = 1 }", f"{ATTRIBUTE}.x.type", "must be one of"),
        ("x = 'score'", f"{ATTRIBUTE}.x", "must be a table"),
        ("x = true", f"{ATTRIBUTE}.x", "must be a table"),
        ("x = false", f"{ATTRIBUTE}.x", "takes nothing away"),
        ("segmnt = false", f"{ATTRIBUTE}.segmnt", "takes nothing away"),
        (
            "x = { from = 'x', type = 'integer', default = 'many' }",
            f"{ATTRIBUTE}.x.default",
            "does not itself fit",
        ),
        (
            "x = { from = 'x', type = 'date', default = 2026-11-20 }",
            f"{ATTRIBUTE}.x.default",
            "in quotes",
        ),
        (
            "x = { from = 'x', type = 'string', default = 'a', on_mismatch = 'reject' }",
            f"{ATTRIBUTE}.x.on_mismatch",
            "exclude each other",
        ),
        (
            "x = { from = 'x', type = 'string', on_mismatch = 'drop' }",
            f"{ATTRIBUTE}.x.on_mismatch",
            "skip, reject",
        ),
        (
            "x = { from = 'x', type = 'string', separator = ';' }",
            f"{ATTRIBUTE}.x.separator",
            "array",
        ),
        ("x = { from = 'x', type = 'string', items = 'string' }", f"{ATTRIBUTE}.x.items", "array"),
        (
            "x = { from = 'x', type = 'array', items = 'boolean' }",
            f"{ATTRIBUTE}.x.items",
            "string, integer, number",
        ),
        (
            "x = { from = 'x', type = 'string', trim = 'yes' }",
            f"{ATTRIBUTE}.x.trim",
            "true or false",
        ),
        ("external_id = { from = 'x', type = 'string' }", f"{ATTRIBUTE}.external_id", "identifier"),
        (
            "_merge_objects = { from = 'x', type = 'boolean' }",
            f"{ATTRIBUTE}._merge_objects",
            "steers Braze",
        ),
        (
            '" user_alias" = { from = "x", type = "string" }',
            f'{ATTRIBUTE}." user_alias"',
            "identifier",
        ),
        (
            "subscription_groups = { from = 'x', type = 'array' }",
            f"{ATTRIBUTE}.subscription_groups",
            "steers Braze",
        ),
        ('"$x" = { from = "x", type = "string" }', f'{ATTRIBUTE}."$x"', "begin with $"),
        ('"  " = { from = "x", type = "string" }', f'{ATTRIBUTE}."  "', "blank"),
        (
            f'"{"x" * 256}" = {{ from = "x", type = "string" }}',
            f"{ATTRIBUTE}.{'x' * 256}",
            "longer than 255",
        ),
        (
            '" score" = { from = "x", type = "string" }',
            f'{ATTRIBUTE}." score"',
            "same name twice",
        ),
        (
            "country = { from = 'x', type = 'array' }",
            f"{ATTRIBUTE}.country.type",
            'must be "string"',
        ),
        ("dob = { from = 'x', type = 'string' }", f"{ATTRIBUTE}.dob.type", 'must be "date"'),
        (
            "gender = { from = 'x', type = 'string', default = 'lady' }",
            f"{ATTRIBUTE}.gender.default",
            "does not itself fit",
        ),
        ("[default.event]\nproperties.a = {from='a', type='string'}", "default.event", "name"),
        ("[default.event]\nname = ' '", "default.event.name", "not empty"),
        (f"[default.event]\nname = '{'x' * 256}'", "default.event.name", "longer than 255"),
        (
            "[default.event]\nname = 'e'\nproperties.time = {from='a', type='string'}",
            "default.event.properties.time",
            "reserved",
        ),
        (
            "[default.event]\nname = 'e'\nproperties.event_name = {from='a', type='string'}",
            "default.event.properties.event_name",
            "reserved",
        ),
        (
            "[default.event]\nname = 'e'\nproperties.x = false",
            "default.event.properties.x",
            "false",
        ),
        ("[default.evnt]\nname = 'e'", "default.evnt", "did you mean event?"),
        ("[door]\nallow_query_token = 'no'", "door.allow_query_token", "true or false"),
        ("[door]\nallow_query_tokens = true", "door.allow_query_tokens", "allow_query_token?"),
        ("[contents.x]\nevent = false", "contents", "did you mean content?"),
        ("[content.'a b']\nconsent = true", 'content."a b".consent', "list of paths"),
        ("[content.x]\nperson.order = ['phone']", "content.x.person", "no phone = [paths]"),
        ("[content.x]\nperson.order = ['mail']", "content.x.person.order", "each once"),
        ("[content.x]\nperson.order = ['email', 'email']", "content.x.person.order", "each once"),
        ("[content.x]\nperson.phone = 'phone'", "content.x.person", "not in order"),
        (
            "[content.x]\nperson.order = ['user_alias']\nperson.user_alias = 'a'",
            "content.x.person",
            "needs alias_label",
        ),
        (
            f"[content.x]\nperson.alias_label = '{'x' * 237}'",
            "content.x.person.alias_label",
            "longer than Braze",
        ),
        (
            "[content.x]\nattributes.score = false\nattributes.segment = false",
            "content.x.attributes",
            "nothing would be sent",
        ),
        ("[content.x]\nattributes.scores = false", "content.x.attributes.scores", "score?"),
        ("[content]\nx = 1", "content.x", "must be a table"),
    ],
)
def test_mistake_is_refused_by_its_key(
    tmp_path: pathlib.Path, addition: str, key: str, words: str
) -> None:
    """Each mistake is named by its dotted key, with what would be right."""
    found = problems(tmp_path, BASE + addition + "\n")

    assert [message for at, message in found if at == key and words in message], found


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("schema_version = ", "", "is not TOML"),
        ("[default]", "schema_version", "must be 1"),
        (BASE.replace("= 1", "= 2"), "schema_version", "must be 1"),
        (BASE.replace("= 1", "= true"), "schema_version", "must be 1"),
        ("schema_version = 1", "default", "is missing"),
        ("schema_version = 1\ndefault = 1", "default", "must be a table"),
        ("schema_version = 1\n[default]", "default.person", "needs order"),
        ("schema_version = 1\n[default]", "default.attributes", "nothing would be sent"),
        ("a = " + "[" * 2000, "", "is not TOML"),
    ],
)
def test_broken_file_is_refused(tmp_path: pathlib.Path, text: str, key: str, words: str) -> None:
    """A file that is no configuration at all is refused, and says why."""
    found = problems(tmp_path, text)

    assert [message for at, message in found if at == key and words in message], found


def test_missing_and_undecodable_files_are_problems(tmp_path: pathlib.Path) -> None:
    """No file, or one that is no UTF-8, is a problem of that file and no crash."""
    missing = {problem.file: str(problem) for problem in check_partner_config(tmp_path)}
    (tmp_path / "outgrow.toml").write_bytes(b"\xff\xfe")
    undecodable = {problem.file: str(problem) for problem in check_partner_config(tmp_path)}

    assert missing["outgrow.toml"] == "outgrow.toml: cannot be read (FileNotFoundError)"
    assert missing["iterate.toml"] == "iterate.toml: cannot be read (FileNotFoundError)"
    assert undecodable["outgrow.toml"].startswith("outgrow.toml: is not TOML")


def test_every_problem_is_listed_at_once(tmp_path: pathlib.Path) -> None:
    """Somebody who made three mistakes reads of three, in one go."""
    (tmp_path / "outgrow.toml").write_text(
        BASE + "a = 1\nb = { from = 'x', type = 'y' }\n[content.x]\nz = 1\n", encoding="utf-8"
    )

    with pytest.raises(ConfigError) as raised:
        load_outgrow(tmp_path)

    assert [problem.key for problem in raised.value.problems] == [
        "default.attributes.a",
        "default.attributes.b.type",
        "content.x.z",
    ]
    assert "outgrow.toml: content.x.z: is not a known key" in str(raised.value)
