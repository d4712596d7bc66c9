"""Nobody who writes a question at Iterate writes another partner's or Braze's attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.mapping.attributes import Skip, ValueRule
from braze_bridge.mapping.names import NameGuard
from braze_bridge.mapping.outcomes import Ignored, Mapped, Unmappable
from braze_bridge.mapping.texts import bare_name
from braze_bridge.mapping.values import Shape, ValueType
from braze_bridge.observability import Metric
from braze_bridge.partner_config.iterate import NameRule, QuestionRule
from braze_bridge.partner_config.toml_files import load_iterate, load_quikly
from iterate_responses.answers import attribute_name
from iterate_responses.mapping import map_response
from tests.fakes.clock import NOON
from tests.fakes.ingest import answered
from tests.fakes.iterate import PARTNER_CONFIG, IterateBench, answer, body

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Collection
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from braze_bridge.mapping.outcomes import Outcome
    from braze_bridge.partner_config.iterate import IterateConfig

TEXT = Shape(ValueType.STRING)
SHIPPED = load_iterate(PARTNER_CONFIG)


def taking(name: str) -> NameRule:
    return NameRule(guard=NameGuard(taken=frozenset({name})))


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
        "marketing_consent",
        "SMS opt-in",
    ],
)
def test_a_name_that_is_not_iterate_s_gets_its_prefix(prompt: str) -> None:
    """Names of the other partners' files, and Braze's, also with characters that are not shown."""
    (name,) = attributes(SHIPPED, prompt)

    assert name.startswith("iterate_")
    assert name.isascii()


def test_a_field_of_outgrow_s_consent_is_outgrow_s(tmp_path: pathlib.Path) -> None:
    """Whatever it is called: the file names it as the person's consent."""
    for name in ("outgrow.toml", "iterate.toml", "quikly.toml"):
        text = (PARTNER_CONFIG / name).read_text(encoding="utf-8")
        text = text.replace('# consent = ["lead.consent"', 'consent = ["lead.ok_to_mail"', 1)
        (tmp_path / name).write_text(text, encoding="utf-8")

    assert attributes(load_iterate(tmp_path), "ok_to_mail") == {"iterate_ok_to_mail"}
    assert load_quikly(tmp_path).names.objection("ok_to_mail") is not None


def test_a_rule_of_the_file_may_name_consent() -> None:
    """The file's owner decides; only a prompt may not."""
    rules = ({"Marketing consent": QuestionRule(ValueRule("marketing_consent", (), TEXT))},)
    config = SHIPPED._replace(default=SHIPPED.default._replace(questions=rules))

    assert attributes(config, "Marketing consent") == {"marketing_consent"}


def test_names_over_the_day_s_cap_are_left_out_and_their_events_sent() -> None:
    """Only names of prompts count, in a response that makes a job; the places are warned about."""
    asked: list[list[str]] = []

    def over(names: Collection[str], now: datetime) -> AbstractSet[str]:
        asked.append(sorted(names))
        assert now == NOON
        return {"B"}

    config = SHIPPED._replace(
        default=SHIPPED.default._replace(questions=({"C": QuestionRule(ValueRule("c", (), TEXT))},))
    )
    posted = body(answer(1, "A"), answer(2, "B"), answer(3, "C"))
    outcome = map_response(
        posted, config=config, received_at=NOON, correlation_id="c", names_over_cap=over
    )

    assert isinstance(outcome, Mapped)
    assert outcome.job.attributes.keys() == {"A", "c"}
    assert len(outcome.job.events) == 3
    assert outcome.skips == (Skip("responses[1]", "too_many_names"),)
    assert asked == [["A", "B"]]
    nobody = body(answer(1, "D"), user={})
    refused = map_response(
        nobody, config=config, received_at=NOON, correlation_id="c", names_over_cap=over
    )
    assert isinstance(refused, Unmappable)
    assert len(asked) == 1


def test_the_door_counts_new_names_over_the_cap() -> None:
    """The answer names the place, the metric counts, and a restart knows the names."""
    config = SHIPPED._replace(
        names=SHIPPED.names._replace(guard=SHIPPED.names.guard._replace(new_a_day=2))
    )
    bench = IterateBench(config)

    status, said = answered(bench.post(body(*(answer(n, f"Q{n}") for n in range(3)))))
    again = answered(bench.post(body(answer(1, "Q1"), answer(0, "Q0"), id="sr-2")))

    assert (status, said["warnings"]) == (
        200,
        [{"code": "too_many_names", "field": "responses[2]"}],
    )
    assert "warnings" not in again[1]
    assert bench.meter.totals[Metric.NAMES_OVER_CAP] == 1
    assert bench.meter.totals[Metric.ATTRIBUTES_SKIPPED] == 1
    assert [len(job.events) for job in bench.queue.jobs] == [3, 2]


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("quikly\u00a0tier", "quikly tier"),
        ("\u2800quikly\u2800tier", "quikly tier"),
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
    assert attribute_name(prompt, taking(bare_name(name))) == f"iterate_{name}"


def test_a_prompt_of_invisible_characters_names_nothing() -> None:
    """Its event is sent."""
    assert attributes(SHIPPED, "\u200b\u2060", "Ok?") == {"Ok?"}
    assert mapped(SHIPPED, answer(1, "Ok?", "\u2800")) == Ignored("no_answers")


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
    names = taking("quikly_tier")._replace(prefix="quikly_")

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
