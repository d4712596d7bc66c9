"""`/kpi/mau/data_series` (reference §5)."""

import pytest

from tests.functional.sandbox.caller import Caller, people

DAY = 86_400


def test_one_entry_a_day(braze: Caller) -> None:
    """As many days as asked for come back, oldest first, with the users of 30 days each."""
    braze.attributes(*people(2))
    braze.clock.advance(DAY)
    braze.attributes({"external_id": "third"})

    answer = braze.get("/kpi/mau/data_series", length=3)

    assert answer.status_code == 200
    assert answer.json() == {
        "message": "success",
        "data": [
            {"time": "2026-11-21", "mau": 0},
            {"time": "2026-11-22", "mau": 2},
            {"time": "2026-11-23", "mau": 3},
        ],
    }


def test_users_count_for_30_days(braze: Caller) -> None:
    """A user counts on the thirtieth day and no more after."""
    braze.attributes({"external_id": "u"})
    braze.clock.advance(30 * DAY)

    answer = braze.get("/kpi/mau/data_series", length=2)

    assert [entry["mau"] for entry in answer.json()["data"]] == [1, 0]


@pytest.mark.parametrize(
    ("ending_at", "days"),
    [
        ("2018-06-28T23:59:59-05:00", ["2018-06-27", "2018-06-28"]),
        ("2018-06-29T00:30:00+02:00", ["2018-06-28", "2018-06-29"]),
        ("2018-06-28T23:59:59", ["2018-06-27", "2018-06-28"]),
        ("2018-06-28", ["2018-06-27", "2018-06-28"]),
    ],
)
def test_ending_at(braze: Caller, ending_at: str, days: list[str]) -> None:
    """The series ends on the given day, which is that of its zone."""
    answer = braze.get("/kpi/mau/data_series", length=2, ending_at=ending_at)

    assert answer.json()["data"] == [{"time": day, "mau": 0} for day in days]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"length": 0},
        {"length": 101},
        {"length": "x"},
        {"length": "1" * 5_000},
        {"length": 1, "ending_at": "soon"},
        {"length": 100, "ending_at": "0001-01-02"},
    ],
    ids=lambda query: str(query)[:40],
)
def test_bad_queries_are_400(braze: Caller, query: dict[str, str]) -> None:
    """A length that is missing or not from 1 to 100, and a bad end, are 400."""
    assert braze.get("/kpi/mau/data_series", **query).status_code == 400
