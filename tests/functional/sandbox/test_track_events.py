"""Event and purchase objects (reference §1.6, §1.7)."""

from typing import Any

import pytest

from tests.functional.sandbox.caller import Caller

U = {"external_id": "u"}
PURCHASE = {
    "external_id": "u",
    "product_id": "hat",
    "currency": "USD",
    "price": 12.5,
    "time": "2026-11-01T10:00:00Z",
}


@pytest.mark.parametrize(
    "bad",
    [
        {"name": None},
        {"name": ""},
        {"name": 5},
        {"time": None},
        {"time": 1_700_000_000},
        {"time": "2026-11-01"},
        {"time": "11/01/2026"},
        {"time": "2026-13-01T00:00:00Z"},
        {"time": "0001-01-01T00:00:00+05:00"},
        {"properties": None},
        {"properties": []},
        {"properties": "x"},
        {"properties": {"time": 1}},
        {"properties": {"event_name": 1}},
        {"properties": {"": 1}},
        {"properties": {"$price": 1}},
        {"properties": {"x" * 256: 1}},
    ],
    ids=lambda bad: str(bad)[:40],
)
def test_bad_events_are_errors(braze: Caller, bad: dict[str, Any]) -> None:
    """An event without name or valid time, or with a reserved property name, is an error."""
    answer = braze.event(**U, **bad)

    assert answer.status_code == 400
    assert [error["index"] for error in answer.json()["errors"]] == [0]
    assert braze.profiles() == []


@pytest.mark.parametrize("key", ["name", "time"])
def test_event_keys_are_required(braze: Caller, key: str) -> None:
    """An event that lacks its name or its time is an error."""
    event = {**U, "name": "answered", "time": "2026-11-01T10:00:00Z"}
    del event[key]

    assert braze.track(events=[event]).status_code == 400


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00.000Z"),
        ("2026-11-01T10:00:00.123+01:00", "2026-11-01T09:00:00.123Z"),
        ("2026-11-01T10:00:00:123Z", "2026-11-01T10:00:00.123Z"),
        ("2026-11-01T10:00:00", "2026-11-01T10:00:00.000Z"),
        ("2013-07-16T19:20:45+01:00", "2013-07-16T18:20:45.000Z"),
    ],
)
def test_event_times(braze: Caller, sent: str, kept: str) -> None:
    """Both documented time formats are read, and no zone means UTC."""
    braze.event(**U, time=sent)

    assert [event["time"] for event in braze.profile("u")["events"]] == [kept]


def test_future_events_happen_now(braze: Caller) -> None:
    """An event from the future is taken for now."""
    braze.event(**U, time="2099-01-01T00:00:00Z")

    assert braze.profile("u")["events"][0]["time"] == "2026-11-22T12:00:00.000Z"


def test_events_are_never_deduplicated(braze: Caller) -> None:
    """The same event sent twice, in one call and in two, counts three times."""
    event = {**U, "name": "answered", "time": "2026-11-01T10:00:00Z", "properties": {"q": 1}}

    braze.track(events=[event, event])
    braze.track(events=[event])

    assert len(braze.profile("u")["events"]) == 3
    assert braze.user("u")["custom_events"] == [
        {
            "name": "answered",
            "first": "2026-11-01T10:00:00.000Z",
            "last": "2026-11-01T10:00:00.000Z",
            "count": 3,
        },
    ]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (5, 5),
        (True, True),
        ("text", "text"),
        ("2026-11-01", "2026-11-01T00:00:00.000Z"),
        (["a", 1, "2026-11-01"], ["a", 1, "2026-11-01"]),
    ],
)
def test_property_values(braze: Caller, sent: Any, kept: Any) -> None:
    """Numbers, booleans, strings and arrays are kept; date strings become dates, not in arrays."""
    braze.event(**U, properties={"value": sent})

    assert braze.profile("u")["events"][0]["properties"] == {"value": kept}


