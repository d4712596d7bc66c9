"""Rules of attributes and properties applied to bodies, and Braze's own fields."""

from __future__ import annotations

from typing import Any

import pytest

from braze_bridge.mapping.attributes import (
    IDENTIFIER_CONFLICT,
    Skip,
    ValueRule,
    collect,
    collect_properties,
)
from braze_bridge.mapping.paths import compile_path
from braze_bridge.mapping.profile_fields import (
    STANDARD_FIELDS,
    attribute_name_problem,
    property_name_problem,
)
from braze_bridge.mapping.values import Misfit, Shape, ValueType, compact_json


def rule(name: str, kind: ValueType, *paths: str, **options: Any) -> ValueRule:
    compiled = tuple(compile_path(path) for path in paths or (name,))
    return ValueRule(name, compiled, Shape(kind), **options)


def standard(name: str) -> ValueRule:
    field = STANDARD_FIELDS[name]
    shape = Shape(field.type, max_chars=field.max_chars, dates_are_text=True)
    return ValueRule(name, (compile_path(name),), shape, standard=field)


def test_each_rule_takes_its_first_hit() -> None:
    """Null, missing and blank are passed over; the first answer counts, even if it does not fit."""
    rules = [
        rule("score", ValueType.NUMBER, "a", "b", "c"),
        rule("segment", ValueType.STRING, "missing", "blank", "d"),
        rule("unanswered", ValueType.STRING, "missing"),
    ]

    collected = collect(rules, {"a": None, "b": "eighty", "c": 80, "blank": " ", "d": "x"})

    assert collected.values == {"segment": "x"}
    assert collected.skips == [Skip("score", "wrong_type")]
    assert collected.rejects == []


def test_misfit_is_skipped_replaced_or_rejected_as_configured() -> None:
    """``skip``, ``default`` and ``reject`` each do what they say, and all leave a trace."""
    rules = [
        rule("skipped", ValueType.INTEGER, "v"),
        rule("replaced", ValueType.INTEGER, "v", default=0),
        rule("rejected", ValueType.INTEGER, "v", on_misfit="reject"),
    ]

    collected = collect(rules, {"v": "many"})

    assert collected.values == {"replaced": 0}
    assert collected.skips == [
        Skip("skipped", "wrong_type"),
        Skip("replaced", "wrong_type", default_used=True),
    ]
    assert collected.rejects == [Skip("rejected", "wrong_type")]


def test_default_does_not_stand_in_for_a_missing_answer() -> None:
    """Without an answer nothing is sent, default or not: silence is no misfit."""
    collected = collect([rule("n", ValueType.INTEGER, default=0)], {"n": None})

    assert (collected.values, collected.skips) == ({}, [])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("country", "de", "DE"),
        ("country", "XK", "XK"),
        ("country", "UK", "GB"),
        ("country", "Germany", "DE"),
        ("country", "Atlantis", Misfit.NOT_ALLOWED),
        ("language", "DE", "de"),
        ("language", "deu", Misfit.NOT_ALLOWED),
        ("gender", "f", "F"),
        ("gender", "female", "F"),
        ("gender", "w", Misfit.NOT_ALLOWED),
        ("dob", "1990-01-31", "1990-01-31"),
        ("dob", "1990-01-31T00:00:00Z", Misfit.NOT_ALLOWED),
        ("dob", "31.01.1990", Misfit.WRONG_TYPE),
        ("email", " Ada@Example.com", "ada@example.com"),
        ("email", "n/a", Misfit.NOT_ALLOWED),
        ("phone", "+49 (30) 123456", "+4930123456"),
        ("phone", "030 123456", Misfit.NOT_ALLOWED),
        ("phone", 4930123456, Misfit.NOT_ALLOWED),
        ("first_name", "2026-11-20", "2026-11-20"),
        ("first_name", "x" * 256, Misfit.TOO_LONG),
        ("time_zone", "Europe/Berlin", "Europe/Berlin"),
        ("time_zone", "America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("time_zone", "UTC", "UTC"),
        ("time_zone", "Berlin", Misfit.NOT_ALLOWED),
        ("time_zone", "+01:00", Misfit.NOT_ALLOWED),
        ("image_url", "https://example.com/" + "x" * 1004, "https://example.com/" + "x" * 1004),
        ("image_url", "https://example.com/" + "x" * 1005, Misfit.TOO_LONG),
        ("image_url", "javascript:alert(1)", Misfit.NOT_ALLOWED),
        ("email_subscribe", "Opted_In", "opted_in"),
        ("email_subscribe", "yes", Misfit.NOT_ALLOWED),
        ("push_subscribe", "unsubscribed", "unsubscribed"),
        ("email_open_tracking_disabled", "yes", True),
        ("date_of_first_session", "2026-11-20T08:15:30Z", "2026-11-20T08:15:30.000Z"),
    ],
)
def test_standard_field_takes_what_braze_takes(name: str, value: object, expected: object) -> None:
    """A standard field's value is as Braze wants it, or does not fit: Braze would store NULL."""
    assert standard(name).convert(value) == expected


@pytest.mark.parametrize("name", sorted(STANDARD_FIELDS))
def test_standard_field_keeps_what_it_took(name: str) -> None:
    """A value that a standard field took is taken again as it is."""
    samples = (
        "de",
        "F",
        "1990-01-31",
        "a@example.com",
        "+4930123456",
        "UTC",
        "https://e.de",
        "yes",
    )
    taken = [standard(name).convert(sample) for sample in (*samples, "subscribed")]

    fitted = [value for value in taken if not isinstance(value, Misfit)]

    assert fitted
    assert [standard(name).convert(value) for value in fitted] == fitted


@pytest.mark.parametrize(
    "name",
    [
        "external_id",
        "braze_id",
        "user_alias",
        "_update_existing_only",
        "_merge_objects",
        "push_tokens",
        "push_token_import",
        "subscription_groups",
        "email_subscription_info",
        "current_location",
        "facebook",
        "",
        "$score",
        "x" * 256,
    ],
)
def test_attribute_name_is_refused(name: str) -> None:
    """Identifiers, control keys, objects and what Braze forbids in names cannot be mapped."""
    assert attribute_name_problem(name)


@pytest.mark.parametrize("name", ["time", "event_name", "", "$x", "x" * 256])
def test_property_name_is_refused(name: str) -> None:
    """Names that make Braze refuse the whole event cannot be properties."""
    assert property_name_problem(name)


@pytest.mark.parametrize("name", ["first_name", "Do you enjoy our products?", "größe", "x" * 255])
def test_usual_names_are_taken(name: str) -> None:
    """Questions, spaces and any script make good names."""
    assert attribute_name_problem(name) is None
    assert property_name_problem(name) is None


def test_properties_stay_within_what_braze_takes_together() -> None:
    """Properties over 100 KB in all are skipped one by one: Braze would drop them all."""
    rules = [ValueRule(f"p{n}", (compile_path("texts"),), Shape(ValueType.ARRAY)) for n in range(3)]
    body = {"texts": [f"{n:03}{'x' * 200}" for n in range(240)]}

    collected = collect_properties(rules, body)

    assert list(collected.values) == ["p0", "p1"]
    assert collected.skips == [Skip("p2", "too_long")]
    assert len(compact_json(collected.values)) <= 100_000


def test_every_code_has_words() -> None:
    """Whatever the code of a skip, its reason says in words what it means."""
    codes = [*Misfit, IDENTIFIER_CONFLICT]

    reasons = [Skip("score", code).reason() for code in codes]

    assert [(reason.field, reason.code) for reason in reasons] == [("score", c) for c in codes]
    assert all(reason.detail for reason in reasons)
