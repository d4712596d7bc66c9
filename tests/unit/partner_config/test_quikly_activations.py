"""``[activation]`` of ``quikly.toml``: what is taken, what is refused, and under which key."""

from __future__ import annotations

import pathlib
from datetime import UTC, datetime, timedelta

import pytest

from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.partner_config.quikly_activations import (
    ActivationRule,
    Decay,
    Fact,
    Mode,
    Odds,
    Status,
    Tier,
)
from braze_bridge.partner_config.toml_files import load_quikly
from tests.fakes.clock import NOON

SHIPPED = pathlib.Path(__file__).parents[3] / "layers" / "partner_config"

HEAD = """
schema_version = 1
[activation.launch]
events = ["act"]
"""
OPEN = 'opens_at = "stack"\n'
TIER = "[activation.launch.tiers.reward]\nquantity = 1\n"
FIRST = HEAD + OPEN + 'mode = "first"\n'


def load(folder: pathlib.Path, text: str) -> ActivationRule:
    (folder / "quikly.toml").write_text(text, encoding="utf-8")
    [rule] = load_quikly(folder).activations.values()
    return rule


def problems(folder: pathlib.Path, text: str) -> dict[str, str]:
    (folder / "quikly.toml").write_text(text, encoding="utf-8")
    try:
        load_quikly(folder)
    except ConfigError as error:
        return {problem.key: problem.message for problem in error.problems}
    return {}


def test_shipped_demo_has_every_mode() -> None:
    """The demo's activations are there, one for each mode, open since the stack exists."""
    rules = load_quikly(SHIPPED).activations

    assert {scope: rule.mode.value for scope, rule in rules.items()} == {
        f"demo-{mode}": mode.value for mode in Mode
    }
    assert {rule.events for rule in rules.values()} == {("demo-action",)}
    assert {rule.opening(lambda: NOON) for rule in rules.values()} == {NOON}
    assert [tier.quantity for tier in rules["demo-first"].tiers] == [10]


def test_everything_that_can_be_said(tmp_path: pathlib.Path) -> None:
    """A whole activation is read as it is written."""
    text = """
        schema_version = 1
        [activation."spring.launch"]
        mode = "speed"
        events = ["opened", "signed-in"]
        opens_at = 2026-11-27T09:00:00+01:00
        closes_at = 2026-11-27T10:00:00Z
        total = 150
        create_profiles = false
        [activation."spring.launch".tiers.gold]
        incentive = "50 %"
        quantity = 100
        within_seconds = 60
        value = 2500
        currency = "EUR"
        [activation."spring.launch".tiers.silver]
        [activation."spring.launch".consolation]
        incentive = "Thanks"
        [activation."spring.launch".profile]
        events = { awarded = "won" }
        attributes = { prize = "incentive" }
        properties = { seconds = "response_seconds" }
    """

    rule = load(tmp_path, text)

    assert rule._replace(profile=None) == ActivationRule(  # type: ignore[arg-type]  # looked at below
        q_scope="spring.launch",
        mode=Mode.SPEED,
        events=("opened", "signed-in"),
        opens_at=datetime(2026, 11, 27, 8, tzinfo=UTC),
        closes_at=datetime(2026, 11, 27, 10, tzinfo=UTC),
        tiers=(
            Tier("gold", "50 %", 100, 2500, "EUR", timedelta(seconds=60)),
            Tier("silver"),
        ),
        total=150,
        consolation=Tier("consolation", "Thanks"),
        profile=None,  # type: ignore[arg-type]
        create_profiles=False,
    )
    assert rule.profile.events == {Status.AWARDED: "won"}
    assert rule.profile.attributes == {"prize": Fact.INCENTIVE}
    assert rule.profile.properties == {"seconds": Fact.RESPONSE_SECONDS}
    gold, consolation = rule.tier("gold"), rule.tier("consolation")
    assert gold is rule.tiers[0]
    assert consolation is rule.consolation
    assert rule.tier("bronze") is None


def test_closing_may_count_from_the_opening(tmp_path: pathlib.Path) -> None:
    """closes_after_seconds begins with the opening, also where that is the stack's age."""
    rule = load(tmp_path, FIRST + "closes_after_seconds = 3600\n" + TIER)

    assert rule.closing(rule.opening(lambda: NOON)) == NOON + timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("over_seconds = 60", Decay(500, 100, "EUR", over=timedelta(seconds=60))),
        (
            "every_seconds = 60\ndrop = 50",
            Decay(500, 100, "EUR", every=timedelta(seconds=60), drop=50),
        ),
    ],
)
def test_decay_is_straight_or_in_steps(tmp_path: pathlib.Path, text: str, expected: Decay) -> None:
    """Both shapes are read."""
    head = HEAD + OPEN + 'mode = "decay"\n' + TIER + "[activation.launch.decay]\n"

    rule = load(tmp_path, head + 'start = 500\nfloor = 100\ncurrency = "EUR"\n' + text)

    assert rule.decay == expected


