"""Exchanges that were recorded with Braze: the same request gets the same answer.

Source: the recordings of the Ruby client `braze_ruby`, `spec/fixtures/responses`, 2015 to 2020.
"""

from typing import Any

import pytest

from tests.functional.sandbox.caller import Caller

EVENT = {"external_id": 1, "name": "baz", "time": "2015-02-15 21:04:32 -0500"}
PURCHASE = {
    "external_id": 1,
    "product_id": 1,
    "time": "2015-02-15 21:04:32 -0500",
    "currency": "CAD",
    "price": 1.0,
}
TRACKED: dict[str, Any] = {
    "attributes": [{"external_id": 1, "foo": "bar"}],
    "events": [EVENT],
    "purchases": [PURCHASE],
}
NOW = 1_424_052_300.0
"""2015-02-16T02:05:00Z, half a minute after the events."""
ALIAS = {"alias_name": "abc", "alias_label": "foo"}
NUMBERS = [400, 401, 402]


@pytest.mark.parametrize(
    ("path", "sent", "answered"),
    [
        pytest.param(
            "/users/track",
            TRACKED,
            {"attributes_processed": 1, "events_processed": 1, "purchases_processed": 1},
            id="numbers as ids and an offset after a space",
        ),
        pytest.param(
            "/users/track",
            {"attributes": [], "events": [], "purchases": [PURCHASE]},
            {"purchases_processed": 1},
            id="empty arrays are not counted",
        ),
        pytest.param(
            "/users/identify",
            {"aliases_to_identify": [{"external_id": 400, "user_alias": ALIAS}]},
            {"aliases_processed": 1},
            id="identify to a number",
        ),
        pytest.param(
            "/users/delete",
            {"external_ids": NUMBERS, "user_aliases": [], "braze_ids": []},
            {"deleted": 3},
            id="delete numbers, beside empty arrays",
        ),
    ],
)
def test_recorded_writes(
    braze: Caller, path: str, sent: dict[str, Any], answered: dict[str, int]
) -> None:
    """Each answer is a 201, and the recorded one whole; no user is known before the call."""
    answer = braze.post(path, sent)

    assert (answer.status_code, answer.json()) == (201, {**answered, "message": "success"})


def test_recorded_export(braze: Caller) -> None:
    """A number finds its user, and is named invalid. Ids come back as text, times in UTC."""
    braze.clock.now = NOW
    braze.track(**TRACKED)
    fields = ["external_id", "custom_attributes", "custom_events", "purchases"]

    answer = braze.post("/users/export/ids", {"external_ids": [1], "fields_to_export": fields})

    once = {"first": "2015-02-16T02:04:32.000Z", "last": "2015-02-16T02:04:32.000Z", "count": 1}
    assert answer.status_code == 201
    assert answer.json() == {
        "users": [
            {
                "external_id": "1",
                "custom_attributes": {"foo": "bar"},
                "custom_events": [{"name": "baz", **once}],
                "purchases": [{"name": "1", **once}],
            },
        ],
        "invalid_user_ids": [1],
        "message": "success",
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/users/identify", {"aliases_to_identify": [{"external_id": 12345, "user_alias": ALIAS}]}),
        ("/users/delete", {"external_ids": [12345]}),
    ],
)
def test_a_number_means_the_text(braze: Caller, path: str, body: dict[str, Any]) -> None:
    """A number identifies and deletes the user whose external id is its digits."""
    braze.attributes({"external_id": "12345"})
    braze.attributes({"user_alias": ALIAS, "_update_existing_only": False})

    braze.post(path, body)

    assert len(braze.profiles()) == 1
    assert braze.dropped() == []
