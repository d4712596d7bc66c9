"""Answers with the same vendor's time: the one that was received later is newer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.errors import UnknownOutcomeError
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import increment, job
from tests.unit.braze_delivery.test_guarantees import Harness

if TYPE_CHECKING:
    from braze_bridge.jobs.envelope import DeliveryJob


@pytest.fixture
def harness() -> Harness:
    return Harness()


def received(name: str, seconds: float, **fields: Any) -> DeliveryJob:
    """An answer of noon that was received so many seconds later."""
    return job(name, age=0, received_at=NOON + timedelta(seconds=seconds), **fields)


def test_of_two_answers_with_the_same_time_the_one_received_later_stays(harness: Harness) -> None:
    """A vendor may send one answer twice with other content. The first one comes back late."""
    first = received("first", 1, attributes={"score": 1, "city": "x"})
    second = received("second", 2, attributes={"score": 2})

    harness.deliver(second)
    result = harness.deliver(first)

    assert (result.delivered, result.stale_attributes) == (1, 1)
    assert harness.braze.profile("ada") == {"external_id": "ada", "score": 2, "city": "x"}


def test_an_answer_that_comes_again_is_not_older_than_itself(harness: Harness) -> None:
    """Its first answer was lost, so it is sent again."""
    once = received("once", 1, attributes={"score": 1}, events=1)
    harness.braze.after = lambda _: UnknownOutcomeError("lost")
    harness.deliver(once)
    harness.braze.after = lambda _: None
    harness.deliver(received("other", 0, attributes={"score": 0}))

    assert harness.deliver(once).stale_attributes == 0
    assert harness.braze.profile("ada")["score"] == 1


def test_an_operator_is_older_than_a_value_that_was_received_later(harness: Harness) -> None:
    """With the same vendor's time, too."""
    value = received("value", 2, attributes={"score": 5})
    operator = received("operator", 1, objects=[increment("score")], version=2)

    harness.deliver(value)
    harness.deliver(operator)

    (row,) = harness.rejected.records.values()
    assert row.reasons[0].code == "stale"
