"""What speaks against a job, and the job that is made if nothing does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.jobs.envelope import JobUser
from braze_bridge.mapping.attributes import IDENTIFIER_CONFLICT, UNREADABLE_TIME, Skip
from braze_bridge.mapping.instants import FoundTime
from braze_bridge.mapping.job_building import (
    Content,
    Event,
    Origin,
    earliest,
    event_id,
    hashed,
    make_job,
    ordering_time,
)
from braze_bridge.mapping.outcomes import Mapped, Outcome, Unmappable
from braze_bridge.mapping.people import Person
from braze_bridge.reasons import Reason
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.jobs.envelope import DeliveryJob

ADA = Person(JobUser(email="ada@example.com"), ())
UNUSABLE = Reason(code="invalid_email", field="email")
NO_PERSON = Person(None, (UNUSABLE,))
NOTHING = Content({}, (), (), ())


def made(
    content: Content,
    person: Person = ADA,
    *,
    occurred_at: datetime | None = NOON - timedelta(hours=1),
    received_at: datetime = NOON,
    unreadable: tuple[str, ...] = (),
) -> Outcome:
    return make_job(
        content,
        person,
        origin=Origin("outgrow", "outgrow_ingest", "outgrow:default:r-1"),
        occurred_at=FoundTime(occurred_at, unreadable),
        received_at=received_at,
        correlation_id="c",
        if_empty="nothing was found",
    )


def codes(outcome: Outcome) -> list[tuple[str | None, str]]:
    assert isinstance(outcome, Unmappable), outcome
    return [(reason.field, reason.code) for reason in outcome.reasons]


def test_every_reason_against_a_job_is_given_at_once() -> None:
    """No person, why each identifier is unusable, each refused value."""
    content = NOTHING._replace(rejects=(Skip("score", "wrong_type"),))

    assert codes(made(content, NO_PERSON)) == [
        ("person", "no_identity"),
        ("email", "invalid_email"),
        ("score", "wrong_type"),
    ]


def test_a_response_with_nothing_to_send_says_what_was_left_out() -> None:
    """The values that did not fit are the reasons why nothing is left."""
    content = NOTHING._replace(skips=(Skip("score", "wrong_type"),))

    assert codes(made(content)) == [(None, "nothing_to_send"), ("score", "wrong_type")]


def test_an_attribute_that_would_change_the_person_is_left_out() -> None:
    """It is the only one here, so there is nothing to send."""
    content = NOTHING._replace(attributes={"email": "bob@example.com"})

    assert codes(made(content)) == [(None, "nothing_to_send"), ("email", IDENTIFIER_CONFLICT)]
    kept = content.for_user(ADA.user)
    assert kept.for_user(ADA.user) == kept


def test_an_unreadable_time_is_noted_by_its_place() -> None:
    """The arrival's time counts, and a person can see that it does."""
    outcome = made(FULL, occurred_at=None, unreadable=("created_at",))

    assert isinstance(outcome, Mapped)
    assert outcome.skips == (Skip("created_at", UNREADABLE_TIME, default_used=True),)


def test_an_address_that_the_rule_wants_is_written() -> None:
    """With answers only, and never over the address that an answer gives."""
    person = Person(JobUser(external_id="c-1"), (), "ada@example.com")
    other = FULL._replace(attributes={"email": "new@example.com"})

    assert codes(made(NOTHING, person)) == [(None, "nothing_to_send")]
    assert job_of(made(FULL, person)).attributes["email"] == "ada@example.com"
    assert job_of(made(other, person)).attributes["email"] == "new@example.com"


def test_a_job_has_the_time_of_its_response_and_each_event_its_own() -> None:
    """An event without a time has the arrival's."""
    events = (
        Event("e-1", "asked", NOON - timedelta(hours=2), {"n": 1}),
        Event("e-2", "asked", None, {}),
    )

    outcome = made(NOTHING._replace(events=events), ADA._replace(reasons=(UNUSABLE,)))

    assert isinstance(outcome, Mapped)
    assert outcome.notes == (UNUSABLE,)
    assert outcome.job.occurred_at == NOON - timedelta(hours=1)
    assert [event.time for event in outcome.job.events] == [NOON - timedelta(hours=2), NOON]
    assert [event.id for event in outcome.job.events] == ["e-1", "e-2"]
    assert (outcome.job.schema_version, outcome.job.sender) == (2, "outgrow_ingest")


def job_of(outcome: Outcome) -> DeliveryJob:
    assert isinstance(outcome, Mapped), outcome
    return outcome.job


