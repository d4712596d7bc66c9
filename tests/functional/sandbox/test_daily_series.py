"""`/kpi/dau/data_series` and `/kpi/new_users/data_series`."""

import pytest

from tests.functional.sandbox.caller import Caller, people

DAY = 86_400


def series(braze: Caller, name: str, **query: str | int) -> dict[str, int]:
    answer = braze.get(f"/kpi/{name}/data_series", **query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["message"] == "success"
    return {entry["time"]: entry[name] for entry in answer.json()["data"]}


def test_users_count_once_on_each_day_of_activity(braze: Caller) -> None:
    """New users count on their first day, active users on every day with a write."""
    braze.attributes(*people(2))
    braze.event(external_id="user-0")
    braze.clock.advance(DAY)
    braze.event(external_id="user-0")
    braze.clock.advance(DAY)
    braze.attributes({"external_id": "user-0", "score": 1}, {"external_id": "third"})

    days = ["2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24"]
    assert series(braze, "new_users", length=4) == dict(zip(days, [0, 2, 0, 1], strict=True))
    assert series(braze, "dau", length=4) == dict(zip(days, [0, 2, 1, 2], strict=True))


@pytest.mark.parametrize("name", ["dau", "new_users"])
def test_series_end_at_the_given_day(braze: Caller, name: str) -> None:
    """`ending_at` and `length` choose the days."""
    braze.attributes({"external_id": "u"})

    ended = series(braze, name, length=2, ending_at="2026-11-23T10:00:00Z")

    assert ended == {"2026-11-22": 1, "2026-11-23": 0}


@pytest.mark.parametrize("name", ["dau", "new_users"])
@pytest.mark.parametrize(
    "query",
    [{}, {"length": 0}, {"length": 101}, {"length": 1, "ending_at": "soon"}],
    ids=str,
)
def test_bad_series_are_400(braze: Caller, name: str, query: dict[str, str]) -> None:
    """The parameters are those of the monthly series."""
    assert braze.get(f"/kpi/{name}/data_series", **query).status_code == 400
