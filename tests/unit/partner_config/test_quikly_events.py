"""``[events]`` of ``quikly.toml``: what is inherited, and what is refused by which name."""

from __future__ import annotations

import pathlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.mapping.outcomes import Ignored, Mapped, Unmappable
from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.partner_config.toml_files import load_quikly
from quikly_events.mapping import map_event

if TYPE_CHECKING:
    from braze_bridge.partner_config.quikly import QuiklyConfig

SHIPPED = pathlib.Path(__file__).parents[3] / "layers" / "partner_config"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

BASE = """
schema_version = 1
[events]
event_id = "event_id"
occurred_at = "occurred_at"
[events.person]
order = ["email"]
email = ["email"]
[events.default.attributes]
last = { from = "event", type = "string" }
[events.on.entered]
[events.on.won.attributes]
tier = { from = "properties.tier", type = "string" }
[events.on.won.event]
name = "won"
properties.tier = { from = "properties.tier", type = "string" }
[events.on]
viewed = false
"""


def load(folder: pathlib.Path, text: str) -> QuiklyConfig:
    (folder / "quikly.toml").write_text(text, encoding="utf-8")
    return load_quikly(folder)


def problems(folder: pathlib.Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as raised:
        load(folder, text)
    return [(problem.key, problem.message) for problem in raised.value.problems]


def mapped(config: QuiklyConfig, **fields: Any) -> Any:
    body = {"q_scope": "s", "event": "won", "email": "ada@example.com", "event_id": "1"} | fields
    return map_event(body, config=config, received_at=NOW, correlation_id="c")


def test_one_event_adds_to_every_event_and_one_activation_to_all(tmp_path: pathlib.Path) -> None:
    """Weakest first: default, event, the activation's default, the activation's event."""
    config = load(
        tmp_path,
        BASE
        + """
[events.scope.plain]
[events.scope.own.default.attributes]
tier = { from = "'always'", type = "string" }
card = { from = "join(': ', [q_scope, properties.tier])", type = "string" }
[events.scope.own.on.won]
attributes.last = false
event.properties.rank = { from = "properties.rank", type = "integer" }
[events.scope.own.on.viewed.event]
name = "seen"
[events.scope.own.on]
entered = false
""",
    )
    properties = {"tier": "gold", "rank": "2"}

    plain = mapped(config, q_scope="plain", properties=properties)
    own = mapped(config, q_scope="own", properties=properties)
    viewed = mapped(config, q_scope="own", event="viewed")

    assert plain.job.attributes == {"last": "won", "tier": "gold"}
    assert plain.job.events[0].properties == {"tier": "gold"}
    assert own.job.attributes == {"tier": "always", "card": "own: gold"}
    assert (own.job.events[0].name, own.job.events[0].properties) == (
        "won",
        properties | {"rank": 2},
    )
    assert viewed.job.events[0].name == "seen"
    assert mapped(config, q_scope="own", event="entered") == Ignored("event_not_wanted")
    assert mapped(config, q_scope="plain", event="viewed") == Ignored("event_not_wanted")


def test_an_activation_is_known_by_being_named_or_by_any_scope(tmp_path: pathlib.Path) -> None:
    """Anywhere in the file; a misspelt one is refused rather than taken for a new one."""
    config = load(tmp_path, BASE)
    outcome = mapped(config, q_scope="s")
    assert isinstance(outcome, Unmappable)
    assert outcome.reasons[0].code == "unknown_activation"

    config = load(tmp_path, BASE.replace("[events]", "[events]\nany_scope = true", 1))
    assert isinstance(mapped(config, q_scope="s"), Mapped)


def test_a_file_without_events_takes_none(tmp_path: pathlib.Path) -> None:
    """The section may be left out; whatever comes is unknown then."""
    config = load(tmp_path, "schema_version = 1\n")

    assert isinstance(mapped(config), Unmappable)


@pytest.mark.parametrize(
    ("addition", "key", "said"),
    [
        ("[events.on.lost]\nattributes.last = false", "events.on.lost", "neither"),
        ("[events.on.lost]\nattributes.tire = false", "events.on.lost.attributes.tire", "nothing"),
        ("[events.on.lost]\nevent.properties = {}", "events.on.lost.event", "needs a name"),
        ("[events.on.lost]\nevnet = false", "events.on.lost.evnet", "did you mean event"),
        ('[events.scope."a b"]\nonn = 1', 'events.scope."a b".onn', "not a known key"),
        ("[events.scope.a.on]\nwon = 3", "events.scope.a.on.won", "must be a table"),
        (
            "[events.scope.a.on.won]\nattributes.tier.type = 'strin'",
            "events.scope.a.on.won.attributes.tier.from",
            "at least one path",
        ),
    ],
)
def test_a_mistake_is_refused_by_its_key(
    tmp_path: pathlib.Path, addition: str, key: str, said: str
) -> None:
    """Before it is deployed, in words for people."""
    found = dict(problems(tmp_path, f"{BASE}{addition}\n"))

    assert key in found
    assert said in found[key]


def test_a_section_without_a_person_is_refused(tmp_path: pathlib.Path) -> None:
    """Otherwise every event would be answered 422."""
    text = BASE.replace('order = ["email"]\n', "")

    assert ("events.person", 'needs order, such as ["external_id", "email", "phone"]') in problems(
        tmp_path, text
    )


def test_the_shipped_example_is_true(tmp_path: pathlib.Path) -> None:
    """What the file gives in a comment works once it is uncommented."""
    text = (SHIPPED / "quikly.toml").read_text(encoding="utf-8")
    commented = "# [events.on]\n# viewed = false"
    example = '# [events.scope."summer-2027".on.tier_reached.attributes]\n# summer_prize ='
    assert commented in text
    assert example in text

    config = load(
        tmp_path,
        text.replace(commented, "[events.on]\nviewed = false").replace(
            example, example.replace("# ", "")
        ),
    )

    outcome = mapped(
        config,
        q_scope="summer-2027",
        event="tier_reached",
        properties={"tier": "gold", "incentive": "a trip"},
    )
    assert outcome.job.attributes["summer_prize"] == "gold: a trip"
    assert mapped(config, q_scope="demo-first", event="viewed") == Ignored("event_not_wanted")
