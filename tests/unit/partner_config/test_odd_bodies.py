"""The keys of every partner's file for bodies as people really send them."""

from __future__ import annotations

import pathlib
from typing import Final

import pytest

from braze_bridge.mapping.people import find_person
from braze_bridge.partner_config.toml_files import (
    check_partner_config,
    load_iterate,
    load_outgrow,
    load_quikly,
)

SHIPPED: Final = pathlib.Path(__file__).parents[3] / "layers" / "partner_config"
FILES: Final = ("outgrow.toml", "iterate.toml", "quikly.toml")


def changed(folder: pathlib.Path, file: str, old: str, new: str) -> list[str]:
    """The problems of the shipped files after one change."""
    for name in FILES:
        text = (SHIPPED / name).read_text(encoding="utf-8")
        assert name != file or old in text
        text = text.replace(old, new, 1) if name == file else text
        (folder / name).write_text(text, encoding="utf-8")
    return [f"{each.file} {each.key}: {each.message}" for each in check_partner_config(folder)]


@pytest.mark.parametrize("file", FILES)
def test_a_file_adds_placeholders(tmp_path: pathlib.Path, file: str) -> None:
    """For each of its routes, in one form and in lower case; a blank one would take every id."""
    line = "schema_version = 1\n"
    assert changed(tmp_path, file, line, f'{line}placeholders = ["Guest ", "n.\u200b"]\n') == []

    people = {
        "outgrow.toml": [load_outgrow(tmp_path).default.person.placeholders.more],
        "iterate.toml": [load_iterate(tmp_path).default.person.placeholders.more],
        "quikly.toml": [
            load_quikly(tmp_path).placeholders,
            load_quikly(tmp_path).events.person.placeholders.more,
        ],
    }
    assert {frozenset({"guest", "n."})} == set(people.pop(file))
    assert {frozenset()} == {each for found in people.values() for each in found}
    [problem] = changed(tmp_path, file, line, f'{line}placeholders = ["\u00a0"]\n')
    assert problem.startswith(f"{file} placeholders: must be a list of texts in quotes")


def test_a_file_takes_words_from_the_list_of_placeholders(tmp_path: pathlib.Path) -> None:
    """A partner whose real ids look like placeholders can say so; the list itself stays."""
    line = "schema_version = 1\n"
    assert (
        changed(tmp_path, "outgrow.toml", line, f'{line}not_placeholders = ["0", "NONE"]\n') == []
    )
    rule = load_outgrow(tmp_path).default.person

    found = [find_person(rule, {"external_id": each}).user for each in ("0", "none", "null")]

    assert [user and user.external_id for user in found] == ["0", "none", None]


@pytest.mark.parametrize("file", FILES)
def test_the_commented_keys_can_be_switched_on(tmp_path: pathlib.Path, file: str) -> None:
    """Each file has them; off, no known person's address changes and no date is guessed."""
    # The first one of quikly.toml has its table in a comment, too.
    address = "# write_email = true\nphone" if file == "quikly.toml" else "# write_email = true"
    for line in (address, "# occurred_at_formats = "):
        switched = line.removeprefix("# ")
        if switched == "write_email = true":  # only for a signed person
            assert "signed" in changed(tmp_path, file, line, switched)[0]
            switched += '\ntrust = "signed"\nsignature = ["user_signature"]'
        assert changed(tmp_path, file, line, switched) == []
    outgrow, iterate = load_outgrow(SHIPPED).default, load_iterate(SHIPPED).default
    quikly = load_quikly(SHIPPED)
    assert not any(each.person.write_email for each in (outgrow, iterate, quikly.events))
    assert not any(each.profile.write_email for each in quikly.activations.values())
    assert outgrow.formats == iterate.formats == quikly.events.formats == ()


def test_all_activations_write_the_address_if_the_shared_profile_says_so(
    tmp_path: pathlib.Path,
) -> None:
    """One commented table for the webhook."""
    old = "# [activation_profile]\n# write_email = true\n"
    assert changed(tmp_path, "quikly.toml", old, old.replace("# ", "")) == []
    assert all(rule.profile.write_email for rule in load_quikly(tmp_path).activations.values())


@pytest.mark.parametrize(
    ("file", "order", "kind"),
    [
        ("iterate.toml", '["braze_id", "external_id", "email", "user_alias"]', "external_id"),
        ("quikly.toml", '["external_id", "braze_id", "email", "phone"]', "email"),
    ],
)
def test_a_braze_id_never_comes_before_what_finds_or_makes_a_profile(
    tmp_path: pathlib.Path, file: str, order: str, kind: str
) -> None:
    """Braze would drop what has one that it does not know."""
    old = {
        "iterate.toml": '["external_id", "email", "braze_id", "user_alias"]',
        "quikly.toml": '["external_id", "email", "phone", "braze_id"]',
    }[file]

    problems = changed(tmp_path, file, old, order)

    assert any(f"order must name {kind} before braze_id" in each for each in problems)


def test_a_format_of_a_time_must_be_one(tmp_path: pathlib.Path) -> None:
    """A format that does not read its own date back is refused."""
    old = "# occurred_at_formats = "
    problems = changed(tmp_path, "outgrow.toml", old, 'occurred_at_formats = ["%d"] # ')

    [problem] = problems
    assert problem.startswith('outgrow.toml default.occurred_at_formats: "%d" is no date')


def test_a_question_is_found_in_either_form_of_unicode(tmp_path: pathlib.Path) -> None:
    """Editors write accents both ways."""
    old = "[default.questions]\n"
    new = f'{old}"Cafe\u0301?" = {{ name = "cafe\u0301" }}\n'
    assert changed(tmp_path, "iterate.toml", old, new) == []

    assert load_iterate(tmp_path).default.question(None, "Caf\u00e9?").value.name == "caf\u00e9"
