"""The cap on new attribute names a day."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.ledger.new_names import MOST_KNOWN, NamesRow, NewNames
from braze_bridge.observability import Metric
from tests.fakes.clock import NOON
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.fakes.new_names import InMemoryNames

TOMORROW = NOON + timedelta(days=1)


class Stack:
    """Processes that share one row."""

    def __init__(self, most: int = 3) -> None:
        self.most = most
        self.names = InMemoryNames()
        self.meter = RecordingMeter()
        self.log = RecordingLog()

    def process(self) -> NewNames:
        return NewNames(lambda: self.names, self.most, meter=self.meter, log=self.log.logger)


def test_new_names_pass_until_the_day_is_full() -> None:
    """Those over the cap are returned and counted; what is known passes, tomorrow more."""
    stack = Stack()
    check = stack.process()

    assert check(["a", "b"], NOON) == set()
    assert check(["a", "c", "d", "e"], NOON) == {"d", "e"}
    assert check(["a", "b", "c"], NOON) == set()
    assert stack.meter.totals == {Metric.NAMES_OVER_CAP: 2}
    assert check(["d", "e"], TOMORROW) == set()
    assert stack.process()(["a", "b", "c", "d", "e"], TOMORROW) == set()


def test_a_process_calls_nothing_for_names_that_it_knows() -> None:
    """Nor, on a full day, for new ones: nothing is left until tomorrow."""
    stack = Stack()
    check = stack.process()
    check(["a", "b", "c", "d"], NOON)
    calls = stack.names.calls

    assert check(["a", "b", "c"], NOON) == set()
    assert check([], NOON) == set()
    assert check(["x"], NOON) == {"x"}
    assert stack.names.calls == calls == 2


def test_a_new_process_reads_what_others_added() -> None:
    """A known name is not new again, and one read is enough."""
    stack = Stack()
    stack.process()(["a", "b", "c"], NOON)
    stack.names.calls = 0

    assert stack.process()(["a", "b", "c"], TOMORROW) == set()
    assert stack.names.calls == 1


def test_two_processes_do_not_exceed_the_cap_together() -> None:
    """The other one takes the last places between the read and the write."""
    stack = Stack()
    first, second = stack.process(), stack.process()

    def meanwhile() -> None:
        stack.names.before_add = lambda: None
        assert second(["x", "y"], NOON) == set()

    stack.names.before_add = meanwhile

    assert first(["a", "b"], NOON) == {"b"}
    assert stack.names.row.used == 3


def test_a_store_that_cannot_be_reached_stops_no_response() -> None:
    """The names pass and are counted as unchecked; later the check works again."""
    stack = Stack(most=1)
    check = stack.process()
    stack.names.unavailable = True

    assert check(["a", "b"], NOON) == set()
    assert stack.meter.totals == {Metric.NAMES_UNCHECKED: 2}
    assert "a" not in str(stack.log.lines[-1].get("names"))
    stack.names.unavailable = False
    assert check(["a", "b"], NOON) == {"b"}


def test_a_clock_that_is_behind_uses_the_later_day() -> None:
    """Around midnight two processes disagree about the day."""
    stack = Stack()
    stack.process()(["a", "b"], TOMORROW)

    assert stack.process()(["c", "d"], NOON) == {"d"}
    assert stack.names.row.day == TOMORROW.date().isoformat()


def test_a_row_never_outgrows_its_item() -> None:
    """After so many names all new ones are over the cap."""
    known = frozenset(number.to_bytes(8, "big") for number in range(MOST_KNOWN - 1))

    assert NamesRow(known).room("2026-11-28", 500) == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.integers(0, 3),
            st.lists(st.sampled_from("abcdefghij"), max_size=6),
        ),
        max_size=20,
    ),
    st.integers(0, 4),
)
def test_no_day_has_more_new_names_than_the_cap(
    calls: list[tuple[int, int, list[str]]], most: int
) -> None:
    """Whatever three processes are sent, in order of days; and what passed once passes again."""
    stack = Stack(most)
    processes = [stack.process() for _ in range(3)]
    passed: dict[str, int] = {}
    for number, day, names in sorted(calls, key=lambda call: call[1]):
        over = processes[number](names, NOON + timedelta(days=day))
        assert over <= set(names) - passed.keys()
        passed |= {name: day for name in names if name not in over and name not in passed}

    days = list(passed.values())
    assert all(days.count(day) <= most for day in days)
