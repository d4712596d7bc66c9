"""``trust`` and ``signature``: whether a respondent's identifiers are believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.partner_config.toml_files import load_iterate, load_outgrow
from tests.unit.partner_config.test_outgrow import BASE, SHIPPED, load, problems

if TYPE_CHECKING:
    import pathlib

BY_ID = BASE.replace('["email"]', '["external_id", "email"]', 1).replace(
    "[default.attributes]", 'external_id = ["user_id"]\n[default.attributes]'
)
SIGNED = BY_ID.replace(
    "[default.attributes]", 'trust = "signed"\nsignature = ["user_signature"]\n[default.attributes]'
)
ADDRESS = 'email = { from = ["email"], type = "string" }\n'


def test_the_shipped_files_believe_anyone() -> None:
    """As before; doctor and the pages warn."""
    assert load_outgrow(SHIPPED).default.person.signature == ()
    assert load_iterate(SHIPPED).default.person.signature == ()


def test_a_signed_file_has_the_paths_of_the_signature(tmp_path: pathlib.Path) -> None:
    """A content inherits them, and can believe anyone itself."""
    config = load(tmp_path, f'{SIGNED}[content.quiz]\n[content.open.person]\ntrust = "any"\n')

    assert [path.text for path in config.default.person.signature] == ["user_signature"]
    assert config.content["quiz"].person.signature == config.default.person.signature
    assert config.content["open"].person.signature == ()


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (SIGNED.replace('signature = ["user_signature"]\n', ""), "default.person", "signature"),
        (SIGNED.replace('"signed"', '"some"'), "default.person.trust", "any, signed"),
        (BY_ID + ADDRESS, "default.attributes.email", "signed"),
        (
            SIGNED + ADDRESS + '[content.open.person]\ntrust = "any"\n',
            "content.open.attributes.email",
            "signed",
        ),
    ],
)
def test_what_would_let_a_respondent_change_another_person_is_refused(
    tmp_path: pathlib.Path, text: str, key: str, words: str
) -> None:
    """By its key, with what to do."""
    found = problems(tmp_path, text)

    assert [key for key, _ in found] == [key]
    assert words in found[0][1]
    with pytest.raises(ConfigError):
        load_outgrow(tmp_path)


@pytest.mark.parametrize("text", [SIGNED + ADDRESS, BASE + ADDRESS])
def test_an_address_is_written_for_a_signed_person_or_its_own(
    tmp_path: pathlib.Path, text: str
) -> None:
    """A person who is found by the address has it already."""
    assert problems(tmp_path, text) == []


def test_a_question_writes_no_address_for_a_person_whom_only_a_link_names(
    tmp_path: pathlib.Path,
) -> None:
    """Not of the whole file, nor of a survey."""
    shipped = (SHIPPED / "iterate.toml").read_text(encoding="utf-8")
    question = 'questions."Your address?"]\nname = "email"\ntype = "string"\n'
    for table in ("default", "survey.one"):
        text = f"{shipped}\n[{table}.{question}"
        (tmp_path / "iterate.toml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as refused:
            load_iterate(tmp_path)
        assert [each.key for each in refused.value.problems] == [f"{table}.questions"]
        signed = text.replace('# trust = "signed"\n# ', 'trust = "signed"\n')
        (tmp_path / "iterate.toml").write_text(signed, encoding="utf-8")
        assert load_iterate(tmp_path).default.person.signature