def test_objects_in_properties_become_strings(braze: Caller) -> None:
    """An object as a property's value is kept as text only."""
    braze.event(**U, properties={"value": {"a": [1]}})

    assert braze.profile("u")["events"][0]["properties"] == {"value": '{"a":[1]}'}


@pytest.mark.parametrize("bad", [None, "x" * 256, [{"a": 1}], [[1]], [None], ["x" * 256], 2**63])
def test_bad_property_values_are_lost(braze: Caller, bad: Any) -> None:
    """A bad property value is dropped silently; the event keeps the other properties."""
    answer = braze.event(**U, properties={"good": 1, "value": bad})

    assert answer.json() == {"events_processed": 1, "message": "success"}
    assert braze.profile("u")["events"][0]["properties"] == {"good": 1}
    assert braze.dropped() == [("events", 0, "properties.value")]


def test_properties_over_100_kb_lose_the_event(braze: Caller) -> None:
    """With an array or object in them, properties over 100 KB lose the whole event."""
    braze.event(**U, properties={"value": ["x" * 255] * 400})

    assert braze.profile("u")["events"] == []
    assert braze.dropped() == [("events", 0, "answered")]


def test_long_event_names_are_lost(braze: Caller) -> None:
    """An event whose name is over 255 characters is lost in silence."""
    answer = braze.event(**U, name="x" * 256)

    assert answer.json() == {"events_processed": 1, "message": "success"}
    assert braze.profile("u")["events"] == []


def test_blocklisted_events_are_not_collected(braze: Caller) -> None:
    """A blocklisted event is lost while the call succeeds."""
    braze.settings(blocklisted_events=["answered"])

    answer = braze.event(**U)

    assert answer.json() == {"events_processed": 1, "message": "success"}
    assert braze.profile("u")["events"] == []
    assert braze.dropped() == [("events", 0, "answered")]


@pytest.mark.parametrize(
    "bad",
    [
        {"product_id": ""},
        {"product_id": "x" * 256},
        {"currency": "dollars"},
        {"currency": None},
        {"price": "12.5"},
        {"price": True},
        {"price": 2**63},
        {"quantity": 0},
        {"quantity": 101},
        {"quantity": 1.5},
        {"time": "2026-11-01"},
        {"properties": {"price": 1}},
        {"properties": {"product_id": "x"}},
    ],
    ids=lambda bad: str(bad)[:40],
)
def test_bad_purchases_are_errors(braze: Caller, bad: dict[str, Any]) -> None:
    """A purchase with a missing or bad key, or a reserved property name, is an error."""
    assert braze.track(purchases=[{**PURCHASE, **bad}]).status_code == 400


def test_known_error_texts(braze: Caller) -> None:
    """The two texts the pages print for purchases come out word for word."""
    answer = braze.track(
        purchases=[
            {**PURCHASE, "quantity": 0},
            {**PURCHASE, "properties": {"price": 1}},
        ],
    )

    assert [error["type"] for error in answer.json()["errors"]] == [
        "'quantity' is not valid",
        "Invalid 'properties' field",
    ]


def test_purchases_add_up(braze: Caller) -> None:
    """A quantity, 1 by default, is that many purchases; revenue is price times quantity."""
    braze.track(purchases=[PURCHASE, {**PURCHASE, "quantity": 3}])
    braze.track(purchases=[{**PURCHASE, "product_id": "tie", "quantity": 2}])

    user = braze.user("u")
    assert user["total_revenue"] == 75.0
    assert [(item["name"], item["count"]) for item in user["purchases"]] == [
        ("hat", 4),
        ("tie", 2),
    ]


def test_purchase_properties_over_50_kb_lose_it(braze: Caller) -> None:
    """With an array or object in them, purchase properties over 50 KB lose the purchase."""
    braze.track(purchases=[{**PURCHASE, "properties": {"value": ["x" * 255] * 200}}])

    assert "purchases" not in braze.user("u")
