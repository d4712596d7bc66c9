"""Nobody who writes a question at Iterate writes another partner's or Braze's attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.mapping.outcomes import Mapped, Unmappable
from braze_bridge.mapping.texts import bare_name
from braze_bridge.partner_config.iterate import NameRule
from braze_bridge.partner_config.toml_files import load_iterate
from iterate_responses.answers import attribute_name
from iterate_responses.mapping import map_response
from tests.fakes.clock import NOON
from tests.fakes.iterate import PARTNER_CONFIG, answer, body

if TYPE_CHECKING:
    from braze_bridge.mapping.outcomes import Outcome
    from braze_bridge.partner_config.iterate import IterateConfig

SHIPPED = load_iterate(PARTNER_CONFIG)


def mapped(config: IterateConfig, *responses: Any) -> Outcome:
    return map_response(body(*responses), config=config, received_at=NOON, correlation_id="c")


def attributes(config: IterateConfig, *prompts: str) -> set[str]:
    outcome = mapped(config, *(answer(n, prompt) for n, prompt in enumerate(prompts)))
    assert isinstance(outcome, Mapped)
    assert len(outcome.job.events) == len(prompts)
    return set(outcome.job.attributes)


@pytest.mark.parametrize(
    "prompt",
    [
        "outgrow_quiz_score",
        "quikly_tier",
        "email_subscribe",
        "email_subscribe\u200b",
        "\u2060phone",
        "email_subscribe\x08",
        "email\u200d_subscribe",
    ],
)
def test_a_name_that_is_not_iterate_s_gets_its_prefix(prompt: str) -> None:
    """Names of the other partners' files, and Braze's, also with characters that are not shown."""
    (name,) = attributes(SHIPPED, prompt)

    assert name.startswith("iterate_")
    assert name.isascii()


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("quikly\u00a0tier", "quikly tier"),
        ("quikly_cafe\u034f\u0301", "quikly_caf\u00e9"),
        ("a\tb\u2009c\x08", "a b c"),
        (
            "\u2764\ufe0f or \U0001f468\u200d\U0001f469?",
            "\u2764\ufe0f or \U0001f468\u200d\U0001f469?",
        ),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
    ],
)
def test_names_that_look_alike_are_one(prompt: str, name: str) -> None:
    """Spaces are plain, what is not shown is gone; emoji and joined scripts stay as typed."""
    assert attribute_name(prompt) == name
    assert attribute_name(prompt, NameRule(taken=frozenset({bare_name(name)}))) == f"iterate_{name}"


def test_a_prompt_of_invisible_characters_names_nothing() -> None:
    """Its event is sent."""
    assert attributes(SHIPPED, "\u200b\u2060", "Ok?") == {"Ok?"}


@pytest.mark.parametrize("prompt", ["Do you like it?", "¿Té o café? 🍵", "لماذا؟", "なぜ"])
def test_an_ordinary_prompt_is_the_name(prompt: str) -> None:
    """Letters, accents and emoji of every script stay."""
    assert attribute_name(prompt) == prompt


def test_a_prefix_marks_every_name_without_a_rule() -> None:
    """It also keeps them apart from every other name."""
    config = SHIPPED._replace(names=SHIPPED.names._replace(prefix="iterate: "))

    assert attributes(config, "email", "Ok?") == {"iterate: email", "iterate: Ok?"}


def test_a_prefix_that_makes_another_s_name_gets_another() -> None:
    """Such as a prefix `quikly_` and a question `tier`."""
    names = NameRule(prefix="quikly_", taken=frozenset({"quikly_tier"}))

    assert attribute_name("tier", names) == "iterate_quikly_tier"


def test_only_listed_questions_become_attributes() -> None:
    """The event of each other is still sent."""
    config = SHIPPED._replace(names=SHIPPED.names._replace(only_listed=True))

    assert attributes(config, "Ok?", "email") == set()


def test_a_response_with_too_many_answers_is_kept_whole() -> None:
    """One body made 3,500 attributes and events; the alarm on parked bodies tells of it."""
    most = SHIPPED.names.most_answers
    answers = [answer(n, f"Question {n}") for n in range(most + 1)]

    refused = mapped(SHIPPED, *answers)

    assert isinstance(refused, Unmappable)
    assert [reason.code for reason in refused.reasons] == ["too_many"]
    assert isinstance(mapped(SHIPPED, *answers[:most]), Mapped)
