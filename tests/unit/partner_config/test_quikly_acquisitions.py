"""``[acquisition]`` of ``quikly.toml``: what is taken, what is refused, and by which name."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import pytest

from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.partner_config.quikly_acquisitions import ParticipationAttribute
from braze_bridge.partner_config.toml_files import load_quikly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule

SHIPPED = pathlib.Path(__file__).parents[3] / "layers" / "partner_config"


def load(folder: pathlib.Path, body: str) -> Mapping[str, AcquisitionRule]:
    text = f'schema_version = 1\n[acquisition."s"]\n{body}\n'
    (folder / "quikly.toml").write_text(text, encoding="utf-8")
    return load_quikly(folder).acquisitions


def test_the_shipped_demo_scopes_are_there() -> None:
    """One of each way: e-mail, SMS, and both double opt-ins."""
    rules = load_quikly(SHIPPED).acquisitions
    assert {
        scope: (set(rule.channels), rule.double_opt_in, rule.lookup)
        for scope, rule in rules.items()
    } == {
        "demo-email": ({"email"}, "none", "export"),
        "demo-sms": ({"sms"}, "none", "export"),
        "demo-double-opt-in": ({"sms"}, "braze", "export"),
        "demo-double-opt-in-event": ({"sms"}, "event", "export"),
    }


def test_what_is_left_out_is_the_usual(tmp_path: pathlib.Path) -> None:
    """Look-ups on, nobody credited who unsubscribed, Quikly not told."""
    rule = load(tmp_path, 'channels = ["email"]')["s"]
    assert (rule.lookup, rule.credit_unsubscribed, rule.credit_event) == ("export", False, None)
    assert (rule.participation_attribute, rule.participation_event) == (None, None)


def test_a_whole_rule_is_read(tmp_path: pathlib.Path) -> None:
    """Every key in its place."""
    rule = load(
        tmp_path,
        """
        channels = ["email", "sms"]
        subscription_group_id = " group "
        double_opt_in = "event"
        opt_in_event = "ask"
        opt_in_days = 7
        replace_phone = false
        credit_unsubscribed = true
        credit_event = "signed-up"
        participation_attribute = { name = "level", value = 2 }
        participation_event = "took part"
        """,
    )["s"]
    assert rule.channels == {"email", "sms"}
    assert (rule.subscription_group_id, rule.double_opt_in, rule.opt_in_event) == (
        "group",
        "event",
        "ask",
    )
    assert (rule.opt_in_days, rule.replace_phone, rule.credit_unsubscribed) == (7, False, True)
    assert rule.participation_attribute == ParticipationAttribute("level", 2)
    assert (rule.credit_event, rule.participation_event) == ("signed-up", "took part")


SMS = 'channels = ["sms"]\nsubscription_group_id = "g"\n'
EMAIL = 'channels = ["email"]\n'


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ("", "acquisition.s.channels"),
        ('channels = ["fax"]', "acquisition.s.channels"),
        ('channels = ["sms"]', "acquisition.s.subscription_group_id"),
        (SMS + 'double_opt_in = "maybe"', "acquisition.s.double_opt_in"),
        (SMS + 'double_opt_in = "event"', "acquisition.s.opt_in_event"),
        (SMS + 'opt_in_event = "ask"', "acquisition.s.opt_in_event"),
        (SMS + "opt_in_days = 7", "acquisition.s.opt_in_days"),
        (SMS + 'double_opt_in = "braze"\nopt_in_days = 31', "acquisition.s.opt_in_days"),
        (SMS + 'double_opt_in = "braze"\nopt_in_days = true', "acquisition.s.opt_in_days"),
        (SMS + "credit_unsubscribed = true", "acquisition.s.credit_unsubscribed"),
        (SMS + 'lookup = "none"\nreplace_phone = true', "acquisition.s.replace_phone"),
        (EMAIL + 'subscription_group_id = "g"', "acquisition.s.subscription_group_id"),
        (EMAIL + 'double_opt_in = "braze"', "acquisition.s.double_opt_in"),
        (EMAIL + 'lookup = "guess"', "acquisition.s.lookup"),
        (EMAIL + 'credit_event = ""', "acquisition.s.credit_event"),
        (EMAIL + f'participation_event = "{"x" * 256}"', "acquisition.s.participation_event"),
        (EMAIL + "participation_attribute = {}", "acquisition.s.participation_attribute.name"),
        (
            EMAIL + 'participation_attribute = { name = "email", value = "a@b.co" }',
            "acquisition.s.participation_attribute.name",
        ),
        (
            EMAIL + 'participation_attribute = { name = "braze_id", value = "x" }',
            "acquisition.s.participation_attribute.name",
        ),
        (
            EMAIL + 'participation_attribute = { name = "day", value = 2026-11-22 }',
            "acquisition.s.participation_attribute.value",
        ),
        (
            EMAIL + 'participation_attribute = { name = "day", value = "2026-11-22" }',
            "acquisition.s.participation_attribute.value",
        ),
        (
            EMAIL + 'participation_attribute = { name = "country", value = "Atlantis" }',
            "acquisition.s.participation_attribute.value",
        ),
        (EMAIL + "credit_evnet = 1", "acquisition.s.credit_evnet"),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path: pathlib.Path, body: str, key: str) -> None:
    """One problem, under the key that a person has to change."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, body)
    assert [problem.key for problem in caught.value.problems] == [key]