def test_odds_are_exact_and_in_lowest_terms(tmp_path: pathlib.Path) -> None:
    """5/100 is 1/20."""
    head = HEAD + OPEN + 'mode = "random"\n'

    rule = load(tmp_path, head + '[activation.launch.tiers.prize]\nodds = "5/100"\n')

    assert rule.tiers == (Tier("prize", odds=Odds(1, 20)),)


def test_profile_adds_to_what_all_share(tmp_path: pathlib.Path) -> None:
    """An activation's own names come on top; false takes one away."""
    text = (
        FIRST
        + TIER
        + """
        [activation_profile]
        events = { awarded = "won", entered = "in" }
        attributes = { tier = "tier", value = "value" }
        [activation.launch.profile]
        events = { entered = false, no_award = "lost" }
        attributes = { tier = false, rank = "rank" }
    """
    )

    profile = load(tmp_path, text).profile

    assert profile.events == {Status.AWARDED: "won", Status.NO_AWARD: "lost"}
    assert profile.attributes == {"value": Fact.VALUE, "rank": Fact.RANK}


A = "activation.launch"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (
            "schema_version = 1\n[door]\nallow_query_token = true\n",
            "door.allow_query_token",
            "must be false",
        ),
        (HEAD + OPEN + TIER, f"{A}.mode", "is missing"),
        (HEAD + OPEN + 'mode = "fist"\n' + TIER, f"{A}.mode", "did you mean first"),
        (HEAD + 'mode = "first"\n' + TIER, f"{A}.opens_at", "is missing"),
        (FIRST, f"{A}.tiers", "is missing"),
        (FIRST + "tiers = 3\n", f"{A}.tiers", "must be a table"),
        (FIRST + "consolation = 3\n" + TIER, f"{A}.consolation", "must be a table"),
        (FIRST + "total = -1\n" + TIER, f"{A}.total", "at least 0"),
        (FIRST + TIER + "colour = 1\n", f"{A}.tiers.reward.colour", "not a known key"),
        (
            FIRST + "[activation.launch.tiers.reward]\nquantity = -5\n",
            f"{A}.tiers.reward.quantity",
            "at least 0",
        ),
        (
            FIRST + "[activation.launch.tiers.reward]\nquantity = 1.5\n",
            f"{A}.tiers.reward.quantity",
            "whole number",
        ),
        (
            FIRST + "[activation.launch.tiers.reward]\nquantity = true\n",
            f"{A}.tiers.reward.quantity",
            "whole number",
        ),
        (FIRST + TIER + "value = 5\n", f"{A}.tiers.reward.currency", "is missing"),
        (FIRST + TIER + 'currency = "EUR"\n', f"{A}.tiers.reward.value", "is missing"),
        (
            FIRST + TIER + 'value = 5\ncurrency = "euro"\n',
            f"{A}.tiers.reward.currency",
            "three capital letters",
        ),
        (FIRST + TIER + "within_seconds = 5\n", f"{A}.tiers.reward.within_seconds", "speed"),
        (FIRST + TIER + 'odds = "1/2"\n', f"{A}.tiers.reward.odds", "random"),
        (
            FIRST + "[activation.launch.tiers.a]\n[activation.launch.tiers.b]\n",
            f"{A}.tiers.b",
            "overlaps a",
        ),
        (
            FIRST.replace("first", "rank")
            + "[activation.launch.tiers.a]\n[activation.launch.tiers.b]\nquantity = 3\n",
            f"{A}.tiers.b",
            "overlaps a",
        ),
        (
            FIRST.replace("first", "speed")
            + "[activation.launch.tiers.a]\nwithin_seconds = 9\n"
            + "[activation.launch.tiers.b]\nwithin_seconds = 9\n",
            f"{A}.tiers.b.within_seconds",
            "overlaps a",
        ),
        (
            FIRST.replace("first", "speed")
            + "[activation.launch.tiers.a]\n[activation.launch.tiers.b]\nwithin_seconds = 9\n",
            f"{A}.tiers.b",
            "overlaps a",
        ),
        (
            FIRST.replace("first", "random")
            + '[activation.launch.tiers.a]\nodds = "2/3"\n'
            + '[activation.launch.tiers.b]\nodds = "1/2"\n',
            f"{A}.tiers",
            "more than 1",
        ),
        (FIRST.replace("first", "random") + TIER, f"{A}.tiers.reward.odds", "is missing"),
        (
            FIRST.replace("first", "random") + '[activation.launch.tiers.a]\nodds = "3/2"\n',
            f"{A}.tiers.a.odds",
            "fraction",
        ),
        (
            FIRST.replace("first", "draw") + "[activation.launch.tiers.a]\n",
            f"{A}.tiers.a.quantity",
            "is missing",
        ),
        (FIRST.replace("first", "forward") + TIER, f"{A}.tiers", "no place"),
        (FIRST.replace("first", "decay") + TIER, f"{A}.decay", "needed"),
        (
            FIRST + TIER + "[activation.launch.consolation]\nquantity = 3\n",
            f"{A}.consolation.quantity",
            "no place",
        ),
        (
            FIRST + "[activation.launch.tiers.consolation]\n[activation.launch.consolation]\n",
            f"{A}.consolation",
            "also the name of a tier",
        ),
        (
            HEAD + 'mode = "first"\nopens_at = 2026-11-27T09:00:00\n' + TIER,
            f"{A}.opens_at",
            "with its zone",
        ),
        (
            HEAD + 'mode = "first"\nopens_at = 0001-01-01T00:00:00+14:00\n' + TIER,
            f"{A}.opens_at",
            "from 2000 to 2199",
        ),
        (
            FIRST + "closes_at = 9999-12-31T23:59:59Z\n" + TIER,
            f"{A}.closes_at",
            "from 2000 to 2199",
        ),
        (
            HEAD + 'mode = "first"\nopens_at = "tomorrow"\n' + TIER,
            f"{A}.opens_at",
            "with its zone",
        ),
        (
            HEAD
            + 'mode = "first"\nopens_at = 2026-11-27T09:00:00Z\ncloses_at = 2026-11-27T09:00:00Z\n'
            + TIER,
            f"{A}.closes_at",
            "not after",
        ),
        (
            FIRST + "closes_at = 2026-11-27T09:00:00Z\ncloses_after_seconds = 5\n" + TIER,
            f"{A}.closes_after_seconds",
            "exclude each other",
        ),
        (
            FIRST.replace('events = ["act"]', "events = []") + TIER,
            f"{A}.events",
            "must list",
        ),
        (
            FIRST + TIER + '[activation.launch.profile.attributes]\nemail = "tier"\n',
            f"{A}.profile.attributes.email",
            "Braze's own",
        ),
        (
            FIRST + TIER + '[activation.launch.profile.attributes]\nprize = "teir"\n',
            f"{A}.profile.attributes.prize",
            "did you mean tier",
        ),
        (
            FIRST + TIER + '[activation.launch.profile.properties]\ntime = "tier"\n',
            f"{A}.profile.properties.time",
            "reserved",
        ),
        (
            FIRST + TIER + "[activation.launch.profile.attributes]\nprize = false\n",
            f"{A}.profile.attributes.prize",
            "takes nothing away",
        ),
        (
            (FIRST + TIER).replace("activation.launch", 'activation."a b"'),
            'activation."a b"',
            "no usable q_scope",
        ),
        (
            (FIRST + TIER).replace("tiers.reward", 'tiers."a#b"'),
            f'{A}.tiers."a#b"',
            "no usable name",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: pathlib.Path, text: str, key: str, words: str) -> None:
    """A mistake is refused under its own key, and nothing else is blamed for it."""
    found = problems(tmp_path, text)

    assert list(found) == [key]
    assert words in found[key]


@pytest.mark.parametrize(
    ("decay", "key", "words"),
    [
        ("start = 100\nfloor = 101\nover_seconds = 5\n", "floor", "above start (100)"),
        ("start = 100\nfloor = -1\nover_seconds = 5\n", "floor", "at least 0"),
        ("floor = 1\nover_seconds = 5\n", "start", "is missing"),
        ("start = 5\nfloor = 1\n", "", "needs over_seconds"),
        ("start = 5\nfloor = 1\nover_seconds = 5\ndrop = 1\n", "", "needs over_seconds"),
        ("start = 5\nfloor = 1\ndrop = 1\n", "every_seconds", "belong together"),
        ("start = 5\nfloor = 1\nover_seconds = 0\n", "over_seconds", "at least 1"),
    ],
)
def test_wrong_decay_is_named(tmp_path: pathlib.Path, decay: str, key: str, words: str) -> None:
    """A floor above the start, a fall without a time: refused under the key to change."""
    head = HEAD + OPEN + 'mode = "decay"\n' + TIER

    found = problems(tmp_path, head + '[activation.launch.decay]\ncurrency = "EUR"\n' + decay)

    assert list(found) == [f"{A}.decay.{key}".rstrip(".")]
    assert words in next(iter(found.values()))
