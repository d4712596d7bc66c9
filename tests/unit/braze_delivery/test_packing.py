"""Merging, packing, sending apart and undoing a merge, as pure functions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.jobs.envelope import DeliveryJob, JobUser, UserAlias
from braze_bridge.ledger.port import PersonKey, PersonState
from braze_delivery.entry import BatchEntry, Chunk
from braze_delivery.merging import merge as merge_person
from braze_delivery.merging import split_merged
from braze_delivery.packing import RequestPlan, TrackObject, apart, pack
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import event, job

ALIAS = JobUser(user_alias=UserAlias(alias_name="a@example.com", alias_label="email"))


def entries(*jobs: DeliveryJob) -> list[BatchEntry]:
    chunk = Chunk({})
    return [BatchEntry(position, each, each.user.key, chunk) for position, each in enumerate(jobs)]


@dataclass
class Merged:
    """The merged objects of one person, and the refused parts of the jobs."""

    objects: list[TrackObject]
    invalid: list[tuple[int, int | None, str]]
    stale: int


def merge(work: list[BatchEntry], states: dict[PersonKey, PersonState]) -> Merged:
    key = work[0].key
    merged = merge_person(key, work, states.get(key, PersonState()))
    refused = [(each.position, part, reason.code) for each in work for part, reason in each.refused]
    return Merged([*merged.attributes, *merged.rest], refused, merged.stale)


def bodies(objects: list[TrackObject]) -> list[dict[str, Any]]:
    return [json.loads(item.body) for item in objects]


def test_newest_value_wins_whatever_the_order_in_the_batch() -> None:
    """Attributes of one person become one object in which the newest answer stands."""
    late = job("late", attributes={"score": 2, "segment": "b"}, age=10)
    early = job("early", attributes={"score": 1, "city": "x"}, age=20)

    merged = merge(entries(late, early), {})

    assert bodies(merged.objects) == [
        {"external_id": "ada", "score": 2, "segment": "b", "city": "x"}
    ]
    assert {0, 1} == {entry.position for entry in merged.objects[0].entries}


def test_every_event_is_kept_in_the_order_of_the_jobs_times() -> None:
    """Events are never merged; an older job's come first."""
    late = job("late", events=[event("c")], age=10)
    early = job("early", events=[event("a"), event("b")], age=20)

    merged = merge(entries(late, early), {})

    assert [body["name"] for body in bodies(merged.objects)] == ["a", "b", "c"]


def test_an_attribute_older_than_the_last_one_sent_is_dropped_and_counted() -> None:
    """A late answer never overwrites a newer one; an equally old one is sent again."""
    minute_ago = NOON - timedelta(seconds=60)
    state = PersonState(newest={"score": (NOON, NOON), "segment": (minute_ago, minute_ago)})
    old = job("old", attributes={"score": 1, "segment": "b"}, age=60)

    merged = merge(entries(old), {old.user.key: state})

    assert bodies(merged.objects) == [{"external_id": "ada", "segment": "b"}]
    assert merged.stale == 1


def test_events_already_settled_are_not_sent_again() -> None:
    """What the ledger knows of a job's progress is left out."""
    (half,) = entries(job("half", events=3))
    half.settled = frozenset({0, 2})

    merged = merge([half], {})

    assert [body["name"] for body in bodies(merged.objects)] == ["answered-1"]


def test_an_alias_is_created_in_the_attributes_array_even_for_events_alone() -> None:
    """Braze's pages disagree on creation by events, so an empty attributes object leads."""
    merged = merge(entries(job(user=ALIAS, events=2)), {})

    first, *events = bodies(merged.objects)
    alias = {"alias_name": "a@example.com", "alias_label": "email"}
    assert {"user_alias": alias, "_update_existing_only": False} == first
    assert [body["_update_existing_only"] for body in events] == [False, False]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (JobUser(external_id="ada"), None),
        (JobUser(external_id="ada", may_create=False), True),
        (JobUser(email="a@example.com"), None),
        (ALIAS, False),
        (ALIAS.model_copy(update={"may_create": False}), True),
    ],
)
def test_update_existing_only_follows_who_may_be_created(
    user: JobUser, *, expected: bool | None
) -> None:
    """Braze creates by default, except for an alias, where it must be asked to."""
    (body,) = bodies(merge(entries(job(user=user)), {}).objects)

    assert expected == body.get("_update_existing_only")


def test_a_part_that_breaks_a_limit_is_invalid_and_the_rest_is_sent() -> None:
    """One job's too long string costs only that job's attributes, not the merged object."""
    good = job("good", attributes={"score": 1})
    bad = job("bad", attributes={"essay": "x" * 256}, events=1)

    merged = merge(entries(good, bad), {})

    assert merged.invalid == [(1, None, "limit_broken")]
    assert bodies(merged.objects)[:1] == [{"external_id": "ada", "score": 1}]
    assert len(merged.objects) == 2


def test_an_identifier_braze_cannot_take_refuses_the_job() -> None:
    """An external_id over 987 bytes makes every part of the job invalid."""
    merged = merge(entries(job(user="x" * 988, attributes={"score": 1}, events=2)), {})

    assert sorted(merged.invalid, key=str) == [
        (0, 0, "limit_broken"),
        (0, 1, "limit_broken"),
        (0, None, "limit_broken"),
    ]
    assert merged.objects == []


