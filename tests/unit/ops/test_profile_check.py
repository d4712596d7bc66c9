"""A test response arrived when its values are on the profile, with their types."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.models import ExportedUser
from braze_bridge.jobs.envelope import JobUser, UserAlias
from ops.verify.profile_check import (
    HIGHEST_SCORE,
    LOWEST_SCORE,
    State,
    compare,
    is_there,
    look_up,
    score_of,
    wait_for,
)

if TYPE_CHECKING:
    from ops.verify.profile_check import Arrival

STANDARD = frozenset({"first_name", "image_url", "email", "email_subscribe"})


@pytest.mark.parametrize(
    ("sent", "found", "state", "words"),
    [
        (87, 87, State.ARRIVED, "arrived as number 87"),
        (87, 87.0, State.ARRIVED, "arrived as number 87.0"),
        (87, "87", State.DIFFERENT, "is string 87, but number 87 was sent"),
        (True, 1, State.DIFFERENT, "is number 1, but boolean True was sent"),
        ("curious", "curious", State.ARRIVED, "arrived as string curious"),
        (["a"], ["a"], State.ARRIVED, "arrived as array ['a']"),
        (87, None, State.MISSING, "did not arrive (number 87 was sent)"),
        (None, None, State.ARRIVED, "arrived as nothing None"),
        (None, 3, State.DIFFERENT, "is number 3"),
    ],
)
def test_a_value_must_be_there_with_its_type(
    sent: Any, found: Any, state: State, words: str
) -> None:
    """Braze's segments distinguish types, and so does this."""
    custom = {} if found is None else {"outgrow_quiz_score": found}
    user = ExportedUser(custom_attributes=custom)

    (arrival,) = compare({"outgrow_quiz_score": sent}, STANDARD, user)

    assert arrival.state is state
    assert words in str(arrival)


def test_a_profile_that_is_not_there_yet_has_nothing() -> None:
    """Reads lag writes."""
    (arrival,) = compare({"score": 1}, STANDARD, None)

    assert arrival.state is State.MISSING


def test_braze_s_own_fields_are_looked_for_under_their_names() -> None:
    """A field that exports do not show counts as sent, and the text says so."""
    user = ExportedUser(email="a@b.example", other={"first_name": "Ada"})
    sent = {"first_name": "Ada", "email": "a@b.example", "image_url": "https://x.example/a.png"}

    found = compare(sent, STANDARD, user)

    assert [each.state for each in found] == [State.ARRIVED, State.ARRIVED, State.NOT_COMPARED]
    assert is_there(found)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (JobUser(external_id="x"), {"external_ids": ["x"]}),
        (JobUser(braze_id="x"), {"braze_id": "x"}),
        (JobUser(email="a@b.example"), {"email_address": "a@b.example"}),
        (JobUser(phone="+49301234567"), {"phone": "+49301234567"}),
    ],
)
def test_the_profile_is_looked_up_by_the_job_s_identifier(
    user: JobUser, expected: dict[str, object]
) -> None:
    """And no more of it is read than is compared."""
    request = look_up(user, ["first_name", "outgrow_quiz_score"])

    assert list(request.fields_to_export) == ["custom_attributes", "first_name"]
    for name, value in expected.items():
        assert getattr(request, name) == value


def test_an_alias_is_looked_up_by_name_and_label() -> None:
    """Both make it one."""
    alias = UserAlias(alias_name="n", alias_label="l")

    (asked,) = look_up(JobUser(user_alias=alias), []).user_aliases
    assert (asked.alias_name, asked.alias_label) == ("n", "l")


def test_neighbouring_seeds_are_different_scores() -> None:
    """So an earlier value is never taken for the new one."""
    scores = [score_of(seed) for seed in range(3 * HIGHEST_SCORE)]

    assert all(a != b for a, b in itertools.pairwise(scores))
    assert (min(scores), max(scores)) == (LOWEST_SCORE, HIGHEST_SCORE)


def test_it_looks_less_and_less_often_and_stops_when_it_is_there() -> None:
    """After 1, 2 and 4 s here; each look is reported."""
    slept: list[float] = []
    reported: list[float] = []
    profiles = [None, None, ExportedUser(custom_attributes={"score": 1})]

    def look() -> list[Arrival]:
        return compare({"score": 1}, STANDARD, profiles[len(reported)])

    seen, waited = wait_for(look, slept.append, lambda at, _: reported.append(at))

    assert is_there(seen)
    assert slept == [1, 2, 4]
    assert reported == [1, 3, 7]
    assert waited == 7


def test_after_31_seconds_it_gives_up() -> None:
    """Five looks; the result is that of the last one."""
    slept: list[float] = []

    seen, waited = wait_for(
        lambda: compare({"s": 1}, STANDARD, None), slept.append, lambda *_: None
    )

    assert slept == [1, 2, 4, 8, 16]
    assert waited == 31
    assert not is_there(seen)
