"""The judgement about events whose answer was lost, against a model of Braze."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.braze.models import ExportedUser
from braze_delivery.verifying import (
    HISTORY,
    LAG,
    DoubtfulEvent,
    ShownEvent,
    Verdict,
    judge,
    profile_of,
)
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ARRIVED, NOT_ARRIVED, UNKNOWN = Verdict.ARRIVED, Verdict.NOT_ARRIVED, Verdict.UNKNOWN
AT = NOON - timedelta(hours=1)
"""When the events of these tests happened."""


def doubtful(
    seconds: float = 0, name: str = "answered", id_: str = "e", late: float = 60
) -> DoubtfulEvent:
    time = AT + timedelta(seconds=seconds)
    return DoubtfulEvent(id_, name, time, time + timedelta(seconds=late))


def shown(first: float, last: float | None = None, name: str = "answered") -> ShownEvent:
    end = first if last is None else last
    return ShownEvent(name, AT + timedelta(seconds=first), AT + timedelta(seconds=end))


def verdict_of(*events: ShownEvent, waited: timedelta = LAG) -> Verdict:
    return judge([doubtful()], (), [events], NOON, waited)["e"]


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ([shown(0)], ARRIVED),
        ([shown(-60, 0)], ARRIVED),
        ([shown(0, 60)], ARRIVED),  # a later one does not hide the person's first
        ([shown(-60)], NOT_ARRIVED),
        ([shown(-60, 60)], UNKNOWN),
        ([shown(0.001)], UNKNOWN),
        ([shown(-0.001)], UNKNOWN),
        ([shown(-1)], UNKNOWN),
        ([shown(-1.001)], NOT_ARRIVED),
        ([shown(0, name="another")], NOT_ARRIVED),
        ([], NOT_ARRIVED),
    ],
)
def test_first_and_last_decide(events: list[ShownEvent], verdict: Verdict) -> None:
    assert verdict_of(*events) is verdict


def test_a_person_without_a_profile_has_no_event() -> None:
    assert judge([doubtful()], (), [], NOON, LAG) == {"e": NOT_ARRIVED}


def test_what_is_absent_before_the_lag_is_unknown() -> None:
    assert verdict_of(waited=LAG - timedelta(seconds=1)) is UNKNOWN
    assert verdict_of(shown(0), waited=timedelta(0)) is ARRIVED


@pytest.mark.parametrize("profiles", [[[shown(0)], []], [[], [shown(-60, 0)]]])
def test_any_profile_of_an_address_may_have_it(profiles: list[list[ShownEvent]]) -> None:
    assert judge([doubtful()], (), profiles, NOON, LAG) == {"e": ARRIVED}


def test_a_later_event_on_another_profile_of_the_address_hides_it() -> None:
    assert judge([doubtful()], (), [[], [shown(5)]], NOON, LAG) == {"e": UNKNOWN}


def test_an_event_older_than_braze_shows_is_unknown() -> None:
    old = DoubtfulEvent("e", "answered", NOON - HISTORY - timedelta(seconds=1), NOON)

    assert judge([old], (), [[]], NOON, LAG) == {"e": UNKNOWN}


def test_a_time_that_was_in_the_future_is_unknown_unless_nothing_came_since() -> None:
    """Braze replaces such a time by its own."""
    future = doubtful(late=-600)  # received 10 minutes before its own time

    assert judge([future], (), [[shown(-300)]], NOON, LAG) == {"e": UNKNOWN}
    assert judge([future], (), [[shown(-602)]], NOON, LAG) == {"e": NOT_ARRIVED}


def test_two_doubtful_events_of_one_name() -> None:
    """Each may hide the other. Only what shows neither, or exactly one, can tell."""
    both = [doubtful(0, id_="early"), doubtful(60, id_="late")]

    def seen(*events: ShownEvent) -> Mapping[str, Verdict]:
        return judge(both, (), [events], NOON, LAG)

    assert seen() == {"early": NOT_ARRIVED, "late": NOT_ARRIVED}
    assert seen(shown(-60)) == {"early": NOT_ARRIVED, "late": NOT_ARRIVED}
    assert seen(shown(0)) == {"early": ARRIVED, "late": UNKNOWN}
    assert seen(shown(60)) == {"early": UNKNOWN, "late": ARRIVED}
    assert seen(shown(0, 60)) == {"early": ARRIVED, "late": ARRIVED}
    assert seen(shown(30)) == {"early": UNKNOWN, "late": UNKNOWN}


def test_two_events_of_one_name_and_time_cannot_be_told_apart() -> None:
    twins = [doubtful(0, id_="a"), doubtful(0, id_="b")]

    assert judge(twins, (), [[shown(0)]], NOON, LAG) == {"a": UNKNOWN, "b": UNKNOWN}
    assert judge(twins, (), [[]], NOON, LAG) == {"a": NOT_ARRIVED, "b": NOT_ARRIVED}
    delivered = [("answered", AT)]
    assert judge([doubtful()], delivered, [[shown(0)]], NOON, LAG) == {"e": UNKNOWN}


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-11-22T11:00:00.000Z", "2026-11-22T11:30:00.123Z"),
        ("2026-11-22 11:00:00.000 UTC", "2026-11-22 11:30:00.123 UTC"),
        ("2026-11-22T12:00:00.000+01:00", "2026-11-22T11:30:00.123456Z"),
    ],
)
def test_both_of_brazes_date_styles_are_read(first: str, last: str) -> None:
    user = ExportedUser(other={"custom_events": [{"name": " a ", "first": first, "last": last}]})

    half_past = datetime(2026, 11, 22, 11, 30, 0, 123_000, tzinfo=UTC)
    assert profile_of(user) == [ShownEvent("a", datetime(2026, 11, 22, 11, tzinfo=UTC), half_past)]


@pytest.mark.parametrize("events", ["answered", {"answered": 1}, ["answered"], [{"name": 1}]])
def test_an_unreadable_export_shows_nothing(events: object) -> None:
    profile = profile_of(ExportedUser(other={"custom_events": events}))

    assert judge([doubtful()], (), [profile], NOON, LAG) == {"e": UNKNOWN}


@pytest.mark.parametrize("last", [None, 5, "yesterday", ""])
def test_an_unreadable_time_makes_its_name_unknown(last: object) -> None:
    events = [{"name": "answered", "first": None, "last": last}]
    profile = profile_of(ExportedUser(other={"custom_events": events}))
    elsewhere = doubtful(name="other", id_="o")

    verdicts = judge([doubtful(), elsewhere], (), [profile], NOON, LAG)

    assert verdicts == {"e": UNKNOWN, "o": NOT_ARRIVED}


def test_without_any_event_the_field_is_missing() -> None:
    assert profile_of(ExportedUser()) == []


# -- the rule holds whatever happened ------------------------------------------------------------


class Sent(NamedTuple):
    """An event that was sent.

    Attributes:
        millis: After AT.
        arrived: Braze took it.
        is_doubtful: Its answer was lost; if not, Braze confirmed it.
    """

    name: str
    millis: int
    arrived: bool
    is_doubtful: bool


_SENT = st.builds(
    Sent, st.sampled_from(["a", "b"]), st.integers(-3_000, 3_000), st.booleans(), st.booleans()
)


def exported(history: Sequence[Sent]) -> list[ShownEvent]:
    """What Braze shows of the events that arrived."""
    profile = []
    for name in sorted({each.name for each in history if each.arrived}):
        seen = [each.millis / 1000 for each in history if each.arrived and each.name == name]
        profile.append(shown(min(seen), max(seen), name))
    return profile


@given(st.lists(_SENT, max_size=6))
def test_what_is_certain_is_true(history: list[Sent]) -> None:
    """Whatever arrived in doubt: no verdict but `unknown` is ever wrong."""
    history = [each if each.is_doubtful else each._replace(arrived=True) for each in history]
    events = {
        str(n): doubtful(each.millis / 1000, each.name, str(n))
        for n, each in enumerate(history)
        if each.is_doubtful
    }
    others = [
        (each.name, AT + timedelta(milliseconds=each.millis))
        for each in history
        if not each.is_doubtful
    ]

    verdicts = judge(list(events.values()), others, [exported(history)], NOON, LAG)

    assert verdicts.keys() == events.keys()
    for id_, verdict in verdicts.items():
        if verdict is not UNKNOWN:
            assert (verdict is ARRIVED) == history[int(id_)].arrived


@given(
    st.booleans(),
    st.lists(st.integers(-10_000, -1_001), max_size=4),
    st.timedeltas(timedelta(0), timedelta(days=80)),
)
def test_a_lone_doubtful_event_after_older_ones_is_always_certain(
    arrived: bool,
    older: list[int],
    age: timedelta,
) -> None:
    """The usual case: `unknown` must not be an excuse."""
    history = [Sent("a", millis, arrived=True, is_doubtful=False) for millis in older]
    history.append(Sent("a", 0, arrived, is_doubtful=True))

    verdicts = judge([doubtful(name="a")], (), [exported(history)], NOON + age, LAG)

    assert verdicts == {"e": ARRIVED if arrived else NOT_ARRIVED}


@given(st.lists(_SENT, max_size=6), st.timedeltas(timedelta(0), LAG - timedelta(milliseconds=1)))
def test_nothing_is_declared_absent_before_the_lag(history: list[Sent], waited: timedelta) -> None:
    events = [doubtful(each.millis / 1000, each.name, str(n)) for n, each in enumerate(history)]

    verdicts = judge(events, (), [exported(history)], NOON, waited)

    assert NOT_ARRIVED not in verdicts.values()


_ANY_TIME = st.datetimes(timezones=st.timezones())


@given(
    st.lists(st.builds(DoubtfulEvent, st.text(), st.text(), _ANY_TIME, _ANY_TIME), max_size=4),
    st.lists(st.builds(ShownEvent, st.text(), st.none() | _ANY_TIME, st.none() | _ANY_TIME)),
)
def test_no_input_raises(events: list[DoubtfulEvent], profile: list[ShownEvent]) -> None:
    judge(events, [(each.name, each.time) for each in events], [profile, None], NOON, LAG)