FULL = NOTHING._replace(
    attributes={"score": 87, "tags": ["a", "b"]}, events=(Event("e-1", "asked", None, {"n": 1}),)
)


def test_an_identical_resend_is_the_same_job_whenever_it_arrives() -> None:
    """The time of arrival is no content, also where it stands in for the partner's time."""
    first = job_of(made(FULL, occurred_at=None))
    again = job_of(made(FULL, occurred_at=None, received_at=NOON + timedelta(hours=1)))

    assert first.job_id == again.job_id
    assert first.job_id.startswith("outgrow:default:r-1:")
    assert first.occurred_at != again.occurred_at


@pytest.mark.parametrize(
    ("content", "given"),
    [
        (FULL._replace(attributes={"score": 88, "tags": ["a", "b"]}), {}),
        (FULL._replace(attributes={"score": "87", "tags": ["a", "b"]}), {}),
        (FULL._replace(events=(Event("e-1", "asked", None, {"n": 2}),)), {}),
        (FULL._replace(events=(Event("e-1", "asked", NOON, {"n": 1}),)), {}),
        (FULL, {"person": Person(JobUser(email="ada@example.com", may_create=False), ())}),
        (FULL, {"occurred_at": NOON - timedelta(hours=2)}),
        (FULL, {"occurred_at": None}),
    ],
)
def test_a_resend_with_other_content_is_another_job_with_the_same_event(
    content: Content, given: dict[str, Any]
) -> None:
    """Values, properties, the person, and the partner's time: an answer may change back later."""
    first, other = job_of(made(FULL)), job_of(made(content, **given))

    assert first.job_id != other.job_id
    assert first.once_ids == other.once_ids


def test_a_time_in_the_future_is_the_same_content_in_every_resend() -> None:
    """It counts as the partner writes it, not as the arrival that replaces it."""
    ahead = NOON + timedelta(days=2)
    ids = {
        job_of(made(FULL, occurred_at=ahead, received_at=at)).job_id
        for at in (NOON, NOON + timedelta(hours=1), NOON.astimezone(timezone(timedelta(hours=2))))
    }

    assert len(ids) == 1
    assert ahead.tzinfo == UTC


def test_an_event_s_id_has_no_personal_data_and_fits() -> None:
    """An odd name is hashed; an id that leaves no room for a suffix is hashed whole."""
    assert event_id("outgrow:c:r-1", "quiz-done") == "outgrow:c:r-1:quiz-done:0"
    assert event_id("iterate:s:r-1", "asked", "responses[3]") == "iterate:s:r-1:asked:responses[3]"
    assert "Ada" not in event_id("outgrow:c:r-1", "Ada was here")
    long = [event_id("x" * 230, "quiz-done", place) for place in ("0", "1")]
    assert len(set(long)) == 2
    assert all(len(each) <= 240 for each in long)


times = st.none() | st.integers(1, 40 * 365).map(lambda days: NOON - timedelta(days=days))


@given(times, st.integers(0, 10_000).map(lambda seconds: NOON + timedelta(seconds=seconds)))
def test_an_untimed_answer_is_older_than_every_timed_one(
    partner_s: datetime | None, received_at: datetime
) -> None:
    """Whenever it arrives: it may be an old one that somebody sends again."""
    untimed = ordering_time(None, received_at, untimed_is_newest=False)
    other = ordering_time(partner_s, NOON, untimed_is_newest=False)

    assert untimed >= other if partner_s is None else untimed < other


def test_untimed_answers_can_count_as_the_newest() -> None:
    """For a partner that never sends a time."""
    assert ordering_time(None, NOON, untimed_is_newest=True) == NOON
    assert ordering_time(NOON + timedelta(days=1), NOON, untimed_is_newest=True) == NOON


def test_no_job_occurred_after_it_was_received() -> None:
    """If the partner's clock is ahead of ours, the arrival counts."""
    assert earliest(None, NOON) == NOON
    assert earliest(NOON + timedelta(days=1), NOON) == NOON
    assert earliest(NOON - timedelta(days=1), NOON) == NOON - timedelta(days=1)


def test_repr_of_a_content_has_no_values() -> None:
    """A repr may end up in a traceback."""
    content = NOTHING._replace(attributes={"email": "ada@example.com"})

    assert "ada" not in repr(content)


def test_equal_bodies_have_one_identity() -> None:
    """Whatever the order of their keys."""
    assert hashed("b", {"a": 1, "c": 2}) == hashed("b", {"c": 2, "a": 1})
    assert hashed("b", {"a": 1}) != hashed("b", {"a": 2})