ENTRY = BatchEntry(0, job(), ("ada",), Chunk({}))


def fake_object(array: str, size: int, group: tuple[str, ...] | None) -> TrackObject:
    return TrackObject(array, b"x" * size, (ENTRY,), group=group)  # type: ignore[arg-type]  # of three


def pieces(objects: list[TrackObject]) -> list[list[TrackObject]]:
    """A group is one piece, any other object its own."""
    found: dict[object, list[TrackObject]] = {}
    for item in objects:
        found.setdefault(id(item) if item.group is None else item.group, []).append(item)
    return list(found.values())


@given(
    people=st.lists(
        st.tuples(st.booleans(), st.booleans(), st.integers(0, 90)), min_size=0, max_size=40
    )
)
def test_plans_hold_everything_and_keep_the_limits(people: list[tuple[bool, bool, int]]) -> None:
    """No request is over its limits. Of a group that does not fit, the first objects are sent."""
    objects = []
    for number, (bonded, has_attributes, events) in enumerate(people):
        group = (str(number),) if bonded else None
        objects += [fake_object("attributes", 40, group)] * has_attributes
        objects += [fake_object("events", 30, group) for _ in range(events)]

    plans = list(pack(pieces(objects), 75, 3_000))

    sent = {id(item) for each in plans for item in each.objects}
    assert {id(item) for item in objects if item.group is None} <= sent
    for each in plans:
        assert 1 <= len(each.objects) <= 75
        assert sum(len(item.body) + 1 for item in each.objects) <= 3_000
    for number, (_, has_attributes, events) in enumerate(people):
        whole = [item for item in objects if item.group == (str(number),)]
        if whole:
            (home,) = [
                each for each in plans if any(i.group == whole[0].group for i in each.objects)
            ]
            there = [item for item in home.objects if item.group == whole[0].group]
            assert there == whole[: len(there)]
            if len(whole) <= 75 and 41 * has_attributes + 31 * events < 2_900:
                assert there == whole


@given(st.integers(0, 1_500))
def test_objects_without_a_group_take_the_fewest_requests(count: int) -> None:
    """Without groups the number of requests is the arithmetic minimum."""
    plans = list(pack(pieces([fake_object("attributes", 100, None) for _ in range(count)])))

    assert ceil(count / 75) == len(plans)


def test_objects_without_a_group_fill_the_gaps_that_groups_leave() -> None:
    """Ten people of 40 bonded objects and 350 loose ones fit ten requests."""
    objects = [fake_object("events", 10, (str(n),)) for n in range(10) for _ in range(40)]
    objects += [fake_object("attributes", 10, None) for _ in range(350)]

    assert len(list(pack(pieces(objects)))) == 10


def test_of_a_group_too_long_for_a_request_the_first_objects_are_sent() -> None:
    """200 events of a new alias: the creating object and 74 events. The others come later."""
    creator = fake_object("attributes", 10, ("alias",))
    (plan,) = pack([[creator, *(fake_object("events", 10, ("alias",)) for _ in range(200))]])

    assert (plan.arrays["attributes"], len(plan.arrays["events"])) == ([creator], 74)


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=20), bonded=st.booleans())
def test_sent_apart_each_object_is_alone(sizes: list[int], *, bonded: bool) -> None:
    """No object is lost. The objects of a group follow one another."""
    objects = []
    for number, size in enumerate(sizes):
        group = (str(number),) if bonded else None
        objects += [fake_object("attributes", 1, group)]
        objects += [fake_object("events", 1, group) for _ in range(size - 1)]

    plans = apart(objects)

    alone = [each.objects for plan in plans for each in (plan, *plan.then)]
    assert {1} == {len(each) for each in alone}
    assert sorted(map(id, objects)) == sorted(id(item) for (item,) in alone)
    assert len(plans) == (len(sizes) if bonded else sum(sizes))


def test_undoing_a_merge_gives_each_job_its_own_object_oldest_first() -> None:
    """The parts in order leave the merged values."""
    late = job("late", attributes={"score": 2}, age=10)
    early = job("early", attributes={"score": 1, "city": "x"}, age=20)
    (merged,) = merge(entries(late, early), {}).objects

    parts = split_merged(merged)

    assert (bodies(parts)) == [
        {"external_id": "ada", "score": 1, "city": "x"},
        {"external_id": "ada", "score": 2},
    ]
    assert [tuple(entry.position for entry in part.entries) for part in parts] == [(1,), (0,)]


@pytest.mark.parametrize(
    ("array", "index", "found"),
    [
        ("attributes", 0, True),
        ("events", 1, True),
        ("events", 2, False),
        ("attributes", -1, False),
        ("purchases", 0, False),
        (None, 0, False),
        ("events", None, False),
    ],
)
def test_an_error_names_an_object_only_if_it_exists(
    array: str | None, index: int | None, *, found: bool
) -> None:
    """Anything else names no object."""
    a, b, c = (fake_object(kind, 1, None) for kind in ("attributes", "events", "events"))

    assert found == (RequestPlan.of([a, b, c]).find(array, index) is not None)  # type: ignore[arg-type]
