"""Hypothesis strategies for bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import SearchStrategy

OUTGROW_KEYS: Final = (
    "response_id",
    "id",
    "submission_id",
    "lead_id",
    "lead",
    "user",
    "created_at",
    "createdAt",
    "submitted_at",
    "external_id",
    "user_id",
    "email",
    "phone",
    "score",
    "quiz_score",
    "result",
    "segment",
    "custom_segment",
)

TELLING: Final = (
    "ada@example.com",
    " ADA@Example.com ",
    "not an address",
    "+49 (30) 1234567",
    "030 1234567",
    "2026-11-20T08:15:30Z",
    "2026-11-20",
    "12/1/2021",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "1795164000",
    "87",
    "87.5",
    "1e400",
    "yes",
    "NaN",
    "",
    "  ",
    "\u0000",
    "\uffff\ufffe",
    "🎓" * 130,
    "x" * 256,
    "9" * 5000,
)

NUMBERS: Final = (0, 1, -1, 87, 2**63 - 1, 2**63, -(2**63), 10**4000, 1795164000, 1795164000000)


def json_scalars() -> SearchStrategy[Any]:
    """Anything but arrays and objects, with the edge cases of the rules."""
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from(NUMBERS),
        st.floats(allow_nan=False),
        st.sampled_from(TELLING),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    )


def json_values(keys: Sequence[str] = ("a", "b")) -> SearchStrategy[Any]:
    """Any JSON value as a parser hands it over: infinities and long integers, no surrogates.

    Args:
        keys: Names that objects have more often than others.
    """
    names = st.one_of(st.sampled_from(keys), st.text(max_size=5))
    return st.recursive(
        json_scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=6)
        ),
        max_leaves=20,
    )


def outgrow_bodies() -> SearchStrategy[Any]:
    """Bodies, many of which look like Outgrow's."""
    scalars = json_scalars()
    nested = st.dictionaries(st.sampled_from(OUTGROW_KEYS), scalars, max_size=5)
    likely = st.dictionaries(
        st.sampled_from(OUTGROW_KEYS),
        st.one_of(scalars, nested, st.lists(scalars, max_size=3)),
        max_size=8,
    )
    return st.one_of(likely, json_values(OUTGROW_KEYS))


def iterate_bodies() -> SearchStrategy[Any]:
    """Bodies, many of which look like Iterate's."""
    scalars = json_scalars()
    prompts = st.sampled_from(("Why?", "email", "$x", "external_id", "How likely are you?"))
    entry = st.fixed_dictionaries(
        {},
        optional={
            "id": scalars,
            "question_id": scalars,
            "created_at": scalars,
            "question_prompt": st.one_of(prompts, scalars),
            "formatted_response": st.one_of(scalars, json_values()),
        },
    )
    people = st.dictionaries(
        st.sampled_from(("braze_id", "external_id", "email", "id")), scalars, max_size=3
    )
    responses = st.lists(st.one_of(entry, entry, scalars), max_size=5)
    response = st.fixed_dictionaries(
        {"responses": st.one_of(responses, responses, scalars)},
        optional={
            "id": scalars,
            "completed_at": scalars,
            "survey": st.one_of(scalars, st.fixed_dictionaries({"id": scalars, "name": scalars})),
            "user": st.one_of(people, scalars),
        },
    )
    kinds = st.one_of(st.just("survey_response"), st.just("survey_response"), scalars)
    likely = st.fixed_dictionaries({"event_type": kinds, "survey_response": response})
    return st.one_of(likely, likely, json_values(("event_type", "survey_response", "responses")))
