"""Version 2 of a job: events that count once, and objects that cannot be merged."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from braze_bridge.braze.errors import ServerError, UnknownOutcomeError
from braze_bridge.jobs.envelope import DeliveryJob, JobEvent, JobObject, parse_job
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import job
from tests.fakes.ledger import LEASE_SECONDS
from tests.unit.braze_delivery.test_guarantees import CrashesAtRecord, Harness, KilledError


@pytest.fixture
def harness() -> Harness:
    return Harness()


def v2(name: str, *objects: JobObject, **fields: Any) -> DeliveryJob:
    """A job of version 2."""
    attributes = fields.pop("attributes", {})
    return job(name, attributes=attributes, objects=list(objects), version=2, **fields)


def operator(name: str, **operation: Any) -> JobObject:
    return JobObject(array="attributes", object={name: operation})


def purchase(product: str) -> JobObject:
    return JobObject(array="purchases", object={"product_id": product, "price": 1})


def event(id_: str) -> JobEvent:
    return JobEvent(id=id_, name="answered", time=NOON)


def sent(harness: Harness) -> list[tuple[str, dict[str, Any]]]:
    who = {"external_id", "_update_existing_only"}
    return [
        (array, {name: value for name, value in item.items() if name not in who})
        for array, item in harness.braze.taken
    ]


def test_objects_are_sent_as_they_are_in_one_request_and_in_order(harness: Harness) -> None:
    """Nothing is merged, and every object gets the person's identifier."""
    many = v2(
        "1",
        operator("score", inc=1),
        operator("tags", add=["a"]),
        operator("score", inc=2),
        purchase("shoe"),
        attributes={"city": "x"},
    )

    result = harness.deliver(many, v2("2", operator("score", inc=4), age=30))

    assert (result.delivered, result.requests) == (2, 1)
    assert sent(harness) == [
        ("attributes", {"city": "x"}),
        ("attributes", {"score": {"inc": 1}}),
        ("attributes", {"tags": {"add": ["a"]}}),
        ("attributes", {"score": {"inc": 2}}),
        ("attributes", {"score": {"inc": 4}}),
        ("purchases", {"product_id": "shoe", "price": 1}),
    ]
    assert {item["external_id"] for _, item in harness.braze.taken} == {"ada"}


@pytest.mark.parametrize("policy", ["resend", "park"])
def test_after_an_unknown_outcome_objects_are_parked(harness: Harness, policy: str) -> None:
    """Whatever the policy for events: an operator must never count twice."""
    harness.braze.after = lambda _: UnknownOutcomeError("lost")

    first = harness.deliver(v2("1", operator("score", inc=1)), on_unknown_outcome=policy)
    harness.braze.after = lambda _: None
    again = harness.deliver(v2("1", operator("score", inc=1)), on_unknown_outcome=policy)

    assert (first.rejected, again.duplicate) == (1, 1)
    assert len(harness.braze.taken) == 1
    (row,) = harness.rejected.records.values()
    assert row.reasons[0].field == "objects.0"
    assert parse_job(row.payload).objects[0].object == {"score": {"inc": 1}}


def test_after_a_crash_objects_are_parked_and_attributes_are_sent_again(harness: Harness) -> None:
    """The policy for events is to send them again; an object is not."""
    both = v2("1", operator("score", inc=1), attributes={"city": "x"}, events=[event("e")])
    store = harness.ledger.store  # type: ignore[attr-defined]
    with pytest.raises(KilledError):
        harness.deliver(both, ledger=CrashesAtRecord(harness.clock, store))
    harness.clock.advance(LEASE_SECONDS + 1)

    assert harness.deliver(both).rejected == 1

    assert sum("score" in item for _, item in harness.braze.taken) == 1
    assert len(harness.braze.events) == 2


def test_an_object_that_surely_did_not_arrive_is_sent_later(harness: Harness) -> None:
    """A 503 took nothing."""
    harness.braze.before = lambda n: ServerError("", status=503) if n == 1 else None
    one = v2("1", operator("score", inc=1))

    assert harness.deliver(one).retried == 1
    harness.clock.advance(60)
    assert harness.deliver(one).delivered == 1
    assert len(harness.braze.taken) == 1


@pytest.mark.parametrize("together", [True, False])
def test_an_operator_older_than_a_plain_value_is_parked_as_stale(
    harness: Harness, *, together: bool
) -> None:
    """In one batch or in two: the plain value already stands for what came before."""
    newer = job("new", attributes={"score": 10}, age=30)
    older = v2("old", operator("score", inc=1), age=60)

    for batch in [[older, newer]] if together else [[newer], [older]]:
        harness.deliver(*batch)

    assert harness.braze.profile("ada")["score"] == 10
    (row,) = harness.rejected.records.values()
    assert (row.id, row.reasons[0].code) == ("outgrow:default:old", "stale")


def test_an_operator_newer_than_a_plain_value_follows_it(harness: Harness) -> None:
    """The plain value is the first in the request."""
    harness.deliver(
        v2("new", operator("score", inc=1), age=30), job("old", attributes={"score": 10}, age=60)
    )

    assert sent(harness) == [("attributes", {"score": 10}), ("attributes", {"score": {"inc": 1}})]


@pytest.mark.parametrize("together", [True, False])
def test_an_event_counts_once_although_two_jobs_bring_it(
    harness: Harness, *, together: bool
) -> None:
    """A response that comes again with other content is another job with the same event."""
    first = v2("r-1", attributes={"score": 1}, events=[event("e1")], age=60)
    again = v2("r-2", attributes={"score": 2}, events=[event("e1"), event("e2")], age=30)

    for batch in [[first, again]] if together else [[first], [again]]:
        assert harness.deliver(*batch).delivered == len(batch)

    assert len(harness.braze.events) == 2
    assert harness.braze.profile("ada")["score"] == 2


def test_objects_that_do_not_fit_into_a_request_follow_in_order(harness: Harness) -> None:
    """Of two jobs with 75 objects each, 75 are sent; the others come back."""
    jobs = [
        v2(str(n), *(operator(f"a{each}", inc=n) for each in range(75)), age=60 - n)
        for n in range(2)
    ]

    assert harness.deliver(*jobs).retried == 1
    assert harness.deliver(jobs[1]).delivered == 1
    counts = Counter(name for _, item in sent(harness) for name in item)
    assert set(counts.values()) == {2}
